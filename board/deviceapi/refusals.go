package deviceapi

import (
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// refusalsEvery is the time between two log lines of refused requests.
	refusalsEvery = time.Second
	// maxLogged is in bytes of a text that the client chose.
	maxLogged = 64
)

// refusals logs refused requests, at most one line a second: everyone who can
// connect can send thousands, and a log has to hold other lines too.
type refusals struct {
	log *slog.Logger

	mu    sync.Mutex
	quiet bool  // a line was written less than refusalsEvery ago
	count int   // of the requests since then
	last  []any // attributes of the newest of them
}

// note logs the refusal of r now, or counts it for the next line.
func (l *refusals) note(r *http.Request, reason string) {
	remote := r.RemoteAddr
	if peer := peerOf(r); peer != "" {
		remote = peer
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	l.last = []any{"method", cut(r.Method), "path", cut(r.URL.Path), "remote", remote, "reason", reason}
	if !l.quiet {
		l.write()
	}
}

// write writes the line of the newest refusal with the count of all since the
// line before, and another line a second later if there are more. The caller
// holds mu.
func (l *refusals) write() {
	l.log.Info("request refused", append(l.last, "count", l.count)...)
	l.count, l.last, l.quiet = 0, nil, true
	time.AfterFunc(refusalsEvery, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.quiet = false; l.count > 0 {
			l.write()
		}
	})
}

// cut returns text within maxLogged bytes.
func cut(text string) string {
	if len(text) <= maxLogged {
		return text
	}
	return strings.ToValidUTF8(text[:maxLogged], "") + "..."
}
