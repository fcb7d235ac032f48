package netio_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"otad/netio"
)

// BenchmarkBodyRead reads blocks of 256 KiB from a server on loopback.
func BenchmarkBodyRead(b *testing.B) {
	const size, block = 256 << 20, 256 << 10
	chunk := make([]byte, block)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		for range size / block {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	f := newFetcher(b, netio.Config{})
	open := func() *netio.Body {
		body, err := f.Open(b.Context(), netio.Request{URL: s.URL, Size: size})
		if err != nil {
			b.Fatal(err)
		}
		return body
	}
	body, p := open(), make([]byte, block)
	b.SetBytes(block)
	b.ReportAllocs()
	for b.Loop() {
		_, err := io.ReadFull(body, p)
		if errors.Is(err, io.EOF) {
			body.Close()
			body = open()
		} else if err != nil {
			b.Fatal(err)
		}
	}
	body.Close()
}
