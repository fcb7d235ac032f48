// Package systemd reports the state of the service to the init system that
// started it, by sd_notify(3) for units with Type=notify. Under any other init
// system, which does not set NOTIFY_SOCKET, its functions do nothing. They may
// be called from any goroutine.
package systemd

import (
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// NotifyReady reports that the service is up, with one line of status for
// "systemctl status". The caller should log an error and go on: systemd ends a
// service that does not report in time.
func NotifyReady(status string) error {
	// A line feed would start another assignment.
	return notify("READY=1\nSTATUS=" + strings.ReplaceAll(status, "\n", " "))
}

// NotifyStopping reports that the service has begun to stop.
func NotifyStopping() error { return notify("STOPPING=1") }

// NotifyWatchdog reports that the service is alive, for units with WatchdogSec=.
func NotifyWatchdog() error { return notify("WATCHDOG=1") }

// NotifyStatus sets the line of "systemctl status".
func NotifyStatus(status string) error {
	return notify("STATUS=" + strings.ReplaceAll(status, "\n", " "))
}

// WatchdogInterval returns the time within which systemd expects NotifyWatchdog
// from this process, zero when it expects none (sd_watchdog_enabled(3)).
func WatchdogInterval() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 || usec > int64(math.MaxInt64/time.Microsecond) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// writeLimit is how long a message waits for systemd to read those before it. The
// machine's own goroutine sends some of them.
const writeLimit = 200 * time.Millisecond

func notify(state string) error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	// Package net and systemd both write an abstract address with a leading
	// '@'.
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
