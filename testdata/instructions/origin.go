package main

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"otad/testdata/boards"
)

// plan is the work of the guest.
type plan struct {
	Rounds       int
	Whole, Short pkg
}

// pkg is a package: all of the origin's bytes, or the first of them.
type pkg struct {
	URL  string
	MD5  string
	Size int64
}

// shortSize is the package of which a fetch costs hardly more than its start and
// its end.
const shortSize = 1 << 20

// origin serves the two packages on this machine's loopback.
type origin struct {
	content []byte
	listen  net.Listener
}

func newOrigin(size int64) (*origin, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{content: make([]byte, size), listen: l}
	_, _ = rand.NewChaCha8([32]byte{}).Read(o.content) // never fails
	mux := http.NewServeMux()
	mux.Handle("/whole.bin", served(o.content))
	mux.Handle("/short.bin", served(o.content[:shortSize]))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }() // until it is closed
	return o, nil
}

func (o *origin) close() { _ = o.listen.Close() }

func served(content []byte) http.HandlerFunc {
	tag := `"` + digest(content) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}

func (o *origin) plan(rounds int) plan {
	_, port, _ := net.SplitHostPort(o.listen.Addr().String())
	at := func(name string, content []byte) pkg {
		return pkg{"http://" + boards.HostLoopback + ":" + port + name, digest(content), int64(len(content))}
	}
	return plan{rounds, at("/whole.bin", o.content), at("/short.bin", o.content[:shortSize])}
}

func digest(content []byte) string {
	sum := md5.Sum(content)
	return hex.EncodeToString(sum[:])
}
