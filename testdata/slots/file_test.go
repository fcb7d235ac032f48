package slots

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"otad/netio/origintest"
	"otad/testdata/otadrun"
)

func TestKilledTwiceAndResumedExactly(t *testing.T) {
	t.Parallel()
	b := newBoard(t, newPlainFile(t, 40*mib), noise(t, 30*mib+12345, "new"))
	for i := range 2 {
		b.killed(i+1, 9*mib)
		if b.hasHead() {
			t.Errorf("after kill %d the device has a head", i+1)
		}
	}
	b.ready()
	if twice := b.origin.ServedTwice(); twice > 2*2*interval+2*8*mib {
		t.Errorf("%d bytes were served twice", twice)
	}
	for i, r := range b.origin.Requests()[1:] {
		if r.Start == 0 || r.Start%interval != 0 {
			t.Errorf("process %d went on from %d, which is no checkpoint", i+2, r.Start)
		}
	}
	if size, _ := otadrun.FileSize(filepath.Join(b.dir, "u.img")); size >= 0 {
		t.Error("there is a file of the package too")
	}
}

func TestReadyIsBelievedUntilItIsWrittenOver(t *testing.T) {
	t.Parallel()
	b := newBoard(t, newPlainFile(t, 8*mib), noise(t, 5*mib+5, "new"))
	b.ready()
	b.ready()
	if n := len(b.origin.Requests()); n != 1 {
		t.Errorf("%d requests for a package that is there", n)
	}
	// The same bytes, written anew: digested, and no request.
	check(t, os.WriteFile(b.device, append(bytes.Clone(b.image), make([]byte, 8*mib-len(b.image))...), 0o600))
	b.ready()
	if n := len(b.origin.Requests()); n != 1 {
		t.Errorf("%d requests for a package that is still there", n)
	}
	f, err := os.OpenFile(b.device, os.O_RDWR, 0)
	check(t, err)
	_, err = f.WriteAt([]byte{b.image[3*mib] ^ 1}, 3*mib)
	check(t, err)
	check(t, f.Close())
	b.ready()
	if n := len(b.origin.Requests()); n != 2 {
		t.Errorf("%d requests after a byte of it was written over", n)
	}
}

func TestReadback(t *testing.T) {
	t.Parallel()
	b := newBoard(t, newPlainFile(t, 8*mib), noise(t, 5*mib+5, "new"))
	b.ready("-readback")
}

func TestTooSmallAndUnfitOutputsAreRefusedUntouched(t *testing.T) {
	t.Parallel()
	b := newBoard(t, newPlainFile(t, 4*mib), noise(t, 5*mib, "new"))
	before := b.read(4 * mib)
	for _, flags := range [][]string{nil, {"-size", "5MiB"}} {
		r := b.fetch(append(flags, "-replace")...)
		if r.Code != 4 || !strings.Contains(r.Stderr, "DISK_FULL: need 5242880 bytes, 4194304 free") {
			t.Errorf("%v: ended with %d: %s", flags, r.Code, r.LastLine())
		}
	}
	if !bytes.Equal(before, b.read(4*mib)) {
		t.Error("the device was written to")
	}
	for device, want := range map[string]string{
		"/dev/null":       "/dev/null is neither a block device nor a plain file",
		"/dev/not-there":  "/dev/not-there cannot be opened: no such file or directory",
		"slot":            "which is not an absolute path",
		"/dev/../dev/sda": "which is not an absolute path",
	} {
		b.device = device
		if r := b.fetch("-replace"); r.Code == 0 || !strings.Contains(r.Stderr, want) {
			t.Errorf("%s: ended with %d: %s", device, r.Code, r.LastLine())
		}
	}
}

