package stores

import (
	"net/url"
	"regexp"
	"strings"
)

// Hidden replaces a password.
const Hidden = "xxxxx"

// keyword is a password in libpq's other form: host=… password='…'.
var keyword = regexp.MustCompile(`(?i)(pass\w*\s*=\s*)('(?:\\.|[^'\\])*'?|(?:\\.|[^\s\\])*)`)

// Redact returns a URL of a store, valid or not, with its passwords replaced: user:password@, ?password=…, and libpq's
// password=…. If an invalid URL
// does not show the end of a password, Redact replaces more rather than less.
func Redact(url string) string {
	start := strings.Index(url, "://")
	if start < 0 {
		return keyword.ReplaceAllString(redactUser(url, 0), "${1}"+Hidden)
	}
	return redactParameters(redactUser(url, start+len("://")))
}

// redactUser hides what is between the first colon from start on and the last @. A password with an unescaped /, ? or @ in it
// is no URL any more, but a password all the same.
func redactUser(url string, start int) string {
	at := strings.LastIndexByte(url, '@')
	if at < start {
		return url
	}
	colon := strings.IndexByte(url[start:at], ':')
	if colon < 0 {
		return url
	}
	return url[:start+colon+1] + Hidden + url[at:]
}

// redactParameters hides the value of each parameter with a name like password, sslpassword or passphrase.
func redactParameters(address string) string {
	before, query, found := strings.Cut(address, "?")
	if !found {
		return address
	}
	parameters := strings.Split(query, "&")
	for i, parameter := range parameters {
		name, _, found := strings.Cut(parameter, "=")
		if found && isSecret(name) {
			parameters[i] = name + "=" + Hidden
		}
	}
	return before + "?" + strings.Join(parameters, "&")
}

func isSecret(name string) bool {
	if plain, err := url.QueryUnescape(name); err == nil {
		name = plain
	}
	return strings.Contains(strings.ToLower(name), "pass")
}
