// Package alive tests with real processes that otad serve stays alive and stops
// when it is told to: signals, hanging readers of the log, late addresses,
// unknown names in the configuration.
package alive

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"otad/netio/origintest"
	"otad/testdata/otadrun"
)

// binary is the otad under test.
var binary string

func TestMain(m *testing.M) {
	os.Exit(otadrun.WithBinary(&binary, m.Run))
}

// otad returns a command that runs otad.
func otad(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return otadrun.Command(binary, args...)
}

// check ends the test if err is not nil.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start starts cmd, which is killed at the end of the test.
func start(t *testing.T, cmd *exec.Cmd) *otadrun.Process {
	t.Helper()
	p, err := otadrun.Start(cmd)
	check(t, err)
	t.Cleanup(func() { p.Kill() })
	return p
}

// outcome runs cmd to its end.
func outcome(t *testing.T, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	r := start(t, cmd).Wait()
	return r.Code, r.Stdout, r.Stderr
}

// waitFor waits until more than n bytes of the response to the first request
// have left the origin.
func waitFor(t *testing.T, origin *origintest.Origin, n int64) {
	t.Helper()
	check(t, otadrun.Await(30*time.Second, fmt.Sprintf("the origin has sent %d bytes", n), func() (bool, error) {
		seen := origin.Requests()
		return len(seen) >= 1 && seen[0].BodyBytes > n, nil
	}))
}
