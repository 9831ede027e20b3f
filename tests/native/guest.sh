# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Guests of the native tier, sourced after lib.sh: QEMU under software emulation, with the kernel of
# this root and an initramfs of busybox, fio and e2fsprogs. A guest has a name; commands for its shell
# and for QMP go through pipes, and every answer has a deadline.

INITRAMFS=${TMPDIR:-/tmp}/vduse-blk-guest.cpio # made once for all tests
GUEST_PATIENCE=240			       # seconds, for a boot or an answer
QUICK="tsc=reliable no_timer_check mitigations=off nokaslr cryptomgr.notests audit=0 lsm=capability"
declare -A GUEST=() # pid of each

# QEMU_ROOT: an unpacked root of another Debian release, whose QEMU the guests get.
QEMU=(qemu-system-x86_64)
if [ -n "${QEMU_ROOT-}" ]; then
	QEMU=(env "QEMU_MODULE_DIR=$QEMU_ROOT/usr/lib/x86_64-linux-gnu/qemu"
		"$(find "$QEMU_ROOT" -name ld-linux-x86-64.so.2 -type f -print -quit)"
		--library-path "$QEMU_ROOT/lib/x86_64-linux-gnu:$QEMU_ROOT/usr/lib/x86_64-linux-gnu"
		"$QEMU_ROOT/usr/bin/qemu-system-x86_64"
		-L "$QEMU_ROOT/usr/share/qemu" -L "$QEMU_ROOT/usr/share/seabios")
fi
qemu_version=$("${QEMU[@]}" --version | sed -n '1s/.*version \([0-9.]*\).*/\1/p')
RECONNECT=reconnect-ms=100
if [ "$(printf '%s\n' 9.2 "$qemu_version" | sort -V | head -n 1)" != 9.2 ]; then
	RECONNECT=reconnect=1 # seconds
fi

# A program and the libraries that it needs, at the same places below a directory.
take_program() {
	local program
	program=$(command -v "$2")
	ldd "$program" | grep -o '/[^ ]*' | cat - <(echo "$program") |
		xargs -I'{}' install -D '{}' "$1/{}"
}

take_module() {
	local module
	module=$(find /usr/lib/modules -name "$2.ko*")
	case $module in
	*.xz) busybox xzcat "$module" >"$1/$2.ko" ;;
	*) cp "$module" "$1/$2.ko" ;;
	esac
}

make_initramfs() {
	local root=$T/root program module
	[ ! -e "$INITRAMFS" ] || return 0
	mkdir -p "$root/bin"
	cp "$(command -v busybox)" "$root/bin/"
	cp tests/native/guest_init "$root/init"
	chmod +x "$root/init"
	for program in mkfs.ext4 e2fsck blkdiscard fio; do
		take_program "$root" "$program"
	done
	install -D /etc/mke2fs.conf "$root/etc/mke2fs.conf"
	for module in virtio_blk scsi_common scsi_mod libata libahci ahci sd_mod; do
		take_module "$root" $module
	done
	(cd "$root" && find . | cpio --quiet -o -H newc) >"$T/initramfs"
	rm -rf "$root"
	mv "$T/initramfs" "$INITRAMFS"
}

# Both ends of a pipe chardev, for QEMU's PATH.in and PATH.out.
make_pipe() {
	mkfifo "$1.in" "$1.out"
}

# start_guest NAME [QEMU-OPTION]...: with two CPUs and 512M unless SMP and MEMORY say otherwise. Does not wait.
start_guest() {
	local name=$1 at=$T/guest-$1
	shift
	make_initramfs
	make_pipe "$at.shell"
	make_pipe "$at.qmp"
	"${QEMU[@]}" -accel tcg,thread=multi -cpu max -smp "${SMP:-2}" \
		-machine q35,memory-backend=m -m "${MEMORY:-512M}" \
		-object "memory-backend-memfd,id=m,size=${MEMORY:-512M},share=on" \
		-nodefaults -no-user-config -display none -serial "file:$at.console" \
		-kernel "$(ls /boot/vmlinuz-*)" -initrd "$INITRAMFS" -append "console=ttyS0 panic=-1 quiet $QUICK" \
		-chardev "pipe,id=qmp,path=$at.qmp" -mon chardev=qmp,mode=control \
		-device virtio-serial-pci -chardev "pipe,id=shell,path=$at.shell" \
		-device virtserialport,nr=1,chardev=shell \
		-device pcie-root-port,id=port1,chassis=1 -device pcie-root-port,id=port2,chassis=2 \
		"$@" >"$at.log" 2>&1 &
	GUEST[$name]=$!
	defer reap ${GUEST[$name]}
	await_line "$name" qmp '"QMP"'
	tell_qmp "$name" qmp_capabilities >/dev/null
}

