package app

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// readRegular returns at most limit bytes of a regular file, and what the file
// system says of it.
func readRegular(path string, limit int64) (string, fs.FileInfo, error) {
	// O_NONBLOCK: a FIFO would hold the start until somebody writes to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", nil, err
	}
	if !st.Mode().IsRegular() {
		return "", nil, fmt.Errorf("%s is not a regular file", path)
	}
	content, err := io.ReadAll(io.LimitReader(f, limit))
	return string(content), st, err
}
