package app_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"otad/board/app"
	"otad/board/config"
	"otad/board/console"
	"otad/fsm"
	"otad/netio/origintest"
)

// terminal is a pseudo-terminal.
type terminal struct {
	*os.File // the side that a program writes to
	columns  int
	screen   chan []string // receives the lines that are left once the file is closed
	drawn    chan string   // receives all output once the file is closed
}

func newTerminal(t *testing.T, columns int) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	resize(t, slave, columns)
	term := &terminal{File: slave, columns: columns, screen: make(chan []string, 1), drawn: make(chan string, 1)}
	go func() {
		all, _ := io.ReadAll(master) // ends with EIO when the slave is closed
		master.Close()
		term.drawn <- string(all)
		term.screen <- term.show(string(all))
	}()
	return term
}

func resize(t *testing.T, slave *os.File, columns int) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(columns)}); err != nil {
		t.Fatal(err)
	}
}

// show returns the lines that a terminal shows after this output. It carries out
// what otad and the line discipline use: CR, LF, erase to the end of the line,
// and the wrap at the last column.
func (term *terminal) show(output string) []string {
	lines, row, col := [][]byte{nil}, 0, 0
	down := func() {
		if row++; row == len(lines) {
			lines = append(lines, nil)
		}
	}
	for output != "" {
		if rest, erase := strings.CutPrefix(output, "\x1b[K"); erase {
			lines[row], output = lines[row][:min(col, len(lines[row]))], rest
			continue
		}
		switch c := output[0]; c {
		case '\r':
			col = 0
		case '\n':
			down()
		default:
			if col == term.columns {
				down()
				col = 0
			}
			lines[row] = append(lines[row][:min(col, len(lines[row]))], c) // nothing is overwritten in part
			col++
		}
		output = output[1:]
	}
	var text []string
	for _, line := range lines {
		text = append(text, string(line))
	}
	return text
}

// unwrapped joins the lines that the terminal wrapped.
func (term *terminal) unwrapped(lines []string) []string {
	var out []string
	wrapped := false
	for _, line := range lines {
		if wrapped {
			out[len(out)-1] += line
		} else {
			out = append(out, line)
		}
		wrapped = len(line) == term.columns
	}
	return out
}

// fetchOnTerminal runs otad fetch as main does, with stdout and stderr on a
// terminal, and returns the lines that are left there.
func fetchOnTerminal(ctx context.Context, t *testing.T, columns int, args ...string) ([]string, error) {
	t.Helper()
	term := newTerminal(t, columns)
	err := term.fetch(ctx, t, args...)
	lines := term.unwrapped(<-term.screen)
	t.Logf("%d columns:\n%s", columns, strings.Join(lines, "\n"))
	return lines, err
}

