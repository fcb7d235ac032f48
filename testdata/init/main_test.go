// Package init_test runs otad under real init systems, with the files of
// board/init as they are: systemd, and BusyBox init. The procd script of OpenWrt
// runs under a stand-in for procd.
//
//	make test-board
//	go test -v -run SystemdWatchdog ./testdata/init
//
// Each board is an init system as process 1 in namespaces of its own (processes,
// mounts, network, cgroups), on a root in memory. It needs root, and Debian's
// systemd and busybox-static. Nothing of this machine is changed.
package init_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"otad/testdata/namespace"
	"otad/testdata/otadrun"
)

// patience is the limit of every wait, on a machine that may have other work.
const patience = 60 * time.Second

// binary is the otad under test.
var binary string

// The test binary is also the first program in a board's namespaces. There it
// builds the board's root and becomes the init system.
func TestMain(m *testing.M) {
	namespace.Enter()
	if os.Geteuid() != 0 {
		fmt.Println("SKIP: NOTHING IS TESTED HERE, namespaces need root")
		os.Exit(0)
	}
	os.Exit(otadrun.WithBinary(&binary, m.Run))
}

// check ends the test if err is not nil.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually ends the test unless the condition is met in time.
func eventually(t *testing.T, text string, met func() bool) {
	t.Helper()
	check(t, otadrun.Await(patience, text, func() (bool, error) { return met(), nil }))
}
