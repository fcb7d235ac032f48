#!/bin/sh
# Packs otad for the given boards: a .deb, an .ipk and a list of the parts (SBOM,
# CycloneDX) each, and SHA256SUMS of all. "make dist" has built the binaries.
#
#   dist.sh DIRECTORY BOARD...
#
# It takes VERSION, SOURCE_DATE_EPOCH, MAINTAINER, MAKE, NFPM and CYCLONEDX from the
# environment. The same commit and the same Go give the same bytes.
set -eu
umask 022
export LC_ALL=C TZ=UTC0 SOURCE_DATE_EPOCH

# names BOARD: the architecture in the names of Go, with nfpm's digit for arm, and in
# those of OpenWrt, whose packages are for one type of processor (README.md says how to
# name another).
names() {
	case $1 in
	amd64) echo amd64 "${IPK_ARCH_amd64:-x86_64}" ;;
	arm64) echo arm64 "${IPK_ARCH_arm64:-aarch64_cortex-a53}" ;;
	arm) echo arm7 "${IPK_ARCH_arm:-arm_cortex-a7_neon-vfpv4}" ;;
	armv6) echo arm6 "${IPK_ARCH_armv6:-arm_arm1176jzf-s_vfp}" ;;
	riscv64) echo riscv64 "${IPK_ARCH_riscv64:-riscv64_riscv64}" ;;
	mipsle) echo mipsle "${IPK_ARCH_mipsle:-mipsel_24kc}" ;;
	*)
		echo "dist.sh: no such board: $1" >&2
		return 1
		;;
	esac
}

# package_version prints VERSION, of "git describe", in the form of Debian and opkg:
# v1.2.3-rc1 is before 1.2.3, and v1.2.3-4-gabc after it. Without a tag the time of
# the commit gives the order.
package_version() {
	version=$VERSION dirty=
	case $version in *-dirty) version=${version%-dirty} dirty=+dirty ;; esac
	case $version in
	v[0-9]*) echo "${version#v}$dirty" | sed -E 's/-([0-9]+)-g([0-9a-f]+)/+\1.g\2/; s/-/~/g' ;;
	*) echo "0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d.%H%M%S).g$version$dirty" ;;
	esac
}

out=$1
shift
[ $# -gt 0 ]
PACKAGE_VERSION=$(package_version)
rm -rf "$out"
mkdir -p "$out"
export PACKAGE_VERSION MAINTAINER ARCH

# quietly COMMAND ARG...: what it prints is shown if it fails.
quietly() {
	"$@" >"$log" 2>&1 || { cat "$log" >&2 && return 1; }
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

for board; do
	all=$(names "$board")
	rm -rf bin/stage
	quietly "$MAKE" -s install DESTDIR=bin/stage PREFIX=/usr SYSCONFDIR=/etc BINARY="bin/otad-$board"
	name=$out/otad_${PACKAGE_VERSION}

	ARCH=${all% *}
	deb=$(echo "$ARCH" | sed 's/^arm7$/armhf/; s/^arm6$/armhf-armv6/; s/^mipsle$/mipsel/')
	# shellcheck disable=SC2086 # a command
	quietly $NFPM package -f board/package/nfpm.yaml -p deb -t "${name}_$deb.deb"

	ARCH=${all#* }
	# On OpenWrt /var is in memory.
	sed -i 's|^#state-dir /var/lib/otad$|state-dir /srv/otad|' bin/stage/etc/otad.conf
	grep -q '^state-dir /srv/otad' bin/stage/etc/otad.conf
	# shellcheck disable=SC2086
	quietly $NFPM package -f board/package/nfpm.yaml -p ipk -t "${name}_$ARCH.ipk"

	# shellcheck disable=SC2086
	quietly $CYCLONEDX bin -json -std -noserial -notimestamp -version "$VERSION" -output "${name}_$deb.cdx.json" "bin/otad-$board"
	# The digest of the tool itself says only how it was built here.
	sed -i '/^        "hashes": \[$/,/^        \],$/d' "${name}_$deb.cdx.json"
done
cp bin/docs/copyright "$out/copyright"
(cd "$out" && sha256sum -- * >SHA256SUMS)
