package dcbtest

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/dcbstore/dcb"
)

func wrongMatching() []fault {
	return []fault{
		matching("items are AND'ed", "matching/items are alternatives", func(q dcb.Query, e dcb.Event) bool {
			for _, item := range q {
				if !item.Matches(e) {
					return false
				}
			}
			return true
		}),
		matching("the last item alone counts", "matching/items are alternatives", func(q dcb.Query, e dcb.Event) bool { return q[len(q)-1].Matches(e) }),
		matching("types and tags of all items are thrown together", "matching/types and tags of different items are not mixed", func(q dcb.Query, e dcb.Event) bool {
			types, tags := len(q[0].Types) == 0, len(q[0].Tags) == 0
			for _, item := range q {
				types = types || slices.Contains(item.Types, e.Type)
				tags = tags || containsAll(e.Tags, item.Tags)
			}
			return types && tags
		}),
		itemMatching("any tag instead of all", "matching/several tags of an item are all required", func(i dcb.QueryItem, e dcb.Event) bool {
			return hasType(i, e) && (len(i.Tags) == 0 || slices.ContainsFunc(i.Tags, func(tag string) bool { return slices.Contains(e.Tags, tag) }))
		}),
		itemMatching("all types instead of any", "matching/several types of an item are alternatives", func(i dcb.QueryItem, e dcb.Event) bool {
			return !slices.ContainsFunc(i.Types, func(t string) bool { return t != e.Type }) && containsAll(e.Tags, i.Tags)
		}),
		itemMatching("type or tags instead of both", "matching/types and tags of an item are both required", func(i dcb.QueryItem, e dcb.Event) bool {
			if len(i.Types) == 0 || len(i.Tags) == 0 {
				return i.Matches(e)
			}
			return hasType(i, e) || containsAll(e.Tags, i.Tags)
		}),
		itemMatching("an item without types and tags selects nothing", "matching/an item without types or tags selects every event", func(i dcb.QueryItem, e dcb.Event) bool {
			return len(i.Types)+len(i.Tags) > 0 && i.Matches(e)
		}),
		itemMatching("events without tags are never selected", "matching/All selects every event", func(i dcb.QueryItem, e dcb.Event) bool {
			return len(e.Tags) > 0 && i.Matches(e)
		}),
		itemMatching("types are found among the tags", "matching/types are not tags", func(i dcb.QueryItem, e dcb.Event) bool {
			return i.Matches(e) || i.Matches(dcb.Event{Type: e.Type, Tags: append([]string{e.Type}, e.Tags...)})
		}),
		itemMatching("tags beyond 128 of an item are left out", "matching/an item with more tags than an event may have selects nothing", func(i dcb.QueryItem, e dcb.Event) bool {
			return hasType(i, e) && containsAll(e.Tags, i.Tags[:min(len(i.Tags), 128)])
		}),
		itemMatching("tags are found by their beginning", "matching/a prefix, a suffix or a part is not the whole", func(i dcb.QueryItem, e dcb.Event) bool {
			return hasType(i, e) && all(i.Tags, func(tag string) bool {
				return slices.ContainsFunc(e.Tags, func(has string) bool { return strings.HasPrefix(has, tag) })
			})
		}),
		itemMatching("tags are patterns", "matching/wildcards are text", func(i dcb.QueryItem, e dcb.Event) bool {
			return hasType(i, e) && all(i.Tags, func(tag string) bool {
				like := strings.NewReplacer("%", ".*", "_", ".").Replace(regexp.QuoteMeta(tag))
				return slices.ContainsFunc(e.Tags, regexp.MustCompile("^(?s:"+like+")$").MatchString)
			})
		}),
		itemMatching("tags are run together", "matching/tags are not run together", func(i dcb.QueryItem, e dcb.Event) bool {
			return i.Matches(e) || hasType(i, e) && strings.Join(i.Tags, "") == strings.Join(e.Tags, "")
		}),
		itemMatching("repeated tags must be there as often", "matching/types and tags that are repeated in an item change nothing", func(i dcb.QueryItem, e dcb.Event) bool {
			return i.Matches(e) && len(i.Tags) <= len(e.Tags)
		}),
		folding("the case of tags is folded", "matching/case counts", nil, strings.ToLower),
		folding("the case of types is folded", "matching/case counts", strings.ToLower, nil),
		folding("reserved characters of tags are replaced, as in the seed", "matching/what separates or quotes elsewhere is text here", nil, strings.NewReplacer(
			":", "_", "&", "_", "|", "_", "!", "_", "'", "_", "(", "_", ")", "_", "\\", "_", "<", "_").Replace),
		folding("reserved characters of tags are replaced, caught by awkward texts", "matching/every awkward text is a tag of its own", nil, strings.NewReplacer(
			":", "_", "&", "_", "|", "_").Replace),
		folding("quotes of types are left out", "matching/every awkward text is a type of its own", strings.NewReplacer("'", "", `"`, "").Replace, nil),
		folding("tags are normalized", "matching/Unicode normal forms are different", nil, strings.NewReplacer("e\u0301", "é", "\u212b", "Å").Replace),
		folding("tags are trimmed", "matching/spaces count, wherever they are", nil, strings.TrimSpace),
		folding("tags are cut at 255 bytes", "matching/long texts that differ in their last byte are different", nil, func(s string) string { return s[:min(len(s), 255)] }),
		folding("the word NULL is the same as null", "matching/words for nothing are text", nil, func(s string) string { return strings.Replace(s, "NULL", "null", 1) }),
		{
			name: "tags are taken apart at commas", caughtBy: "matching/a tag is not taken apart",
			wrong: matchingBy(func(q dcb.Query, e dcb.Event) bool {
				e.Tags = strings.Split(strings.Join(e.Tags, ","), ",")
				return q.Matches(e)
			}),
		},
		{name: "an event twice when two items select it", caughtBy: "matching/an event that several items select comes once", wrong: twice},
		{
			name: "an empty query is read as all", caughtBy: "limits/a query has items",
			wrong: asking(func(q *dcb.Query, _ *dcb.ReadOptions) {
				if len(*q) == 0 {
					*q = dcb.All()
				}
			}, nil),
		},
		{
			name: "conditions match otherwise than reads", caughtBy: "matching/every awkward text conflicts with itself alone",
			wrong: func(p *simple) dcb.Store {
				wrong := matchingBy(func(q dcb.Query, e dcb.Event) bool { return fold(q, e, strings.ToLower, strings.ToLower) })(p).(*faulty)
				wrong.read = nil
				return wrong
			},
		},
		{
			name: "random queries find an item of three tags by two", caughtBy: "matching/random queries select what Query.Matches says",
			wrong: matchingBy(func(q dcb.Query, e dcb.Event) bool {
				return slices.ContainsFunc(q, func(i dcb.QueryItem) bool { return hasType(i, e) && containsAll(e.Tags, i.Tags[:min(len(i.Tags), 1)]) })
			}),
		},
	}
}

