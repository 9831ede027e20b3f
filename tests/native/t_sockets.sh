#!/bin/bash
# The socket of a disk: its place, mode and group; taken by a running server, left by a dead one, in
# a directory of everybody, too long. A server without root and without a configuration file.
. tests/native/lib.sh
need_vhost_user

config() { # RUNTIME-DIRECTORY SOCKET [KEY=VALUE]...
	printf '[global]\nruntime_dir = %s\n' "$T/$1"
	disk_section disk "$img" "${@:2}"
}

img=$(image disk.img 64M)
serve < <(config run auto)
is "default socket" "${NODE[disk]}" "$T/run/disk.sock"
is "its mode" "$(stat -c %a "$T/run/disk.sock")" 660
client front_ends --queues 1 "$T/run/disk.sock" kept
stop
quiet
[ ! -e "$T/run/disk.sock" ] || fail "the socket is left"

serve < <(config run "$T/socket" socket_mode=0606 socket_group=nogroup)
is "mode and group" "$(stat -c '%a %G' "$T/socket")" "606 nogroup"

# A server that runs: its socket is not taken, and it goes on.
config other "$T/socket" | refused 1 "$T/socket"
client front_ends --queues 1 "$T/socket" kept

# A server that is dead: its socket is replaced.
kill -9 "$SERVER"
wait "$SERVER" 2>/dev/null || true
[ -S "$T/socket" ] || fail "no socket is left to replace"
start_server
client front_ends --queues 1 "$T/socket" kept
stop
quiet

# Where others could put theirs in its place.
mkdir -m 777 "$T/everybody"
config run "$T/everybody/socket" | refused 1 'everybody'
config run "$T/nowhere/socket" | refused 1 'nowhere'
config run "/$(printf 'x%.0s' {1..120})" | refused 2 'at most 107 bytes'
config run "$T/socket" socket_group=no-such-group | refused 1 'no-such-group'
touch "$T/file"
config run "$T/file" | refused 1 "$T/file"
[ -f "$T/file" ] || fail "a file that is no socket was taken away"

# Nobody's server, without a file.
chmod 755 "$T"
mkdir "$T/nobody"
chown nobody: "$T/nobody" "$img"
setpriv --reuid=nobody --regid=nogroup --clear-groups "$VDUSE_BLK" serve --vhost-user "$T/nobody/quick.sock" "$img" queues=2 >"$T/out" 2>"$T/err" &
SERVER=$!
wait_for "$PATIENCE" "socket" test -S "$T/nobody/quick.sock"
client front_ends --queues 2 "$T/nobody/quick.sock" vmm kept
stop
quiet
