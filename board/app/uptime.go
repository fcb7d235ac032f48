package app

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// bootName is how much of the boot's identifier is kept: enough that no two boots
// of a board share it.
const bootName = 8

// boot returns a name of this boot of the board, "" when the kernel gives none
// (proc(5), /proc/sys/kernel/random/boot_id).
func boot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	name := strings.TrimSpace(string(id))
	return name[:min(len(name), bootName)]
}

// uptime returns how long ago the board was booted, the time in which it was
// suspended included (CLOCK_BOOTTIME, clock_gettime(2)). Nothing sets this clock.
func uptime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}
