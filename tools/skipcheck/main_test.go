package main

import (
	"strings"
	"testing"
)

// The output of go test -json for a package with one test, and for one without tests.
const recorded = `{"Action":"start","Package":"a"}
{"Action":"run","Package":"a","Test":"TestGood"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"    a_test.go:3: a log line of a passed test\n"}
{"Action":"output","Package":"a","Test":"TestGood","Output":"--- PASS: TestGood (0.00s)\n"}
{"Action":"pass","Package":"a","Test":"TestGood","Elapsed":0}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t0.001s\n"}
{"Action":"pass","Package":"a","Elapsed":0.001}
{"Action":"output","Package":"b","Output":"?   \tb\t[no test files]\n"}
{"Action":"skip","Package":"b","Elapsed":0}
`

func TestTranslatePrintsPassedPackagesAsGoTestDoes(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := translate(strings.NewReader(recorded), &out); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "ok  \ta\t0.001s\n?   \tb\t[no test files]\n"; got != want {
		t.Errorf("translate printed %q, want %q", got, want)
	}
}

func TestTranslateFailsIfATestWasSkipped(t *testing.T) {
	t.Parallel()
	events := `{"Action":"output","Package":"a","Test":"TestIdle","Output":"    a_test.go:3: no server\n"}
{"Action":"skip","Package":"a","Test":"TestIdle","Elapsed":0}
` + recorded
	var out strings.Builder
	err := translate(strings.NewReader(events), &out)
	if err == nil || !strings.Contains(err.Error(), "a TestIdle\n    a_test.go:3: no server") {
		t.Errorf("translate = %v, want an error with the test and its output", err)
	}
	if !strings.HasPrefix(out.String(), "ok  \ta") {
		t.Errorf("translate printed %q, want the line of package a", out.String())
	}
}

func TestTranslatePrintsTheOutputOfFailedTests(t *testing.T) {
	t.Parallel()
	events := `{"Action":"build-output","ImportPath":"c","Output":"c.go:1: syntax error\n"}
{"Action":"output","Package":"a","Test":"TestBad","Output":"    a_test.go:5: wrong\n"}
{"Action":"fail","Package":"a","Test":"TestBad"}
{"Action":"output","Package":"a","Test":"TestHangs","Output":"panic: test timed out\n"}
{"Action":"output","Package":"a","Output":"FAIL\ta\t600s\n"}
{"Action":"fail","Package":"a"}
`
	var out strings.Builder
	if err := translate(strings.NewReader(events), &out); err != nil {
		t.Fatal(err)
	}
	want := "c.go:1: syntax error\n    a_test.go:5: wrong\nFAIL\ta\t600s\npanic: test timed out\n"
	if got := out.String(); got != want {
		t.Errorf("translate printed %q, want %q", got, want)
	}
}

func TestTranslateFailsOnOtherInput(t *testing.T) {
	t.Parallel()
	if err := translate(strings.NewReader("ok  \ta\t0.001s\n"), &strings.Builder{}); err == nil {
		t.Error("translate = nil, want an error")
	}
}
