package main

import (
	"context"

	"otad/testdata/otadrun"
)

// board is a machine with otad and with our disk: the kernel of this host, or
// of a guest.
type board interface {
	// boot switches the machine on and returns when otad has been started. The
	// disk must have power already. If the disk lost power meanwhile, the error
	// is a consequence of the cut.
	boot(ctx context.Context, checkpoint string) (*found, error)
	// cut stops everything that runs on the machine, without warning. Where the
	// board can see them, it returns the lengths of the partial files in the
	// machine's memory. It may be called again.
	cut() (partials map[string]int64, err error)
	// host returns the address of the origin as the machine reaches it.
	host() string
}

// found is the content of a board after the boot, before otad has changed
// anything.
type found struct {
	otad  *otadrun.Client
	files map[string]string // the files of the state directory, with their MD5s
	xfs   *bool             // whether the slot can be mounted as xfs; nil: it was not tried
}

// stateFolder is the folder of the disk that otad owns.
const stateFolder = "otad"
