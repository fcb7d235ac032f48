package fsm_test

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"otad/fsm"
	"otad/journal"
	"otad/netio"
	"otad/netio/origintest"
)

// TestMain lets more tests run at a time than there are processors, unless
// -parallel is given, and with two more processors than there are, as otad does:
// the stages wait for each other and for syncs.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(runtime.NumCPU() + 2)
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		if err := parallel.Value.Set(fmt.Sprint(atATime)); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

const atATime = 6

// interval is the checkpoint interval of a rig.
const interval = 64 << 10

// rig is a board under test: what outlives the processes of otad on it, and
// the settings of the next one. The journal, the state directory and the
// fetcher are real; every change of the first two passes the faults, the
// killer and the invariants. One process at a time runs on a rig.
type rig struct {
	t        *testing.T
	dir      string // the state directory
	object   origintest.Object
	origin   *origintest.Origin
	cfg      fsm.Config
	net      netio.Config
	log      slog.Handler                // nil: the test's output, which must not show the secret
	source   func(fsm.Source) fsm.Source // wraps the fetcher; nil: it is used as it is
	killAt   int                         // number of the change at which the next process is killed; 0: none
	free     int64                       // bytes that the file system has; 0: what it really has
	sockets  bool                        // the origin is reached over TCP: there is no bubble to wait for
	bulk     bool                        // one run of many: the invariants use the cheaper look, see invariants
	faults   faults
	*process // nil: none runs
}

// newRig makes a board, and an origin in memory that serves a little more than
// five intervals. It is for a synctest bubble.
func newRig(t *testing.T, script ...*origintest.Rule) *rig {
	t.Helper()
	return newRigOn(t, origintest.Config{InMemory: true, Script: script})
}

func newRigOn(t *testing.T, c origintest.Config) *rig {
	t.Helper()
	if c.Object.Len() == 0 {
		c.Object = sample(1, 5*interval+1234)
	}
	dir := memoryDir(t)
	if c.Object.Len() > 1<<30 {
		dir = t.TempDir() // the space is reserved
	}
	if err := os.WriteFile(filepath.Join(dir, journal.FileName), newJournal(), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, dir: dir, object: c.Object, origin: origintest.NewConfig(t, c), sockets: !c.InMemory}
	r.net = netio.Config{Dial: r.origin.Dial, RetryAfterMax: 5 * time.Minute}
	r.cfg = fsm.Config{Checkpoint: interval, Retries: 3, NetworkWait: 10 * time.Minute, AllocBuffer: allocBuffer,
		Jitter: func() float64 { return 0.5 }} // waits of exactly 1, 2 and 4 s
	t.Cleanup(func() {
		if r.process != nil {
			r.end()
		}
	})
	return r
}

// memoryDir returns a directory of the test's own, in memory where Linux has such
// a file system. What a power cut leaves is enumerated elsewhere, and thousands
// of syncs of a real disk would take most of the time here.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "otad-fsm-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// newBulkRig makes a board on o, for one of very many runs.
func newBulkRig(t *testing.T, c origintest.Config, script ...*origintest.Rule) *rig {
	t.Helper()
	c.InMemory = true
	c.Script = append(slices.Clone(c.Script), script...)
	r := newRigOn(t, c)
	r.cfg.Checkpoint, r.bulk = 100_000, true
	return r
}

// newJournal is the file of a journal that nothing was written to. To make one
// takes more syncs than many a test.
var newJournal = sync.OnceValue(func() []byte {
	dir, err := os.MkdirTemp("", "journal")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	d, err := os.Open(dir)
	if err != nil {
		panic(err)
	}
	defer d.Close()
	j, err := journal.Open(d, journal.Options{})
	if err != nil {
		panic(err)
	}
	j.Close()
	file, err := os.ReadFile(filepath.Join(dir, journal.FileName))
	if err != nil {
		panic(err)
	}
	return file
})

// bubble runs f in a synctest bubble, beside the other tests.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// run runs f as a subtest, in a bubble.
func run(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { bubble(t, f) })
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// secret is in the query of every job's URL and must not be shown anywhere.
const secret = "hush"

func (r *rig) job() journal.Job {
	return journal.Job{Version: "1.2.3", Name: "u.bin", Size: r.object.Len(), MD5: md5Sum(r.object),
		URL: r.origin.URL() + "?signature=" + secret}
}

// other is a job that is not the one of job.
func (r *rig) other() journal.Job {
	job := r.job()
	job.Version, job.Name = "2.0.0", "other.bin"
	return job
}

// secretCheck writes the log to the test's output and fails the test when the
// log contains a URL's query.
type secretCheck struct{ t *testing.T }

func (c secretCheck) Write(p []byte) (int, error) {
	if strings.Contains(string(p), secret) {
		c.t.Errorf("the log contains a secret: %s", p)
	}
	return c.t.Output().Write(p)
}

// pool is memory that is used again. Unlike a sync.Pool it never frees any:
// under the race detector a large allocation costs more than a small download.
type pool[T any] struct {
	mu   sync.Mutex
	free []*T
}

func (p *pool[T]) get() *T {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) == 0 {
		return new(T)
	}
	last := len(p.free) - 1
	v := p.free[last]
	p.free = p.free[:last]
	return v
}

func (p *pool[T]) put(v *T) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, v)
}

// buffers are the blocks of transfers that have ended.
var buffers pool[[]byte]

func allocBuffer(size int) (memory []byte, free func()) {
	b := buffers.get()
	*b = slices.Grow((*b)[:0], size)[:size]
	return *b, func() { buffers.put(b) }
}