func matching(name, caughtBy string, match func(q dcb.Query, e dcb.Event) bool) fault {
	return fault{name: name, caughtBy: caughtBy, wrong: matchingBy(match)}
}

func itemMatching(name, caughtBy string, match func(i dcb.QueryItem, e dcb.Event) bool) fault {
	return matching(name, caughtBy, func(q dcb.Query, e dcb.Event) bool {
		return slices.ContainsFunc(q, func(i dcb.QueryItem) bool { return match(i, e) })
	})
}

// folding is a store that takes texts for the same if they are after a change.
func folding(name, caughtBy string, types, tags func(string) string) fault {
	return matching(name, caughtBy, func(q dcb.Query, e dcb.Event) bool { return fold(q, e, types, tags) })
}

func fold(q dcb.Query, e dcb.Event, types, tags func(string) string) bool {
	folded := cloneQuery(q)
	for i := range folded {
		mapped(folded[i].Types, types)
		mapped(folded[i].Tags, tags)
	}
	e = e.Clone()
	if types != nil {
		e.Type = types(e.Type)
	}
	mapped(e.Tags, tags)
	return folded.Matches(e)
}

func mapped(texts []string, change func(string) string) {
	for i := range texts {
		if change != nil {
			texts[i] = change(texts[i])
		}
	}
}

// matchingBy is a store with another idea of matching. It marks what matches, and has the model look for the mark.
func matchingBy(match func(q dcb.Query, e dcb.Event) bool) func(p *simple) dcb.Store {
	return func(p *simple) dcb.Store {
		return &faulty{
			simple: p,
			read: func(_ context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
				if err := dcb.ValidateRead(q, opts); err != nil {
					return dcb.ReadResult{}, err
				}
				log := p.seen()
				marked := slices.Clone(log)
				for i := range marked {
					if marked[i].Event = event("no"); match(q, log[i].Event) {
						marked[i].Event = event("yes")
					}
				}
				result, err := marked.Read(typed("yes"), opts)
				for i := range result.Events {
					result.Events[i] = log[result.Events[i].Position-1].Clone()
				}
				return result, err
			},
			append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
				if err := dcb.ValidateAppend(events, condition); err != nil {
					return 0, err
				}
				for _, e := range p.seen() {
					if condition != nil && e.Position > condition.After && match(condition.FailIfEventsMatch, e.Event) {
						return 0, &dcb.ConflictError{Position: e.Position}
					}
				}
				return p.Append(ctx, events, nil)
			},
		}
	}
}

func twice(p *simple) dcb.Store {
	return &faulty{simple: p, read: func(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
		var merged dcb.ReadResult
		for _, item := range q {
			result, err := p.Read(ctx, dcb.Query{item}, opts)
			if err != nil {
				return result, err
			}
			merged.Events, merged.Head = append(merged.Events, result.Events...), result.Head
		}
		slices.SortFunc(merged.Events, func(a, b dcb.SequencedEvent) int { return int(a.Position) - int(b.Position) })
		return merged, nil
	}}
}

func hasType(i dcb.QueryItem, e dcb.Event) bool {
	return len(i.Types) == 0 || slices.Contains(i.Types, e.Type)
}

func containsAll(has, wanted []string) bool {
	return all(wanted, func(tag string) bool { return slices.Contains(has, tag) })
}

func all(texts []string, f func(string) bool) bool {
	return !slices.ContainsFunc(texts, func(text string) bool { return !f(text) })
}