// fetch runs otad fetch as main does, with stdout and stderr on the terminal.
func (term *terminal) fetch(ctx context.Context, t *testing.T, args ...string) error {
	t.Helper()
	cfg, err := config.Parse(append([]string{"fetch", "-name", "u.bin", "-min-free", "0"}, args...), nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	err = app.Run(ctx, cfg, app.Build{Version: "test"}, term.File, term.File)
	if err != nil {
		app.PrintError(term.File, err)
	}
	term.Close()
	return err
}

// wantLines checks the lines against regular expressions, one each.
func wantLines(t *testing.T, lines []string, patterns ...string) {
	t.Helper()
	for i, p := range patterns {
		if i >= len(lines) || !regexp.MustCompile("^"+p+"$").MatchString(lines[i]) {
			t.Errorf("line %d is not %s:\n%q", i+1, p, lines)
		}
	}
	if len(lines) != len(patterns) {
		t.Errorf("%d lines, want %d: %q", len(lines), len(patterns), lines)
	}
}

// slow returns an origin whose object takes long enough for several drawings.
func slow(t *testing.T, rules ...*origintest.Rule) (*origintest.Origin, origintest.Object) {
	object := origintest.Object{Size: 3 << 20, Seed: 7}
	return origintest.NewConfig(t, origintest.Config{Object: object, Script: rules,
		Link: origintest.Link{BytesPerSecond: 4 << 20}}), object
}

func TestTerminalOfAFetch(t *testing.T) {
	for _, columns := range []int{40, 60, 80} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			t.Parallel()
			part := map[int]string{40: "", 60: ` \[=+> +\]`, 80: ` \[=+> +\]`}[columns]
			full := map[int]string{40: "", 60: ` \[=+\]`, 80: ` \[={30}\]`}[columns]
			dir := t.TempDir()
			path := regexp.QuoteMeta(filepath.Join(dir, "u.bin"))
			origin, object := slow(t, origintest.On(1).StallAt(2<<20))
			args := []string{"-state-dir", dir, "-md5", object.MD5(), "-retries", "0"}

			ctx, stop := context.WithCancel(t.Context())
			go func() { // stopped when some of it has been drawn
				<-origin.Stalled()
				time.Sleep(500 * time.Millisecond)
				stop()
			}()
			lines, err := fetchOnTerminal(ctx, t, columns, append(args, origin.URL())...)
			if !errors.Is(err, app.ErrStopped) {
				t.Fatal(err)
			}
			wantLines(t, lines, `u\.bin  66%`+part+`  2\.1 MB of 3\.1 MB`, "otad: stopped by a signal; .*", "")

			lines, err = fetchOnTerminal(t.Context(), t, columns, append(args, origin.URL())...)
			if err != nil {
				t.Fatal(err)
			}
			wantLines(t, lines, `u\.bin  100%`+full+`  3\.1 MB of 3\.1 MB`,
				`3\.1 MB, resumed at \d\.\d MB, \d\.\d MB in [\d.]+m?s \(\d+\.?\d* [kM]B/s\), MD5 verified`, path, "")

			lines, err = fetchOnTerminal(t.Context(), t, columns, append(args, origin.URL())...)
			if err != nil {
				t.Fatal(err)
			}
			wantLines(t, lines, path, "")
		})
	}
}

// The bar moves with what is received, and shows how much of it is durable. Here
// the answer stalls in the middle of the third interval.
func TestTerminalShowsWhatIsReceivedAndWhatIsDurable(t *testing.T) {
	for columns, want := range map[int]string{
		80: `u\.bin  83% \[={19}-{5}> {4}\]  2\.6 MB of 3\.1 MB  [\d.]+ [kM]B/s  \ds left`,
		60: `u\.bin  83%  2\.6 MB of 3\.1 MB  [\d.]+ [kM]B/s  \ds left`,
		40: `u\.bin  83%  2\.6 MB of 3\.1 MB  \ds left`,
		24: `u\.bin  83%  \ds left`,
	} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			t.Parallel()
			origin, object := slow(t, origintest.On(1).StallAt(5<<19))
			term := newTerminal(t, columns)
			ctx, stop := context.WithCancel(t.Context())
			go func() {
				<-origin.Stalled()
				time.Sleep(500 * time.Millisecond)
				stop()
			}()
			if err := term.fetch(ctx, t, "-state-dir", t.TempDir(), "-md5", object.MD5(), origin.URL()); !errors.Is(err, app.ErrStopped) {
				t.Fatal(err)
			}
			drawn := strings.Split(<-term.drawn, "\r\x1b[K")
			if !slices.ContainsFunc(drawn, regexp.MustCompile("^"+want+"$").MatchString) {
				t.Errorf("none of these is %s:\n%q", want, drawn)
			}
		})
	}
}

