package systemd

import (
	"fmt"
	"net"
	"os"
	"strings"
)

// NotifyReady tells systemd that the service is up (sd_notify(3), Type=notify),
// with one line for "systemctl status". Under another init system, without
// NOTIFY_SOCKET in the environment, it does nothing. An error is worth a line
// in the log: systemd will kill a service it never heard from.
func NotifyReady(status string) error {
	// A line feed would start another assignment.
	return notify("READY=1\nSTATUS=" + strings.ReplaceAll(status, "\n", " "))
}

// NotifyStopping tells systemd that the service is stopping by itself.
func NotifyStopping() error { return notify("STOPPING=1") }

func notify(state string) error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	// Package net takes a leading '@' for the abstract namespace, as systemd does.
	conn, err := net.Dial("unixgram", socket)
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
