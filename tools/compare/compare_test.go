package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParseReportAcceptsCamelCaseAndSnakeCase(t *testing.T) {
	t.Parallel()
	want := figures{Ops: 20, OpsPerSecond: 10, EventsPerSecond: 30.5, DurationSeconds: 2}
	for name, line := range map[string]string{
		"camelCase":  `{"workload":"append","ops":20,"opsPerSecond":10.0,"eventsPerSecond":30.5,"durationSeconds":2,"p50Micros":7}`,
		"snake_case": `{"workload":"append","ops":20,"ops_per_second":10.0,"events_per_second":30.5,"duration_seconds":2,"p50_us":7}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := parseReport(line); got != want || err != nil {
				t.Errorf("parseReport(%s) = %+v, %v, want %+v", line, got, err, want)
			}
		})
	}
}

func TestFiguresCountEventsWhereAnOperationHasMany(t *testing.T) {
	t.Parallel()
	report := figures{OpsPerSecond: 10, EventsPerSecond: 1000, DurationSeconds: 2}
	for _, c := range []struct {
		w    workload
		want float64
	}{
		{workload{name: "append"}, 20},
		{workload{name: "append", batch: 100}, 2000},
		{workload{name: "select"}, 20},
		{workload{name: "scan"}, 2000},
	} {
		if got := report.count(c.w); got != c.want {
			t.Errorf("count(%+v) = %v, want %v", c.w, got, c.want)
		}
	}
}

func TestProcessorTimeGrowsWithWork(t *testing.T) {
	t.Parallel()
	group, err := syscall.Getpgid(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	before, err := processorTime(group)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		after, err := processorTime(group)
		if err != nil {
			t.Fatal(err)
		}
		if after > before {
			return
		}
	}
	t.Errorf("processorTime did not grow within 10 s of work")
}

func TestProcessorTimeOfAnEndedGroupIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := processorTime(1 << 30); err == nil {
		t.Error("processorTime of a group without processes = nil, want an error")
	}
}

func TestSubsetNamesTheUnknown(t *testing.T) {
	t.Parallel()
	if got, err := subset("-sides", "Tephra,dcb", serverNames); err != nil || len(got) != 2 {
		t.Errorf("subset = %v, %v, want two names", got, err)
	}
	if _, err := subset("-sides", "dcb,Redis", serverNames); err == nil || !strings.Contains(err.Error(), `"Redis"`) {
		t.Errorf("subset with Redis = %v, want an error that names it", err)
	}
}
