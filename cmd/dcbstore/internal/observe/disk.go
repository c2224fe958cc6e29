package observe

import (
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dcbstore/dcb/diskstore"
)

// maxSizesAge is how long file sizes are reused, because reading them takes a system call per file.
const maxSizesAge = 10 * time.Second

// disk collects the metrics of a store in a directory, and the sizes of its files.
type disk struct {
	store interface{ Metrics() diskstore.Metrics }
	dir   string

	mu         sync.Mutex // guards what follows
	sizes      map[string]size
	measuredAt time.Time

	groupSize, groupTime, syncs, syncTime, lookups, merges, rebuilds, bytes, files, free, total *prometheus.Desc
}

// size is the number and the total size of the files of a kind.
type size struct{ files, bytes int64 }

// Disk adds the metrics of a store in a directory.
func (m *Metrics) Disk(store *diskstore.Store, dir string) {
	m.registry.MustRegister(newDisk(store, dir))
}

func newDisk(store interface{ Metrics() diskstore.Metrics }, dir string) *disk {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &disk{
		store: store, dir: dir,
		groupSize: desc("dcb_disk_group_appends", "Appends per group, which has one write and one sync."),
		groupTime: desc("dcb_disk_group_duration_seconds", "Time from the write of a group to its answers."),
		syncs:     desc("dcb_disk_syncs_total", "Syncs of the log."),
		syncTime:  desc("dcb_disk_sync_duration_seconds", "Duration of a sync of the log."),
		lookups:   desc("dcb_disk_lookups_total", "Lookups of a query in one index, in memory or in a file."),
		merges:    desc("dcb_disk_merges_total", "Merges of index files."),
		rebuilds:  desc("dcb_disk_rebuilds_total", "Damaged index files that were rebuilt."),
		bytes:     desc("dcb_disk_bytes", "Size of the store's files, including preallocated space.", "kind"),
		files:     desc("dcb_disk_files", "Number of the store's files.", "kind"),
		free:      desc("dcb_disk_filesystem_free_bytes", "Free space of the store's file system."),
		total:     desc("dcb_disk_filesystem_size_bytes", "Size of the store's file system."),
	}
}

// Describe implements [prometheus.Collector].
func (d *disk) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{
		d.groupSize, d.groupTime, d.syncs, d.syncTime, d.lookups, d.merges, d.rebuilds, d.bytes, d.files, d.free, d.total,
	} {
		to <- desc
	}
}

// Collect implements [prometheus.Collector].
func (d *disk) Collect(to chan<- prometheus.Metric) {
	count := func(desc *prometheus.Desc, value int64) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value))
	}
	gauge := func(desc *prometheus.Desc, value int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), labels...)
	}
	m := d.store.Metrics()
	count(d.syncs, m.Syncs)
	count(d.lookups, m.Lookups)
	count(d.merges, m.Merges)
	count(d.rebuilds, m.Rebuilds)
	to <- sizes(d.groupSize, m.GroupSizes, m.Appends)
	to <- durations(d.groupTime, m.GroupTime)
	to <- durations(d.syncTime, m.SyncTime)
	for kind, s := range d.measured() {
		gauge(d.bytes, s.bytes, kind)
		gauge(d.files, s.files, kind)
	}
	if free, size, ok := fileSystem(d.dir); ok {
		gauge(d.free, free)
		gauge(d.total, size)
	}
}

// durations returns a histogram of the store as one of Prometheus, whose buckets are cumulative.
// The last bucket of the store has no bound.
func durations(desc *prometheus.Desc, h diskstore.Histogram) prometheus.Metric {
	bounded := make(map[float64]uint64, len(h.Counts)-1)
	total := uint64(0)
	for i, n := range h.Counts {
		total += uint64(n)
		if i < len(h.Counts)-1 {
			bounded[float64(uint64(1)<<i)*1e-6] = total
		}
	}
	return prometheus.MustNewConstHistogram(desc, total, h.Sum.Seconds(), bounded)
}

// sizes is like durations, for numbers whose sum is counted elsewhere.
func sizes(desc *prometheus.Desc, counts diskstore.Sizes, sum int64) prometheus.Metric {
	bounded := make(map[float64]uint64, len(counts)-1)
	total := uint64(0)
	for i, n := range counts {
		total += uint64(n)
		if i < len(counts)-1 {
			bounded[float64(uint64(1)<<i)] = total
		}
	}
	return prometheus.MustNewConstHistogram(desc, total, float64(sum), bounded)
}

// measured returns the sizes of the files by kind, at most maxSizesAge old.
func (d *disk) measured() map[string]size {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sizes == nil || time.Since(d.measuredAt) > maxSizesAge {
		d.sizes, d.measuredAt = measure(d.dir), time.Now()
	}
	return d.sizes
}

// measure returns the sizes of the files by kind: log, index and other, such as the lock and
// files that are being written. It ignores files that disappear meanwhile.
func measure(dir string) map[string]size {
	sizes := map[string]size{"log": {}, "index": {}, "other": {}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return sizes
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		kind := "other"
		switch filepath.Ext(entry.Name()) {
		case ".log":
			kind = "log"
		case ".index":
			kind = "index"
		}
		s := sizes[kind]
		s.files++
		s.bytes += info.Size()
		sizes[kind] = s
	}
	return sizes
}
