package storage_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"otad/board/storage"
)

// stranger is the number of a user that is neither root nor otad's.
const stranger = 54321

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can change owners")
	}
}

func chown(t *testing.T, path string, uid int) {
	t.Helper()
	if err := os.Chown(path, uid, uid); err != nil {
		t.Fatal(err)
	}
}

func TestOpenStateDirRefusesADirectoryThatOthersCanChange(t *testing.T) {
	for _, tt := range []struct {
		name   string
		mode   os.FileMode
		uid    int // -1: the test's
		remedy string
	}{
		{"of its owner alone", 0o700, -1, ""},
		{"others may pass", 0o711, -1, ""},
		{"others may read", 0o755, -1, ""},
		{"the group may write", 0o775, -1, "chmod go-w "},
		{"everybody may write", 0o777, -1, "chmod go-w "},
		{"as /tmp", 0o777 | os.ModeSticky, -1, "chmod go-w "},
		{"of a stranger", 0o700, stranger, "chown -R 0 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.uid >= 0 {
				needRoot(t)
				chown(t, dir, tt.uid)
			}
			if err := os.Chmod(dir, tt.mode); err != nil {
				t.Fatal(err)
			}
			d, err := storage.OpenStateDir(dir)
			if tt.remedy == "" {
				if err != nil {
					t.Fatal(err)
				}
				d.Close()
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.remedy+dir) {
				t.Errorf("error is %v, want one with %q", err, tt.remedy+dir)
			}
			if left := list(t, dir); left != "" {
				t.Errorf("left in the directory: %s", left)
			}
		})
	}
}

// foreignFile puts at path what otad does not make there. The first two are no
// regular files.
type foreignFile struct {
	name string
	put  func(path string) error
}

var foreign = []foreignFile{
	{"a symbolic link", func(path string) error { return os.Symlink("elsewhere", path) }},
	{"a pipe", func(path string) error { return syscall.Mkfifo(path, 0o600) }},
	{"a socket", func(path string) error { return syscall.Mknod(path, syscall.S_IFSOCK|0o600, 0) }},
	{"a hard link", func(path string) error { return os.Link(filepath.Join(filepath.Dir(path), "elsewhere"), path) }},
	{"a stranger's file", func(path string) error {
		return errors.Join(os.WriteFile(path, []byte("forged"), 0o666), os.Chown(path, stranger, stranger))
	}},
}

// A foreign file in the place of a partial one gives way, and nothing behind it is
// touched.
func TestOpenPartialUsesNoForeignFile(t *testing.T) {
	for _, tt := range foreign {
		t.Run(tt.name, func(t *testing.T) {
			needRoot(t)
			dir := t.TempDir()
			elsewhere, partial := filepath.Join(dir, "elsewhere"), filepath.Join(dir, "u.zip.otad-part")
			if err := errors.Join(os.WriteFile(elsewhere, []byte("precious"), 0o600), tt.put(partial)); err != nil {
				t.Fatal(err)
			}
			p := openPartial(t, open(t, dir), "u.zip")
			if size, err := p.Size(); size != 0 || err != nil {
				t.Errorf("the partial file has %d bytes, %v; want a new one", size, err)
			}
			writeAt(t, p, []byte("data"), 0)
			if got, err := os.ReadFile(elsewhere); string(got) != "precious" {
				t.Errorf("the file behind it holds %q, %v", got, err)
			}
			st, err := os.Lstat(partial)
			if err != nil || st.Mode() != 0o600 || st.Sys().(*syscall.Stat_t).Nlink != 1 {
				t.Errorf("the partial file is %v, %v", st, err)
			}
		})
	}
}

func TestOpenStateDirTakesNoForeignLock(t *testing.T) {
	for _, tt := range foreign {
		t.Run(tt.name, func(t *testing.T) {
			needRoot(t)
			dir := t.TempDir()
			lock := filepath.Join(dir, "journal.lock")
			if err := errors.Join(os.WriteFile(filepath.Join(dir, "elsewhere"), nil, 0o600), tt.put(lock)); err != nil {
				t.Fatal(err)
			}
			d, err := storage.OpenStateDir(dir)
			if err == nil {
				d.Close()
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), "remove "+lock) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func TestAStrangersLockOnTheDirectoryStopsNobody(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if st, err := os.Stat(filepath.Join(dir, "journal.lock")); err != nil || st.Mode() != 0o600 {
		t.Errorf("the lock is %v, %v; want a file that nobody else can open", st, err)
	}
}

// Without an inode for the lock the directory is locked: otad must start, to free
// the disk.
func TestLockOnAFullDisk(t *testing.T) {
	dir := mount(t, "-t", "tmpfs", "-o", "nr_inodes=1,mode=755", "otad-test")
	open(t, dir)
	synctest.Test(t, func(t *testing.T) { // the time passes at once
		if _, err := storage.OpenStateDir(dir); !errors.Is(err, storage.ErrLocked) {
			t.Errorf("the second otad gets %v, want ErrLocked", err)
		}
	})
}

// A package's own files may be root's and the directory otad's, or the other way
// round, after an upgrade or a command that root has run.
func TestRootUsesTheDirectoryOfOtadsUser(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	partial := filepath.Join(dir, "u.zip.otad-part")
	if err := os.WriteFile(partial, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	chown(t, partial, stranger)
	chown(t, dir, stranger)
	d, err := storage.OpenStateDirOf(stranger, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if size, err := openPartial(t, d, "u.zip").Size(); size != 4 || err != nil {
		t.Errorf("%d bytes, %v; want those of the owner", size, err)
	}
	openPartial(t, d, "v.zip")
	for _, name := range []string{"journal.lock", "v.zip.otad-part"} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Sys().(*syscall.Stat_t).Uid != stranger {
			t.Errorf("%s: %v, %v; want it given to the owner of the directory", name, st, err)
		}
	}
}

func TestUsersAreFoundByName(t *testing.T) {
	users := "root:x:0:0:root:/root:/bin/sh\notad-old:x:7:7::/:\notad:x:998:998::/var/lib/otad:/bin/false\nbad:x\n"
	for name, want := range map[string]int{"otad": 998, "root": 0, "ota": -1, "otad-old": 7, "bad": -1} {
		if got := storage.UIDOf(users, name); got != want {
			t.Errorf("%s is user %d, want %d", name, got, want)
		}
	}
}

func TestOpenStateDirFollowsTheDirectoryOnly(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	other := t.TempDir()
	if err := errors.Join(os.Rename(dir, dir+".old"), os.Symlink(other, dir)); err != nil {
		t.Fatal(err)
	}
	openPartial(t, d, "u.zip")
	if _, err := os.Stat(filepath.Join(other, "u.zip.otad-part")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the partial file is in the other directory: %v", err)
	}
	if left := list(t, dir+".old"); left != "u.zip.otad-part-rw-------" {
		t.Errorf("the directory that is open holds %q", left)
	}
}
