package deviceapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
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
		Stage:    stageOf(fsm.Snapshot{State: fsm.State(e.State), Stage: fsm.Stage(e.Install)}),
		Progress: shownProgress(fsm.Code(e.Code), e.Progress),
		Message:  netio.Printable(e.Message),
		Error:    nullIfEmpty(netio.Printable(e.Error)),
	}
}

// sameStep reports whether o has the stage and the progress step of b.
func (b callbackBody) sameStep(o callbackBody) bool {
	return b.Stage == o.Stage && b.Progress/progressStep == o.Progress/progressStep
}

// callback is a body and what its header has: which job it is about, and the
// number of the transition.
type callback struct {
	body callbackBody
	job  journal.EntryJob // zero: not known, or there is none
	seq  uint64           // 0: progress, which has no number
}

// setHeader sets the fields of c that are known. A name may have letters that a
// field value cannot have: it is percent-encoded, as in a URL's path.
func (c callback) setHeader(h http.Header) {
	for name, value := range map[string]string{
		"Otad-Version": c.job.Version,
		"Otad-Package": url.PathEscape(c.job.Name),
		"Otad-MD5":     c.job.MD5,
	} {
		if value != "" {
			h[name] = []string{value}
		}
	}
	if c.seq > 0 {
		h["Otad-Sequence"] = []string{strconv.FormatUint(c.seq, 10)}
	}
}

// poster posts callbacks to one URL.
type poster struct {
	url     string
	token   string // bearer token; empty: none
	timeout time.Duration
	client  *http.Client
}

// newPoster checks the URL and the token. Its error contains neither: the URL's
// query may be secret too.
func newPoster(rawURL, token string, timeout time.Duration, transport http.RoundTripper) (poster, error) {
	if netio.CheckURL(rawURL, true) != nil {
		return poster{}, errors.New("the callback URL must be http://host/path or https://host/path")
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return poster{}, errors.New("the callback token must be printable ASCII without spaces")
	}
	return poster{url: rawURL, token: token, timeout: timeout, client: &http.Client{
		Transport: transport,
		// Following a redirect would send the board's state to a host that is
		// not configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// transport opens a new connection for each post. Posts are seconds or days
// apart: an idle connection would cost memory, and could have been closed by
// the receiver when the next post uses it.
func (c CallbackConfig) transport() http.RoundTripper {
	if c.Transport != nil {
		return c.Transport
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment, // not for loopback
		DialContext:            netio.DialContext,
		TLSClientConfig:        netio.TLSConfig(c.TLSMin),
		Protocols:              &protocols,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
}

// send posts c and returns the HTTP status of the response, or 0 and an error
// if there was no response. The body of the response is not read.
func (p poster) send(ctx context.Context, c callback) (status int, err error) {
	encoded, err := json.Marshal(c.body)
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
	c.setHeader(req.Header)
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
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
