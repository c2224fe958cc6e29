package dcbtest

// The sentences of the contract, as package dcb documents it. A case that fails quotes the one that
// it checks, so a sentence stays as the contract has it and is written here once.

// Events and positions.
const (
	rulePosition   = "Position: the first event has 1; no gaps; 0 = before the first event."
	ruleTags       = "Tags: the things that the event concerns; a set."
	ruleData       = "Data: opaque to the store."
	ruleID         = "ID: optional; the zero UUID means none; unique in the store."
	ruleMetadata   = "Metadata: optional."
	ruleRecordedAt = "RecordedAt: UTC, microseconds, set by the store; never falls as Position rises."
	ruleText       = "Types, tags, metadata keys and values are valid UTF-8 without NUL."
	ruleTagOnce    = "A tag given twice is recorded once, where it was first mentioned."
)

// Matching.
const (
	ruleMatchQuery = "An event matches a query if it matches one of its items."
	ruleMatchItem  = "An event matches an item if the item names no types or names the event's type, and " +
		"if the event has all of the item's tags."
	ruleMatchBytes = "Comparison is byte-exact."
	ruleMatchAll   = "All() is Query{{}}: one item without types and tags matches everything."
	ruleEmptyQuery = "An empty Query (nil or no items) fails with ErrInvalidQuery, so that a list built " +
		"from no items does not read the whole store."
	ruleManyTags = "An item with more than 128 tags is legal and matches nothing."
	ruleMatches  = "Query.Matches(Event) bool is the only definition. Indexes are tested against it."
)

// Reading.
const (
	ruleAfter     = "After: only events after this position; 0 = from the first."
	ruleBefore    = "Before: only events before this position; 0 = no bound."
	ruleLimit     = "Limit: 0 = no limit."
	ruleBackwards = "Backwards: newest first."
	ruleReadOrder = "Events come in position order, descending if Backwards is set."
	ruleReadOnce  = "Each event comes once, even if several items match it."
	rulePrefix    = "One read sees one prefix of the sequence: every matching event up to the store's " +
		"head at that moment, within the bounds of the options, and none after it."
	ruleHead = "Head is the position up to which the result is complete. It is what a condition may " +
		"use as After."
	ruleHeadTop = "Head is top for a forward read with More false, even if the last matching event is " +
		"older or nothing matched. " + ruleTop
	ruleHeadCut      = "Head is the position of the last event returned for a forward read with More true."
	ruleHeadBackward = "Head is top for a backward read; if More is true the events left out are older " +
		"than those returned. " + ruleTop
	ruleHeadEmpty = "Head of an empty store is 0."
	ruleTop       = "Let h be the store's last position at the moment of the read, and top be h, or " +
		"Before - 1 if Before is set and that is less."
	ruleMore = "More is true if Limit or a byte bound left out at least one matching event within After " +
		"and Before."
	ruleMoreExactly = "A read that returns exactly Limit events and leaves none out has More false."
	ruleReadPage    = "ReadPage also stops at the event with which types, tags, data and metadata reach " +
		"that many bytes. On a store without it only Limit bounds a page."
	rulePages      = "Pages is the one paging iterator: every other helper and every protocol pages through it."
	ruleHeadMethod = "Head is never lower than the result of an append that returned before."
	ruleContinue   = "A forward reader that always continues with After: result.Head sees every event " +
		"once and never reads the same range twice."
	ruleReturned = "The returned events belong to the caller: changing them changes nothing in the " +
		"store."
)

// Appending.
const (
	ruleAppend = "One call is one atomic step: its events get consecutive positions, or none is " +
		"recorded."
	ruleNotBetween     = "No event of another call comes between them."
	ruleAppendReturns  = "Append returns the position of the last one."
	ruleVisibleInOrder = "Positions become visible in order. After a reader has seen position n, no new event " +
		"appears at or below n."
	ruleOneStep = "Checking the condition and recording the events are one indivisible step, also " +
		"against appends of other processes."
	ruleOwnEvents = "The events of the call itself are not checked against its condition."
	ruleConflict  = "A failed condition returns *ConflictError (errors.Is(err, dcb.ErrConflict)) with " +
		"the position of one conflicting event."
	ruleIgnoreAfter  = "Events at or before After are ignored; 0 ignores none."
	ruleAfterBeyond  = "After beyond the head is legal; it ignores everything recorded."
	ruleUnrelated    = "Appends that concern different things never conflict and never abort each other."
	ruleDurable      = "An append that returned without an error is durable."
	ruleFailedAppend = "An append that failed recorded nothing, unless its outcome is unknown."
	ruleNoEvents     = "No events: ErrNoEvents."
)

// Retries and unknown outcomes.
const (
	ruleRetry = "If every event of an append has an ID, and exactly these events are already " +
		"recorded in this order at consecutive positions, Append returns their position and " +
		"records nothing."
	ruleRetryExactly   = `"Exactly" compares type, tags as a set, data, ID and metadata.`
	ruleRetryCondition = "The store checks IDs before the condition, so the condition cannot fail such a " +
		"retry, whatever its After."
	ruleDuplicateID = "If any of the IDs is recorded in another way, or occurs twice in one call, Append " +
		"fails with ErrDuplicateID."
	ruleUnknownOutcome = "If the context ends while an append is under way, the append is recorded as a whole " +
		"or not at all, and the caller cannot know which. The store stays consistent, and no " +
		"other append is affected."
)

// Waiting, following and closing.
const (
	ruleWait = "Wait(ctx, p) returns the head as soon as it is greater than p, also if p is beyond " +
		"the head at the time of the call."
	ruleStream = "Stream: all matching events up to the head at its start."
	ruleFollow = "Follow: batches without end; catch-up and live events in one loop; every batch " +
		"carries Head, also if nothing matched."
	ruleSubscribe   = "Subscribe: Follow, event by event."
	ruleFirstPull   = "Iterators: nothing happens before the first pull."
	ruleLastError   = "Iterators: an error comes at most once, last, with a zero value."
	ruleStopEarly   = "Iterators: stopping early releases everything."
	ruleIterContext = "Iterators: a cancelled context ends with its error."
	ruleSecondClose = "A second Close returns nil, in every store."
	ruleClose       = "Close ends waiting calls with ErrClosed; every later call fails with ErrClosed."
)

// Limits and errors.
const (
	ruleLimits = "Outside the limits: *InvalidError naming the field and the limit (errors.Is(err, " +
		"dcb.ErrInvalid)), nothing recorded."
	ruleEmptyValue    = "An empty value is ErrInvalid just as one that is too long."
	ruleTypeLimit     = "Limits: a type has 1 to 256 bytes."
	ruleTagLimit      = "Limits: a tag has 1 to 1,024 bytes; at most 128 per event."
	ruleDataLimit     = "Limits: data has up to 16 MiB."
	ruleMetadataLimit = "Limits: metadata has up to 64 entries; keys 1 to 256 bytes, values up to 4 KiB."
	ruleAppendLimit   = "Limits: an append has up to 65,536 events and 64 MiB."
	ruleQueryLimit    = "Limits: a query has up to 65,536 items and 64 MiB of text."
	ruleRetryable     = "dcb.Retryable(err) is true only for ErrUnavailable."
)

// Calls in general.
const (
	ruleGoroutines = "Several goroutines may call the methods of a store at once."
	ruleHandles    = "Several stores, also in other processes, may share the same events, where the kind of " +
		"store allows it."
	ruleArguments = "A store keeps no reference to its arguments after a call returns, and does not " +
		"change them."
	ruleContext = "A context ends the call that it was passed to, and no other call. The call then returns " +
		"the context's error."
)
