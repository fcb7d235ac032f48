package main

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// pkg is one update package and the job that asks for it.
type pkg struct {
	version string
	name    string
	md5     string
	body    []byte
	broken  atomic.Bool // a transfer was broken off, so the job may be Failed for a while
}

// newPackage makes the n-th package of a run; its bytes follow from the seed and
// n alone.
func newPackage(seed uint64, n int, size int64, name string) *pkg {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(n))
	body := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(body) // never fails
	return newPackageOf(n, body, name)
}

func newPackageOf(n int, body []byte, name string) *pkg {
	sum := md5.Sum(body)
	return &pkg{version: fmt.Sprintf("1.0.%d", n), name: name, md5: hex.EncodeToString(sum[:]), body: body}
}

// origin serves the newest package, logs the requests, and receives otad's
// callbacks.
type origin struct {
	mu     sync.Mutex
	pkg    *pkg
	log    []*transfer
	stages map[string]int // callbacks by stage
	open   int            // connections
	link   link
	rng    *rand.Rand // decides where transfers break off
	breaks int        // left in this boot
	broke  func()     // called before the first of them
}

// transfer is one answered request for bytes of a package.
type transfer struct {
	pkg    *pkg
	offset int64
	sent   atomic.Int64 // bytes written to the socket, a little more than have arrived
}

func newOrigin() *origin { return &origin{stages: make(map[string]int)} }

// serve answers on l until it is closed.
func (o *origin) serve(l net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{version}", o.download)
	mux.HandleFunc("POST /callback", o.callback)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, ConnState: o.count}
	_ = server.Serve(l)
}

func (o *origin) count(_ net.Conn, state http.ConnState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch state {
	case http.StateNew:
		o.open++
	case http.StateClosed:
		o.open--
	}
}

// offer replaces the package.
func (o *origin) offer(p *pkg) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pkg = p
}

// use sets the link of the next boot. broke is called when its first transfer is
// about to break off.
func (o *origin) use(l link, seed uint64, broke func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.link, o.rng, o.breaks, o.broke = l, rand.New(rand.NewPCG(seed, 0)), breaks, broke
}

// transfers returns and forgets the requests of a boot. The board must be
// without power. Its connections are closed then, but its last request may not
// have been read here yet; counted in the next boot, that would be a request
// for bytes that the board has long had.
func (o *origin) transfers(address string) ([]*transfer, error) {
	// Connections are accepted in order: when this one is answered, all earlier
	// ones are open.
	last, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer last.Close()
	if _, err := io.WriteString(last, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, last); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		o.mu.Lock()
		log, open := o.log, o.open
		if open == 0 {
			o.log = nil
		}
		o.mu.Unlock()
		if open == 0 {
			return log, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d connections of a board without power are open", open)
		}
	}
}

// callbacks returns the number of callbacks of a stage.
func (o *origin) callbacks(stage string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stages[stage]
}

// download answers with ranges and If-Match as net/http does them.
func (o *origin) download(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	p := o.pkg
	if p == nil || p.version != r.PathValue("version") {
		o.mu.Unlock()
		http.NotFound(w, r)
		return
	}
	t := &transfer{pkg: p, offset: firstByte(r.Header.Get("Range"))}
	o.log = append(o.log, t)
	body := &transferWriter{ResponseWriter: w, sent: &t.sent, left: -1}
	switch {
	case o.link == slow:
		body.rate = int64(len(p.body)) * int64(time.Second) / int64(slowTime)
	case o.link == failing && o.breaks > 0:
		if o.breaks == breaks {
			body.broke = o.broke
		}
		o.breaks--
		body.left = o.rng.Int64N(max(1, int64(len(p.body))-t.offset))
		p.broken.Store(true)
	}
	o.mu.Unlock()
	w.Header().Set("ETag", `"`+p.md5+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(body, r, "", time.Time{}, bytes.NewReader(p.body))
}

func (o *origin) callback(_ http.ResponseWriter, r *http.Request) {
	var notice struct{ Stage string }
	if err := json.NewDecoder(r.Body).Decode(&notice); err != nil {
		return // cut off
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stages[notice.Stage]++
}

// firstByte reads N from "bytes=N-"; anything else is a request from the start.
func firstByte(header string) (n int64) {
	_, _ = fmt.Sscanf(header, "bytes=%d-", &n)
	return n
}
