package init_test

import (
	"strings"
	"testing"
)

// rcCommon is a stand-in for OpenWrt's /etc/rc.common and procd: it runs what a
// script hands to procd, as the user that the script names, and writes the other
// parameters to /run/procd.
const rcCommon = `#!/bin/sh
user_exists() { grep -qs "^$1:" /etc/passwd; }
group_add_next() { echo "$1:x:990:" >>/etc/group; echo 990; }
user_add() { echo "$1:x:990:$3:$1:/var/run/$1:/bin/false" >>/etc/passwd; }
uci() { cat /etc/uci; }
procd_open_instance() { instance=$1 user=root; }
procd_set_param() {
	parameter=$1
	shift
	echo "$instance $parameter $*" >>/run/procd
	case $parameter in
	user) user=$1 ;;
	command)
		number=0
		for argument; do
			number=$((number + 1))
			printf %s "$argument" >"/run/$instance.$number"
		done
		;;
	esac
}
procd_close_instance() {
	n=1
	set --
	while [ "$n" -le "$number" ]; do
		set -- "$@" "$(cat "/run/$instance.$n")"
		n=$((n + 1))
	done
	program=$1
	shift
	start-stop-daemon -S -b -m -p "/run/$instance.pid" -c "$user:$user" -x "$program" -- "$@"
}
. "$1"
start_service
`

// newOpenWrt starts a board whose init.d script is otad.procd.
func newOpenWrt(t *testing.T, files map[string]string) *board {
	t.Helper()
	all := map[string]string{
		"/etc/passwd":      "root:x:0:0:root:/root:/bin/sh\n",
		"/etc/group":       "root:x:0:\n",
		"/etc/uci":         "fstab.@global[0]=global\n",
		"/etc/init.d/rc":   rcCommon,
		"/etc/init.d/otad": initFile(t, "otad.procd"),
		script:             "#!/bin/sh\n",
		"/etc/otad.conf":   "state-dir /srv/otad\nheader-file /etc/otad.header\n",
		"/etc/otad.header": "X-Key: secret\n",
		"/srv/README":      "an overlay\n",
	}
	for name, content := range files {
		all[name] = content
	}
	b := newBusyBox(t, all)
	b.Must("chmod", "600", "/etc/otad.header")
	return b
}

func TestProcdRunsAnotherUser(t *testing.T) {
	b := newOpenWrt(t, nil)
	b.Write("/srv/otad/old.bin", "of an otad that ran as root", 0o644)
	b.Must("/etc/init.d/rc", "/etc/init.d/otad")
	b.awaitState("Idle")
	b.WantStat("/srv/otad", "990:990 0711")
	b.WantStat("/srv/otad/old.bin", "990:990 0644")
	b.WantStat("/srv/otad/journal.db", "990:990 0600")
	b.WantStat("/etc/otad.header", "990:990 0600")
	b.WantStat("/run/otad", "990:990 0755")
	params := b.Read("/run/procd") + "\n"
	for _, want := range []string{"otad user otad", "otad group otad", "otad no_new_privs 1", "otad respawn 3600 10 0", "otad stderr 1", "otad term_timeout 90", "otad file /etc/otad.conf"} {
		if !strings.Contains(params, want+"\n") {
			t.Errorf("procd is not given %q:\n%s", want, params)
		}
	}
	status := b.Read("/proc/" + b.one(otadProcess, "") + "/status")
	for _, want := range []string{"Uid:\t990\t990", "Umask:\t0077"} {
		if !strings.Contains(status, want) {
			t.Errorf("otad runs without %q:\n%s", want, status)
		}
	}
}

func TestProcdMountComesLater(t *testing.T) {
	b := newOpenWrt(t, map[string]string{
		"/etc/uci":       "fstab.@mount[0].target='/mnt/data'\n",
		"/etc/otad.conf": "state-dir /mnt/data/otad\n",
		"/mnt/data/.x":   "",
	})
	b.Must("/etc/init.d/rc", "/etc/init.d/otad")
	if exists(b.Path("/mnt/data/otad")) {
		t.Error("the state directory is made on the empty mount point")
	}
	b.Must("mount", "-t", "tmpfs", "data", "/mnt/data")
	b.awaitState("Idle")
	b.WantStat("/mnt/data/otad", "990:990 0711")
}
