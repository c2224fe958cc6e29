package enrolment_test

import "testing"

// storeURLs name a new store of each kind and strategy.
var storeURLs = map[string]func(t *testing.T) string{
	"memory": func(*testing.T) string { return "mem:" },
}
