package main

import (
	"context"

	"otad/testdata/otadrun"
)

// board is a machine with otad on it and a disk of ours in it: this host's
// kernel, or a guest's.
type board interface {
	// boot switches the machine on, with the disk on power already, and returns
	// when otad has been started. An error after the disk died is the cut's
	// doing.
	boot(ctx context.Context, checkpoint string) (*found, error)
	// cut stops everything that runs on the machine, at once and without a word
	// to it. Where that can be seen it tells how long the partial files had
	// become in the machine's memory. It may be called again.
	cut() (partials map[string]int64, err error)
	// host is where the machine reaches the origin.
	host() string
}

// found is what a board holds when it comes up, before otad has touched anything.
type found struct {
	otad  *otadrun.Client
	files map[string]string // the files of the state directory, with their MD5s
}

// stateFolder is the folder of the disk that otad owns.
const stateFolder = "otad"
