package app

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"otad/board/config"
	"otad/journal"
)

// takeURL reads the URL of the job from its file, if there is one; "-" is stdin.
// It returns ErrStopped when ctx ends first: a pipe may stay silent for ever.
// No error shows a part of the file, which may be a signed URL; that others can
// read it is a warning.
func takeURL(ctx context.Context, f *config.Fetch, stdin *os.File, log *slog.Logger) error {
	if f.URLFile == "" {
		return nil
	}
	type result struct {
		url  string
		mode fs.FileMode
		err  error
	}
	read := make(chan result, 1)
	go func() {
		url, mode, err := readURL(f.URLFile, stdin)
		read <- result{url, mode, err}
	}()
	select {
	case <-ctx.Done():
		return ErrStopped
	case r := <-read:
		if r.err != nil {
			return fmt.Errorf("-url-file: %w", r.err)
		}
		if r.mode.Perm()&0o044 != 0 && strings.ContainsAny(r.url, "?@") {
			log.Warn("others can read the URL, which may be signed: chmod go-r the file", "file", f.URLFile, "mode", fmt.Sprintf("%04o", r.mode.Perm()))
		}
		return f.SetURL(r.url)
	}
}

// readURL returns the only line of the file that is not blank, and the mode of
// the file.
func readURL(path string, stdin *os.File) (url string, mode fs.FileMode, err error) {
	in, name := stdin, "stdin"
	if path != "-" {
		if in, err = os.Open(path); err != nil {
			return "", 0, err
		}
		defer in.Close()
		name = path
	}
	st, err := in.Stat()
	if err != nil {
		return "", 0, err
	}
	// Two URLs and line ends at most: what is longer holds no URL of a job.
	content, err := io.ReadAll(io.LimitReader(in, 2*journal.MaxURL))
	if err != nil {
		return "", 0, err
	}
	url = strings.TrimSpace(string(content))
	switch {
	case url == "":
		return "", 0, fmt.Errorf("%s is empty", name)
	case len(content) == 2*journal.MaxURL:
		return "", 0, fmt.Errorf("%s is longer than a URL", name)
	case strings.ContainsAny(url, "\r\n"):
		return "", 0, fmt.Errorf("%s has more than one line", name)
	}
	return url, st.Mode(), nil
}
