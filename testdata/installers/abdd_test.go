package installers_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// abFiles writes what a board with two slots has, which runs the first.
func (r *rig) abFiles() {
	r.t.Helper()
	r.slots()
	r.must("mkdir", "boot")
	r.settings = strings.ReplaceAll("SLOT_A=DIR/slot-a.img\nSLOT_B=DIR/slot-b.img\nFLAG=DIR/boot/slot\nCMDLINE=DIR/cmdline\nBOOT_ID=DIR/boot_id\n", "DIR", r.dir)
	r.boot("slot-a.img", "1")
}

// boot starts the board from a slot.
func (r *rig) boot(slot, id string) {
	r.write("cmdline", "console=ttyS0 ro root="+r.file(slot)+" quiet\n")
	r.write("boot_id", id+"\n")
}

const (
	goodA = "slot=A\nstate=good"
	goodB = "slot=B\nstate=good"
	newB  = "slot=B\nstate=new"
)

func TestABCopy(t *testing.T) {
	underEachShell(t, "ab-dd.sh", func(t *testing.T, r *rig) {
		r.abFiles()
		r.image("u.img", 3<<20+511)
		u := event{Package: "u.img"}
		rebooted := event{Package: "u.img", Name: "rebooted"}
		again := event{Package: "u.img", Attempt: 2}

		r.image("u.zip", 100)
		r.want(r.start(event{Package: "u.zip"}), 1, "u.zip is not an image for this board")
		r.want(r.start(event{Package: "u.img", Digest: strings.Repeat("0", 32)}), 1, "slot B does not hold what was written to it")
		r.wantFile("boot/slot", goodA)
		r.want(r.start(u), 10, "")
		r.wantSlot("slot-b.img", "u.img")
		r.wantFile("boot/slot", newB)
		r.want(r.start(again), 10, "")
		r.wantFile("boot/slot", newB)

		// The board goes back to the old slot.
		r.boot("slot-a.img", "2")
		r.want(r.start(rebooted), 1, "rolled back: slot A runs, not B")
		r.wantFile("boot/slot", goodA)
		r.want(r.start(rebooted), 1, "no record")
		r.want(r.start(u), 10, "") // it may be installed anew

		// The board comes up from the new one.
		r.boot("slot-b.img", "3")
		settings := r.settings
		r.settings += "healthy() { false; }\n"
		r.want(r.start(rebooted), 75, "slot B is not healthy yet")
		r.image("next.img", 1<<20)
		r.want(r.start(event{Package: "next.img"}), 75, "slot B is not healthy yet")
		r.wantFile("boot/slot", newB)
		r.settings = settings
		for range 2 {
			r.want(r.start(rebooted), 0, "")
			r.wantFile("boot/slot", goodB)
		}
		r.want(r.start(u), 0, "") // it runs
		r.wantSlot("slot-b.img", "u.img")

		// The next one goes to the other slot.
		r.want(r.start(event{Package: "next.img"}), 10, "")
		r.wantSlot("slot-a.img", "next.img")
		r.wantSlot("slot-b.img", "u.img")
		r.write("cmdline", "root=/dev/sda1\n")
		r.want(r.start(u), 1, "is neither")
	})
}

// The power is cut after the installation, before otad has stored its end.
func TestABCopyEndIsNotKnown(t *testing.T) {
	for _, c := range []struct {
		name, slot, flag, text string
		code                   int
	}{
		{"and the new slot runs", "slot-b.img", goodB, "", 0},
		{"and the old slot runs", "slot-a.img", goodA, "rolled back", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "ab-dd.sh", "dash")
			r.abFiles()
			r.image("u.img", 1<<20)
			r.want(r.start(event{Package: "u.img"}), 10, "")
			r.write("slot-a.img", "the old system")
			r.boot(c.slot, "2")
			r.want(r.start(event{Package: "u.img", Attempt: 2}), c.code, c.text)
			r.wantFile("slot-a.img", "the old system")
			r.wantFile("boot/slot", c.flag)
		})
	}
}

// What is written is durable before the flag is, and the flag before the end.
func TestABCopyOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ab-dd.sh", "dash")
	r.abFiles()
	r.image("u.img", 1<<20)
	for _, name := range []string{"dd", "mv", "sync"} {
		r.wrap(name, `exec "$REAL" "$@"`+"\n")
	}
	r.want(r.start(event{Package: "u.img"}), 10, "")
	calls := strings.NewReplacer(r.dir+"/", "").Replace(r.read("calls"))
	want := `dd of=boot/slot.new conv=fsync
mv boot/slot.new boot/slot
sync
dd of=ab-dd.asked.new conv=fsync
mv ab-dd.asked.new ab-dd.asked
sync
dd if=u.img of=slot-b.img bs=1M conv=notrunc,fsync
dd if=slot-b.img of=/dev/null bs=4096 count=1 iflag=direct
dd if=slot-b.img bs=1M iflag=direct
dd of=boot/slot.new conv=fsync
mv boot/slot.new boot/slot
sync
`
	if calls != want && calls != strings.Replace(want, "bs=1M iflag=direct", "bs=1M", 1) {
		t.Errorf("the calls are\n%swant\n%s", calls, want)
	}
}

