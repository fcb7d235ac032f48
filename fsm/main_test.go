package fsm_test

import (
	"flag"
	"os"
	"runtime"
	"strconv"
	"testing"
)

// The tests run with as many processors as otad does: two more than there are, for
// the stages that wait in a sync.
func TestMain(m *testing.M) {
	n := runtime.NumCPU() + 2
	runtime.GOMAXPROCS(n)
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil { // the command line replaces it
		panic(err)
	}
	os.Exit(m.Run())
}
