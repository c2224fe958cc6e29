package dcbtest

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/dcbstore/dcb"
)

// wrongQueries have another definition of matching than dcb.Query.Matches.
func wrongQueries() []faultyStore {
	return slices.Concat(queriesMatchedWrongly(), itemsMatchedWrongly(), textsComparedWrongly())
}

func queriesMatchedWrongly() []faultyStore {
	return []faultyStore{
		matching("an event must match all items", "Query.Matches/a query selects the events of any of its items",
			func(q dcb.Query, e dcb.Event) bool {
				return !slices.ContainsFunc(q, func(item dcb.QueryItem) bool { return !item.Matches(e) })
			}),
		matching("only the last item counts", "Query.Matches/a query selects the events of any of its items",
			func(q dcb.Query, e dcb.Event) bool { return q[len(q)-1].Matches(e) }),
		matching("types and tags of all items combine", "Query.Matches/types and tags of different items do not combine",
			func(q dcb.Query, e dcb.Event) bool {
				types, tags := len(q[0].Types) == 0, len(q[0].Tags) == 0
				for _, item := range q {
					types = types || slices.Contains(item.Types, e.Type)
					tags = tags || containsAll(e.Tags, item.Tags)
				}
				return types && tags
			}),
		matching("only the first 100 items count", "Query.Matches/finds the events of hundreds of items",
			func(q dcb.Query, e dcb.Event) bool { return q[:min(len(q), 100)].Matches(e) }),
		{
			name:     "an event with a repeated tag is not indexed",
			caughtBy: "Query.Matches/a tag appended twice counts once",
			build: changingEvents(func(e *dcb.Event) {
				if len(dcb.UniqueTags(e.Tags)) < len(e.Tags) {
					e.Tags = nil
				}
			}),
		},
		{
			name:     "an event comes twice if two items match it",
			caughtBy: "Query.Matches/an event that several items match comes once",
			build:    onePerItem,
		},
		{
			name:     "an event comes twice if an item is repeated",
			caughtBy: "Query.Matches/repeated items change nothing",
			build:    onePerItem,
		},
		{
			name:     "only reads match by the contract",
			caughtBy: "Query.Matches/distinguishes awkward texts in conditions",
			build: func(s *simpleStore) dcb.Store {
				wrong := matchingBy(func(q dcb.Query, e dcb.Event) bool { return matchesAfter(q, e, strings.ToLower, strings.ToLower) })
				patched := wrong(s).(*patchedStore)
				patched.read = nil
				return patched
			},
		},
		{
			name:     "an item of three tags matches by one",
			caughtBy: "Read/selects the same events as Query.Matches for random queries",
			build: matchingBy(func(q dcb.Query, e dcb.Event) bool {
				return slices.ContainsFunc(q, func(item dcb.QueryItem) bool {
					return hasType(item, e) && containsAll(e.Tags, item.Tags[:min(len(item.Tags), 1)])
				})
			}),
		},
	}
}

