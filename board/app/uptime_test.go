package app

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestUptimeIsTheKernels(t *testing.T) {
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Skip(err)
	}
	var seconds float64
	if _, err := fmt.Sscan(string(text), &seconds); err != nil {
		t.Fatal(err)
	}
	if got := uptime().Seconds(); got < seconds || got > seconds+time.Minute.Seconds() {
		t.Errorf("the board has run for %v s, and /proc/uptime said %v before", got, seconds)
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Skip(err)
	}
	if got := boot(); len(got) != bootName || !strings.HasPrefix(string(id), got) {
		t.Errorf("the boot is %q, want the beginning of %s", got, id)
	}
}
