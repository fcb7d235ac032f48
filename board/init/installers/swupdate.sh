#!/bin/sh
# Installs an SWUpdate image (.swu) when otad has it ready.
#
#   on-ready /usr/lib/otad/swupdate.sh [SETTINGS]
#
# SWUpdate's daemon does the work, as root; this script only sends it the package, and
# may run as the user otad in the group of the daemon's sockets.
set -u

# Where the daemon's sockets are: its TMPDIR. In /tmp the sandbox of otad hides them.
SOCKETS=/run/swupdate
# The file of the image that says which version it is, by a line "rootfs 1.2.3". It has
# to be the version of the job.
VERSIONS=/etc/sw-versions
IMAGE=rootfs
# A daemon that reports nothing for so many seconds has ended.
SILENCE=10

# healthy reports whether the system that has come up is good enough to stay, and
# makes the boot loader keep it. Put the board's own checks here, and what ends the
# trial, such as fw_setenv ustate 0. A failure is tried again later.
healthy() { :; }

# shellcheck source=/dev/null
[ $# = 0 ] || . "$1" # a file of root's, with other values of the above

# In the second run for a package, or after a reboot: what runs?
if [ "$OTAD_EVENT" = rebooted ] || [ "$OTAD_ATTEMPT" != 1 ]; then
	version=$(sed -n "s/^${IMAGE}[[:space:]]\{1,\}//p" "$VERSIONS")
	# The power may have been cut after an installation, before otad stored its end.
	# A daemon with -R refuses what runs, and another one would write over the good old
	# slot.
	if [ "$version" = "$OTAD_VERSION" ]; then
		healthy && exit 0
		echo "the new system is not healthy yet"
		exit 75
	fi
	if [ "$OTAD_EVENT" = rebooted ]; then
		echo "rolled back: ${version:-another system} runs, not $OTAD_VERSION"
		exit 1
	fi
fi

[ -S "$SOCKETS/sockinstctrl" ] || { echo "no SWUpdate daemon at $SOCKETS"; exit 75; }

# The client alone is not to be believed. It ends with 1 whatever happens: its daemon
# has died or refuses the package, and even after a success, where the daemon has
# closed the connection before the last bytes, the padding. What the daemon reports
# as its progress decides: status 3 is success, 4 failure.
progress=$(mktemp) || exit 75
TMPDIR=$SOCKETS swupdate-ipc monitor >"$progress" 2>/dev/null &
monitor=$!
trap 'kill $monitor 2>/dev/null; rm -f "$progress"' EXIT
trap 'exit 75' HUP INT TERM
sleep 1 # it connects
verdicts() { grep -o '"status": [34]' "$progress"; }
before=$(verdicts | wc -l) # of an installation that somebody else has started

out=$(TMPDIR=$SOCKETS swupdate-client -v "$OTAD_PACKAGE" 2>&1)
code=$?
printf '%s\n' "$out" | grep -v '^Status: 2 '
[ $code != 0 ] || exit 10
case $out in *swupdate_async_start*)
	echo "SWUpdate is busy, or does not answer at $SOCKETS"
	exit 75
	;;
esac

size='' silent=0
while [ "$(verdicts | wc -l)" -le "$before" ]; do
	last=$size
	size=$(wc -c <"$progress")
	if [ "$size" = "$last" ]; then silent=$((silent + 1)); else silent=0; fi
	if [ $silent -ge "$SILENCE" ]; then
		echo "SWUpdate has ended in the middle"
		exit 75
	fi
	sleep 1
done
case $(verdicts | tail -n 1) in *3)
	echo "SWUpdate has installed it"
	exit 10
	;;
esac
reason=$(printf '%s\n' "$out" | sed -n 's/^Status: 4 message: //p' | head -n 1)
# otad keeps the last line as the reason.
echo "SWUpdate: ${reason:-refused, its log has the reason}"
exit 1
