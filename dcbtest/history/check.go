package history

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

// maxPerRule limits the violations of one rule. A store that breaks a rule breaks it repeatedly.
const maxPerRule = 5

// Check returns where the history breaks the contract, or nil if a correct store can have this
// history. It returns at most five violations of each rule. The package documentation explains the
// rules and why they suffice.
func (h *History) Check() []Violation {
	c := &checker{History: h, count: make(map[Rule]int)}
	c.checkSequence()
	c.matchAppends()
	c.visible = newVisibility(c)
	for _, s := range c.submissions {
		c.checkSubmission(s)
	}
	for i := range h.Operations {
		c.checkOperation(&h.Operations[i])
	}
	return c.violations
}

// checker holds what Check derives from a history. Each step of Check fills the fields that the
// next steps use.
type checker struct {
	*History
	*eventIndex // of Final

	// By checkSequence:

	positionsOf map[uuid.UUID][]dcb.Position // of an ID: one position, in a correct history

	// By matchAppends:

	submissions  []*submission // in the order of their first attempts
	submissionOf map[*Operation]*submission
	sent         map[string]sentEvent // by the data of the event

	// notBefore[i] is the earliest moment when the i-th event of Final can have become visible: the
	// latest start among the appends that recorded it and all events below it.
	notBefore []time.Duration

	// By newVisibility:

	visible *visibility

	count      map[Rule]int // of violations found, including those not in violations
	violations []Violation
}

func (c *checker) report(rule Rule, format string, args ...any) {
	if c.count[rule]++; c.count[rule] <= maxPerRule {
		c.violations = append(c.violations, Violation{Rule: rule, Problem: fmt.Sprintf(format, args...)})
	}
}

// checkOperation checks the error of o, or else the prefix that it saw.
func (c *checker) checkOperation(o *Operation) {
	c.checkError(o)
	if !o.succeeded() {
		return
	}
	switch o.Method {
	case Read:
		c.checkRead(o)
	case Follow:
		c.checkBatch(o)
	case Head:
		c.checkHead(o, o.Position)
	case Wait:
		if o.Position <= o.After {
			c.report(RuleWait, "%v", o)
		}
		c.checkHead(o, o.Position)
	case Append: // checkSubmission
	}
}

// checkError checks that o may fail in this way. Whether a conflict or a duplicate ID is right
// depends on the sequence: see checkRejected.
func (c *checker) checkError(o *Operation) {
	switch {
	case o.Hung:
		c.report(RuleHang, "%v", o)
	case o.Err == nil:
	case isContextError(o.Err) && o.Cancelled:
	case errors.Is(o.Err, dcb.ErrUnavailable) && c.MayFail:
	case o.Method == Append && (errors.Is(o.Err, dcb.ErrConflict) || errors.Is(o.Err, dcb.ErrDuplicateID)):
	default:
		c.report(RuleError, "%v", o)
	}
}

func describeData(e dcb.Event) string { return describe.Text(string(e.Data)) }

// describeAll returns one operation per line.
func describeAll(operations []*Operation) string {
	lines := make([]string, len(operations))
	for i, o := range operations {
		lines[i] = o.String()
	}
	return strings.Join(lines, "\n\t")
}
