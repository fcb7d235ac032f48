package otadrun

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Client is a client of a daemon's API.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a client of the daemon at addr. It has connections of its
// own: those of a killed daemon on the same address are never used again.
func NewClient(addr string) *Client {
	return &Client{"http://" + addr, &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}}
}

// Close closes the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Job is the body of a POST to /api/v1.0/download.
type Job struct {
	Version string `json:"version"`
	URL     string `json:"package_url"`
	Name    string `json:"package_name"`
	Size    int64  `json:"package_size"`
	MD5     string `json:"package_md5"`
	Output  string `json:"output,omitempty"` // name of a device
}

// Progress is the part of the daemon's progress that the rigs need.
type Progress struct {
	State   string `json:"state"`
	Version string `json:"version"`
	Durable int64  `json:"bytes_durable"`
	Message string `json:"message"`
	Error   string `json:"error"`
}

// Response is a response of the API.
type Response struct {
	Code int      `json:"code"` // 200 unless the request, or the job, failed
	Msg  string   `json:"msg"`
	Data Progress `json:"data"` // of GET /api/v1.0/progress
}

// Err returns an error unless the code of the response is 200.
func (r Response) Err() error {
	if r.Code == http.StatusOK {
		return nil
	}
	return fmt.Errorf("%d %s", r.Code, r.Msg)
}

// Post sends a job.
func (c *Client) Post(ctx context.Context, job Job) (Response, error) {
	body, err := json.Marshal(job)
	if err != nil {
		return Response{}, err
	}
	for {
		r, err := c.do(ctx, http.MethodPost, "/api/v1.0/download", body)
		if err != nil || r.Code != http.StatusTooManyRequests {
			return r, err
		}
		select { // commands are limited to one a second: wait as every client has to
		case <-time.After(time.Second):
		case <-ctx.Done():
			return r, ctx.Err()
		}
	}
}

// Progress returns the daemon's progress. That of a failed job has the code 500.
func (c *Client) Progress(ctx context.Context) (Response, error) {
	return c.do(ctx, http.MethodGet, "/api/v1.0/progress", nil)
}

// AwaitState polls until the daemon is in the state.
func (c *Client) AwaitState(ctx context.Context, state string, limit time.Duration) (p Progress, err error) {
	err = Await(limit, "state "+state, func() (bool, error) {
		r, err := c.Progress(ctx)
		p = r.Data
		return p.State == state, err
	})
	return p, err
}

// Get returns the body at path, such as /metrics, and the HTTP status.
func (c *Client) Get(ctx context.Context, path string) ([]byte, int, error) {
	return c.ask(ctx, http.MethodGet, path, nil)
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (r Response, err error) {
	text, _, err := c.ask(ctx, method, path, body)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	return r, err
}

func (c *Client) ask(ctx context.Context, method, path string, body []byte) (text []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	req.Host = "localhost" // addr may be that of a port forwarder, a host that otad refuses
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	return text, resp.StatusCode, err
}
