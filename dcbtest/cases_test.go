package dcbtest

import (
	"slices"
	"strings"
	"testing"
)

func TestCasesHaveUniqueNamesAndRules(t *testing.T) {
	names := make(map[string]bool)
	for _, c := range Cases() {
		subject, statement, ok := strings.Cut(c.Name, "/")
		if !ok || subject == "" || statement == "" || strings.Contains(statement, "/") {
			t.Errorf("the name %q does not have two parts", c.Name)
		}
		if names[c.Name] {
			t.Errorf("two cases have the name %q", c.Name)
		}
		names[c.Name] = true
		if !strings.HasSuffix(c.Rule, ".") || c.Run == nil {
			t.Errorf("%q has rule %q and function %v, want a sentence and a function", c.Name, c.Rule, c.Run != nil)
		}
	}
	if len(names) < 200 {
		t.Errorf("the kit has %d cases, want at least 200", len(names))
	}
}

// A user finds the cases of a method with -run, so each name contains a method.
func TestCasesNameTheMethodUnderTest(t *testing.T) {
	methods := []string{
		"Append", "Read", "Pages", "Head", "Wait", "Close", "Query", "Stream", "Follow", "Subscribe", "Reopen",
		"History",
	}
	for _, c := range Cases() {
		if !slices.ContainsFunc(methods, func(m string) bool { return strings.Contains(c.Name, m) }) {
			t.Errorf("the name %q contains no method", c.Name)
		}
	}
}

func TestCasesUseAwkwardTextsThatAllDiffer(t *testing.T) {
	seen := make(map[string]bool)
	for _, text := range awkwardTexts {
		if seen[text] {
			t.Errorf("awkwardTexts contains %+q twice", text)
		}
		seen[text] = true
	}
}
