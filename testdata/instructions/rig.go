package main

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"otad/testdata/boards"
)

// The guest's own files; the packages and this program bring the rest.
//
//go:embed guest
var guestFiles embed.FS

const (
	diskSize = 256 << 20
	patience = 5 * time.Minute // for one board, from power-on to the last figure
)

// rig is a board that is ready to start.
type rig struct {
	machine boards.Machine
	dir     string
	initrd  string
	disk    string
}

// newRig builds the programs of the board, and the board.
func newRig(ctx context.Context, o options, arch, dir string, p plan) (*rig, error) {
	r := &rig{boards.MachineOf(arch, o.cache), dir, filepath.Join(dir, "initrd"), filepath.Join(dir, "disk.img")}
	programs := map[string]string{"usr/bin/otad": ".", "usr/bin/instructions": "./testdata/instructions"}
	a, err := r.machine.FirstFileSystem()
	if err != nil {
		return nil, err
	}
	for name, folder := range programs {
		built := filepath.Join(dir, filepath.Base(name))
		if err := boards.Compile(ctx, arch, built, folder, ""); err != nil {
			return nil, err
		}
		if err := a.Copy(name, built); err != nil {
			return nil, err
		}
	}
	init, err := guestFiles.ReadFile("guest/init")
	if err != nil {
		return nil, err
	}
	a.File("init", init)
	planFile, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	a.File("etc/plan.json", planFile)
	if err := os.WriteFile(r.initrd, a.Bytes(), 0o600); err != nil {
		return nil, err
	}
	return r, r.format()
}

// format makes the disk, with ext4 as mkfs makes it by default.
func (r *rig) format() error {
	if err := os.WriteFile(r.disk, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(r.disk, diskSize); err != nil {
		return err
	}
	mkfs := exec.Command("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", r.disk)
	if out, err := mkfs.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", mkfs, err, out)
	}
	return nil
}

// run starts the board and collects its measurements. One instruction takes the
// guest one nanosecond, so that its times are numbers of instructions. While
// the guest waits, it sleeps (sleep=on): its timers must not run ahead of the
// origin, which runs in this machine's time.
func (r *rig) run(ctx context.Context) (costs, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	log, err := os.Create(filepath.Join(r.dir, "console.log"))
	if err != nil {
		return nil, err
	}
	guest, err := r.machine.Start(r.initrd, log, "-accel", "tcg,thread=single", "-icount", "shift=0,sleep=on",
		"-drive", "if=none,id=disk,format=raw,cache=unsafe,file="+r.disk, "-netdev", "user,id=net")
	if err != nil {
		return nil, err
	}
	defer guest.Kill()
	all := make(costs)
	err = guest.Console.Wait(ctx, "done", func(line string) {
		var m measurement
		if json.Unmarshal([]byte(line), &m) == nil {
			all[m.Name] = append(all[m.Name], m)
		}
	})
	if err != nil {
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	return all, nil
}
