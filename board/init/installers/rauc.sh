#!/bin/sh
# Installs a RAUC bundle when otad has it ready.
#
#   on-ready /usr/lib/otad/rauc.sh [SETTINGS]
#
# RAUC's service does the work, as root; this script only asks it over D-Bus, and may
# run as the user otad. The version of the job has to be that of the bundle's
# manifest: after the reboot it says which of the two slots has come up.
set -u

# healthy reports whether the system that has come up is good enough to stay. Put the
# board's own checks here. A failure is tried again later; until it succeeds, the boot
# loader may go back.
healthy() { :; }

# shellcheck source=/dev/null
[ $# = 0 ] || . "$1" # a file of root's, with other values of the above

# running sets version to that of the bundle in the slot that runs; empty: the slot
# was not installed by RAUC.
running() {
	status=$(rauc status --detailed --output-format=shell) || return 1
	slot=$(printf '%s\n' "$status" | sed -n "s/^RAUC_SLOT_STATE_\([0-9]*\)='booted'\$/\1/p")
	version=$(printf '%s\n' "$status" | sed -n "s/^RAUC_SLOT_STATUS_BUNDLE_VERSION_${slot:-none}='\(.*\)'\$/\1/p")
}

keep() {
	healthy || { echo "the new system is not healthy yet"; exit 75; }
	rauc status mark-good || exit 75
	exit 0
}

# In the second run for a package, or after a reboot: what runs?
if [ "$OTAD_EVENT" = rebooted ] || [ "$OTAD_ATTEMPT" != 1 ]; then
	running || { echo "RAUC does not answer"; exit 75; }
	# The power may have been cut after an installation, before otad stored its end.
	# Then the new slot runs, and another run would write over the good old one.
	[ "$version" != "$OTAD_VERSION" ] || keep
	if [ "$OTAD_EVENT" = rebooted ]; then
		echo "rolled back: ${version:-another system} runs, not $OTAD_VERSION"
		exit 1
	fi
fi

# To install a bundle twice does no harm.
out=$(rauc install "$OTAD_PACKAGE" 2>&1)
code=$?
printf '%s\n' "$out"
case $code in
0) exit 10 ;;
2) exit 75 ;; # D-Bus: no service, a busy one, or one that has ended in the middle
esac
# otad keeps the last line as the reason.
printf '%s\n' "$out" | grep '^LastError: ' || echo "rauc install ended with $code"
exit 1
