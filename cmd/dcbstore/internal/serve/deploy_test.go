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

// deploy is the folder with the files for operators.
const deploy = "../../../../deploy/"

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// exposed returns the sorted names of all metrics of a server with TLS and a store in a directory.
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

// expressions appends all PromQL expressions in a JSON value to found.
func expressions(value any, found []string) []string {
	switch value := value.(type) {
	case map[string]any:
		for key, inner := range value {
			text, isText := inner.(string)
			if isText && (key == "expr" || key == "definition") {
				found = append(found, text)
			}
			found = expressions(inner, found)
		}
	case []any:
		for _, inner := range value {
			found = expressions(inner, found)
		}
	}
	return found
}

func TestMetricsOfDashboardAlertsAndREADMEExist(t *testing.T) {
	t.Parallel()
	metrics := exposed(t)
	var dashboard map[string]any
	if err := json.Unmarshal([]byte(readFile(t, deploy+"grafana-dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	queries := expressions(dashboard, nil)
	if len(queries) < 40 {
		t.Errorf("the dashboard has %d queries, want at least 40", len(queries))
	}
	alerts := readFile(t, deploy+"alerts.yaml")
	readme := readFile(t, deploy+"README.md")
	for from, text := range map[string]string{"the dashboard": strings.Join(queries, "\n"), "alerts.yaml": alerts, "README.md": readme} {
		for _, name := range metricNames.FindAllString(text, -1) {
			if strings.HasSuffix(name, "_") {
				continue // the prefix of several names
			}
			if _, found := slices.BinarySearch(metrics, name); !found && !slices.Contains(metrics, name+"_count") {
				t.Errorf("%s names %s, which is not a metric of the server", from, name)
			}
		}
	}
	// README.md must also explain every metric.
	for _, name := range metrics {
		family := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if strings.HasPrefix(name, "dcb_") && !strings.Contains(readme, family) {
			t.Errorf("README.md does not explain the metric %s", family)
		}
	}
}

// The module has no YAML parser, and one file does not justify one. So the test requires the layout in
// which the rules are written.
func TestAlertsAreCompleteAndExplained(t *testing.T) {
	t.Parallel()
	alerts, readme := readFile(t, deploy+"alerts.yaml"), readFile(t, deploy+"README.md")
	if strings.Contains(alerts, "\t") {
		t.Error("alerts.yaml contains a tab, which YAML does not allow")
	}
	rule := regexp.MustCompile(`^(\w+)\n` +
		`        expr: (.+|\|\n(          .+\n)+          .+)\n` +
		`(        for: \d+[mh]\n)?` +
		`        labels:\n          severity: (page|ticket)\n` +
		`        annotations:\n          summary: "[^"]+"\n          description: "[^"]+"\n\n?$`)
	head, rest, found := strings.Cut(alerts, "      - alert: ")
	if !found || !strings.HasSuffix(head, "groups:\n  - name: dcb\n    rules:\n") {
		t.Fatalf("alerts.yaml begins with %q", head)
	}
	rules := strings.Split(rest, "      - alert: ")
	for _, text := range rules {
		match := rule.FindStringSubmatch(text)
		if match == nil {
			t.Errorf("a rule does not match the layout:\n%s", text)
			continue
		}
		if strings.Count(match[2], "(") != strings.Count(match[2], ")") {
			t.Errorf("%s: unbalanced parentheses", match[1])
		}
		if !strings.Contains(readme, "`"+match[1]+"`") {
			t.Errorf("README.md does not explain the alert %s", match[1])
		}
	}
	if len(rules) < 10 {
		t.Errorf("alerts.yaml has %d rules, want at least 10", len(rules))
	}
}
