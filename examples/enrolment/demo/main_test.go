package main

import (
	"log"
	"strings"
	"testing"

	"github.com/dcbstore/dcb/stores"
)

func TestRun(t *testing.T) {
	t.Setenv(stores.Variable, "mem:")
	var out strings.Builder
	if err := run(t.Context(), log.New(&out, "", 0)); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"Sara joins Maths:  joined\n",
		"Sara joins French: enrolment: student has too many courses\n",
		"Greg joins French: joined\n",
		"Greg joins French: enrolment: student already joined the course\n",
		"  1 joined, 9 found it fully booked\n",
		"Maths has 2 students: [Sara Racer ",
		"  5 StudentJoinedCourse  [student:",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is missing in:\n%s", line, out.String())
		}
	}
}
