package deviceapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio"
)

// callbackBody is the body of a callback. All keys are always there.
type callbackBody struct {
	Stage    string  `json:"stage"`
	Progress int     `json:"progress"`
	Message  string  `json:"message"`
	Error    *string `json:"error"`
}

func bodyOf(e journal.OutboxEntry) callbackBody {
	return callbackBody{
		Stage: stageOf(fsm.State(e.State)), Progress: e.Progress, Message: e.Message, Error: nullIfEmpty(e.Error),
	}
}

// sameStep reports whether o has the stage and the progress step of b.
func (b callbackBody) sameStep(o callbackBody) bool {
	return b.Stage == o.Stage && b.Progress/progressStep == o.Progress/progressStep
}

// poster posts callback bodies to one URL.
type poster struct {
	url     string
	timeout time.Duration
	client  *http.Client
}

// newPoster checks the URL. Its error does not contain the URL, whose query may
// be secret.
func newPoster(rawURL string, timeout time.Duration, transport http.RoundTripper) (poster, error) {
	if netio.CheckURL(rawURL, true) != nil {
		return poster{}, errors.New("the callback URL must be http://host/path or https://host/path")
	}
	if transport == nil {
		transport = newTransport(timeout)
	}
	return poster{url: rawURL, timeout: timeout, client: &http.Client{
		Transport: transport,
		// Following a redirect would send the board's state to a host that is
		// not configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// newTransport opens a new connection for each post. Posts are seconds or days
// apart: an idle connection would cost memory, and could have been closed by
// the receiver when the next post uses it.
func newTransport(timeout time.Duration) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment, // not for loopback
		DialContext:            (&net.Dialer{Timeout: timeout}).DialContext,
		Protocols:              &protocols,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// send posts body and returns the HTTP status of the response, or 0 and an
// error if there was no response. The body of the response is not read.
func (p poster) send(ctx context.Context, body callbackBody) (status int, err error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	try, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(try, http.MethodPost, p.url, bytes.NewReader(encoded))
	if err != nil {
		return 0, errors.New("the callback URL makes no request")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "otad")
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, p.withoutURL(try, err)
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

// withoutURL removes the URL from an error of net/http, which contains it with
// its query.
func (p poster) withoutURL(try context.Context, err error) error {
	if errors.Is(try.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v", p.timeout)
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}
