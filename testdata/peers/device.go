package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"otad/testdata/otadrun"
)

// Ways to a package on a partition, whole, compared with its digest, and durable.
const (
	nameOutput = "otad fetch -output DEVICE"
	nameFileDD = "otad fetch && dd conv=fsync"
)

// device prints what it costs to bring an image onto a partition.
func device(s *stage, rounds int) (err error) {
	slot, free, err := s.slot()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, free()) }()
	contenders := s.deviceContenders(slot)
	swupdate, err := s.swupdate(slot)
	if err != nil {
		fmt.Printf("SWUpdate is left out: %v\n", err)
	} else {
		contenders = append(contenders, swupdate)
	}
	if _, err := os.Stat("/sys/block/nbd0"); err != nil {
		fmt.Println("RAUC is left out: it streams by way of a network block device, which this kernel does not have")
	} else {
		fmt.Println("RAUC is left out: its streaming was never tried here")
	}
	for _, c := range contenders {
		if err := s.tryOnce(c, slot); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	costs, err := s.alternate(contenders, rounds)
	if err != nil {
		return err
	}
	fmt.Printf("\n%d bytes from nginx on loopback onto %s; medians of %d alternating rounds, and of the ratios in each round.\n\n", s.size, slot, rounds)
	fmt.Println("| | wall s | / (file + dd) | CPU s | / (file + dd) | peak RSS MB | written / size |")
	fmt.Println("|---|---|---|---|---|---|---|")
	file := costs[nameFileDD]
	for _, c := range contenders {
		k := costs[c.name]
		fmt.Printf("| %s | %.2f | %.2f | %.2f | %.2f | %.1f | %.3f |\n", strings.ReplaceAll(c.name, "|", `\|`),
			median(k, wall), ratio(k, file, wall), median(k, cpu), ratio(k, file, cpu), median(k, rss)/1e6, median(k, written)/float64(s.size))
	}
	return nil
}

func (s *stage) deviceContenders(slot string) []contender {
	shell := func(script string) func(string) []*exec.Cmd {
		return func(dir string) []*exec.Cmd { return []*exec.Cmd{shellIn(dir, script)} }
	}
	dd := "dd of=" + slot + " bs=1M iflag=fullblock conv=notrunc,fsync status=none"
	return []contender{
		{name: nameOutput, cmds: func(dir string) []*exec.Cmd { return []*exec.Cmd{s.fetch(dir, "-output", slot)} }},
		{name: nameFileDD, cmds: func(dir string) []*exec.Cmd {
			return []*exec.Cmd{s.fetch(dir), shellIn(dir, dd+" if=package.bin")}
		}},
		{name: "curl | tee >(md5sum) | dd conv=fsync", cmds: shell("mkfifo sum; md5sum <sum & curl -sS " + s.url + " | tee sum | " + dd + "; wait")},
	}
}

// swupdate returns SWUpdate as it downloads an image of its own format and writes it
// as it comes in. The image is that of the others, with a SHA-256.
func (s *stage) swupdate(slot string) (contender, error) {
	f, err := os.Open(s.file)
	if err != nil {
		return contender{}, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return contender{}, err
	}
	www := filepath.Dir(s.file)
	description := fmt.Sprintf("software = { version = \"1.0\"; hardware-compatibility: [ \"1.0\" ];\n"+
		"  images: ( { filename = \"package.bin\"; device = \"%s\"; type = \"raw\"; installed-directly = true; sha256 = \"%x\"; } ); }\n", slot, sum.Sum(nil))
	if err := os.WriteFile(filepath.Join(www, "sw-description"), []byte(description), 0o644); err != nil {
		return contender{}, err
	}
	if out, err := shellIn(www, `command -v swupdate
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ../key.pem -out ../cert.pem -days 3650 -subj "/CN=otad" -addext extendedKeyUsage=emailProtection
openssl cms -sign -in sw-description -out sw-description.sig -signer ../cert.pem -inkey ../key.pem -outform DER -nosmimecap -binary
printf '%s\n' sw-description sw-description.sig package.bin | cpio -o -H crc >package.swu`).CombinedOutput(); err != nil {
		return contender{}, fmt.Errorf("%w: %s", err, out)
	}
	script := fmt.Sprintf("TMPDIR=$PWD swupdate -k %s/cert.pem -H board:1.0 -d '-u %s.swu' >log 2>&1 || { tail -n 20 log >&2; exit 1; }; sync %s",
		s.dir, strings.TrimSuffix(s.url, ".bin"), slot)
	return contender{name: "swupdate -d, installed-directly", cmds: func(dir string) []*exec.Cmd { return []*exec.Cmd{shellIn(dir, script)} }}, nil
}

// shellIn returns a script that runs in a folder.
func shellIn(dir, script string) *exec.Cmd {
	cmd := otadrun.Command("bash", "-ec", script)
	cmd.Dir = dir
	return cmd
}

// slot makes a loop device, or a plain file where there is none, that is larger than
// the package and was written to before.
func (s *stage) slot() (path string, free func() error, err error) {
	file := filepath.Join(s.dir, "slot.img")
	if _, err := otadrun.WritePackage(file, (s.size+8<<20)&^(1<<20-1), "old"); err != nil {
		return "", nil, err
	}
	out, err := exec.Command("losetup", "--find", "--show", "--direct-io=on", file).Output()
	if err != nil {
		fmt.Println("no loop device here: a plain file stands for it")
		return file, func() error { return nil }, nil
	}
	path = strings.TrimSpace(string(out))
	return path, func() error { return exec.Command("losetup", "--detach", path).Run() }, nil
}

// tryOnce returns an error if a contender does not bring the package onto the slot.
func (s *stage) tryOnce(c contender, slot string) error {
	f, err := os.OpenFile(slot, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, at := range []int64{0, s.size / 2, s.size - 4096} { // what an earlier one has written
		if _, err := f.WriteAt(make([]byte, 4096), at); err != nil {
			return err
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil { // otad wants it for itself
		return err
	}
	if _, err := s.alternate([]contender{c}, 1); err != nil {
		return err
	}
	sum, err := exec.Command("sh", "-c", `head -c "$0" "$1" | md5sum`, fmt.Sprint(s.size), slot).Output()
	if err != nil {
		return err
	}
	if got := strings.Fields(string(sum)); !slices.Contains(got, s.md5) {
		return fmt.Errorf("the slot has the MD5 %q, and not that of the package", got)
	}
	return nil
}
