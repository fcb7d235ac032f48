package console_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"otad/board/console"
)

const erase = "\r\x1b[K"

// screen records what is written to a terminal.
type screen struct {
	strings.Builder
	columns int
}

func newBar() (*screen, *console.Bar) {
	s := &screen{columns: 41}
	return s, console.NewOn(s, func() int { return s.columns })
}

// shows returns the lines that are left on the terminal after every erasure.
func (s *screen) shows() string {
	lines := strings.Split(s.String(), "\n")
	for i, line := range lines {
		lines[i] = line[strings.LastIndex(line, erase)+1:]
		lines[i] = strings.TrimPrefix(lines[i], erase[1:])
	}
	return strings.Join(lines, "\n")
}

func state(done int64) console.State {
	return console.State{Name: "u", Percent: int(done) * 10, Done: done, Durable: done, Size: 10, Left: -1}
}

const (
	half1 = "u  50% [=========>         ]  5 B of 10 B"
	half2 = "u  60% [===========>       ]  6 B of 10 B"
)

func TestBarIsRedrawnInPlace(t *testing.T) {
	s, bar := newBar()
	s.columns = 42
	bar.Draw(state(5))
	bar.Draw(state(6))
	if got, want := s.String(), erase+half1+erase+half2; got != want {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

func TestBarLeavesTheLastColumnFree(t *testing.T) {
	s, bar := newBar()
	for s.columns = range 60 {
		s.Reset()
		bar.Draw(state(int64(s.columns % 10)))
		if got := len(s.shows()); got >= max(s.columns, 1) {
			t.Errorf("%d columns drawn on a terminal of %d", got, s.columns)
		}
	}
}

func TestSameLineIsNotDrawnTwice(t *testing.T) {
	s, bar := newBar()
	bar.Draw(state(5))
	before := s.Len()
	bar.Draw(state(5))
	if s.Len() != before {
		t.Errorf("drawn again: %q", s.String())
	}
}

func TestLogLinesStandAboveTheBar(t *testing.T) {
	s, bar := newBar()
	log := slog.New(slog.NewTextHandler(bar, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	log.Info("before")
	bar.Draw(state(5))
	shown := s.shows()[strings.Index(s.shows(), "\n")+1:]
	log.Info("while")
	if got := s.shows(); !strings.HasSuffix(got, "\n"+shown) {
		t.Errorf("no bar below the log line: %q", got)
	}
	bar.Draw(state(5))
	want := "level=INFO msg=before\nlevel=INFO msg=while\n" + shown
	if got := s.shows(); got != want {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

func TestFinishLeavesTheLineAndEndsIt(t *testing.T) {
	s, bar := newBar()
	s.columns = 42
	bar.Draw(state(5))
	bar.Finish()
	bar.Draw(state(6))
	bar.Finish()
	if _, err := bar.Write([]byte("bye\n")); err != nil {
		t.Error(err)
	}
	if got, want := s.String(), erase+half1+"\nbye\n"; got != want {
		t.Errorf("\n got %q\nwant %q", got, want)
	}
}

func TestFinishWithoutALineWritesNothing(t *testing.T) {
	s, bar := newBar()
	bar.Finish()
	bar.Draw(state(5))
	if s.Len() != 0 {
		t.Errorf("an empty bar left %q", s.String())
	}
}

// broken is a terminal that cannot be written to.
type broken struct{}

var errGone = errors.New("terminal gone")

func (broken) Write([]byte) (int, error) { return 0, errGone }

func TestWriteReturnsTheErrorOfTheTerminal(t *testing.T) {
	bar := console.NewOn(broken{}, func() int { return 80 })
	bar.Draw(state(5))
	if n, err := bar.Write([]byte("line\n")); n != 0 || !errors.Is(err, errGone) {
		t.Errorf("got %d, %v, want 0, %v", n, err, errGone)
	}
}

func TestBarIsSharedByGoroutines(t *testing.T) {
	s, bar := newBar()
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for done := range int64(10) {
				bar.Draw(state(done))
				fmt.Fprintf(bar, "line %d of %d\n", done, i)
			}
		})
	}
	all.Wait()
	lines := strings.Split(s.shows(), "\n")
	if len(lines) != 41 || !strings.HasPrefix(lines[40], "u ") {
		t.Fatalf("%d lines, want 40 and the bar below them: %q", len(lines), lines)
	}
	for _, line := range lines[:40] {
		if !strings.HasPrefix(line, "line ") {
			t.Errorf("log line and bar collide: %q", line)
		}
	}
}

// terminal opens a pseudo-terminal. What is written to the slave can be read
// from the master.
func terminal(t *testing.T) (slave, master *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	return slave, master
}

func resize(t *testing.T, f *os.File, columns uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(f.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
}

func TestBarFollowsTheTerminal(t *testing.T) {
	slave, master := terminal(t)
	if !console.IsTerminal(slave) {
		t.Error("a pseudo-terminal is not taken for one")
	}
	bar := console.New(slave, slave)
	buffer := make([]byte, 4096)
	for _, test := range []struct {
		columns uint16
		want    string
	}{
		{42, half1},
		{17, "u  60%"},
		{0, half1[:8] + strings.Repeat("=", 15) + ">" + strings.Repeat(" ", 14) + "]  5 B of 10 B"}, // no width reported: 80
	} {
		resize(t, slave, test.columns)
		done := int64(5)
		if test.columns == 17 {
			done = 6
		}
		bar.Draw(state(done))
		n, err := master.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(buffer[:n]); got != erase+test.want {
			t.Errorf("%d columns:\n got %q\nwant %q", test.columns, got, erase+test.want)
		}
	}
}

func TestFilesAndPipesAreNoTerminals(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, file := range []*os.File{f, w} {
		if console.IsTerminal(file) {
			t.Errorf("%s is taken for a terminal", file.Name())
		}
	}
}
