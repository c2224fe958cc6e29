package dcb_test

import (
	"math"
	"testing"

	"github.com/dcbstore/dcb"
)

func TestReadOptionsTop(t *testing.T) {
	for _, c := range []struct{ before, head, want dcb.Position }{
		{0, 0, 0},
		{0, 9, 9},
		{1, 9, 0},
		{9, 9, 8},
		{10, 9, 9},
		{11, 9, 9},
		{math.MaxUint64, 9, 9},
		{5, 0, 0},
	} {
		if got := (dcb.ReadOptions{Before: c.before}).Top(c.head); got != c.want {
			t.Errorf("ReadOptions{Before: %d}.Top(%d) = %d, want %d", c.before, c.head, got, c.want)
		}
	}
}
