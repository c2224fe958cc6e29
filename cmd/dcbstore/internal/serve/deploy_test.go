package serve

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dcbstore/dcb/stores"
)

const deploy = "../../../../deploy/"

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// exposed returns the names of all metrics that a server tells that has a store in a directory, and TLS.
func exposed(t *testing.T) []string {
	t.Helper()
	dir, ca := t.TempDir(), newAuthority(t)
	c := config(nil)
	c.Store = "disk:" + t.TempDir()
	c.Open = func(ctx context.Context) (stores.Store, error) { return stores.Open(ctx, c.Store) }
	c.TLSCert, c.TLSKey = ca.files(t, dir, "server")
	r := start(t, c)
	client := secureClient(t, &tls.Config{RootCAs: ca.pool})
	if status, _ := get(t, client, "https://"+r.HTTP+"/head", ""); status != http.StatusOK {
		t.Fatal(status)
	}
	_, metrics := get(t, client, "https://"+r.HTTP+"/metrics", "")
	names := regexp.MustCompile(`(?m)^[a-z][a-z0-9_]*`).FindAllString(metrics, -1)
	slices.Sort(names)
	return slices.Compact(names)
}

var metricNames = regexp.MustCompile(`\b(dcb|go|process)_[a-z0-9_]+`)

// expressions returns what is asked of Prometheus anywhere in a value of JSON.
func expressions(value any, to []string) []string {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			text, isText := inner.(string)
			if isText && (key == "expr" || key == "definition") {
				to = append(to, text)
			}
			to = expressions(inner, to)
		}
	case []any:
		for _, inner := range value {
			to = expressions(inner, to)
		}
	}
	return to
}

func TestWhatTheDashboardAndTheAlertsNameIsThere(t *testing.T) {
	t.Parallel()
	there := exposed(t)
	var dashboard map[string]any
	if err := json.Unmarshal([]byte(readFile(t, deploy+"grafana-dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	asked := expressions(dashboard, nil)
	if len(asked) < 40 {
		t.Errorf("the dashboard asks for %d things only", len(asked))
	}
	alerts := readFile(t, deploy+"alerts.yaml")
	readme := readFile(t, deploy+"README.md")
	for from, text := range map[string]string{"the dashboard": strings.Join(asked, "\n"), "alerts.yaml": alerts, "README.md": readme} {
		for _, name := range metricNames.FindAllString(text, -1) {
			if strings.HasSuffix(name, "_") {
				continue // of a family
			}
			if _, found := slices.BinarySearch(there, name); !found && !slices.Contains(there, name+"_count") {
				t.Errorf("%s has %s, which no server tells", from, name)
			}
		}
	}
	// And the other way round: what a server tells is explained.
	for _, name := range there {
		family := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if strings.HasPrefix(name, "dcb_") && !strings.Contains(readme, family) {
			t.Errorf("README.md does not explain %s", family)
		}
	}
}

// There is no parser of YAML among our modules, and none is worth it for one file: this wants the form that its rules are written in, which is also
// what Prometheus wants.
func TestEveryAlertIsWholeAndExplained(t *testing.T) {
	t.Parallel()
	alerts, readme := readFile(t, deploy+"alerts.yaml"), readFile(t, deploy+"README.md")
	if strings.Contains(alerts, "\t") {
		t.Error("there is a tab, which YAML does not allow")
	}
	rule := regexp.MustCompile(`^(\w+)\n` +
		`        expr: (.+|\|\n(          .+\n)+          .+)\n` +
		`(        for: \d+[mh]\n)?` +
		`        labels:\n          severity: (page|ticket)\n` +
		`        annotations:\n          summary: "[^"]+"\n          description: "[^"]+"\n\n?$`)
	head, rest, found := strings.Cut(alerts, "      - alert: ")
	if !found || !strings.HasSuffix(head, "groups:\n  - name: dcb\n    rules:\n") {
		t.Fatalf("it begins with %q", head)
	}
	rules := strings.Split(rest, "      - alert: ")
	for _, text := range rules {
		match := rule.FindStringSubmatch(text)
		if match == nil {
			t.Errorf("a rule has another form:\n%s", text)
			continue
		}
		if strings.Count(match[2], "(") != strings.Count(match[2], ")") {
			t.Errorf("%s: the parentheses do not match", match[1])
		}
		if !strings.Contains(readme, "`"+match[1]+"`") {
			t.Errorf("README.md does not explain %s", match[1])
		}
	}
	if len(rules) < 10 {
		t.Errorf("there are %d rules", len(rules))
	}
}
