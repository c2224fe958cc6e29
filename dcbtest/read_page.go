package dcbtest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
	"github.com/dcbstore/dcb/internal/model"
)

// pageCases check dcb.ReadPage, which uses the ReadPage of a store that is a dcb.Pager, and
// dcb.Pages, which is built on it.
func pageCases() []Case {
	return append([]Case{
		pageCase("ends with the event that reaches the bytes", ruleReadPage,
			wantPage{bytes: 100}, wantPage{bytes: 101}, wantPage{bytes: 199}, wantPage{bytes: 200}, wantPage{bytes: 201}),
		pageCase("has at least one event", ruleReadPage,
			wantPage{bytes: 1}, wantPage{bytes: 0}, wantPage{bytes: -1}, wantPage{bytes: math.MinInt},
			wantPage{bytes: 1, opts: dcb.ReadOptions{Backwards: true}}),
		pageCase("has More false if it ends with the last event", ruleMore,
			wantPage{bytes: 800}, wantPage{bytes: 800, opts: dcb.ReadOptions{Backwards: true}},
			wantPage{bytes: 799}, wantPage{bytes: 701}, wantPage{bytes: 700}, wantPage{bytes: math.MaxInt}),
		pageCase("has its last event as Head if bytes left events out", ruleHeadCut,
			wantPage{bytes: 300}, wantPage{bytes: 300, opts: dcb.ReadOptions{After: 2}},
			wantPage{bytes: 100, query: tagged("odd")}),
		pageCase("has the Head of a whole read backwards", ruleHeadBackward,
			wantPage{bytes: 300, opts: dcb.ReadOptions{Backwards: true}},
			wantPage{bytes: 300, opts: dcb.ReadOptions{Backwards: true, Before: 7}},
			wantPage{bytes: 100, query: tagged("odd"), opts: dcb.ReadOptions{Backwards: true}}),
		pageCase("ends at Limit if that comes first", ruleReadPage,
			wantPage{bytes: 300, opts: dcb.ReadOptions{Limit: 2}}, wantPage{bytes: 300, opts: dcb.ReadOptions{Limit: 3}},
			wantPage{bytes: 300, opts: dcb.ReadOptions{Limit: 4}}, wantPage{bytes: 1000, opts: dcb.ReadOptions{Limit: 8}},
			wantPage{bytes: 300, opts: dcb.ReadOptions{Limit: 2, Backwards: true}}),
		pageCase("keeps to After and Before", ruleMore,
			wantPage{bytes: 200, opts: dcb.ReadOptions{After: 3}}, wantPage{bytes: 200, opts: dcb.ReadOptions{Before: 3}},
			wantPage{bytes: 200, opts: dcb.ReadOptions{Before: 4}},
			wantPage{bytes: 200, opts: dcb.ReadOptions{After: 6, Backwards: true}},
			wantPage{bytes: 200, opts: dcb.ReadOptions{After: 5, Backwards: true}}),
		pageCase("of an empty range has no events", ruleMore,
			wantPage{bytes: 100, opts: dcb.ReadOptions{After: 8}}, wantPage{bytes: 100, opts: dcb.ReadOptions{Before: 1}},
			wantPage{bytes: 100, query: tagged("absent")}),
		{
			Name: "ReadPage/counts type, tags, data and metadata",
			Rule: ruleReadPage,
			Run: func(t *T) {
				t.append( // each but the last has 100 bytes
					dcb.Event{Type: longText(100, "t")},
					dcb.Event{Type: "T", Tags: []string{longText(50, "a"), longText(49, "b")}},
					dcb.Event{Type: "T", Data: make([]byte, 99)},
					dcb.Event{Type: "T", Metadata: map[string]string{"key": longText(96, "v")}},
					dcb.Event{Type: "T"},
				)
				log := t.readAll()
				for after := range dcb.Position(4) {
					t.readsPageLikeModel(log, wantPage{bytes: 100, opts: dcb.ReadOptions{After: after}})
					t.readsPageLikeModel(log, wantPage{bytes: 101, opts: dcb.ReadOptions{After: after}})
				}
			},
		},
		{
			Name: "ReadPage/selects the same events as Query.Matches for random queries",
			Rule: ruleReadPage + " " + ruleMatches,
			Run: func(t *T) {
				random := rand.New(rand.NewPCG(21, 22))
				log := t.appendRandom(random, 200)
				for range 200 {
					page := wantPage{query: randomQuery(random), opts: randomOptions(random, len(log)), bytes: 1 + random.IntN(300)}
					t.readsPageLikeModel(log, page)
				}
			},
		},
		{
			Name: "ReadPage/fails for an invalid query or Limit",
			Rule: ruleEmptyQuery + " " + ruleLimits,
			Run: func(t *T) {
				t.append(event("T"))
				_, err := dcb.ReadPage(t.ctx, t.Store, nil, dcb.ReadOptions{}, 100)
				t.wantInvalid(err, "query", 0)
				_, err = dcb.ReadPage(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{Limit: -1}, 100)
				t.wantInvalid(err, "options.Limit", 0)
			},
		},
	}, pagesCases()...)
}