// A wrong digest leaves a device from which nothing is taken.
func TestWrongDigestLeavesNoHead(t *testing.T) {
	t.Parallel()
	b := newBoard(t, newPlainFile(t, 8*mib), noise(t, 3*mib, "new"))
	b.md5 = strings.Repeat("0a", 16)
	if r := b.fetch(); r.Code != 3 {
		t.Fatalf("ended with %d: %s", r.Code, r.LastLine())
	}
	if b.hasHead() {
		t.Error("the device has a head")
	}
	if left, _ := filepath.Glob(filepath.Join(b.dir, "u.img*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

// Until there is an answer, the old content stays as it is.
func TestRefusalLeavesTheOldContent(t *testing.T) {
	t.Parallel()
	b := newBoard(t, newPlainFile(t, 4*mib), noise(t, 3*mib, "new"))
	before := b.read(4 * mib)
	object := origintest.Object{Size: 3 * mib, Seed: 1}
	b.origin = origintest.New(t, object, origintest.On(1).Status(http.StatusNotFound))
	if r := b.fetch("-retries", "0"); r.Code != 1 {
		t.Errorf("ended with %d: %s", r.Code, r.LastLine())
	}
	if !bytes.Equal(before, b.read(4*mib)) {
		t.Error("the device was written to")
	}
}

// daemon is an otad serve with one output.
func (b *board) daemon(flags ...string) *otadrun.Client {
	b.t.Helper()
	addr, err := otadrun.FreeAddress("127.0.0.1")
	check(b.t, err)
	p := start(b.t, append([]string{"serve", "-state-dir", b.dir, "-listen", addr, "-min-free", "0"}, flags...)...)
	check(b.t, p.AwaitListener(addr, 20*time.Second))
	c := otadrun.NewClient(addr)
	b.t.Cleanup(c.Close)
	return c
}

func (b *board) job(output string) otadrun.Job {
	return otadrun.Job{Version: "1.2.3", URL: b.origin.URLFor("/u.img"), Name: "u.img", Size: int64(len(b.image)), MD5: b.md5, Output: output}
}

func TestRequestNamesADeviceOfTheList(t *testing.T) {
	t.Parallel()
	b := newBoard(t, newPlainFile(t, 8*mib), noise(t, 5*mib, "new"))
	other := newPlainFile(t, 8*mib)
	c := b.daemon("-output", "slot-b="+b.device)
	before := b.read(8 * mib)
	for _, output := range []string{"slot-a", b.device, other, "../" + b.device} {
		r, err := c.Post(context.Background(), b.job(output))
		check(t, err)
		if want := "VALIDATION_ERROR: output is not one of the names that -output gives to devices"; r.Code != 400 || r.Msg != want {
			t.Errorf("output %s: %d %s", strconv.Quote(output), r.Code, r.Msg)
		}
	}
	if !bytes.Equal(before, b.read(8*mib)) {
		t.Error("a refused request wrote to the device")
	}
	r, err := c.Post(context.Background(), b.job("slot-b"))
	check(t, err)
	check(t, r.Err())
	_, err = c.AwaitState(context.Background(), "Ready", 30*time.Second)
	check(t, err)
	if !b.isWhole() {
		t.Error("the device does not hold the package")
	}
}

// The daemon is started again without the device: it writes there no more.
func TestDeviceThatLeftTheListIsNotWritten(t *testing.T) {
	t.Parallel()
	b := newBoard(t, newPlainFile(t, 40*mib), noise(t, 30*mib, "new"))
	b.killed(1, 9*mib)
	before := b.read(40 * mib)
	c := b.daemon()
	p, err := c.AwaitState(context.Background(), "Failed", 30*time.Second)
	check(t, err)
	if !strings.Contains(p.Error, "is not among the devices of -output") {
		t.Errorf("failed with %s", p.Error)
	}
	if !bytes.Equal(before, b.read(40*mib)) {
		t.Error("the device was written to")
	}
}

// No earlier package makes room on a device.
func TestTooSmallDeviceCostsNoEarlierPackage(t *testing.T) {
	t.Parallel()
	b := newBoard(t, newPlainFile(t, 4*mib), noise(t, 3*mib, "new"))
	r := start(t, otadrun.FetchArgs(b.dir, b.md5, b.origin.URLFor("/earlier.img"), "-min-free", "0")...).Wait()
	if r.Code != 0 {
		t.Fatalf("ended with %d: %s", r.Code, r.LastLine())
	}
	check(t, os.Truncate(b.device, 2*mib))
	if r := b.fetch("-keep", "0"); r.Code != 4 {
		t.Errorf("ended with %d: %s", r.Code, r.LastLine())
	}
	if size, err := otadrun.FileSize(filepath.Join(b.dir, "earlier.img")); size != 3*mib {
		t.Errorf("the earlier package has %d bytes, %v", size, err)
	}
}

// DELETE in the middle leaves a device from which nothing is taken, and nothing in
// the state directory.
func TestResetLeavesNoHead(t *testing.T) {
	t.Parallel()
	b := newBoard(t, newPlainFile(t, 40*mib), noise(t, 30*mib, "new"))
	addr, err := otadrun.FreeAddress("127.0.0.1")
	check(t, err)
	p := start(t, "serve", "-state-dir", b.dir, "-listen", addr, "-min-free", "0", "-output", "b="+b.device)
	check(t, p.AwaitListener(addr, 20*time.Second))
	c := otadrun.NewClient(addr)
	defer c.Close()
	r, err := c.Post(context.Background(), b.job("b"))
	check(t, err)
	check(t, r.Err())
	check(t, otadrun.Await(20*time.Second, "3 MiB are durable", func() (bool, error) {
		r, err := c.Progress(context.Background())
		return r.Data.Durable > 3*mib, err
	}))
	req, err := http.NewRequest(http.MethodDelete, "http://"+addr+"/api/v1.0/download", nil)
	check(t, err)
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	resp.Body.Close()
	_, err = c.AwaitState(context.Background(), "Idle", 10*time.Second)
	check(t, err)
	if b.hasHead() {
		t.Error("the device has a head")
	}
	if left, _ := filepath.Glob(filepath.Join(b.dir, "u.img*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

// A start finds a package that is Ready, and may have been written over since, as
// after a boot: it is digested. One that was written over is still Ready, because a
// board that has run from it changes it by right, and is fetched anew when it is
// asked for.
func TestReadyIsLookedAtAgainByAStart(t *testing.T) {
	t.Parallel()
	b := newBoard(t, newPlainFile(t, 8*mib), noise(t, 5*mib, "new"))
	b.ready("-version", "1.2.3")
	write := func(at int64, content []byte) {
		f, err := os.OpenFile(b.device, os.O_RDWR, 0)
		check(t, err)
		_, err = f.WriteAt(content, at)
		check(t, err)
		check(t, f.Close())
	}
	daemon := func(requests int) {
		t.Helper()
		addr, err := otadrun.FreeAddress("127.0.0.1")
		check(t, err)
		p := start(t, "serve", "-state-dir", b.dir, "-listen", addr, "-min-free", "0", "-output", "b="+b.device)
		check(t, p.AwaitListener(addr, 20*time.Second))
		c := otadrun.NewClient(addr)
		defer c.Close()
		_, err = c.AwaitState(context.Background(), "Ready", 20*time.Second)
		check(t, err)
		r, err := c.Post(context.Background(), otadrun.Job{Version: "1.2.3", URL: b.origin.URLFor("/u.img"), Name: "u.img",
			Size: int64(len(b.image)), MD5: b.md5, Output: "b"})
		check(t, err)
		check(t, r.Err())
		_, err = c.AwaitState(context.Background(), "Ready", 20*time.Second)
		check(t, err)
		if !b.isWhole() {
			t.Error("the device does not hold the package")
		}
		if n := len(b.origin.Requests()); n != requests {
			t.Errorf("%d requests, want %d", n, requests)
		}
		_, err = p.Stop(10 * time.Second)
		check(t, err)
	}
	write(0, b.image[:1]) // the same byte
	daemon(1)
	write(2*mib, []byte{b.image[2*mib] ^ 1})
	daemon(2)
	daemon(2)
}
