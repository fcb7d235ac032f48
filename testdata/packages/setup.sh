#!/bin/sh
# Makes a small Debian with systemd in a folder, from Debian's packages, for the tests
# here. It returns at once when it is there. Remove the folder to make it again. It
# needs root and mmdebstrap.
#
#   setup.sh [FOLDER]     default ${XDG_CACHE_HOME:-$HOME/.cache}/otad-packages
set -eu
cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/otad-packages}
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
parts=systemd,adduser,init-system-helpers
[ "$(cat "$cache/complete" 2>/dev/null)" != "$suite $parts" ] || exit 0
rm -rf "$cache"
mkdir -p "$cache"
log=$cache/log
mmdebstrap --variant=essential --include="$parts" "$suite" "$cache/root" >"$log" 2>&1 || { cat "$log" >&2 && exit 1; }
echo "$suite $parts" >"$cache/complete"
