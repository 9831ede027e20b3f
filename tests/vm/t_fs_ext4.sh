#!/bin/bash
# A tree of files on ext4 survives detach, fsck and re-attach.
. tests/vm/lib.sh

img=$(image disk.img 512M)
serve <<-C
	[fs]
	path = $img
C
mkfs.ext4 -q "${NODE[fs]}"
mkdir "$T/mnt"
mount "${NODE[fs]}" "$T/mnt"
cp -a /usr/lib/python3* "$T/mnt/"
(cd "$T/mnt" && find . -type f -print0 | sort -z | xargs -0 sha256sum) >"$T/sums"
[ "$(wc -l <"$T/sums")" -gt 500 ] || fail "too few files to mean anything"
umount "$T/mnt"
stop
quiet
clean

e2fsck -fn "$img" >"$T/fsck" 2>&1 || fail "e2fsck: $(cat "$T/fsck")"
cp "$T/conf" "$T/again"; serve <"$T/again"
mount -o ro "${NODE[fs]}" "$T/mnt"
(cd "$T/mnt" && sha256sum --quiet -c "$T/sums") || fail "files differ"
umount "$T/mnt"
stop
quiet
clean