// wantPage is a page to read. A nil query means all events.
type wantPage struct {
	query dcb.Query
	opts  dcb.ReadOptions
	bytes int
}

// pageCase returns a case that appends eight events of 100 bytes and compares pages of them with
// the model. Those at odd positions have the tag odd.
func pageCase(name, rule string, pages ...wantPage) Case {
	return Case{Name: "ReadPage/" + name, Rule: rule, Run: func(t *T) {
		for i := range 8 {
			e := dcb.Event{Type: "T", Tags: []string{"odd"}, Data: make([]byte, 96)}
			if i%2 == 1 {
				e.Tags = []string{"two"}
			}
			t.append(e)
		}
		log := t.readAll()
		for _, page := range pages {
			t.readsPageLikeModel(log, page)
		}
	}}
}

// readsPageLikeModel checks that ReadPage returns the same page as the model. On a store that is
// not a dcb.Pager that is the result of Read.
func (t *T) readsPageLikeModel(log model.Log, page wantPage) {
	if page.query == nil {
		page.query = dcb.All()
	}
	if _, ok := t.Store.(dcb.Pager); !ok {
		page.bytes = math.MaxInt
	}
	got, err := dcb.ReadPage(t.ctx, t.Store, page.query, page.opts, page.bytes)
	call := fmt.Sprintf("ReadPage(%s, %+v, %d bytes)", describe.Query(page.query), page.opts, page.bytes)
	if err != nil {
		t.Fatalf("%s: %w", call, err)
	}
	want := pageOf(log, page)
	t.wantResult(got, want, call)
	if got.More != want.More {
		t.Errorf("%s returned More %v, want %v", call, got.More, want.More)
	}
}

// pageOf returns the page that a dcb.Pager with the events of log must return.
func pageOf(log model.Log, page wantPage) dcb.ReadResult {
	result, err := log.Read(page.query, page.opts)
	if err != nil {
		panic(err)
	}
	size := 0
	for i := range result.Events {
		if size += result.Events[i].Size(); size < page.bytes || i == len(result.Events)-1 {
			continue
		}
		result.Events, result.More = result.Events[:i+1], true
		if !page.opts.Backwards {
			result.Head = result.Events[i].Position
		}
		break
	}
	return result
}

func pagesCases() []Case {
	return []Case{
		{Name: "Pages/are together the result of one Read", Rule: rulePages + " " + rulePrefix, Run: pagesOfOneRead},
		{
			Name: "Pages/have their last event as Head until the last page",
			Rule: ruleHeadCut + " " + ruleHeadBackward,
			Run:  headsOfPages,
		},
		{
			Name: "Pages/do not contain events appended after the first pull",
			Rule: rulePages + " " + rulePrefix,
			Run: func(t *T) {
				t.append(plainEvents(600)...)
				for _, backwards := range []bool{false, true} {
					head, n := t.head(), 0
					opts := dcb.ReadOptions{Backwards: backwards}
					for page := range t.batches(dcb.Pages(t.ctx, t.Store, dcb.All(), opts, dcb.PageOptions{})) {
						t.append(event("T"))
						n += len(page.Events)
						if page.Head > head {
							t.Errorf("a page of a read that began at head %d has Head %d", head, page.Head)
						}
					}
					if n != int(head) {
						t.Errorf("Pages that began at head %d have %d events", head, n)
					}
				}
			},
		},
		{Name: "Pages/read no range twice", Rule: ruleContinue, Run: func(t *T) {
			t.readsNoRangeTwice(func(s dcb.Store, q dcb.Query, opts dcb.ReadOptions) {
				for range t.batches(dcb.Pages(t.ctx, s, q, opts, dcb.PageOptions{Bytes: 1000})) {
				}
			})
		}},
		{Name: "Stream/reads no range twice", Rule: ruleContinue, Run: func(t *T) {
			t.readsNoRangeTwice(func(s dcb.Store, q dcb.Query, opts dcb.ReadOptions) {
				t.collect(dcb.Stream(t.ctx, s, q, opts))
			})
		}},
		{Name: "Follow/reads no range twice", Rule: ruleContinue + " " + ruleFollow, Run: followNoRangeTwice},
	}
}

