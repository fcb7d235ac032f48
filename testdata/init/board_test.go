package init_test

import (
	"net/http"
	"testing"

	"otad/testdata/namespace"
)

const (
	otadID  = 990 // user and group otad
	stateIn = "/var/lib/otad"
)

// board is a board with otad.
type board struct {
	*namespace.Board
	t      *testing.T
	client *http.Client
}

// newBoard starts an init system on a root that holds the files of spec, and otad.
func newBoard(t *testing.T, spec namespace.Spec) *board {
	t.Helper()
	spec.Otad = binary
	b := namespace.New(t, spec)
	return &board{b, t, b.Client()}
}
