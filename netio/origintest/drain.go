package origintest

import (
	"net"
	"syscall"
	"time"
	"unsafe"
)

// drain waits until the peer's kernel has acknowledged all that was written, so that a reset does not take back bytes of which a test counts
// each one. It gives up when the connection is gone, or after two seconds with a client that does not read.
func drain(c *net.TCPConn, gone <-chan struct{}) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for range 2000 {
		if unsent(raw) == 0 {
			return
		}
		select {
		case <-poll.C:
		case <-gone:
			return
		}
	}
}

// unsent asks Linux for the bytes in the send queue (SIOCOUTQ, tcp(7)); 0 also when it cannot tell.
func unsent(raw syscall.RawConn) int {
	var queued int32
	err := raw.Control(func(fd uintptr) {
		syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&queued)))
	})
	if err != nil {
		return 0
	}
	return int(queued)
}
