package app_test

import (
	"net"
	"net/http"
	"strings"
	"testing"
)

// A daemon on all addresses is asked on the addresses of this board, whatever
// the name localhost leads to.
func TestStatusAsksBothLoopbackAddresses(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		t.Run(host, func(t *testing.T) {
			l, err := net.Listen("tcp", host+":0")
			if err != nil {
				t.Skip(err)
			}
			daemon := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.Host, "localhost") {
					t.Errorf("asked as %s", r.Host)
				}
				w.Write([]byte(`{"code":200,"data":{"state":"Idle","message":"it is me"}}`))
			})}
			go daemon.Serve(l)
			defer daemon.Close()
			_, port, _ := net.SplitHostPort(l.Addr().String())
			for _, wildcard := range []string{":", "0.0.0.0:", "[::]:"} {
				if got := statusOf(t, "-state-dir", t.TempDir(), "-listen", wildcard+port); got != "Idle 0%  it is me\n" {
					t.Errorf("%s%s: %q", wildcard, port, got)
				}
			}
		})
	}
}
