#!/bin/bash
# A tree of files on XFS survives detach, xfs_repair and re-attach.
# once
. tests/vm/lib.sh

img=$(image disk.img 512M)
serve <<-C
	[fs]
	path = $img
C
mkfs.xfs -q "${NODE[fs]}"
mkdir "$T/mnt"
mount "${NODE[fs]}" "$T/mnt"
cp -a /etc /usr/share/{zoneinfo,bash-completion,lintian,qemu} "$T/mnt/"
(cd "$T/mnt" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$T/sums"
[ "$(wc -l <"$T/sums")" -gt 500 ] || fail "too few files to mean anything"
umount "$T/mnt"
stop
quiet
clean

xfs_repair -n -f "$img" >"$T/repair" 2>&1 || fail "xfs_repair: $(cat "$T/repair")"
cp "$T/conf" "$T/again"
serve <"$T/again"
mount -o ro "${NODE[fs]}" "$T/mnt"
(cd "$T/mnt" && sha256sum --quiet -c "$T/sums") || fail "files differ"
umount "$T/mnt"
stop
quiet
clean
