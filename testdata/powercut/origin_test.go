package main

import (
	"fmt"
	"net"
	"testing"
	"time"
)

// slowListener is the listener of a busy machine.
type slowListener struct{ net.Listener }

func (l slowListener) Accept() (net.Conn, error) {
	time.Sleep(50 * time.Millisecond)
	return l.Listener.Accept()
}

func TestRequestsOfABoardCountInTheBootThatMadeThem(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := newOrigin()
	o.offer(newPackage(1, 1, 1<<20, "u.bin"))
	go o.serve(slowListener{l})
	address := l.Addr().String()
	for boot := range int64(3) {
		board, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(board, "GET /1.0.1 HTTP/1.1\r\nHost: origin\r\nRange: bytes=%d-\r\n\r\n", boot)
		board.Close() // the power is cut
		asked, err := o.transfers(address)
		if err != nil {
			t.Fatal(err)
		}
		if len(asked) != 1 || asked[0].offset != boot {
			t.Fatalf("boot %d has %d requests: %+v", boot, len(asked), asked)
		}
	}
}