func pagesOfOneRead(t *T) {
	random := rand.New(rand.NewPCG(23, 24))
	log := t.appendRandom(random, 500)
	for range 40 {
		q, opts := randomQuery(random), randomOptions(random, len(log))
		if random.IntN(2) == 0 {
			opts.Limit = random.IntN(500)
		}
		want, _ := log.Read(q, opts)
		got := dcb.ReadResult{}
		bytes := 1 + random.IntN(2000)
		for page := range t.batches(dcb.Pages(t.ctx, t.Store, q, opts, dcb.PageOptions{Bytes: bytes})) {
			got = dcb.ReadResult{Events: append(got.Events, page.Events...), Head: page.Head, More: page.More}
		}
		call := fmt.Sprintf("Pages(%s, %+v, %d bytes)", describe.Query(q), opts, bytes)
		t.wantResult(got, want, call)
		if got.More != want.More {
			t.Errorf("the last page of %s has More %v, want %v", call, got.More, want.More)
		}
	}
}

func headsOfPages(t *T) {
	t.append(plainEvents(600)...)
	t.append(event("Other"))
	for _, backwards := range []bool{false, true} {
		var last dcb.ReadResult
		opts := dcb.ReadOptions{Backwards: backwards}
		for page := range t.batches(dcb.Pages(t.ctx, t.Store, typed("T"), opts, dcb.PageOptions{Bytes: 100})) {
			last = page
			want := dcb.Position(601)
			if page.More && !backwards && len(page.Events) > 0 {
				want = page.Events[len(page.Events)-1].Position
			}
			if page.Head != want {
				t.Errorf("a page of Pages(%+v) has positions %v and Head %d, want %d",
					opts, positions(page.Events), page.Head, want)
			}
		}
		if last.More {
			t.Errorf("the last page of Pages(%+v) has More true, want false", opts)
		}
	}
}

// readsNoRangeTwice runs a helper with different queries and options, on a store that checks the
// reads of the helper.
func (t *T) readsNoRangeTwice(run func(s dcb.Store, q dcb.Query, opts dcb.ReadOptions)) {
	t.appendRandom(rand.New(rand.NewPCG(25, 26)), 700)
	for _, q := range []dcb.Query{dcb.All(), tagged("tag1"), tagged("absent")} {
		for _, opts := range []dcb.ReadOptions{{}, {Limit: 300}, {After: 100, Before: 500}} {
			for _, opts.Backwards = range []bool{false, true} {
				run(&readRecorder{Store: t.Store, t: t}, q, opts)
			}
		}
	}
}

// followNoRangeTwice follows a query that matches nothing, and one that matches live events.
func followNoRangeTwice(t *T) {
	t.append(plainEvents(600)...)
	for _, q := range []dcb.Query{tagged("absent"), tagged("x")} {
		recorder := &readRecorder{Store: t.Store, t: t}
		last := t.head() + 20
		for batch := range t.batches(dcb.Follow(t.ctx, recorder, q, 0)) {
			if batch.Head >= last {
				break
			}
			t.append(event("T", "x"), event("T"))
		}
	}
}

// readRecorder checks that no read covers positions that an earlier read has covered. It is a
// dcb.Pager and hides the other optional interfaces of its store, so that the helpers page.
type readRecorder struct {
	dcb.Store
	t *T

	reads   int
	covered dcb.Position // up to this position; from this position on if the reads are backward
}

func (r *readRecorder) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	return r.ReadPage(ctx, q, opts, math.MaxInt)
}

func (r *readRecorder) ReadPage(ctx context.Context, q dcb.Query, opts dcb.ReadOptions, bytes int) (dcb.ReadResult, error) {
	head := r.t.headOf(r.Store)
	if r.reads++; r.reads > 1 {
		r.checkNew(q, opts)
	}
	result, err := dcb.ReadPage(ctx, r.Store, q, opts, bytes)
	switch {
	case err != nil:
	case opts.Backwards:
		r.covered = 1
		if result.More {
			r.covered = slices.Min(positions(result.Events))
		}
	default:
		r.covered = max(r.covered, opts.Top(head))
		if result.More {
			r.covered = slices.Max(positions(result.Events))
		}
	}
	return result, err
}

// checkNew checks that a read covers only positions that no read has covered.
func (r *readRecorder) checkNew(q dcb.Query, opts dcb.ReadOptions) {
	switch {
	case opts.Backwards && (opts.Before == 0 || opts.Before > r.covered):
		r.t.Fatalf("read %d of %s has Before %d, want at most %d", r.reads, describe.Query(q), opts.Before, r.covered)
	case !opts.Backwards && opts.After < r.covered:
		r.t.Fatalf("read %d of %s has After %d, want at least %d", r.reads, describe.Query(q), opts.After, r.covered)
	}
}
