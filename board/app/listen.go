package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"otad/board/deviceapi"
	"otad/netio"
)

// doors are the listeners of serve.
type doors struct {
	api     []net.Listener // at least one
	metrics net.Listener   // of metrics alone, that systemd has opened; nil: none
}

// openDoors listens on the addresses of the API. A socket that systemd has opened
// for this process takes the place of its address, also for the one of metrics
// ("": none); one of no address is for the API.
func openDoors(addrs []string, metrics string) (d doors, err error) {
	passed, err := passedSockets(os.Getpid())
	defer func() {
		if err != nil {
			closeAll(append(append(passed, d.api...), d.metrics))
		}
	}()
	if err != nil {
		return d, err
	}
	open := func(addr string) (net.Listener, error) {
		if i := slices.IndexFunc(passed, func(l net.Listener) bool { return covers(l, addr) }); i >= 0 {
			l := passed[i]
			passed = slices.Delete(passed, i, i+1)
			return l, nil
		}
		if slices.ContainsFunc(d.api, func(l net.Listener) bool { return covers(l, addr) }) {
			return nil, nil // it is given twice, or a passed one has it already
		}
		return listen(addr)
	}
	for _, addr := range addrs {
		l, err := open(addr)
		if err != nil {
			return d, err
		}
		if l != nil {
			d.api = append(d.api, l)
		}
	}
	if metrics != "" && !slices.Contains(addrs, metrics) {
		if i := slices.IndexFunc(passed, func(l net.Listener) bool { return covers(l, metrics) }); i >= 0 {
			d.metrics = passed[i]
			passed = slices.Delete(passed, i, i+1)
		}
	}
	d.api = append(d.api, passed...)
	return d, nil
}

func closeAll(list []net.Listener) {
	for _, l := range list {
		if l != nil {
			l.Close()
		}
	}
}

// listen listens on host:port or unix:PATH.
func listen(addr string) (l net.Listener, err error) {
	path, isUnix := strings.CutPrefix(addr, deviceapi.UnixPrefix)
	if isUnix {
		l, err = listenUnix(path)
	} else {
		l, err = net.Listen("tcp", netio.ListenAddress(addr))
	}
	if err == nil {
		return l, nil
	}
	hint := "name another address"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "stop what uses it or " + hint
	case isUnix && errors.Is(err, syscall.ENOENT):
		hint = "make its directory or " + hint
	}
	if inner := errors.Unwrap(err); inner != nil {
		err = inner
	}
	return nil, fmt.Errorf("listen on %s: %w; %s", addr, err, hint)
}

// listenUnix listens on a socket of mode 0660: otad's user and group, or the
// group of the directory if that is setgid, may connect. A socket that a killed
// otad has left behind is replaced.
func listenUnix(path string) (net.Listener, error) {
	// From its first moment the socket is closed to others. A file that is made
	// meanwhile gets less than its mode, never more.
	defer syscall.Umask(syscall.Umask(0o117))
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && isLeftBehind(path) {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		l, err = net.Listen("unix", path)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil { // beyond an ACL of the directory
		l.Close()
		return nil, err
	}
	return l, nil
}

// isLeftBehind reports whether path is a socket on which nobody listens.
func isLeftBehind(path string) bool {
	st, err := os.Lstat(path)
	if err != nil || st.Mode().Type() != os.ModeSocket {
		return false
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// firstPassed is the descriptor of the first socket of sd_listen_fds(3).
const firstPassed = 3

// passedSockets returns the sockets that systemd has opened for the process pid,
// so that nobody else can take their addresses while otad is down. It removes
// their variables from the environment.
func passedSockets(pid int) (list []net.Listener, err error) {
	owner, fds := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	if owner != strconv.Itoa(pid) {
		return nil, nil // meant for another process
	}
	n, err := strconv.Atoi(fds)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("LISTEN_FDS is %q, want the number of sockets", fds)
	}
	for fd := firstPassed; fd < firstPassed+n; fd++ {
		f := os.NewFile(uintptr(fd), fmt.Sprint("socket ", fd))
		l, err := net.FileListener(f) // a duplicate, closed in child processes
		f.Close()
		if err != nil {
			closeAll(list)
			return nil, fmt.Errorf("descriptor %d of LISTEN_FDS is no socket that listens: %w", fd, err)
		}
		list = append(list, l)
	}
	return list, nil
}

// covers reports whether l listens on addr already.
func covers(l net.Listener, addr string) bool {
	switch own := l.Addr().(type) {
	case *net.UnixAddr:
		return deviceapi.UnixPrefix+own.Name == addr
	case *net.TCPAddr:
		host, port, err := net.SplitHostPort(addr)
		if err != nil || port == "0" || port != strconv.Itoa(own.Port) {
			return false
		}
		return own.IP.IsUnspecified() || own.IP.Equal(net.ParseIP(host))
	}
	return false
}

// names returns the addresses by which clients may call the API.
func (d doors) names(configured []string) []string {
	names := slices.Clone(configured)
	for _, l := range d.api {
		names = append(names, l.Addr().String())
	}
	return names
}

// String returns the addresses of the API.
func (d doors) String() string {
	var list []string
	for _, l := range d.api {
		list = append(list, l.Addr().String())
	}
	return strings.Join(list, " ")
}

// warn logs which doors are open to more than the users that an administrator
// has chosen.
func (d doors) warn(log *slog.Logger, token string) {
	if token != "" {
		return // of a socket that every user may connect to, too
	}
	for _, l := range d.api {
		where := l.Addr().String()
		switch own := l.Addr().(type) {
		case *net.UnixAddr:
			if st, err := os.Stat(own.Name); err != nil || st.Mode().Perm()&0o002 != 0 {
				log.Warn("every local user may command otad: set -token-file, or mode 0660 for the socket", "listen", where)
			}
		case *net.TCPAddr:
			if own.IP.IsLoopback() {
				log.Warn("every local user may command otad: set -token-file", "listen", where)
			} else {
				log.Warn("everyone on the network may command otad: set -token-file, or listen on 127.0.0.1", "listen", where)
			}
		}
	}
}
