package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// otad is the daemon on the board, as its API shows it.
type otad struct {
	base   string // URL of the API
	client *http.Client
}

// answer is what the API says about itself: the envelope's code and the progress.
type answer struct {
	Code int    `json:"code"`
	Msg  string `json:"msg"`
	Data struct {
		State       string `json:"state"`
		Version     string `json:"version"`
		Name        string `json:"package_name"`
		Size        int64  `json:"package_size"`
		Durable     int64  `json:"bytes_durable"`
		ResumedFrom int64  `json:"resumed_from"`
	} `json:"data"`
}

// newOtad returns a client with connections of its own: those of the last
// power-on lead nowhere.
func newOtad(base string) *otad {
	return &otad{base: base, client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}}}
}

func (o *otad) close() { o.client.CloseIdleConnections() }

// progress asks once.
func (o *otad) progress(ctx context.Context) (answer, error) {
	return o.do(ctx, http.MethodGet, "/api/v1.0/progress", nil)
}

// start posts the job of p, to be had at url.
func (o *otad) start(ctx context.Context, p *parcel, url string) error {
	body, err := json.Marshal(map[string]any{"version": p.version, "package_url": url, "package_name": p.name,
		"package_size": len(p.body), "package_md5": p.md5})
	if err != nil {
		return err
	}
	a, err := o.do(ctx, http.MethodPost, "/api/v1.0/download", body)
	if err != nil {
		return err
	}
	if a.Code != http.StatusOK {
		return fmt.Errorf("%d %s", a.Code, a.Msg)
	}
	return nil
}

func (o *otad) do(ctx context.Context, method, path string, body []byte) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, method, o.base+path, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	req.Host = "localhost"
	req.Header.Set("Content-Type", "application/json")
	resp, err := o.client.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return a, fmt.Errorf("%s %s: %q: %w", method, path, text, err)
	}
	return a, nil
}
