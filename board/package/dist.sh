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
# those of OpenWrt. Debian's name is nfpm's to know. An .ipk is for one type of
# processor: -ipk-arch in README.md.
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
export PACKAGE_VERSION MAINTAINER ARCH STAGE
for board; do
	all=$(names "$board")
	STAGE=bin/stage/$board
	rm -rf "$STAGE"
	$MAKE -s install DESTDIR="$STAGE" PREFIX=/usr SYSCONFDIR=/etc BINARY="bin/otad-$board"
	name=$out/otad_${PACKAGE_VERSION}

	ARCH=${all% *}
	deb=$(echo "$ARCH" | sed 's/arm7/armhf/; s/arm6/armhf-armv6/; s/mipsle/mipsel/')
	$NFPM package -f board/package/nfpm.yaml -p deb -t "${name}_$deb.deb" >/dev/null

	ARCH=${all#* }
	# On OpenWrt /var is in memory.
	sed -i 's|^#state-dir /var/lib/otad$|state-dir /srv/otad|' "$STAGE/etc/otad.conf"
	grep -q '^state-dir /srv/otad' "$STAGE/etc/otad.conf"
	$NFPM package -f board/package/nfpm.yaml -p ipk -t "${name}_$ARCH.ipk" >/dev/null

	$CYCLONEDX bin -json -std -noserial -notimestamp -version "$VERSION" -output "${name}_$deb.cdx.json" "bin/otad-$board" 2>/dev/null
done
cp bin/docs/copyright "$out/copyright"
(cd "$out" && sha256sum -- * >SHA256SUMS)
