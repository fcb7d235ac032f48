package deviceapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"
)

// ErrNotServing means that no process listens at the address.
var ErrNotServing = errors.New("no otad serves here")

// askTimeout is for a daemon that answers from memory.
const askTimeout = 2 * time.Second

// Ask returns the progress of the daemon at addr (host:port). It waits for at
// most 2 s. If no daemon listens there, the error matches [ErrNotServing]. Ask
// may be called from any goroutine.
func Ask(ctx context.Context, addr string) (Progress, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/api/v1.0/progress", nil)
	if err != nil {
		return Progress{}, err
	}
	transport := &http.Transport{DisableKeepAlives: true} // no proxy: the daemon is on this board
	resp, err := transport.RoundTrip(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
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
	return *body.Data, nil
}
