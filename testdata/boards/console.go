package boards

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Console is the guest's serial line. The guest's scripts speak to the rig in
// lines that begin with "rig: ".
type Console struct {
	in    io.Writer
	lines chan string // without the prefix; closed when the guest is gone
}

func newConsole(in io.Writer, out io.Reader, log io.WriteCloser) *Console {
	c := &Console{in: in, lines: make(chan string, 1000)}
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

// Wait reads lines until the line is word. It calls other, if not nil, with the
// lines before.
func (c *Console) Wait(ctx context.Context, word string, other func(line string)) error {
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
				return fmt.Errorf("the guest reports that %s", trouble)
			}
			if other != nil {
				other(line)
			}
		case <-ctx.Done():
			return fmt.Errorf("no %q from the guest: %w", word, ctx.Err())
		}
	}
}

// Urge repeats order until the guest answers with word: a line that is sent
// before the guest's memory is restored is lost.
func (c *Console) Urge(ctx context.Context, order, word string) error {
	for {
		fmt.Fprintf(c.in, "%s\n", order) // an error shows as a guest that is gone
		again, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		err := c.Wait(again, word, nil)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
}
