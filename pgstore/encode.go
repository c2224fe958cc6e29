package pgstore

import (
	"math"
	"slices"
	"strings"

	"github.com/dcbstore/dcb"
)

// maxItemTypes bounds the types of an item as it is sent, because a tsquery may not grow without limit. An item with more is sent as several.
const maxItemTypes = 1000

// items are a query as the database functions take it: for each item its tags and its types, each as the text of an array. PostgreSQL
// has no arrays of arrays of different lengths.
type items struct {
	tags, types []string
	simple      bool // every item has exactly one tag
}

// encode leaves out the items that no event can match, because they name more tags than an event may have.
func encode(q dcb.Query) items {
	encoded := items{tags: make([]string, 0, len(q)), types: make([]string, 0, len(q)), simple: true}
	for _, item := range q {
		tags := distinct(item.Tags)
		if len(tags) > dcb.MaxTags {
			continue
		}
		encoded.simple = encoded.simple && len(tags) == 1
		text := arrayText(tags)
		if len(item.Types) == 0 {
			encoded.add(text, "{}")
		}
		for types := range slices.Chunk(distinct(item.Types), maxItemTypes) {
			encoded.add(text, arrayText(types))
		}
	}
	return encoded
}

func (i *items) add(tags, types string) {
	i.tags = append(i.tags, tags)
	i.types = append(i.types, types)
}

func (i *items) bytes() int {
	total := 0
	for n := range i.tags {
		total += len(i.tags[n]) + len(i.types[n])
	}
	return total
}

func distinct(texts []string) []string {
	if len(texts) < 2 {
		return texts
	}
	sorted := slices.Clone(texts)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}

// arrayText returns the text of a PostgreSQL array of texts, every element quoted.
func arrayText(elements []string) string {
	var text strings.Builder
	text.WriteByte('{')
	for i, element := range elements {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteByte('"')
		for {
			special := strings.IndexAny(element, `"\`)
			if special < 0 {
				break
			}
			text.WriteString(element[:special])
			text.WriteByte('\\')
			text.WriteByte(element[special])
			element = element[special+1:]
		}
		text.WriteString(element)
		text.WriteByte('"')
	}
	text.WriteByte('}')
	return text.String()
}

// bigint returns position as PostgreSQL can take it: positions beyond its largest number are beyond the head all the same.
func bigint(position dcb.Position) int64 {
	return int64(min(position, math.MaxInt64))
}
