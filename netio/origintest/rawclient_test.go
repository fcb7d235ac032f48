package origintest_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"otad/netio/origintest"
)

// object is what most tests serve.
var object = origintest.Object{Size: 1000, Seed: 11, ETag: `"e"`}

var always, on = origintest.Always, origintest.On

// rawClient is a connection on which a test writes requests by hand, and reads
// the bytes of the responses.
type rawClient struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// start starts an origin in memory that serves object, and connects to it.
func start(t *testing.T, script ...*origintest.Rule) (*origintest.Origin, *rawClient) {
	t.Helper()
	o := origintest.NewConfig(t, origintest.Config{Object: object, Script: script, InMemory: true})
	return o, dial(t, o)
}

func dial(t *testing.T, o *origintest.Origin) *rawClient {
	t.Helper()
	conn, err := o.Dial(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &rawClient{t, conn, bufio.NewReader(conn)}
}

// send writes a request line, a Host field, and the given fields.
func (c *rawClient) send(line string, fields ...string) {
	c.t.Helper()
	fields = append([]string{line, "Host: origin.test"}, fields...)
	if _, err := io.WriteString(c.conn, strings.Join(fields, "\r\n")+"\r\n\r\n"); err != nil {
		c.t.Fatal(err)
	}
}

// get sends a request without any misuse.
func (c *rawClient) get(byteRange string, fields ...string) {
	c.t.Helper()
	c.send("GET /package.bin HTTP/1.1", append(fields, "Range: "+byteRange, "Accept-Encoding: identity")...)
}

// response reads a status line and a header, but not the body.
func (c *rawClient) response() *http.Response {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, &http.Request{Method: http.MethodGet})
	if err != nil {
		c.t.Fatalf("read response: %v", err)
	}
	return resp
}

// rest reads until the end of the connection.
func (c *rawClient) rest() ([]byte, error) { return io.ReadAll(c.in) }

// body reads the whole body.
func body(t *testing.T, resp *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read body: %v", err)
	}
	return b
}

// part returns the bytes of the object from start to end.
func part(o origintest.Object, start, end int64) string {
	b := make([]byte, end-start)
	if _, err := o.ReadAt(b, start); err != nil && err != io.EOF {
		panic(err)
	}
	return string(b)
}
