package origintest_test

import (
	"fmt"
	"io"
	"log"
	"net/http"

	"otad/netio/origintest"
)

// Example shows a client that restarts at 0 after a reset, so that the origin
// sends 3 MiB twice. In a test, use New, which closes the origin at the end.
func Example() {
	origin, err := origintest.Start(origintest.Config{
		Object: origintest.Object{Size: 8 << 20},
		Script: []*origintest.Rule{
			origintest.On(1).ResetAt(3 << 20),
			origintest.On(2).Status(503).RetryAfter("2"),
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer origin.Close()

	for range 3 {
		req, err := http.NewRequest(http.MethodGet, origin.URL(), nil)
		if err != nil {
			log.Fatal(err)
		}
		req.Header.Set("Range", "bytes=0-")
		req.Header.Set("Accept-Encoding", "identity")
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		fmt.Println(resp.Status, n, err != nil)
	}
	fmt.Println("served twice:", origin.ServedTwice(), "misuses:", len(origin.Misuses()))

	// Output:
	// 206 Partial Content 3145728 true
	// 503 Service Unavailable 20 false
	// 206 Partial Content 8388608 false
	// served twice: 3145728 misuses: 0
}
