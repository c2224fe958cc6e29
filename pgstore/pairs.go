package pgstore

import "github.com/dcbstore/dcb"

// pair says that the condition of an append of a batch matches an event of an append before it in the batch. If that is recorded,
// beyond the condition's After, then the later append has a conflict.
type pair struct {
	append int // its number in the batch, from 0
	with   int // that of the earlier one
	offset int // that of the event among the earlier one's; if several match it is the last of them
}

// pairs returns those of a batch, in the order of append. The table knows nothing of the batch's own events, but who sends the batch does.
func pairs(batch []*request) []pair {
	if len(batch) == 1 {
		return nil
	}
	var found []pair
	events := batchEvents{byTag: make(map[string][]place)}
	for i, r := range batch {
		for _, item := range r.query {
			for _, p := range events.candidates(item) {
				if !item.Matches(batch[p.append].events[p.offset]) {
					continue
				}
				if last := len(found) - 1; last >= 0 && found[last].append == i && found[last].with == p.append {
					found[last].offset = max(found[last].offset, p.offset)
					continue
				}
				found = append(found, pair{append: i, with: p.append, offset: p.offset})
			}
		}
		events.add(i, r)
	}
	return found
}

// place is an event's in a batch.
type place struct{ append, offset int }

// batchEvents finds the events of a batch by their tags, so that comparing the conditions of a batch with its events takes
// no time that grows with its square.
type batchEvents struct {
	all   []place
	byTag map[string][]place
}

func (b *batchEvents) add(number int, r *request) {
	for offset, event := range r.events {
		p := place{number, offset}
		b.all = append(b.all, p)
		for _, tag := range event.Tags {
			b.byTag[tag] = append(b.byTag[tag], p)
		}
	}
}

// candidates returns, in order, places that include all events which item matches.
func (b *batchEvents) candidates(item dcb.QueryItem) []place {
	if len(item.Tags) == 0 {
		return b.all
	}
	rarest := b.byTag[item.Tags[0]]
	for _, tag := range item.Tags[1:] {
		if places := b.byTag[tag]; len(places) < len(rarest) {
			rarest = places
		}
	}
	return rarest
}
