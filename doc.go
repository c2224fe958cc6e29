// Package dcb is the contract of an event store with Dynamic Consistency Boundaries: the nouns, the [Store] interface,
// and what every store has in common.
//
// # The idea
//
// An application that keeps its history as events has rules that look at several things at once: may this student
// join this course? That depends on the course (is there a seat?) and on the student (how many courses already?).
// The usual event stores keep one stream per thing and guard each stream by itself, so a rule that spans two of them
// has no guard. With a Dynamic Consistency Boundary (DCB, see dcb.events) there are no streams. All events live in one
// sequence; each has a type that says what happened, tags that say whom it concerns, and data. A rule names what it looks
// at by a [Query], and the guard is made of that same query:
//
//  1. [Store.Read] the events that the query selects, and remember the head of the sequence at that moment.
//  2. Decide.
//  3. [Store.Append] the new events on the condition that no event matching the query was recorded after that head.
//
// If somebody recorded a matching event in between, the append fails with [ErrConflict], nothing is recorded, and
// the caller starts again at 1. Whatever else was recorded meanwhile does not matter: the boundary is exactly
// what the decision looked at.
//
//	boundary := dcb.Query{
//		{Types: []string{"StudentRegistered", "StudentJoinedCourse"}, Tags: []string{"student:ann"}},
//		{Types: []string{"CourseRegistered", "StudentJoinedCourse"}, Tags: []string{"course:go"}},
//	}
//	seen, err := store.Read(ctx, boundary, dcb.ReadOptions{})
//	// … decide, looking at seen.Events …
//	_, err = store.Append(ctx,
//		[]dcb.Event{{Type: "StudentJoinedCourse", Tags: []string{"student:ann", "course:go"}}},
//		&dcb.AppendCondition{FailIfEventsMatch: boundary, After: seen.Head})
//
// # What is where
//
// A store is opened from one of the other packages: memstore keeps events in memory, diskstore in a directory, pgstore in PostgreSQL,
// and stores opens any of them from a URL. [Stream], [Follow] and [Subscribe] work on every store. Package dcbtest is the
// conformance kit that every store here passes and that yours can too.
//
// What a store promises stands at [Store]; what it refuses, at [ValidateAppend] and [MaxTags] with the other limits; what a
// caller can do about an error, at [ErrConflict] and the other errors.
package dcb
