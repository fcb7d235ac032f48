package systemd_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"otad/board/systemd"
)

func TestNotifySendsTheState(t *testing.T) {
	for name, socket := range map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": "@otad-test-" + strconv.Itoa(os.Getpid()),
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.ListenPacket("unixgram", socket)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			t.Setenv("NOTIFY_SOCKET", socket)
			for _, tt := range []struct {
				send func() error
				want string
			}{
				{func() error { return systemd.NotifyReady("listening on\n127.0.0.1:12315") }, "READY=1\nSTATUS=listening on 127.0.0.1:12315"},
				{systemd.NotifyStopping, "STOPPING=1"},
				{systemd.NotifyWatchdog, "WATCHDOG=1"},
				{func() error { return systemd.NotifyStatus("u.zip\n42 %") }, "STATUS=u.zip 42 %"},
			} {
				if err := tt.send(); err != nil {
					t.Fatal(err)
				}
				got := make([]byte, 1024)
				n, _, err := l.ReadFrom(got)
				if err != nil || string(got[:n]) != tt.want {
					t.Errorf("systemd received %q, %v, want %q", got[:n], err, tt.want)
				}
			}
		})
	}
}

func TestNotifyDoesNothingWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if err := systemd.NotifyReady("up"); err != nil {
		t.Error(err)
	}
}

func TestNotifyFailsWithoutAListener(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	if err := systemd.NotifyReady("up"); err == nil {
		t.Error("NotifyReady returned no error")
	}
}

// An init system that does not read keeps nobody waiting.
func TestNotifyDoesNotWaitForAReader(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenPacket("unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	for err == nil { // until its queue is full
		begun := time.Now()
		err = systemd.NotifyStopping()
		if took := time.Since(begun); took > time.Second {
			t.Fatalf("a message took %v", took)
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestWatchdogInterval(t *testing.T) {
	for _, tt := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"300000000", "", 5 * time.Minute},
		{"1000000", strconv.Itoa(os.Getpid()), time.Second},
		{"1000000", "1", 0}, // of another process
		{"", "", 0}, {"0", "", 0}, {"-5", "", 0}, {"soon", "", 0}, {"9223372036854775807", "", 0},
	} {
		t.Setenv("WATCHDOG_USEC", tt.usec)
		t.Setenv("WATCHDOG_PID", tt.pid)
		if got := systemd.WatchdogInterval(); got != tt.want {
			t.Errorf("%q of %q: got %v, want %v", tt.usec, tt.pid, got, tt.want)
		}
	}
}
