# Stands in for OpenWrt's /lib/functions.sh: what the package and the init script call.
user_exists() { grep -q "^$1:" /etc/passwd; }
group_exists() { grep -q "^$1:" /etc/group; }
group_add_next() {
	group_exists "$1" || addgroup -S "$1"
	sed -n "s/^$1:[^:]*:\([0-9]*\):.*/\1/p" /etc/group
}
user_add() { adduser -S -D -H -s /bin/false -G "$1" "$1"; }

default_postinst() {
	info=/usr/lib/opkg/info/$(basename "${1%.*}")
	for pair in $(sed -n 's/^Require-User: *//p' "$info.control"); do
		group_add_next "${pair#*:}" >/dev/null
		user_exists "${pair%:*}" || user_add "${pair%:*}"
	done
	for script in $(grep '^/etc/init.d/' "$info.list"); do
		[ "$PKG_UPGRADE" = 1 ] || "$script" enable
		"$script" start
	done
}

default_prerm() {
	for script in $(grep '^/etc/init.d/' "/usr/lib/opkg/info/$(basename "${1%.*}").list"); do
		[ "$PKG_UPGRADE" = 1 ] || "$script" disable
		"$script" stop
	done
}