func itemsMatchedWrongly() []faultyStore {
	return []faultyStore{
		itemMatching("types are ignored", "Query.Matches/a type selects the events that have it",
			func(item dcb.QueryItem, e dcb.Event) bool { return containsAll(e.Tags, item.Tags) }),
		itemMatching("tags are ignored", "Query.Matches/a tag selects the events that have it",
			func(item dcb.QueryItem, e dcb.Event) bool { return hasType(item, e) }),
		itemMatching("one tag of an item is enough",
			"Query.Matches/an item selects the events that have all of its tags",
			func(item dcb.QueryItem, e dcb.Event) bool {
				has := func(tag string) bool { return slices.Contains(e.Tags, tag) }
				return hasType(item, e) && (len(item.Tags) == 0 || slices.ContainsFunc(item.Tags, has))
			}),
		itemMatching("an event must have all types of an item",
			"Query.Matches/an item selects the events of any of its types",
			func(item dcb.QueryItem, e dcb.Event) bool {
				return all(item.Types, func(t string) bool { return t == e.Type }) && containsAll(e.Tags, item.Tags)
			}),
		itemMatching("only the first type of an item counts", "Query.Matches/an item may have thousands of types",
			func(item dcb.QueryItem, e dcb.Event) bool {
				item.Types = item.Types[:min(len(item.Types), 1)]
				return item.Matches(e)
			}),
		itemMatching("the types or the tags are enough", "Query.Matches/an item requires its types and its tags",
			func(item dcb.QueryItem, e dcb.Event) bool {
				if len(item.Types) == 0 || len(item.Tags) == 0 {
					return item.Matches(e)
				}
				return hasType(item, e) || containsAll(e.Tags, item.Tags)
			}),
		itemMatching("an item without types and tags selects nothing",
			"Query.Matches/an item without types and tags selects every event",
			func(item dcb.QueryItem, e dcb.Event) bool {
				return len(item.Types)+len(item.Tags) > 0 && item.Matches(e)
			}),
		itemMatching("events without tags are never selected", "Query.Matches/All selects every event",
			func(item dcb.QueryItem, e dcb.Event) bool { return len(e.Tags) > 0 && item.Matches(e) }),
		itemMatching("an event without tags has every tag", "Query.Matches/an event without tags matches by its type",
			func(item dcb.QueryItem, e dcb.Event) bool {
				return hasType(item, e) && (len(e.Tags) == 0 || containsAll(e.Tags, item.Tags))
			}),
		itemMatching("a type counts as a tag", "Query.Matches/types are not tags",
			func(item dcb.QueryItem, e dcb.Event) bool {
				return item.Matches(e) || item.Matches(dcb.Event{Type: e.Type, Tags: append([]string{e.Type}, e.Tags...)})
			}),
		itemMatching("tags beyond 128 of an item are ignored",
			"Query.Matches/an item with more tags than an event may have selects nothing",
			func(item dcb.QueryItem, e dcb.Event) bool {
				return hasType(item, e) && containsAll(e.Tags, item.Tags[:min(len(item.Tags), 128)])
			}),
		itemMatching("an item of 128 tags selects nothing", "Query.Matches/an item may have as many tags as an event",
			func(item dcb.QueryItem, e dcb.Event) bool { return len(item.Tags) < 128 && item.Matches(e) }),
		itemMatching("a repeated tag must be there as often",
			"Query.Matches/repeated types and tags of an item change nothing",
			func(item dcb.QueryItem, e dcb.Event) bool { return item.Matches(e) && len(item.Tags) <= len(e.Tags) }),
		itemMatching("a rare type is missing from the index", "Append/accepts many different types and tags",
			func(item dcb.QueryItem, e dcb.Event) bool { return e.Type != "T1234" && item.Matches(e) }),
		itemMatching("a rare tag is missing from the index", "Query.Matches/finds a rare tag among common ones",
			func(item dcb.QueryItem, e dcb.Event) bool { return !slices.Contains(e.Tags, "rare") && item.Matches(e) }),
	}
}

