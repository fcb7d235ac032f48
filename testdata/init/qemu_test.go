package init_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"otad/testdata/boards"
)

// onBoard is what BusyBox init runs in the guest after the boot.
const onBoard = `#!/bin/sh
say() { echo "rig: $*"; }
fail() { say "error $*; $(tail -n 5 /var/log/messages | tr '\n' ' ')"; }
await() { # text command...: it is true within 20 s
	text=$1 n=0
	shift
	until "$@" >/dev/null 2>&1; do
		n=$((n + 1))
		[ $n -lt 20 ] || { fail "not within 20 s: $text"; return; }
		sleep 1
	done
}
logged() { [ "$(grep -c "$1" /var/log/messages)" -ge "$2" ]; }
another() { new=$(pidof "$1") && [ "$new" != "$2" ]; }

mount -t tmpfs state /var/lib
syslogd -O /var/log/messages
say "start: $(/etc/init.d/S90otad start)"
old=$(pidof logger)
kill -KILL "$old"
await "another logger" another logger "$old"
/etc/init.d/S90otad reload
await "a line after the death of the logger" logged msg=reloaded 1
old=$(pidof otad)
grep -q "^Uid:.990.990.990.990" "/proc/$old/status" || fail "otad runs as $(grep Uid "/proc/$old/status")"
kill -KILL "$old"
await "another otad" another otad "$old"
await "it answers" /etc/init.d/S90otad status
say "stop: $(/etc/init.d/S90otad stop)"
sleep 2
say "left: $(pidof otad logger)"
say done
poweroff -f
`

// S90otad does its work on a board of QEMU, too: a kernel of its own, and BusyBox
// init as the first process.
func TestBusyBoxOnQEMU(t *testing.T) {
	t.Parallel()
	machine := boards.MachineOf("amd64", boards.DefaultCache())
	a, err := machine.FirstFileSystem()
	check(t, err)
	a.Folder("var/log")
	for name, content := range map[string]string{
		"init":               "#!/bin/busybox sh\n. /etc/hardware\nexec /bin/init\n",
		"etc/inittab":        "::sysinit:/etc/init.d/rcS\n",
		"etc/init.d/rcS":     onBoard,
		"etc/init.d/S90otad": strings.Replace(initFile(t, "S90otad"), "\nRESTART_SECONDS=10\n", "\nRESTART_SECONDS=1\n", 1),
		"etc/otad.conf":      "",
		"etc/passwd":         "root:x:0:0:root:/:/bin/sh\notad:x:990:990::/:/bin/false\n",
		"etc/group":          "root:x:0:\notad:x:990:\n",
	} {
		a.File(name, []byte(content))
	}
	check(t, a.Copy("usr/bin/otad", binary))
	dir := t.TempDir()
	initrd := filepath.Join(dir, "initrd")
	check(t, os.WriteFile(initrd, a.Bytes(), 0o600))
	log, err := os.Create(filepath.Join(dir, "console"))
	check(t, err)
	runtime.LockOSThread() // QEMU ends with the thread that has started it
	defer runtime.UnlockOSThread()
	guest, err := machine.Start(initrd, log, "-accel", "tcg,thread=multi",
		"-drive", "if=none,id=disk,driver=null-co,size=1M", "-netdev", "user,id=net,restrict=on")
	check(t, err)
	defer guest.Kill()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var said []string
	err = guest.Console.Wait(ctx, "done", func(line string) { said = append(said, line) })
	want := "start: Starting otad: OK\nstop: Stopping otad: OK\nleft:"
	if got := strings.Join(said, "\n"); err != nil || got != want {
		console, _ := os.ReadFile(log.Name())
		t.Errorf("%v; the board said\n%s\nwant\n%s\nits console:\n%s", err, got, want, console)
	}
}
