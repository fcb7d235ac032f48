#!/bin/sh
# Becomes process 1 of a board, in new namespaces of processes, mounts and network.
# The board's root is a layer in memory over the folder LOWER.
#
#   enter.sh NAME LOWER INIT [ARG...]
set -eu
umask 022
if [ "$1" != --inside ]; then
	# A cgroup of its own, so that the init system is the master of a tree.
	mount --make-rprivate /
	mount -t cgroup2 cgroup2 /mnt
	mkdir "/mnt/$1"
	echo 0 >"/mnt/$1/cgroup.procs"
	umount /mnt
	shift
	exec unshare -C "$0" --inside "$@"
fi
lower=$2
shift 2
mount -t tmpfs -o mode=755 board /mnt
mkdir /mnt/root /mnt/upper /mnt/work
mount -t overlay -o "lowerdir=$lower,upperdir=/mnt/upper,workdir=/mnt/work" root /mnt/root
cd /mnt/root
mkdir -p proc sys run tmp dev mnt
# A file system of its own: over a folder systemd mounts devtmpfs, which has the
# devices of this machine.
mount -t tmpfs -o mode=755 dev dev
while read -r name major minor; do mknod -m 666 "dev/$name" c "$major" "$minor"; done <<'DEVICES'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
DEVICES
ln -s pts/ptmx dev/ptmx
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
# The settings of the kernel are this machine's, too.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
pivot_root . mnt
cd /
umount -l /mnt
echo entered # before this line, the root is still this machine's
exec "$@"
