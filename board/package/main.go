// Package writes the documents that are generated: the man page, as it is and
// compressed, the completion of bash, and the licences of all that is in the
// binary. It runs in the root of the repository.
//
//	go run ./board/package -date UNIXTIME DIRECTORY
//
// The same sources and the same date give the same bytes on every machine.
package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func main() {
	date := flag.Int64("date", 0, "date of the man page in seconds since 1970")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: package -date UNIXTIME DIRECTORY")
		os.Exit(2)
	}
	if err := write(flag.Arg(0), time.Unix(*date, 0).UTC()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// write writes all documents to the directory dir, which it makes.
func write(dir string, date time.Time) error {
	page, err := manual("main.go", date)
	if err != nil {
		return err
	}
	completion, err := completion()
	if err != nil {
		return err
	}
	licences, err := licences(".")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"otad.8": page, "otad.8.gz": compress(page), "otad.bash": completion, "copyright": licences,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// compress returns content as gzip(1) with -9n does, without name and time.
func compress(content []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is valid
	_, _ = w.Write(content)                                 // a buffer takes everything
	_ = w.Close()
	return out.Bytes()
}