// The medium does not hold what was written to it.
func TestABCopyMediumIsBad(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ab-dd.sh", "dash")
	r.abFiles()
	r.image("u.img", 1<<20)
	r.wrap("dd", `"$REAL" "$@" || exit
case "$*" in *of=*slot-b.img*) printf X | "$REAL" of="`+r.file("slot-b.img")+`" bs=1 seek=500000 conv=notrunc ;; esac
`)
	r.want(r.start(event{Package: "u.img"}), 1, "slot B does not hold what was written to it")
	r.wantFile("boot/slot", goodA)
}

// An installation is killed in the middle of its copy, in the second run for a
// package. Meanwhile another one has to wait, and a power cut has the old slot.
func TestABCopyIsKilled(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ab-dd.sh", "dash")
	r.abFiles()
	r.image("u.img", 1<<20)
	r.want(r.start(event{Package: "u.img"}), 10, "")
	path := r.path
	r.wrap("dd", `case "$*" in *of=*slot-b.img*) "$REAL" "$@" bs=1000 count=1; touch `+r.file("held")+`; exec sleep 1000 ;; esac
exec "$REAL" "$@"
`)
	first := r.start(event{Package: "u.img", Attempt: 2})
	eventually(t, "the copy is under way", func() bool { return exists(r.file("held")) })
	r.wantFile("boot/slot", goodA)
	r.path = path
	r.want(r.start(event{Package: "u.img"}), 75, "another installation runs")
	check(t, first.Cmd.Process.Signal(syscall.SIGKILL))
	first.Wait()
	r.want(r.start(event{Package: "u.img"}), 75, "another installation runs") // its dd
	first.end()
	eventually(t, "its dd has ended", func() bool { return syscall.Kill(-first.Cmd.Process.Pid, 0) != nil })
	r.want(r.start(event{Package: "u.img", Attempt: 3}), 10, "")
	r.wantSlot("slot-b.img", "u.img")
	r.wantFile("boot/slot", newB)
}

// The power is cut before and after each of the steps. The board then starts a slot
// that is whole, and the next run ends well.
func TestABCopyIsCutAtEachStep(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			for step := 1; ; step++ {
				if r := newRig(t, "ab-dd.sh", "dash"); !r.cutAt(when, step) {
					if step < 12 {
						t.Errorf("there are %d steps only", step)
					}
					return
				}
			}
		})
	}
}

// cutAt cuts the power in the first run and has the board come up. It returns false if
// the run has ended before that step.
func (r *rig) cutAt(when string, step int) bool {
	r.t.Helper()
	r.abFiles()
	r.image("old", 1<<20)
	r.image("u.img", 1<<20)
	r.must("cp", "old", "slot-a.img")
	for _, name := range []string{"dd", "mv", "sync"} {
		r.wrap(name, fmt.Sprintf(`echo x >>%[1]s
[ "$(wc -l <%[1]s) %[2]s" != "%[3]d before" ] || kill -KILL 0
"$REAL" "$@"
code=$?
[ "$(wc -l <%[1]s) %[2]s" != "%[3]d after" ] || kill -KILL 0
exit $code
`, r.file("steps"), when, step))
	}
	first := r.start(event{Package: "u.img"})
	if result, err := first.WaitFor(patience); err != nil || result.Code != -1 {
		r.want(first, 10, "")
		return false
	}
	r.path = systemPath
	if strings.Contains(r.read("boot/slot"), "slot=B") {
		r.wantSlot("slot-b.img", "u.img")
		r.boot("slot-b.img", "2")
	} else {
		r.boot("slot-a.img", "2")
		r.want(r.start(event{Package: "u.img", Attempt: 2}), 10, "")
		r.wantSlot("slot-a.img", "old")
		r.boot("slot-b.img", "3")
	}
	r.want(r.start(event{Package: "u.img", Attempt: 3}), 0, "")
	r.wantFile("boot/slot", goodB)
	r.wantSlot("slot-a.img", "old")
	r.wantSlot("slot-b.img", "u.img")
	return true
}

// With -output otad has written the slot: the script compares it and sets the flag, and
// does so for no slot but the one that does not run.
func TestABWithoutCopy(t *testing.T) {
	underEachShell(t, "ab-dd.sh", func(t *testing.T, r *rig) {
		r.abFiles()
		r.image("u.img", 3<<20+511)
		before := r.read("slot-b.img")
		r.want(r.start(event{Package: "u.img", Device: "slot-a.img"}), 1, "slot-a.img, and the slot that does not run is "+r.file("slot-b.img"))
		r.want(r.start(event{Package: "u.img", Device: "slot-b.img"}), 1, "slot B does not hold what was written to it")
		if r.read("slot-b.img") != before {
			t.Error("the script has written the slot")
		}
		r.wantFile("boot/slot", goodA)

		r.must("dd", "if=u.img", "of=slot-b.img", "conv=notrunc", "status=none") // as otad does
		r.must("ln", "-s", "slot-b.img", "by-partlabel")
		r.want(r.start(event{Package: "u.img", Device: "by-partlabel"}), 10, "")
		r.wantFile("boot/slot", newB)
		r.boot("slot-b.img", "2")
		r.want(r.start(event{Package: "u.img", Device: "by-partlabel", Name: "rebooted"}), 0, "")
		r.wantFile("boot/slot", goodB)
	})
}
