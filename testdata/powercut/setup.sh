#!/bin/sh
# Downloads the parts of emulated boards (../boards): QEMU from Debian's packages, and for each guest a Debian kernel, a few of
# its modules and a static BusyBox. The packages of another architecture are unpacked, never installed. The lists of this
# machine's apt stay as they are.
#
#   setup.sh [CACHE [ARCH...]]     CACHE: default ${XDG_CACHE_HOME:-$HOME/.cache}/otad-powercut; ARCH: amd64 arm64 armhf, default all
#
# It returns at once when everything is there. Remove CACHE to download everything again. It needs root.
set -eu

cache=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/otad-powercut}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- amd64 arm64 armhf

# In the order in which the guest has to load them. A module that is built into the kernel is not a file and is skipped. The
# driver of the disk is last: the guest loads it only when it may read the disk (../boards/guest/hardware).
modules="crc16 crc32c_generic libcrc32c mbcache jbd2 ext4
crc32_generic lzo_compress lz4_compress lz4hc_compress xxhash zstd_compress zstd_common zstd_decompress f2fs
xfs
fat vfat nls_cp437 nls_ascii nls_utf8 nls_iso8859-1
virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_mmio
failover net_failover virtio_net virtio_blk"

install_tools() {
	missing=
	command -v qemu-system-x86_64 >/dev/null || missing="$missing qemu-system-x86"
	command -v qemu-system-aarch64 >/dev/null || missing="$missing qemu-system-arm"
	command -v mkfs.ext4 >/dev/null || missing="$missing e2fsprogs"
	command -v mkfs.f2fs >/dev/null || missing="$missing f2fs-tools"
	command -v mksquashfs >/dev/null || missing="$missing squashfs-tools"
	command -v mkfs.erofs >/dev/null || missing="$missing erofs-utils"
	command -v mkfs.xfs >/dev/null || missing="$missing xfsprogs"
	command -v mkfs.vfat >/dev/null || missing="$missing dosfstools"
	command -v lz4 >/dev/null || missing="$missing lz4"
	[ -n "$missing" ] || return 0
	apt-get update -qq
	# shellcheck disable=SC2086 # a list of words
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# private_apt COMMAND ARG... runs apt-get or apt-cache on lists of its own, which hold the guests' architectures too.
private_apt() {
	command=$1
	shift
	"$command" -qq -o "Dir::State=$cache/apt" -o Dir::State::status=/var/lib/dpkg/status -o "Dir::Cache=$cache/apt" \
		-o APT::Architectures::=amd64 -o APT::Architectures::=arm64 -o APT::Architectures::=armhf \
		-o APT::Sandbox::User=root "$@"
}

update_lists() {
	[ -e "$cache/apt/updated" ] && return 0
	mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial"
	# Skip a list that cannot be downloaded (a mirror during its own update): a missing package then fails at its download.
	private_apt apt-get update || echo "setup: going on with the lists that are here"
	touch "$cache/apt/updated"
}

# kernel_package ARCH: the versioned package of the newest kernel.
kernel_package() {
	case $1 in
	amd64) name=linux-image-cloud-amd64 ;;
	arm64) name=linux-image-cloud-arm64 ;;
	armhf) name=linux-image-armmp ;;
	esac
	private_apt apt-cache depends --no-recommends --no-suggests "$name:$1" | sed -n 's/.*Depends: *\(linux-image-[^: ]*\).*/\1/p' | head -n 1
}

# uncompressed VMLINUZ: the ELF image inside an x86 kernel, which Debian compresses with LZ4. Without this, an emulated machine
# uncompresses it at each boot, which takes most of a second.
uncompressed() {
	offset=$(LC_ALL=C grep -obUaP '\x02\x21\x4c\x18' "$1" | head -n 1 | cut -d : -f 1)
	tail -c "+$((offset + 1))" "$1" | lz4 -dc 2>/dev/null || true # lz4 fails at the bytes after the stream
}

fetch_guest() {
	arch=$1
	[ "$(cat "$cache/$arch/complete" 2>/dev/null)" != "$modules" ] || return 0
	echo "setup: fetching the $arch guest"
	update_lists
	work=$cache/$arch.new
	rm -rf "$work" "${cache:?}/$arch"
	mkdir -p "$work/modules" "$work/tree"
	cd "$work"
	private_apt apt-get download "$(kernel_package "$arch"):$arch" "busybox-static:$arch"

	set -- './boot/vmlinuz-*'
	for module in $modules; do set -- "$@" "*/$module.ko"; done
	dpkg --fsys-tarfile linux-image-*.deb | tar -x -C tree --wildcards "$@" 2>/dev/null || true # a module may be built in
	dpkg --fsys-tarfile busybox-static_*.deb | tar -x -C tree --wildcards './*bin/busybox'

	if [ "$arch" = amd64 ]; then uncompressed tree/boot/vmlinuz-* >kernel; else mv tree/boot/vmlinuz-* kernel; fi
	[ -s kernel ] || { echo "setup: no kernel in $(ls linux-image-*.deb)" >&2; exit 1; }
	find tree -name busybox -exec mv {} busybox \;
	number=10
	for module in $modules; do
		find tree -name "$module.ko" -exec mv {} "modules/$number-$module.ko" \;
		number=$((number + 1))
	done
	rm -rf tree ./*.deb
	echo "$modules" >complete
	mv "$work" "$cache/$arch"
}

install_tools
mkdir -p "$cache"
for guest; do
	fetch_guest "$guest"
done
