// Origin serves the files of a folder on loopback, with ranges and
// Last-Modified: something to fetch from while trying otad.
//
//	go run ./testdata/origin /tmp/origin     http://127.0.0.1:8000/NAME
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8000", "address to serve on")
	flag.Parse()
	dir := flag.Arg(0)
	if dir == "" {
		log.Fatal("usage: origin [-listen HOST:PORT] FOLDER")
	}
	fmt.Printf("serving %s on http://%s/\n", dir, *listen)
	log.Fatal(http.ListenAndServe(*listen, http.FileServer(http.Dir(dir))))
}