func textsComparedWrongly() []faultyStore {
	underscores := func(old ...string) func(string) string {
		var pairs []string
		for _, text := range old {
			pairs = append(pairs, text, "_")
		}
		return strings.NewReplacer(pairs...).Replace
	}
	return []faultyStore{
		itemMatching("a tag is found by its prefix", "Query.Matches/a substring is not the whole text",
			func(item dcb.QueryItem, e dcb.Event) bool {
				return hasType(item, e) && all(item.Tags, func(tag string) bool {
					return slices.ContainsFunc(e.Tags, func(has string) bool { return strings.HasPrefix(has, tag) })
				})
			}),
		itemMatching("tags are patterns", "Query.Matches/wildcards are plain text",
			func(item dcb.QueryItem, e dcb.Event) bool {
				return hasType(item, e) && all(item.Tags, func(tag string) bool {
					like := strings.NewReplacer("%", ".*", "_", ".").Replace(regexp.QuoteMeta(tag))
					return slices.ContainsFunc(e.Tags, regexp.MustCompile("^(?s:"+like+")$").MatchString)
				})
			}),
		itemMatching("tags are concatenated", "Query.Matches/tags are not concatenated",
			func(item dcb.QueryItem, e dcb.Event) bool {
				return item.Matches(e) || hasType(item, e) && strings.Join(item.Tags, "") == strings.Join(e.Tags, "")
			}),
		matching("tags are split at commas", "Query.Matches/a tag is not split at separators",
			func(q dcb.Query, e dcb.Event) bool {
				e.Tags = strings.Split(strings.Join(e.Tags, ","), ",")
				return q.Matches(e)
			}),
		comparing("the case of tags is ignored", "Query.Matches/upper and lower case differ", nil, strings.ToLower),
		comparing("the case of types is ignored", "Query.Matches/upper and lower case differ", strings.ToLower, nil),
		comparing("reserved characters of tags are replaced", "Query.Matches/separators and quotes are plain text",
			nil, underscores(":", "&", "|", "!", "'", "(", ")", `\`, "<")),
		comparing("separators in tags are replaced",
			"Query.Matches/distinguishes awkward tags", nil, underscores(":", "&", "|")),
		comparing("quotes in types are dropped", "Query.Matches/distinguishes awkward types",
			strings.NewReplacer("'", "", `"`, "").Replace, nil),
		comparing("separators in pairs of tags are replaced", "Query.Matches/distinguishes pairs of awkward tags",
			nil, underscores(":", "&", "|")),
		comparing("tags are normalized", "Query.Matches/Unicode normal forms differ",
			nil, strings.NewReplacer("e\u0301", "é", "\u212b", "Å").Replace),
		comparing("tags are trimmed", "Query.Matches/white space counts", nil, strings.TrimSpace),
		comparing("tags are cut at 255 bytes", "Query.Matches/long texts that differ in their last byte differ",
			nil, func(s string) string { return s[:min(len(s), 255)] }),
		comparing("NULL equals null", "Query.Matches/NULL, null, nil and 0 are plain text",
			nil, func(s string) string { return strings.Replace(s, "NULL", "null", 1) }),
	}
}

func matching(name, caughtBy string, matches func(q dcb.Query, e dcb.Event) bool) faultyStore {
	return faultyStore{name: name, caughtBy: caughtBy, build: matchingBy(matches)}
}

func itemMatching(name, caughtBy string, matches func(item dcb.QueryItem, e dcb.Event) bool) faultyStore {
	return matching(name, caughtBy, func(q dcb.Query, e dcb.Event) bool {
		return slices.ContainsFunc(q, func(item dcb.QueryItem) bool { return matches(item, e) })
	})
}

// comparing returns a store that compares types and tags after a change to both sides. A nil
// function changes nothing.
func comparing(name, caughtBy string, types, tags func(string) string) faultyStore {
	return matching(name, caughtBy, func(q dcb.Query, e dcb.Event) bool { return matchesAfter(q, e, types, tags) })
}

func matchesAfter(q dcb.Query, e dcb.Event, types, tags func(string) string) bool {
	changed := cloneQuery(q)
	for i := range changed {
		changeEach(changed[i].Types, types)
		changeEach(changed[i].Tags, tags)
	}
	e = e.Clone()
	if types != nil {
		e.Type = types(e.Type)
	}
	changeEach(e.Tags, tags)
	return changed.Matches(e)
}

func changeEach(texts []string, change func(string) string) {
	for i := range texts {
		if change != nil {
			texts[i] = change(texts[i])
		}
	}
}

// matchingBy builds a store with another definition of matching. Its reads give the matching events
// the type "yes" and let the model select that type.
func matchingBy(matches func(q dcb.Query, e dcb.Event) bool) builder {
	return func(s *simpleStore) dcb.Store {
		return &patchedStore{
			simpleStore: s,
			read: func(_ context.Context, a readArgs) (dcb.ReadResult, error) {
				if err := dcb.ValidateRead(a.query, a.opts); err != nil {
					return dcb.ReadResult{}, err
				}
				log := s.snapshot()
				marked := slices.Clone(log)
				for i := range marked {
					if marked[i].Event = event("no"); matches(a.query, log[i].Event) {
						marked[i].Event = event("yes")
					}
				}
				result, err := marked.Read(typed("yes"), a.opts)
				for i := range result.Events {
					result.Events[i] = log[result.Events[i].Position-1].Clone()
				}
				return result, err
			},
			append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
				if err := dcb.ValidateAppend(a.events, a.condition); err != nil {
					return 0, err
				}
				if position, conflict := a.conflicting(s.snapshot(), matches); conflict {
					return 0, &dcb.ConflictError{Position: position}
				}
				return s.Append(ctx, a.events, nil)
			},
		}
	}
}

// onePerItem builds a store that reads each item by itself and merges the results.
func onePerItem(s *simpleStore) dcb.Store {
	return &patchedStore{simpleStore: s, read: func(ctx context.Context, a readArgs) (dcb.ReadResult, error) {
		var merged dcb.ReadResult
		for _, item := range a.query {
			result, err := s.Read(ctx, dcb.Query{item}, a.opts)
			if err != nil {
				return result, err
			}
			merged.Events, merged.Head = append(merged.Events, result.Events...), result.Head
		}
		slices.SortFunc(merged.Events, func(a, b dcb.SequencedEvent) int { return int(a.Position) - int(b.Position) })
		return merged, nil
	}}
}

func hasType(item dcb.QueryItem, e dcb.Event) bool {
	return len(item.Types) == 0 || slices.Contains(item.Types, e.Type)
}

func containsAll(has, wanted []string) bool {
	return all(wanted, func(tag string) bool { return slices.Contains(has, tag) })
}

func all(texts []string, f func(string) bool) bool {
	return !slices.ContainsFunc(texts, func(text string) bool { return !f(text) })
}
