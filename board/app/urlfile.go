package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"otad/board/config"
	"otad/journal"
)

// takeURL reads the URL of the job from its file, if there is one; "-" is stdin.
// It returns ErrStopped when ctx ends first: a pipe may stay silent for ever.
// No error shows a part of the file, which may be a signed URL.
func takeURL(ctx context.Context, f *config.Fetch, stdin *os.File) error {
	if f.URLFile == "" {
		return nil
	}
	type result struct {
		url string
		err error
	}
	read := make(chan result, 1)
	go func() {
		url, err := readURL(f.URLFile, stdin)
		read <- result{url, err}
	}()
	select {
	case <-ctx.Done():
		return ErrStopped
	case r := <-read:
		if r.err != nil {
			return fmt.Errorf("-url-file: %w", r.err)
		}
		return f.SetURL(r.url)
	}
}

// readURL returns the only line of the file that is not blank.
func readURL(path string, stdin *os.File) (string, error) {
	in, name := stdin, "stdin"
	if path != "-" {
		var err error
		if in, err = os.Open(path); err != nil {
			return "", err
		}
		defer in.Close()
		name = path
	}
	// Two URLs and line ends at most: what is longer holds no URL of a job.
	content, err := io.ReadAll(io.LimitReader(in, 2*journal.MaxURL))
	if err != nil {
		return "", err
	}
	url := strings.TrimSpace(string(content))
	switch {
	case url == "":
		return "", fmt.Errorf("%s is empty", name)
	case len(content) == 2*journal.MaxURL:
		return "", fmt.Errorf("%s is longer than a URL", name)
	case strings.ContainsAny(url, "\r\n"):
		return "", errors.New(name + " has more than one line")
	}
	return url, nil
}
