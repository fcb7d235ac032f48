package main

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// parcel is one update package and the job that asks for it.
type parcel struct {
	version string
	name    string
	md5     string
	body    []byte
}

// newParcel makes the n-th package of a run; its bytes follow from the seed and
// n alone.
func newParcel(seed uint64, n int, size int64, name string) *parcel {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(n))
	body := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(body) // never fails
	sum := md5.Sum(body)
	return &parcel{version: fmt.Sprintf("1.0.%d", n), name: name, md5: hex.EncodeToString(sum[:]), body: body}
}

// origin serves the newest package, keeps book of what is asked for, and takes
// otad's callbacks.
type origin struct {
	mu     sync.Mutex
	parcel *parcel
	log    []*transfer
	told   map[string]int // callbacks by stage
}

// transfer is one answered request for bytes of a package.
type transfer struct {
	parcel *parcel
	offset int64
	sent   atomic.Int64 // bytes given to the socket, a little more than what has arrived
}

func newOrigin() *origin { return &origin{told: make(map[string]int)} }

// serve answers on l until it is closed.
func (o *origin) serve(l net.Listener) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{version}", o.download)
	mux.HandleFunc("POST /callback", o.callback)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	_ = server.Serve(l)
}

// offer puts p in the place of the package before it.
func (o *origin) offer(p *parcel) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.parcel = p
}

// transfers returns and forgets the requests seen since the last call.
func (o *origin) transfers() []*transfer {
	o.mu.Lock()
	defer o.mu.Unlock()
	log := o.log
	o.log = nil
	return log
}

// callbacks is how many of a stage have arrived.
func (o *origin) callbacks(stage string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.told[stage]
}

// download answers with ranges and If-Match as net/http does them.
func (o *origin) download(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	p := o.parcel
	if p == nil || p.version != r.PathValue("version") {
		o.mu.Unlock()
		http.NotFound(w, r)
		return
	}
	t := &transfer{parcel: p, offset: firstByte(r.Header.Get("Range"))}
	o.log = append(o.log, t)
	o.mu.Unlock()
	w.Header().Set("ETag", `"`+p.md5+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(&countingWriter{ResponseWriter: w, sent: &t.sent}, r, "", time.Time{}, bytes.NewReader(p.body))
}

func (o *origin) callback(_ http.ResponseWriter, r *http.Request) {
	var notice struct{ Stage string }
	if err := json.NewDecoder(r.Body).Decode(&notice); err != nil {
		return // cut off
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told[notice.Stage]++
}

// firstByte reads N from "bytes=N-"; anything else is a request from the start.
func firstByte(header string) (n int64) {
	_, _ = fmt.Sscanf(header, "bytes=%d-", &n)
	return n
}

type countingWriter struct {
	http.ResponseWriter
	sent *atomic.Int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.sent.Add(int64(n))
	return n, err
}
