package otadrun

import (
	"fmt"
	"net"
	"time"
)

// Await polls until ready returns true. It returns an error when ready does, or
// when limit is reached. The text names the condition in the error.
func Await(limit time.Duration, text string, ready func() (bool, error)) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		if ok, err := ready(); ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %s", limit, text)
		}
	}
}

// AwaitListener waits until the process accepts connections at addr.
func (p *Process) AwaitListener(addr string, limit time.Duration) error {
	return p.Await(limit, addr+" accepts connections", func() (bool, error) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false, nil
		}
		return true, c.Close()
	})
}

// AwaitFile waits until the file at path has at least n bytes.
func (p *Process) AwaitFile(path string, n int64, limit time.Duration) error {
	return p.Await(limit, fmt.Sprintf("%s has %d bytes", path, n), func() (bool, error) {
		size, err := FileSize(path)
		return size >= n, err
	})
}

// FreeAddress returns an address on which nobody listens, with a host that is an
// IP address.
func FreeAddress(host string) (string, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
