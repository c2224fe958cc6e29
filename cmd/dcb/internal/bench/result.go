package bench

import (
	"math"
	"time"
)

// Figures are what a measurement comes to. Latencies are those of single operations, in microseconds.
type Figures struct {
	DurationSeconds float64 `json:"duration_seconds"`
	Ops             int64   `json:"ops"`
	OpsPerSecond    float64 `json:"ops_per_second"`
	EventsPerSecond float64 `json:"events_per_second"`
	P50             float64 `json:"p50_us"`
	P99             float64 `json:"p99_us"`
	P999            float64 `json:"p999_us"`
	Max             float64 `json:"max_us"`
}

// Result is one run, as it is printed in JSON. What does not apply to the workload is left out of it.
type Result struct {
	Workload string `json:"workload"`
	Store    string `json:"store"`
	Clients  int    `json:"clients"`
	Batch    int    `json:"batch"`
	Figures
	// Size is the bytes of each event's data.
	Size int `json:"size,omitempty"`
	// Readers are the clients that only read, beside those that append.
	Readers int `json:"readers,omitempty"`
	// Iterations are those of the speedrun.
	Iterations int64 `json:"iterations,omitempty"`
	// EventsAtStart and EventsAtEnd are the store's head before and after.
	EventsAtStart uint64 `json:"events_at_start"`
	EventsAtEnd   uint64 `json:"events_at_end"`
	// Writes and Reads are the two halves of the mixed workload.
	Writes *Figures `json:"writes,omitempty"`
	Reads  *Figures `json:"reads,omitempty"`
	// Decisions is the speedrun at one step of the volume workload.
	Decisions *Figures `json:"decisions,omitempty"`
	// OpenSeconds is how long the store took to open at one step of the volume workload; a store that forgets has none.
	OpenSeconds *float64 `json:"open_seconds,omitempty"`
	// MemoryBytes is what this process has in use at the end of one step of the volume workload, garbage not counted.
	MemoryBytes uint64 `json:"memory_bytes,omitempty"`
	// Interrupted says that the run ended before its time.
	Interrupted bool `json:"interrupted,omitempty"`
}

// Figures returns what t comes to.
func (t Tally) Figures() Figures {
	seconds := t.Elapsed.Seconds()
	f := Figures{
		DurationSeconds: rounded(seconds, 3),
		Ops:             t.Ops,
		P50:             t.quantile(50),
		P99:             t.quantile(99),
		P999:            t.quantile(99.9),
		Max:             micros(t.longest),
	}
	if seconds > 0 {
		f.OpsPerSecond = rounded(float64(t.Ops)/seconds, 1)
		f.EventsPerSecond = rounded(float64(t.Events)/seconds, 1)
	}
	return f
}

// quantile is never above the longest, though the histogram's buckets have a width.
func (t Tally) quantile(percent float64) float64 {
	return micros(min(time.Duration(t.latencies.ValueAtQuantile(percent)), t.longest))
}

// and returns what t and other did at the same time.
func (t Tally) and(other Tally) Tally {
	both := t
	both.Elapsed = max(t.Elapsed, other.Elapsed)
	both.Ops += other.Ops
	both.Events += other.Events
	both.Clients += other.Clients
	both.longest = max(t.longest, other.longest)
	both.latencies = newHistogram()
	both.latencies.Merge(t.latencies)
	both.latencies.Merge(other.latencies)
	return both
}

func micros(d time.Duration) float64 { return rounded(float64(d)/float64(time.Microsecond), 1) }

func rounded(f float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(f*scale) / scale
}
