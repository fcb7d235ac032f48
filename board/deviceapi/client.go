package deviceapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"otad/netio"
)

// ErrNotServing means that no process listens at the address.
var ErrNotServing = errors.New("no otad serves here")

// askTimeout is for a daemon that answers from memory.
const askTimeout = 2 * time.Second

// UnixPrefix begins an address that is the path of a Unix socket.
const UnixPrefix = "unix:"

// ErrOtherStateDir means that the daemon at the address serves another state
// directory, or does not say which.
var ErrOtherStateDir = errors.New("another state directory")

// stateDirHeader holds the identity of the state directory in the answer to GET
// /progress.
const stateDirHeader = "Otad-State-Dir"

// Ask returns the progress of the daemon at addr (host:port or unix:PATH). It
// waits for at most 2 s. If no daemon listens there, the error matches
// [ErrNotServing]. Ask may be called from any goroutine.
func Ask(ctx context.Context, addr string) (Progress, error) { return AskServing(ctx, addr, "") }

// AskServing is [Ask] for the daemon whose Config.StateDir is stateDir, "" for
// any. If it is another, the error matches [ErrOtherStateDir].
func AskServing(ctx context.Context, addr, stateDir string) (Progress, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	host, network, target := addr, "tcp", addr
	if path, ok := strings.CutPrefix(addr, UnixPrefix); ok {
		host, network, target = "localhost", "unix", path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/api/v1.0/progress", nil)
	if err != nil {
		return Progress{}, err
	}
	transport := &http.Transport{ // no proxy: the daemon is on this board
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return netio.DialContext(ctx, network, target)
		},
	}
	resp, err := transport.RoundTrip(req)
	if errors.Is(err, syscall.ECONNREFUSED) || network == "unix" && errors.Is(err, syscall.ENOENT) {
		return Progress{}, ErrNotServing
	}
	if err != nil {
		return Progress{}, fmt.Errorf("ask the daemon at %s: %w", addr, err)
	}
	defer resp.Body.Close()
	var body struct {
		Data *Progress `json:"data"`
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&body)
	if err != nil || body.Data == nil {
		return Progress{}, fmt.Errorf("what listens on %s does not answer like otad (HTTP %d)", addr, resp.StatusCode)
	}
	switch got := resp.Header.Get(stateDirHeader); {
	case stateDir == "" || got == stateDir:
		return *body.Data, nil
	case got == "":
		return Progress{}, fmt.Errorf("the daemon at %s is of an earlier otad and may serve %w", addr, ErrOtherStateDir)
	default:
		return Progress{}, fmt.Errorf("the daemon at %s serves %w", addr, ErrOtherStateDir)
	}
}
