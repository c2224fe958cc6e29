// Package dcb is the contract of an event store with Dynamic Consistency Boundaries (DCB): the
// nouns, the [Store] interface, matching, validation, the errors, and helpers that work on any
// store. Names follow the specification at https://dcb.events.
//
// # The idea
//
// An application that stores its history as events has rules that concern several things at once.
// May this student join this course? That depends on the course (is a seat free?) and on the
// student (how many courses already?). Most event stores have one stream per thing and guard each
// stream separately, so nothing guards a rule that spans two of them.
//
// With DCB there are no streams. All events are in one sequence. Each event has a type that says
// what happened, tags that name the things it concerns, and data. A rule selects the events it
// depends on by a [Query], and the same query guards the append:
//
//  1. [Store.Read] returns the events that match the query, and the head of the sequence.
//  2. The application decides.
//  3. [Store.Append] records new events on the condition that no event that matches the query was
//     recorded after that head.
//
// If a matching event was recorded in between, the append fails with [ErrConflict] and records
// nothing, and the caller starts again at 1. Other events that were recorded meanwhile do not
// matter: the boundary of the decision is exactly what the decision read.
//
//	boundary := dcb.Query{
//		{Types: []string{"StudentRegistered", "StudentJoinedCourse"}, Tags: []string{"student:ann"}},
//		{Types: []string{"CourseRegistered", "StudentJoinedCourse"}, Tags: []string{"course:go"}},
//	}
//	seen, err := store.Read(ctx, boundary, dcb.ReadOptions{})
//	// … decide, from seen.Events …
//	_, err = store.Append(ctx,
//		[]dcb.Event{{Type: "StudentJoinedCourse", Tags: []string{"student:ann", "course:go"}}},
//		&dcb.AppendCondition{FailIfEventsMatch: boundary, After: seen.Head})
//
// # Where to start
//
// Package stores opens a store from a URL; memstore, diskstore and pgstore open one each. Package
// decide derives queries and conditions from the application's code. [Stream], [Follow] and
// [Subscribe] read more events than fit in memory, and new ones as they are recorded. Package
// dcbtest is the conformance kit: every store of this module passes it, and so can yours.
//
// What a store promises is documented at [Store], what a query matches at [Query.Matches], the
// limits at [MaxTypeBytes], and what a caller can do about an error at [ErrConflict].
package dcb