# Sets DISK to QEMU's options for a disk: disk_options ID SOCKET QUEUES [,PROPERTY=VALUE]...
disk_options() {
	# shellcheck disable=SC2034 # the tests use it
	DISK=(-chardev "socket,id=chr-$1,path=$2,$RECONNECT"
		-device "vhost-user-blk-pci,id=$1,chardev=chr-$1,num-queues=$3${DISK_PROPERTIES-}$(printf '%s' "${@:4}")")
}

guest_failed() { # NAME WHAT
	fail "guest $1: $2: $(tail -n 15 "$T/guest-$1.console" "$T/guest-$1.log")"
}

# QEMU connects again for ever, whatever it was refused.
gives_up() {
	[ "$(grep -c 'Error starting vhost' "$T/guest-$1.log")" -ge 5 ]
}

# await_line NAME shell|qmp PATTERN: prints the lines before the first one that matches. Sets LINE
await_line() {
	local name=$1 fd deadline=$((SECONDS + GUEST_PATIENCE)) part='' line=''
	exec {fd}<>"$T/guest-$name.$2.out"
	until [[ $line =~ $3 ]]; do
		[ -z "$line" ] || echo "$line"
		line=
		until read -r -t 1 part <&"$fd"; do
			line+=$part
			! process_ended "${GUEST[$name]}" || guest_failed "$name" "QEMU ended before '$3' came"
			[ $SECONDS -lt $deadline ] || guest_failed "$name" "no '$3' in time"
			! gives_up "$name" || guest_failed "$name" "QEMU cannot start the disk"
		done
		line+=${part%$'\r'}
	done
	LINE=$line
	exec {fd}<&-
}

# say_to NAME shell|qmp LINE
say_to() {
	printf '%s\n' "$3" 1<>"$T/guest-$1.$2.in" >&1
}

# ready NAME: the guest has booted
ready() {
	await_line "$1" shell '^=READY='
}

# try_in NAME COMMAND...: runs it in the guest's shell; prints its output, returns its status. What is
# on several lines here is one line there.
try_in() {
	local name=$1 command="${*:2}"
	say_to "$name" shell "${command//$'\n'/ }"
	await_line "$name" shell '^=END= '
	return "${LINE#=END= }"
}

# in_guest NAME COMMAND...: the same, and it must succeed
in_guest() {
	local status=0
	try_in "$@" >"$T/in_guest" || status=$?
	[ $status -eq 0 ] || guest_failed "$1" "status $status of ${*:2}: $(cat "$T/in_guest")"
	cat "$T/in_guest"
}

# tell_qmp NAME COMMAND [ARGUMENTS-AS-JSON]: prints what it returns; events on the way go to a file
tell_qmp() {
	local name=$1 arguments=${3:-"{}"}
	say_to "$name" qmp "{\"execute\": \"$2\", \"arguments\": $arguments}"
	await_line "$name" qmp '^\{"(return|error)"' >>"$T/guest-$name.events"
	[[ $LINE != '{"error"'* ]] || guest_failed "$name" "$2 $arguments: $LINE"
	echo "$LINE"
}

# await_event NAME PATTERN: one that came since the last one, or comes; a part of its line
await_event() {
	local events=$T/guest-$1.events
	grep -qE "$2" "$events" 2>/dev/null || await_line "$1" qmp "$2" >/dev/null
	: >"$events"
}

# end_guest NAME: powers it off
end_guest() {
	local pid=${GUEST[$1]}
	say_to "$1" shell "sync; poweroff -f"
	wait_for "$GUEST_PATIENCE" "end of the guest $1" process_ended "$pid"
	wait "$pid" || guest_failed "$1" "QEMU ended with status $?"
	forget_guest "$1"
}

# quit_guest NAME: ends QEMU, whatever the guest does
quit_guest() {
	local pid=${GUEST[$1]}
	say_to "$1" qmp '{"execute": "quit"}'
	wait_for "$GUEST_PATIENCE" "end of QEMU" process_ended "$pid"
	wait "$pid" || guest_failed "$1" "QEMU ended with status $?"
	forget_guest "$1"
}

forget_guest() {
	rm -f "$T/guest-$1".*
	unset "GUEST[$1]"
}

# fio_in NAME FIO-OPTION...: random writes among reads, all verified
FIO="fio --ioengine=io_uring --direct=1 --rw=randrw --iodepth=32 --group_reporting --verify=crc32c --verify_fatal=1 --verify_state_save=0 --allow_file_create=0"
fio_in() {
	in_guest "$1" "$FIO ${*:2}" >/dev/null
}
