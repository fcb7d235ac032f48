# Stands in for OpenWrt's /lib/functions.sh: what the package and the init script call.
user_exists() { grep -q "^$1:" /etc/passwd; }
group_exists() { grep -q "^$1:" /etc/group; }
group_add_next() {
	group_exists "$1" || echo "$1:x:32768:" >>/etc/group
	sed -n "s/^$1:[^:]*:\([0-9]*\):.*/\1/p" /etc/group
}
user_add() { echo "$1:x:32768:32768:$1:/var/run/$1:/bin/false" >>/etc/passwd; }

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