// After a resize the line fits the new width: it never wraps there.
func TestTerminalIsResizedInTheMiddle(t *testing.T) {
	origin, object := slow(t, origintest.On(1).StallAt(1<<20), origintest.On(2).StallAt(2<<20))
	term := newTerminal(t, 80)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		defer stop()
		<-origin.Stalled()
		time.Sleep(500 * time.Millisecond)
		resize(t, term.File, 40)
		time.Sleep(500 * time.Millisecond)
	}()
	if err := term.fetch(ctx, t, "-state-dir", t.TempDir(), "-md5", object.MD5(), origin.URL()); !errors.Is(err, app.ErrStopped) {
		t.Fatal(err)
	}
	drawn := strings.Split(<-term.drawn, "\r\x1b[K")
	widths := []int{}
	for _, line := range drawn {
		line, _, _ = strings.Cut(line, "\r\n")
		widths = append(widths, len(line))
	}
	if wide := slices.Max(widths); wide <= 40 || wide >= 80 {
		t.Errorf("the widest line has %d columns of 80: %q", wide, drawn)
	}
	if last := widths[len(widths)-1]; last == 0 || last >= 40 {
		t.Errorf("the last line has %d columns of 40: %q", last, drawn)
	}
}

// A terminal that can do nothing but print gets the lines of a log, and the error
// of a job once.
func TestTerminalThatIsDumb(t *testing.T) {
	t.Setenv("TERM", "dumb")
	origin, object := slow(t, origintest.On(1).ResetAt(2<<20), origintest.On(2).Status(404))
	term := newTerminal(t, 200)
	err := term.fetch(t.Context(), t, "-state-dir", t.TempDir(), "-md5", object.MD5(), "-retries", "1", origin.URL())
	if err == nil {
		t.Fatal("no error")
	}
	all := <-term.drawn
	if strings.Contains(strings.ReplaceAll(all, "\r\n", "\n"), "\r") || strings.Contains(all, "\x1b") {
		t.Errorf("control characters: %q", all)
	}
	for want, count := range map[string]int{"msg=progress percent=33": 1, "msg=progress percent=66": 1, "HTTP 404": 1, "\notad: DOWNLOAD_FAILED: HTTP 404": 1} {
		if n := strings.Count(all, want); n != count {
			t.Errorf("%q %d times, want %d:\n%s", want, n, count, all)
		}
	}
}

// A terminal may lack the letters, or show them in two columns. A program that
// reads the path gets it as it is.
func TestTerminalShowsANameInOtherLettersEscaped(t *testing.T) {
	const name = "Пакет.zip"
	dir := t.TempDir()
	origin, object := slow(t)
	args := []string{"-state-dir", dir, "-md5", object.MD5(), "-name", name, origin.URL()}
	lines, err := fetchOnTerminal(t.Context(), t, 120, args...)
	if err != nil {
		t.Fatal(err)
	}
	path := regexp.QuoteMeta(filepath.Join(dir, `\u041f\u0430\u043a\u0435\u0442.zip`))
	wantLines(t, lines, `\\u041f\\u0430\\u043a\\u04\.\.  100% \[=+\]  3\.1 MB of 3\.1 MB`, ".* verified", path, "")

	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := new(recorder).run(t.Context(), t, out, func(string) {}, append([]string{"fetch", "-min-free", "0"}, args...)...); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(out.Name()); err != nil || string(got) != filepath.Join(dir, name)+"\n" {
		t.Errorf("stdout has %q, %v", got, err)
	}
}

func TestTerminalOfAFetchStoppedBeforeTheFirstDrawing(t *testing.T) {
	object := origintest.Object{Size: 3 << 20, Seed: 7}
	origin := origintest.New(t, object, origintest.On(1).StallAt(2<<20))
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		<-origin.Stalled()
		time.Sleep(50 * time.Millisecond)
		stop()
	}()
	lines, err := fetchOnTerminal(ctx, t, 80, "-state-dir", t.TempDir(), "-md5", object.MD5(), origin.URL())
	if !errors.Is(err, app.ErrStopped) {
		t.Fatal(err)
	}
	wantLines(t, lines, `u\.bin  \d+% \[.*\]  \d.* of 3\.1 MB`, "otad: stopped by a signal; .*", "")
}

