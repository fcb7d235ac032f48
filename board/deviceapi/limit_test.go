package deviceapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"otad/board/deviceapi"
	"otad/fsm"
	"otad/journal"
)

// clock is a clock that a test sets, or that each look moves.
type clock struct {
	mu   sync.Mutex
	time time.Time
	step time.Duration
}

func newClock(step time.Duration) *clock { return &clock{time: time.Unix(1e9, 0), step: step} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.time = c.time.Add(c.step)
	return c.time
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.time = c.time.Add(d)
}

// codeOf returns the code in the body of a reply that has HTTP status 200.
func codeOf(t *testing.T, h http.Handler, r *http.Request) int {
	t.Helper()
	resp, body := do(t, h, r)
	var envelope struct{ Code int }
	if err := json.Unmarshal([]byte(body), &envelope); err != nil || resp.StatusCode != 200 {
		t.Errorf("HTTP %d %s", resp.StatusCode, body)
	}
	return envelope.Code
}

// version returns the request to start that version of the package.
func version(n int) *http.Request {
	return request("POST", "/api/v1.0/download", strings.Replace(goodJob, "1.2.3", fmt.Sprintf("1.2.%d", n), 1))
}

func limited(u deviceapi.Updater, c *clock) http.Handler {
	return deviceapi.New(deviceapi.Config{Updater: u, Addrs: []string{"127.0.0.1:12315"}, Log: quiet(), Now: c.now})
}

// Nobody may wear the flash out: ten commands at once, then one a second.
func TestCommandsAreLimited(t *testing.T) {
	for name, command := range map[string]func(n int) *http.Request{
		"DELETE": func(int) *http.Request { return request("DELETE", "/api/v1.0/download", "") },
		"POST":   version,
		"in turn": func(n int) *http.Request {
			if n%2 == 0 {
				return version(n)
			}
			return request("DELETE", "/api/v1.0/download", "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			u, c := &free{}, newClock(0)
			h := limited(u, c)
			n := 0
			send := func(times, want int) {
				t.Helper()
				for range times {
					if code := codeOf(t, h, command(n)); code != want {
						t.Errorf("command %d: code %d, want %d", n, code, want)
					}
					n++
				}
			}
			send(10, 200)
			send(790, 429)
			c.advance(time.Second)
			send(1, 200)
			send(5, 429)
			c.advance(3 * time.Second)
			send(3, 200)
			send(1, 429)
			c.advance(time.Hour)
			send(10, 200)
			send(1, 429)
			if u.commands != 24 {
				t.Errorf("%d commands reached the machine, want 24", u.commands)
			}
		})
	}
}

// free is an updater that every command may change.
type free struct {
	updater
	commands int
}

func (f *free) Start(context.Context, journal.Job) error { f.commands++; return nil }
func (f *free) Reset(context.Context) error              { f.commands++; return nil }

// What writes nothing uses nothing of the limit up: neither what is refused nor
// what is repeated.
func TestOnlyWritesCount(t *testing.T) {
	refused := &updater{err: fsm.ErrBusy}
	field := &updater{err: &journal.FieldError{Field: journal.FieldURL, Problem: "must be https"}}
	for _, tt := range []struct {
		name    string
		updater *updater
		request func() *http.Request
		want    int
	}{
		{"bad input", &updater{}, func() *http.Request { return request("POST", "/api/v1.0/download", "{}") }, 400},
		{"another job is in the way", refused, func() *http.Request { return version(1) }, 409},
		{"a refused URL", field, func() *http.Request { return version(1) }, 400},
		{"the same job again", &updater{}, func() *http.Request { return version(1) }, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := limited(tt.updater, newClock(0))
			for i := range 100 {
				if code := codeOf(t, h, tt.request()); code != tt.want {
					t.Fatalf("request %d: code %d, want %d", i, code, tt.want)
				}
			}
			tt.updater.err = nil
			for i := range 9 { // the same job has used one up
				if code := codeOf(t, h, request("DELETE", "/api/v1.0/download", "")); code != 200 {
					t.Errorf("command %d afterwards: code %d", i, code)
				}
			}
		})
	}
}

// Bad input is 400 also while the limit is used up; reading is not limited.
func TestTheLimitHidesNoOtherCode(t *testing.T) {
	h := limited(&updater{}, newClock(0))
	for range 11 {
		do(t, h, request("DELETE", "/api/v1.0/download", ""))
	}
	for _, tt := range []struct {
		request *http.Request
		want    int
	}{
		{request("POST", "/api/v1.0/download", "{}"), 400},
		{request("POST", "/api/v1.0/download", goodJob), 429},
		{request("GET", "/progress", ""), 200},
		{request("GET", "/healthz", ""), 200},
	} {
		if code := codeOf(t, h, tt.request); code != tt.want {
			t.Errorf("%s %s: code %d, want %d", tt.request.Method, tt.request.URL.Path, code, tt.want)
		}
	}
}

// A new URL is written, so it counts.
func TestANewURLOfTheSameJobCounts(t *testing.T) {
	h := limited(&updater{}, newClock(0))
	for i := range 12 {
		body := strings.Replace(goodJob, "s3cr3t", fmt.Sprint("s3cr3t", i), 1)
		want := 200
		if i >= 10 {
			want = 429
		}
		if code := codeOf(t, h, request("POST", "/api/v1.0/download", body)); code != want {
			t.Errorf("URL %d: code %d, want %d", i, code, want)
		}
	}
}

// A flood of refused requests is a line a second with the number of them, however
// long their paths are.
func TestRefusedRequestsAreFewLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := deviceapi.New(deviceapi.Config{Updater: &updater{}, Addrs: []string{"127.0.0.1:12315"}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		path := "/" + strings.Repeat("é", 4000)
		for range 30 {
			for range 100 {
				r := request("GET", path, "")
				r.Host = "evil.example"
				do(t, h, r)
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) < 3 || len(lines) > 5 {
			t.Errorf("%d lines in three seconds", len(lines))
		}
		total := 0
		for _, line := range lines {
			var n int
			if _, err := fmt.Sscanf(line[strings.LastIndexByte(line, ' ')+1:], "count=%d", &n); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if total += n; len(line) > 300 || !utf8.ValidString(line) {
				t.Errorf("a line of %d bytes: %q", len(line), line)
			}
		}
		if total != 3000 {
			t.Errorf("%d requests are counted, want 3000", total)
		}
		// After a pause each is logged at once.
		r := request("GET", "/short", "")
		r.Host = "evil.example"
		do(t, h, r)
		if text := log.String(); !strings.Contains(text, "path=/short") {
			t.Error("the next one is not logged at once")
		}
	})
}
