#!/bin/bash
# The unit that is installed, with a real systemd (its user instance; no other needs to have booted):
# start, reload, crash, stop; none of them disturbs the users of the disk.
# once
. tests/vm/lib.sh

manager=/usr/lib/systemd/systemd
[ -x $manager ] || skip "no $manager"
mountpoint -q /sys/fs/cgroup || skip "no /sys/fs/cgroup"

img=$(image disk.img 16M)
write_conf() {
	cat >"$T/conf" <<-C
		[global]
		runtime_dir = $XDG_RUNTIME_DIR/vduse-blk
		[disk]
		path = $img
		$1
	C
}

ctl() {
	systemctl --user "$@"
}

property() {
	ctl show --value --property="$1" vduse-blk
}

state_is() {
	[ "$(property ActiveState)" = "$1" ]
}

# Another process is the service, and it is ready: renewed OLD-PID
renewed() {
	local pid
	pid=$(property MainPID)
	[ "$pid" -ne "$1" ] && [ "$pid" -ne 0 ] && [ ! -e "/proc/$1" ] && state_is active &&
		[ "$(property StatusText)" = "Serving 1 devices" ]
}

one_server() {
	[ "$(pgrep -c -x vduse-blk)" -eq 1 ]
}

# Has the disk open for the rest of the test, or until released.
hold() {
	exec {held}<"$node"
}

release() {
	exec {held}<&-
}

# Its user goes on as if nothing had happened.
writes() {
	fill_direct "$node" "$1" 64K 64K
	filled "/proc/self/fd/$held" "$1" 64K 64K || fail "what was written is not what is read"
}

export XDG_RUNTIME_DIR=$T/run
mkdir -m 700 "$T/run"
mkdir -p "$T/units/vduse-blk.service.d"
sed "s|@PREFIX@/sbin/vduse-blk|$VDUSE_BLK|g; s|/etc/vduse-blk.conf|$T/conf|g" conf/vduse-blk.service \
	>"$T/units/vduse-blk.service"
cat >"$T/units/vduse-blk.service.d/test.conf" <<-C
	[Service]
	StandardOutput=append:$T/out
	StandardError=append:$T/err
	PassEnvironment=ASAN_OPTIONS TSAN_OPTIONS UBSAN_OPTIONS
C
if [ ! -d /run/systemd/system ]; then # or it says that there is no systemd
	mkdir -p /run/systemd/system
	defer rmdir /run/systemd/system
fi
SYSTEMD_UNIT_PATH="$T/units:" $manager --user --log-target=console >"$T/manager" 2>&1 &
manager_pid=$!
end_manager() {
	ctl stop --no-block vduse-blk
	ctl kill vduse-blk 2>/dev/null # in use or not
	ctl exit
	wait $manager_pid
}
defer end_manager
wait_for 30 "systemd" ctl show-environment

write_conf ''
ctl start vduse-blk || fail "start: $(tail "$T/manager")"
node=$(awk '$1 == "disk" { print $2 }' "$T/out")
[ -b "$node" ] || fail "systemctl start came back before there was a disk"
settle_udev
hold
writes 101

# Another process takes over, though the disk is in use. Systemd follows.
pid=$(property MainPID)
ctl reload vduse-blk || fail "reload: $(tail "$T/manager")"
grep -q "^disk $node\$" <(tail -n 1 "$T/out") || fail "reload came back before the new server had the disk"
wait_for 60 "new server" renewed "$pid"
writes 102
is "number of restarts" "$(property NRestarts)" 0

# A mistake in the configuration changes nothing.
pid=$(property MainPID)
write_conf 'pth = /x'
! ctl reload vduse-blk 2>/dev/null || fail "reload took a configuration with a mistake"
sleep 1
is "main process" "$(property MainPID)" "$pid"
state_is active || fail "a mistake ended the service"
writes 103

# Nor does a takeover that is refused, and reload says so.
write_conf 'serial = other'
! ctl reload vduse-blk 2>/dev/null || fail "reload says that it took over a disk with another serial"
grep -qE 'cannot be adopted' "$T/err" || fail "it is not said why the reload failed"
is "main process" "$(property MainPID)" "$pid"
state_is active || fail "a refused reload ended the service"
writes 104
write_conf ''

# Two at a time: one is the main process then, whatever becomes of the other, and nothing else is left.
second_reload() {
	echo $BASHPID >"/sys/fs/cgroup$(property ControlGroup)/cgroup.procs"
	exec env "$(tr '\0' '\n' <"/proc/$pid/environ" | grep ^NOTIFY_SOCKET=)" \
		"$VDUSE_BLK" serve --takeover --background -c "$T/conf" >>"$T/out" 2>>"$T/err"
}
ctl reload --no-block vduse-blk
(second_reload) || true
wait_for 60 "new server" renewed "$pid"
wait_for 60 "one server" one_server
is "main process" "$(property MainPID)" "$(pgrep -x vduse-blk)"
writes 105
pid=$(property MainPID)
ctl reload vduse-blk || fail "reload: $(tail "$T/manager")" # a process below systemd again, whose end it sees
wait_for 60 "new server" renewed "$pid"
pid=$(property MainPID)
restarts=$(property NRestarts)

# The server is killed, and the next one goes on.
kill -KILL "$pid"
wait_for 60 "server after the crash" renewed "$pid"
writes 106
is "number of restarts" "$(property NRestarts)" $((restarts + 1))

# Stop waits until the disk is free.
ctl stop --no-block vduse-blk
wait_for 30 "word of who has it" grep -q 'is in use: ' "$T/err"
sleep 2
state_is deactivating || fail "stop did not wait, but: $(property ActiveState)"
writes 105
release
wait_for 30 "end of the service" state_is inactive
quiet 'is in use: |"pth" is not a key|cannot take over from|cannot be adopted|this server serves'
clean

# Or until somebody says that it need not be.
ctl start vduse-blk || fail "a second start: $(tail "$T/manager")"
node=$(awk '$1 == "disk" { node = $2 } END { print node }' "$T/out")
settle_udev
hold
ctl stop --no-block vduse-blk
wait_for 30 "stop" state_is deactivating
sleep 1
ctl kill vduse-blk
wait_for 30 "end of the service" state_is inactive
release
clean

# Not tried again: a mistake in the configuration.
write_conf 'pth = /x'
! ctl start vduse-blk 2>/dev/null || fail "it started with a mistake in its configuration"
state_is failed || fail "a mistake makes it $(property ActiveState)"
is "exit status" "$(property ExecMainStatus)" 2
