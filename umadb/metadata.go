package umadb

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

// Metadata in this protocol is a list of entries, and in the contract a map. The order of the
// list is kept. If it is not ascending by key, the server stores it in a reserved entry. It removes
// that entry from the responses of this protocol.

// orderKey is the reserved metadata key for the order of entries. Its value contains a number for
// each entry of the list: the index of its key among the keys in ascending order, as in "1 0 2".
const orderKey = "dcb:umadb:keys"

// fromMetadata returns the metadata of an event in a request.
func fromMetadata(entries []*umadbv1.MetadataEntry) (map[string]string, *dcb.InvalidError) {
	values := make(map[string]string, len(entries)+1)
	keys := make([]string, len(entries))
	for i, entry := range entries {
		key := entry.GetKey()
		field := fmt.Sprintf("metadata[%d].key", i)
		if _, duplicate := values[key]; duplicate {
			return nil, &dcb.InvalidError{Field: field, Problem: fmt.Sprintf("is %q again: metadata contains duplicate keys", key)}
		}
		switch key {
		case trackingKey:
			return nil, &dcb.InvalidError{Field: field, Problem: "is the reserved key " + trackingKey + "; use tracking_info"}
		case orderKey:
			return nil, &dcb.InvalidError{Field: field, Problem: "is the reserved key " + orderKey + "; the server sets it"}
		}
		values[key], keys[i] = entry.GetValue(), key
	}
	if slices.IsSorted(keys) {
		return values, nil
	}
	if len(values) == dcb.MaxMetadata {
		return nil, &dcb.InvalidError{
			Field: "metadata", Limit: dcb.MaxMetadata - 1,
			Problem: fmt.Sprintf("has %d entries; the limit is %d if they are not in ascending order of their keys",
				len(values), dcb.MaxMetadata-1),
		}
	}
	values[orderKey] = formatOrder(keys)
	return values, nil
}

// formatOrder returns the value of the reserved entry for keys in their order.
func formatOrder(keys []string) string {
	ascending := slices.Sorted(slices.Values(keys))
	indexes := make([]string, len(keys))
	for i, key := range keys {
		index, _ := slices.BinarySearch(ascending, key)
		indexes[i] = strconv.Itoa(index)
	}
	return strings.Join(indexes, " ")
}

// orderedKeys returns the keys of metadata in the order in which they were sent, without the
// reserved entry for the order. Without that entry, or with one that the server did not write,
// the order is ascending, so that an event always has the same encoding.
func orderedKeys(metadata map[string]string) []string {
	if len(metadata) == 0 {
		return nil
	}
	keys := make([]string, 0, len(metadata))
	for key := range metadata {
		if key != orderKey {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	order, isOrdered := metadata[orderKey]
	if !isOrdered {
		return keys
	}
	if ordered, ok := applyOrder(keys, order); ok {
		return ordered
	}
	keys = append(keys, orderKey) // another protocol wrote it
	slices.Sort(keys)
	return keys
}

// applyOrder returns keys, which are ascending, in the given order. Ok is false if order is not
// one of theirs.
func applyOrder(keys []string, order string) (ordered []string, ok bool) {
	used := make([]bool, len(keys))
	for text := range strings.SplitSeq(order, " ") {
		index, err := strconv.Atoi(text)
		if err != nil || index < 0 || index >= len(keys) || used[index] {
			return nil, false
		}
		used[index] = true
		ordered = append(ordered, keys[index])
	}
	return ordered, len(ordered) == len(keys)
}
