# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The load under which servers are killed and replaced, sourced after lib.sh: fio on the disk raw,
# and a writer to an ext4 on the disk fs that stays mounted. Each says how it ended in a file: a
# writer that never ends is found as well as one that sees an error.

RAW=$T/raw.img
FS=$T/fs.img
WHY=
HEADERS=(/usr/include/linux/b*.h)
HEADERS=("${HEADERS[@]:0:4}")

load_config() {
	truncate -s 64M "$RAW"
	truncate -s 128M "$FS"
	cat <<-C
		[global]
		runtime_dir = $T/run
		[raw]
		path = $RAW
		queues = 4
		[fs]
		path = $FS
		queues = 2
	C
}

# Short passes, each over the same blocks with a seed of its own. fio's header in each block has the
# offset, the block's random seed and a checksum: what an earlier pass left, a write to the wrong
# place and half a write are all found. In every second pass blocks are read soon after they were
# written, in the others at the end.
raw_passes() {
	local pass=0 early
	while [ -d "$T" ] && [ ! -e "$T/enough" ]; do
		pass=$((pass + 1)) early=()
		[ $((pass % 2)) -eq 0 ] || early=(--verify_backlog=32)
		fio --name=raw --filename="${NODE[raw]}" --ioengine=io_uring --direct=1 --allow_file_create=0 \
			--rw=randrw --rwmixread=30 --bsrange=4k-64k --size=3m --offset_increment=16m --iodepth=32 \
			--numjobs=4 --verify=crc32c --verify_fatal=1 --verify_state_save=0 \
			--randseed="$((pass * 100000 + RANDOM))" "${early[@]}" >"$T/raw.log" 2>&1 || return 1
		echo $pass >"$T/raw.passes"
	done
}

same_headers() {
	local f
	for f in "${HEADERS[@]}"; do
		dd if="$1/${f##*/}" iflag=direct bs=1M status=none | cmp - "$f" || return 1
	done
}

# Directories of files; the last few stay, and each is read from the disk before it goes.
fs_copies() {
	local i=0 old
	while [ -d "$T" ] && [ ! -e "$T/enough" ]; do
		i=$((i + 1)) old=$T/mnt/$((i - 8))
		mkdir "$T/mnt/$i" && cp "${HEADERS[@]}" "$T/mnt/$i/" && sync -f "$T/mnt" || return 1
		echo $i >"$T/fs.passes"
		[ $i -gt 8 ] || continue
		same_headers "$old" && rm -r "$old" || return 1
	done
}

# load_start raw|fs...: starts these two
load_start() {
	local part
	LOAD=("$@")
	for part; do
		echo 0 >"$T/$part.passes"
		case $part in
		raw) { raw_passes && echo 0 || echo 1; } >"$T/raw.ended" 2>>"$T/raw.log" & ;;
		fs)
			mkfs.ext4 -q "${NODE[fs]}"
			mkdir "$T/mnt"
			mount "${NODE[fs]}" "$T/mnt"
			{ fs_copies 2>"$T/fs.log" && echo 0 || echo 1; } >"$T/fs.ended" &
			;;
		esac
	done
}

part_ended() {
	[ -s "$T/$1.ended" ]
}

# load_ends SECONDS: lets the writers finish. Return: all did, in time and without an error. Sets WHY
# shellcheck disable=SC2034 # the tests use it
load_ends() {
	local part deadline=$((SECONDS + $1))
	touch "$T/enough"
	for part in "${LOAD[@]}"; do
		until part_ended "$part"; do
			[ $SECONDS -lt $deadline ] || { WHY="the writer to $part hangs" && return 1; }
			sleep 0.1
		done
		[ "$(cat "$T/$part.ended")" = 0 ] ||
			{ WHY="the writer to $part saw an error: $(tail -n 20 "$T/$part.log")" && return 1; }
	done
	say "$(cat "$T/raw.passes") passes of fio, $(cat "$T/fs.passes" 2>/dev/null) copies to ext4"
}

# What is on ext4, read by a mount that has nothing of it in memory.
load_check_fs() {
	local copy
	umount "$T/mnt"
	mount "${NODE[fs]}" "$T/mnt"
	for copy in "$T"/mnt/[0-9]*; do
		same_headers "$copy" || fail "$copy differs"
	done
	umount "$T/mnt"
}

check_image() {
	e2fsck -fn "$FS" >"$T/fsck" 2>&1 || fail "e2fsck: $(cat "$T/fsck")"
}