func TestTerminalOfAFailedFetch(t *testing.T) {
	for _, columns := range []int{40, 60, 80} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			t.Parallel()
			origin, object := slow(t, origintest.On(1).ResetAt(2<<20), origintest.On(2).Status(404))
			lines, err := fetchOnTerminal(t.Context(), t, columns,
				"-state-dir", t.TempDir(), "-md5", object.MD5(), "-retries", "1", origin.URL())
			if err == nil {
				t.Fatal("no error")
			}
			// A warning of the log stands above the progress line.
			lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "time=") })
			wantLines(t, lines, `u\.bin  66%(?: \[=+> +\])?  2\.1 MB of 3\.1 MB`, "otad: DOWNLOAD_FAILED: HTTP 404.*", "")
		})
	}
}

func TestTerminalOfAFetchThatFailsAtOnce(t *testing.T) {
	lines, err := fetchOnTerminal(t.Context(), t, 80, "-state-dir", t.TempDir(), "-md5", object.MD5(),
		origintest.New(t, object, origintest.Always().Status(404)).URL())
	if err == nil {
		t.Fatal("no error")
	}
	wantLines(t, lines, "otad: DOWNLOAD_FAILED: HTTP 404.*", "")
}

func TestTerminalOfAFastFetch(t *testing.T) {
	dir := t.TempDir()
	lines, err := fetchOnTerminal(t.Context(), t, 80, "-state-dir", dir, "-md5", object.MD5(), "-sha256", object.SHA256(),
		origintest.New(t, object).URL())
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, lines, `u\.bin  100% \[={30}\]  500 kB of 500 kB`,
		`500 kB in \d+m?s \(\d+\.?\d* [kM]B/s\), MD5 and SHA-256 verified`, regexp.QuoteMeta(filepath.Join(dir, "u.bin")), "")
}

func TestTerminalOfAWaitHasNoRate(t *testing.T) {
	s := fsm.Snapshot{State: fsm.Downloading, Name: "u.bin", Size: 3 << 20, Durable: 2 << 20, Received: 2 << 20, Progress: 66,
		BytesPerSecond: 1_000_000, ETA: time.Second, Message: string(fsm.Downloading)}
	wantLines(t, []string{console.Line(app.LineOf(s), 60)}, `u\.bin  66%.*  2\.1 MB of 3\.1 MB  1\.0 MB/s  1s left`)
	s.Message = "retry 2 of 3 in 2s: refused"
	wantLines(t, []string{console.Line(app.LineOf(s), 60)}, `u\.bin  66%  2\.1 MB of 3\.1 MB  retry 2 of 3 in 2s: refused`)
}

func TestFetchWithoutATerminal(t *testing.T) {
	for name, c := range map[string]struct {
		quiet string
		last  string // line of stderr
	}{
		"log":   {"-quiet=false", `time=\S+ level=INFO msg="package ready" size=500000 resumed_from=0 seconds=\S+ bytes_per_second=\d+ verified=MD5`},
		"quiet": {"-quiet", ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			var rec recorder
			dir, last := t.TempDir(), ""
			err = rec.run(t.Context(), t, out, func(line string) { last = line }, "fetch", "-state-dir", dir, c.quiet,
				"-name", "u.bin", "-min-free", "0", "-md5", object.MD5(), origintest.New(t, object).URL())
			if err != nil {
				t.Fatal(err)
			}
			wantLines(t, []string{last}, c.last)
			if all := rec.all.String(); strings.ContainsAny(all, "\r\x1b") {
				t.Errorf("control characters on stderr: %q", all)
			}
			if printed, err := os.ReadFile(out.Name()); err != nil || string(printed) != filepath.Join(dir, "u.bin")+"\n" {
				t.Errorf("stdout is %q, %v", printed, err)
			}
		})
	}
}
