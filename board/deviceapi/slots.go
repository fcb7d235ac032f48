package deviceapi

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A connection has some time for itself before another one may take its slot: an
// honest client's header comes with the connection or right after it. The time
// is longest while few others wait in the kernel, where a connection that waits
// long has its header by the time it gets a slot. A long queue must be through
// within drainTime: a client that finds it full tries again only after a second.
const (
	longestStay = 250 * time.Millisecond
	usualStay   = 5 * time.Millisecond // where the length of the queue is not known
	drainTime   = 50 * time.Millisecond
)

// slots is a listener with a bounded number of open connections: each costs
// buffers and a stack, and everyone on the network can open one. When all slots
// are taken, a connection that holds its slot without need is closed for the
// next one. So nobody keeps the others out by connections that do nothing.
type slots struct {
	net.Listener
	max     int
	changed chan struct{} // holds a token when a connection was closed or became idle
	closed  chan struct{}
	once    sync.Once

	mu    sync.Mutex
	conns []*slotConn // that are open, in the order of since
}

func newSlots(l net.Listener, n int) *slots {
	return &slots{Listener: l, max: n, changed: make(chan struct{}, 1), closed: make(chan struct{})}
}

// Accept returns the next connection when it has a slot.
func (s *slots) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &slotConn{Conn: conn, slots: s, peer: credentials(conn)}
	for {
		wait, ok := s.admit(c)
		if ok {
			return c, nil
		}
		retry := time.NewTimer(wait)
		select {
		case <-s.changed:
		case <-retry.C:
		case <-s.closed:
			conn.Close()
			return nil, net.ErrClosed
		}
		retry.Stop()
	}
}

// admit gives c a slot, that of another connection if all are taken. If there is
// none to give, ok is false, and wait is the time after which there may be one.
func (s *slots) admit(c *slotConn) (wait time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if len(s.conns) >= s.max {
		i, wait := s.leastNeeded(now, s.stay())
		if wait > 0 {
			return wait, false
		}
		s.conns[i].Conn.Close() // its goroutine sees an error and ends
		s.conns = slices.Delete(s.conns, i, i+1)
	}
	c.since = now
	s.conns = append(s.conns, c)
	return 0, true
}

// stay returns the time that each connection has for itself.
func (s *slots) stay() time.Duration {
	socket, ok := s.Listener.(*net.TCPListener)
	if !ok {
		return usualStay
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return usualStay
	}
	var info *unix.TCPInfo
	if raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO) }) != nil || err != nil {
		return usualStay
	}
	// Of a socket that listens, Unacked is the length of the queue.
	return min(longestStay, drainTime*time.Duration(s.max)/time.Duration(info.Unacked+1))
}

// leastNeeded returns the index of the connection to close for another one: the
// oldest that is idle or has not sent its header, else the oldest that has not
// sent its body or does not read its reply. If none may be closed yet, wait is
// the time after which to look again. Commands that wait for the machine are
// never closed; their own limit leaves few of them. The caller holds mu.
func (s *slots) leastNeeded(now time.Time, stay time.Duration) (i int, wait time.Duration) {
	wait = time.Second // a connection that closes by itself ends it
	for _, p := range []phase{waiting, replying} {
		for i, c := range s.conns {
			switch left := stay - now.Sub(c.since); {
			case c.phase != p:
			case left > 0:
				return 0, left // those behind it are younger
			case p == waiting && c.hasUnread():
				wait = time.Millisecond // its header is there, and its goroutine is about to run
			default:
				return i, 0
			}
		}
	}
	return 0, wait
}

// Close closes the listener. It does not close the connections.
func (s *slots) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Listener.Close()
}

// phase is what a connection does.
type phase int

const (
	waiting  phase = iota // for a request, or for the rest of its header
	replying              // a handler reads the body or writes the reply
	pinned                // a command waits for the machine
)

// slotConn is a connection that has a slot until it is closed.
type slotConn struct {
	net.Conn
	slots *slots
	peer  string // credentials of the client of a Unix socket; else empty

	// Both are guarded by slots.mu.
	phase phase
	since time.Time // the start of the phase
}

func (c *slotConn) enter(p phase) {
	s := c.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	c.phase, c.since = p, time.Now()
	if i := slices.Index(s.conns, c); i >= 0 {
		s.conns = append(slices.Delete(s.conns, i, i+1), c)
	}
	signal(s.changed)
}

// hasUnread reports whether bytes of the client wait in the socket.
func (c *slotConn) hasUnread() bool {
	socket, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return err == nil && n > 0
}

// Close closes the connection and frees its slot.
func (c *slotConn) Close() error {
	err := c.Conn.Close()
	s := c.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.conns, c); i >= 0 {
		s.conns = slices.Delete(s.conns, i, i+1)
	}
	signal(s.changed)
	return err
}

// CloseWrite lets a refusal reach a client that is still sending: net/http
// calls it before it closes the connection, and the client gets no reset.
func (c *slotConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// credentials returns the user, group and process that connected to a Unix
// socket, as the kernel recorded them, or "".
func credentials(conn net.Conn) string {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return ""
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return "unknown"
	}
	var peer *unix.Ucred
	if raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }) != nil || err != nil {
		return "unknown"
	}
	return fmt.Sprintf("uid %d gid %d pid %d", peer.Uid, peer.Gid, peer.Pid)
}

// peerOf returns the credentials of the client of a Unix socket, or "".
func peerOf(r *http.Request) string {
	if slot, ok := r.Context().Value(slotKey{}).(*slotConn); ok {
		return slot.peer
	}
	return ""
}

// slotKey is the key of a request's *slotConn in its context.
type slotKey struct{}

// withSlot is a ConnContext of http.Server.
func withSlot(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, slotKey{}, c)
}

// noteIdle is a ConnState of http.Server: it hears that a reply is sent.
func noteIdle(c net.Conn, state http.ConnState) {
	if slot, ok := c.(*slotConn); ok && state == http.StateIdle {
		slot.enter(waiting)
	}
}

// serving returns h for requests on connections that have a slot: a request
// whose header is complete is not interrupted for one that has none.
func serving(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		enterPhase(r, replying)
		h.ServeHTTP(w, r)
	})
}

// enterPhase sets the phase of the request's connection, if it has a slot.
func enterPhase(r *http.Request, p phase) {
	if slot, ok := r.Context().Value(slotKey{}).(*slotConn); ok {
		slot.enter(p)
	}
}
