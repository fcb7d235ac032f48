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
)

// message is the body of a callback. All keys are always there.
type message struct {
	Stage    string  `json:"stage"`
	Progress int     `json:"progress"`
	Message  string  `json:"message"`
	Error    *string `json:"error"`
}

func messageOf(n journal.OutboxEntry) message {
	return message{Stage: stage(fsm.State(n.State)), Progress: n.Progress, Message: n.Message, Error: failure(n.Error)}
}

// sameStep tells whether o would say nothing that m has not said.
func (m message) sameStep(o message) bool {
	return m.Stage == o.Stage && m.Progress/progressStep == o.Progress/progressStep
}

// result is what an answer means for the next try.
type result int

const (
	unanswered result = iota // no answer, or one that says "later"
	rejected                 // an answer that will hardly change
	delivered
)

func resultOf(status int) result {
	switch {
	case status >= 200 && status < 300:
		return delivered
	case status == 0, status >= 500, status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		return unanswered
	default:
		return rejected
	}
}

// poster posts messages to one URL.
type poster struct {
	url     string
	shown   string // the URL as it may be shown: without query and userinfo
	timeout time.Duration
	client  *http.Client
}

// newPoster checks the URL. The error does not repeat it: there may be a secret
// in its query.
func newPoster(raw string, timeout time.Duration, transport http.RoundTripper) (poster, error) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return poster{}, errors.New("the callback URL must be http://host/path or https://host/path")
	}
	if transport == nil {
		transport = newTransport(timeout)
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return poster{url: raw, shown: shown.String(), timeout: timeout, client: &http.Client{
		Transport: transport,
		// A redirect would take the board's state to a host nobody configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// newTransport keeps nothing between posts: they are seconds or days apart, and
// an idle connection is memory here and a half-open surprise there.
func newTransport(timeout time.Duration) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment, // which leaves loopback alone
		DialContext:            (&net.Dialer{Timeout: timeout}).DialContext,
		Protocols:              &protocols,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// send posts m and returns the status of the answer; 0 and an error when there
// was none. The body of an answer is not read.
func (p poster) send(ctx context.Context, m message) (status int, err error) {
	body, err := json.Marshal(m)
	if err != nil {
		return 0, err
	}
	try, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(try, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("the callback URL makes no request")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "otad")
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, p.reason(try, err)
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

// reason takes the URL out of an error of net/http, which repeats it whole.
func (p poster) reason(try context.Context, err error) error {
	if errors.Is(try.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v", p.timeout)
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}
