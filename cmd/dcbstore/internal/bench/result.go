package bench

import (
	"math"
	"time"
)

// Figures are the results of a measurement. The latencies are of single operations.
type Figures struct {
	DurationSeconds float64 `json:"durationSeconds"`
	Ops             int64   `json:"ops"`
	OpsPerSecond    float64 `json:"opsPerSecond"`
	EventsPerSecond float64 `json:"eventsPerSecond"`
	P50Micros       float64 `json:"p50Micros"`
	P99Micros       float64 `json:"p99Micros"`
	P999Micros      float64 `json:"p999Micros"`
	MaxMicros       float64 `json:"maxMicros"`
	// CPUMicrosPerOp is the processor time of this process per operation, in user mode and in the
	// kernel; 0 where the system does not report it.
	CPUMicrosPerOp float64 `json:"cpuMicrosPerOp,omitempty"`
}

// Result is the report of one run. Its JSON omits the members that do not apply to the workload.
type Result struct {
	Workload string `json:"workload"`
	Store    string `json:"store"`
	Clients  int    `json:"clients"`
	Batch    int    `json:"batch"`
	Figures
	// Size is the number of bytes of data of each event.
	Size int `json:"size,omitempty"`
	// Readers is the number of readers of the mixed workload.
	Readers int `json:"readers,omitempty"`
	// Iterations counts the complete iterations of the speedrun; nil for other workloads.
	Iterations *int64 `json:"iterations,omitempty"`
	// EventsAtStart and EventsAtEnd are the store's head before and after the measurement.
	EventsAtStart uint64 `json:"eventsAtStart"`
	EventsAtEnd   uint64 `json:"eventsAtEnd"`
	// Writes and Reads are the two halves of the mixed workload.
	Writes *Figures `json:"writes,omitempty"`
	Reads  *Figures `json:"reads,omitempty"`
	// Decisions is the speedrun at one step of the volume workload.
	Decisions *Figures `json:"decisions,omitempty"`
	// OpenSeconds is the time to open the store at one step of the volume workload; nil for a store
	// in memory.
	OpenSeconds *float64 `json:"openSeconds,omitempty"`
	// MemoryBytes is the heap in use at the end of one step of the volume workload, without garbage.
	MemoryBytes uint64 `json:"memoryBytes,omitempty"`
	// ResidentBytes is the resident memory of this process at that time. It excludes mapped files,
	// which the kernel can reclaim. It is 0 where the system does not report it.
	ResidentBytes uint64 `json:"residentBytes,omitempty"`
	// BytesOnDisk is the size of a store in a directory, measured while it is closed: after the run,
	// or before one step of the volume workload. BytesPerEvent is its share of one event.
	BytesOnDisk   int64   `json:"bytesOnDisk,omitempty"`
	BytesPerEvent float64 `json:"bytesPerEvent,omitempty"`
	// SyncsPerSecond counts the syncs of a store in a directory.
	SyncsPerSecond float64 `json:"syncsPerSecond,omitempty"`
	// WriteBytes is the size of one write of the limit workload, and BytesPerSecond the bandwidth of
	// the disk.
	WriteBytes     int     `json:"writeBytes,omitempty"`
	BytesPerSecond float64 `json:"bytesPerSecond,omitempty"`
	// Interrupted is true if the run was ended before its duration.
	Interrupted bool `json:"interrupted,omitempty"`
}

// Figures computes rates and quantiles.
func (t Tally) Figures() Figures {
	f := Figures{
		DurationSeconds: rounded(t.Elapsed.Seconds(), 3),
		Ops:             t.Ops,
		P50Micros:       t.quantile(50),
		P99Micros:       t.quantile(99),
		P999Micros:      t.quantile(99.9),
		MaxMicros:       micros(t.longest),
	}
	f.OpsPerSecond = rounded(perSecond(t.Ops, t.Elapsed), 1)
	f.EventsPerSecond = rounded(perSecond(t.Events, t.Elapsed), 1)
	if t.Ops > 0 {
		f.CPUMicrosPerOp = micros(t.cpu / time.Duration(t.Ops))
	}
	return f
}

// setBytesOnDisk sets the size of the store, which has that many events.
func (r *Result) setBytesOnDisk(bytes int64, events uint64) {
	r.BytesOnDisk = bytes
	if events > 0 {
		r.BytesPerEvent = rounded(float64(bytes)/float64(events), 1)
	}
}

// quantile returns microseconds. The buckets of the histogram have a width, so the longest
// latency is the upper bound.
func (t Tally) quantile(percent float64) float64 {
	return micros(min(time.Duration(t.latencies.ValueAtQuantile(percent)), t.longest))
}

// plus returns the sum of two tallies that were measured concurrently in this process.
func (t Tally) plus(other Tally) Tally {
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
