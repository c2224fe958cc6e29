package main

import (
	"context"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
)

// timing is a store that measures the time of its reads and appends.
type timing struct {
	dcb.Store
	read, append time.Duration
}

// ReadPage implements [dcb.Pager], which decide reads with. Without it, the embedded Store would
// hide the method of the inner store.
func (s *timing) ReadPage(ctx context.Context, q dcb.Query, opts dcb.ReadOptions, bytes int) (dcb.ReadResult, error) {
	began := time.Now()
	page, err := dcb.ReadPage(ctx, s.Store, q, opts, bytes)
	s.read += time.Since(began)
	return page, err
}

func (s *timing) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	began := time.Now()
	result, err := s.Store.Read(ctx, q, opts)
	s.read += time.Since(began)
	return result, err
}

func (s *timing) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	began := time.Now()
	position, err := s.Store.Append(ctx, events, condition)
	s.append += time.Since(began)
	return position, err
}

// BenchmarkParts is BenchmarkSubscribe with the time of a decision in parts: the time of the
// store's reads, of its appends (including those that define courses), and the rest.
func BenchmarkParts(b *testing.B) {
	for name, open := range benchStores {
		b.Run(name, func(b *testing.B) {
			stores := [2]*timing{{Store: open(b)}, {Store: open(b)}}
			sides := [2]*side{newSide(b, stores[0], true), newSide(b, stores[1], false)}
			for b.Loop() {
				sides[0].turn(b)
				sides[1].turn(b)
			}
			for i, name := range []string{"decide", "by-hand"} {
				var all time.Duration
				for _, turn := range sides[i].turns {
					all += turn
				}
				all /= time.Duration(len(sides[i].turns))
				read, appended := stores[i].read/time.Duration(sides[i].n), stores[i].append/time.Duration(sides[i].n)
				b.ReportMetric(float64(read), name+"-read-ns")
				b.ReportMetric(float64(appended), name+"-append-ns")
				b.ReportMetric(float64(all-read-appended), name+"-rest-ns")
			}
		})
	}
}
