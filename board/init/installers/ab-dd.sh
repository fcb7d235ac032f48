#!/bin/sh
# The plainest installer: copies an image to the slot that does not run, reads it back,
# and sets a flag for the boot loader.
#
#   on-ready /usr/lib/otad/ab-dd.sh [SETTINGS]
#
# The flag is a file with two lines, slot=A or slot=B and state=new or state=good. The
# boot loader starts that slot. If state=new and the slot was tried before, it starts
# the other one.
set -u

SLOT_A=/dev/disk/by-partlabel/root-a
SLOT_B=/dev/disk/by-partlabel/root-b
FLAG=/boot/otad/slot # in a directory that the user otad may write
IMAGES='*.img'       # names of packages for this board; others are refused
CMDLINE=/proc/cmdline
BOOT_ID=/proc/sys/kernel/random/boot_id

# healthy reports whether the system that has come up is good enough to stay. Put the
# board's own checks here. A failure is tried again later; until it succeeds, the boot
# loader may go back.
healthy() { :; }

# shellcheck source=/dev/null
[ $# = 0 ] || . "$1" # a file of root's, with other values of the above

# otad keeps the last line as the reason.
fail() { echo "$*"; exit 1; }
later() { echo "$*"; exit 75; }

# replace makes what it reads the content of a file: after a power cut it is the old
# or the new one.
replace() { dd of="$1.new" conv=fsync 2>/dev/null && mv "$1.new" "$1" && sync; }

set_flag() { printf 'slot=%s\nstate=%s\n' "$1" "$2" | replace "$FLAG" || fail "cannot write $FLAG"; }
flag() { sed -n "s/^$1=//p" "$FLAG" 2>/dev/null; }

# running prints the slot that the kernel has as its root.
running() {
	root=$(tr ' ' '\n' <"$CMDLINE" | sed -n 's/^root=//p' | tail -n 1)
	case $root in
	PARTLABEL=*) root=/dev/disk/by-partlabel/${root#*=} ;;
	PARTUUID=*) root=/dev/disk/by-partuuid/${root#*=} ;;
	esac
	root=$(readlink -f "$root") || return 1
	case $root in
	"$(readlink -f "$SLOT_A")") echo A ;;
	"$(readlink -f "$SLOT_B")") echo B ;;
	*) return 1 ;;
	esac
}

confirm() {
	healthy || later "slot $here is not healthy yet"
	set_flag "$here" good
	exit 0
}

rolled_back() {
	set_flag "$here" good
	rm -f ab-dd.asked
	fail "rolled back: slot $here runs, not $asked"
}

# Two copies at once would be neither's. A dd that has outlived its script holds the
# lock, too.
exec 9>ab-dd.lock # in otad's state directory, as ab-dd.asked
flock -n 9 || later "another installation runs"

here=$(running) || fail "the root of $CMDLINE is neither $SLOT_A nor $SLOT_B"
boot=$(cat "$BOOT_ID") || fail "cannot read $BOOT_ID"
if [ -n "$OTAD_SHA256" ]; then digest=sha256sum sum=$OTAD_SHA256; else digest=md5sum sum=$OTAD_MD5; fi

# What was asked for, of which package, in which boot.
asked='' asked_sum='' asked_boot=''
# shellcheck disable=SC2162 # no backslashes in it
[ ! -e ab-dd.asked ] || read asked asked_sum asked_boot <ab-dd.asked

if [ "$OTAD_EVENT" = rebooted ]; then
	[ "$asked_sum" = "$sum" ] || fail "there is no record of this package in ab-dd.asked"
	[ "$asked" = "$here" ] || rolled_back
	confirm
fi

# The power may have been cut after an installation, before otad stored its end.
if [ "$asked_sum" = "$sum" ] && [ "$asked_boot" != "$boot" ]; then
	[ "$asked" != "$here" ] || confirm
	[ "$asked" != "$(flag slot)" ] || rolled_back
fi

# shellcheck disable=SC2254 # a pattern
case $OTAD_NAME in
$IMAGES) ;;
*) fail "$OTAD_NAME is not an image for this board: $IMAGES" ;;
esac

# While this system is on trial, the other slot is the only one that is known to work.
[ "$(flag slot) $(flag state)" != "$here new" ] || healthy || later "slot $here is not healthy yet"
if [ "$here" = A ]; then other=B slot=$SLOT_B; else other=A slot=$SLOT_A; fi
device=${OTAD_DEVICE-} # with -output: the package is there already
[ -z "$device" ] || [ "$(readlink -f "$device")" = "$(readlink -f "$slot")" ] || fail "otad has written $device, and the slot that does not run is $slot"

# From here until its end is written the other slot is not to be started.
set_flag "$here" good
echo "$other $sum $boot" | replace ab-dd.asked || fail "cannot write ab-dd.asked"
[ -n "$device" ] || dd if="$OTAD_PACKAGE" of="$slot" bs=1M conv=notrunc,fsync || fail "cannot write slot $other"

# Read from the medium, not from memory, where dd can.
direct=iflag=direct
dd if="$slot" of=/dev/null bs=4096 count=1 $direct 2>/dev/null || direct=
# shellcheck disable=SC2086 # no word or one
got=$(dd if="$slot" bs=1M $direct 2>/dev/null | head -c "$OTAD_SIZE" | $digest)
[ "${got%% *}" = "$sum" ] || fail "slot $other does not hold what was written to it"

set_flag "$other" new
exit 10
