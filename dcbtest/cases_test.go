package dcbtest

import (
	"strings"
	"testing"
)

func TestEveryCaseHasANameOfItsOwnAndARule(t *testing.T) {
	names := make(map[string]bool)
	for _, c := range Cases() {
		if subject, statement, ok := strings.Cut(c.Name, "/"); !ok || subject == "" || statement == "" || strings.Contains(statement, "/") {
			t.Errorf("%q is not made of a subject and a statement", c.Name)
		}
		if names[c.Name] {
			t.Errorf("two cases are named %q", c.Name)
		}
		names[c.Name] = true
		if !strings.HasSuffix(c.Rule, ".") || c.Run == nil {
			t.Errorf("%q lacks a rule that is a sentence, or a function", c.Name)
		}
	}
}

func TestThereAreAtLeastAHundredCases(t *testing.T) {
	if n := len(Cases()); n < 100 {
		t.Errorf("the kit has %d cases", n)
	}
}

func TestAwkwardTextsAreAllDifferent(t *testing.T) {
	seen := make(map[string]bool)
	for _, text := range awkward {
		if seen[text] {
			t.Errorf("%+q is there twice", text)
		}
		seen[text] = true
	}
}
