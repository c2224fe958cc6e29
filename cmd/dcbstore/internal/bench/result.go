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
	// CPU is the time that the processors worked for this process, the kernel included, per operation, in microseconds; where the system tells.
	CPU float64 `json:"cpu_us_per_op,omitempty"`
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
	// Iterations are those of the speedrun, which has them also if none was finished.
	Iterations *int64 `json:"iterations,omitempty"`
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
	// ResidentBytes is what this process has in memory then, all but mapped files, which the kernel takes back when it needs the room; where the system tells.
	ResidentBytes uint64 `json:"resident_bytes,omitempty"`
	// BytesOnDisk is the size of a store in a directory after the run, closed; at one step of the volume workload, before it. BytesPerEvent is its share.
	BytesOnDisk   int64   `json:"bytes_on_disk,omitempty"`
	BytesPerEvent float64 `json:"bytes_per_event,omitempty"`
	// SyncsPerSecond is how often a store in a directory waited for the disk.
	SyncsPerSecond float64 `json:"syncs_per_second,omitempty"`
	// WriteBytes is what one operation of the limit workload writes, and BytesPerSecond the disk's bandwidth there.
	WriteBytes     int     `json:"write_bytes,omitempty"`
	BytesPerSecond float64 `json:"bytes_per_second,omitempty"`
	// Interrupted says that the run ended before its time.
	Interrupted bool `json:"interrupted,omitempty"`
}

// Figures returns what t comes to.
func (t Tally) Figures() Figures {
	f := Figures{
		DurationSeconds: rounded(t.Elapsed.Seconds(), 3),
		Ops:             t.Ops,
		P50:             t.quantile(50),
		P99:             t.quantile(99),
		P999:            t.quantile(99.9),
		Max:             micros(t.longest),
	}
	f.OpsPerSecond = rounded(perSecond(t.Ops, t.Elapsed), 1)
	f.EventsPerSecond = rounded(perSecond(t.Events, t.Elapsed), 1)
	if t.Ops > 0 {
		f.CPU = micros(t.cpu / time.Duration(t.Ops))
	}
	return f
}

// occupies tells how large the store is with so many events.
func (r *Result) occupies(bytes int64, events uint64) {
	r.BytesOnDisk = bytes
	if events > 0 {
		r.BytesPerEvent = rounded(float64(bytes)/float64(events), 1)
	}
}

// quantile is never above the longest, though the histogram's buckets have a width.
func (t Tally) quantile(percent float64) float64 {
	return micros(min(time.Duration(t.latencies.ValueAtQuantile(percent)), t.longest))
}

// and returns what t and other did at the same time, in the same process.
func (t Tally) and(other Tally) Tally {
	both := t
	both.Elapsed = max(t.Elapsed, other.Elapsed)
	both.Ops += other.Ops
	both.Events += other.Events
	both.Clients += other.Clients
	both.longest = max(t.longest, other.longest)
	both.cpu = max(t.cpu, other.cpu)
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
