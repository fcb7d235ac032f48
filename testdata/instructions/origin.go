package main

import (
	"strings"

	"otad/netio/origintest"
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

// shortSize is the size of a package whose download costs little more than the
// start and the end of otad.
const shortSize = 1 << 20

// serve starts an origin for a package of size bytes, which are in memory, and
// returns the package as the guest sees it.
func serve(size int64) (pkg, *origintest.Origin, error) {
	object := origintest.Object{Size: size}
	content := make([]byte, size)
	object.ReadAt(content, 0)
	o, err := origintest.Start(origintest.Config{Object: origintest.Object{Bytes: content}})
	if err != nil {
		return pkg{}, nil, err
	}
	return pkg{strings.Replace(o.URL(), "127.0.0.1", boards.HostLoopback, 1), object.MD5(), size}, o, nil
}
