package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// console is the guest's serial line. The guest's scripts speak to the rig in
// lines that begin with "rig: ".
type console struct {
	in    io.Writer
	lines chan string // without the prefix; closed when the guest is gone
}

func newConsole(in io.Writer, out io.Reader, log io.WriteCloser) *console {
	c := &console{in: in, lines: make(chan string, 1000)}
	go func() {
		defer log.Close()
		defer close(c.lines)
		for s := bufio.NewScanner(io.TeeReader(out, log)); s.Scan(); {
			if _, line, ok := strings.Cut(s.Text(), "rig: "); ok {
				c.lines <- strings.TrimSpace(line)
			}
		}
	}()
	return c
}

// wait reads on up to the line that is word. Files that are listed on the way
// go into files.
func (c *console) wait(ctx context.Context, word string, files map[string]string) error {
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				return fmt.Errorf("the guest is gone, before %q", word)
			}
			if line == word {
				return nil
			}
			if trouble, ok := strings.CutPrefix(line, "error "); ok {
				return fmt.Errorf("the guest says that %s", trouble)
			}
			if f := strings.Fields(line); len(f) == 3 && f[0] == "file" && files != nil {
				files[f[1]] = f[2]
			}
		case <-ctx.Done():
			return fmt.Errorf("no %q from the guest: %w", word, ctx.Err())
		}
	}
}

// urge repeats order until the guest answers with word: what is sent before its
// memory is back is lost.
func (c *console) urge(ctx context.Context, order, word string) error {
	for {
		fmt.Fprintf(c.in, "%s\n", order) // an error shows as a guest that is gone
		again, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		err := c.wait(again, word, nil)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
}
