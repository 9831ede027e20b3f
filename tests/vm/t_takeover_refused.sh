#!/bin/bash
# A takeover with an error in the configuration is refused, and the old server goes on. A start that fails
# later leaves earlier disks as they were, idle or in use, and the next server adopts them.
# once
# expect-dmesg: I/O error
. tests/vm/lib.sh

for name in data b c new; do
	image $name.img 64M >/dev/null
done

# config SED_SCRIPT [LINE]...: the good one, changed, and what it has more
config() {
	printf '[%s]\npath = %s\n' data "$T/data.img" b "$T/b.img" c "$T/c.img" | sed "$1"
	[ $# -eq 1 ] || printf '%s\n' "${@:2}"
}

still_served() {
	kill -0 "$SERVER" 2>/dev/null || fail "the server that was to go on is gone"
	is "what it serves" "$("$VDUSE_BLK" list | awk '$4 == "attached" { print $1 }' | paste -sd' ')" 'data b c'
	[ -b "$idle" ] || fail "$idle, idle, is gone"
	date >"$T/mnt/date"
	timeout 20 sync -f "$T/mnt" || fail "the mounted disk is not served"
}

errors=1

# fails VERB... PATTERN: with the configuration on standard input, $errors errors, within some seconds
fails() {
	local status=0 pattern=${*: -1}
	cat >"$T/bad.conf"
	timeout --kill-after=5 60 "${AS[@]}" "$VDUSE_BLK" "${@:1:$#-1}" -c "$T/bad.conf" >"$T/bad.out" 2>"$T/bad.err" </dev/null ||
		status=$?
	is "exit status" $status 1
	is "number of errors ($(cat "$T/bad.err"))" "$(grep -c 'error: ' "$T/bad.err")" "$errors"
	grep -qE -- "error: $pattern" "$T/bad.err" || fail "not '$pattern': $(cat "$T/bad.err")"
	! grep -qE 'ERROR: |runtime error' "$T/bad.err" || fail "a sanitizer has something to say"
}

takes_nothing_over() {
	fails serve --takeover "$1"
	is "what was printed" "$(cat "$T/bad.out")" ''
	still_served
}

serve < <(config '')
mkfs.ext4 -q "${NODE[data]}"
mkdir "$T/mnt"
mount "${NODE[data]}" "$T/mnt"
idle=${NODE[b]}
nodes=${NODE[*]}

# What a running device cannot become.
config '' 'serial = xx' | takes_nothing_over 'c: is attached already, and cannot be adopted: serial was "c" and is "xx"'
config '' 'queue_size = 64' | takes_nothing_over 'c: .*queue_size was 1024 and is 64'
config '' 'readonly = yes' | takes_nothing_over 'c: .*readonly was no and is yes'
config '' 'size = 32M' | takes_nothing_over 'c: .*size was 67108864 and is 33554432'
config '' 'driver = vhost-vdpa' | takes_nothing_over 'c: is attached with driver = virtio-vdpa, and driver was changed to vhost-vdpa'
config "s,data.img,new.img," | takes_nothing_over 'data: .*cannot be adopted: .*new.img is another file or block device than '

# A store that is not there, or not a store, of an old device and of a new one.
config "s,data.img,missing.img," | takes_nothing_over "data: cannot open $T/missing.img: No such file"
config '' '[new]' "path = $T/missing.img" | takes_nothing_over "new: cannot open $T/missing.img: No such file"
config '' '[new]' "path = $T" | takes_nothing_over "new: cannot open $T: neither a regular file"
config '' '[new]' "path = $T/new.img" 'size = 65M' | takes_nothing_over 'new: .*past the end'
config '' '[new]' "path = $T/new.img" 'foo = 1' >"$T/bad.conf"
"$VDUSE_BLK" serve --takeover -c "$T/bad.conf" >/dev/null 2>&1 && fail "a key foo was accepted"
still_served

# The same bytes by another path.
ln -s "$T/c.img" "$T/link.img"
same="new: .*link.img shares bytes with disk c .*c.img"
config '' '[new]' "path = $T/link.img" | takes_nothing_over "$same"
config '' '[new]' "path = $T/link.img" | fails serve "$same"

# A name and a store that others have: of servers in another directory this one knows nothing.
set_aside
serve <<-C
	[global]
	runtime_dir = $T/run
	[new]
	path = $T/new.img
C
other=$SERVER
take_back
defer end_server "$other"
image more.img 16M >/dev/null
config '' '[new]' "path = $T/more.img" | takes_nothing_over 'new: another process serves a device of that name, and no server of'
config '' '[more]' "path = $T/new.img" | takes_nothing_over "more: cannot open $T/new.img: in use by another process"

# A signal ends the wait for it.
printf '[new]\npath = %s\n' "$T/more.img" >"$T/bad.conf"
"$VDUSE_BLK" serve -c "$T/bad.conf" >"$T/bad.out" 2>"$T/bad.err" &
waits=$!
sleep 1
kill -TERM $waits
started=$SECONDS status=0
wait $waits || status=$?
is "status of who was to wait no more" $status 0
[ $((SECONDS - started)) -le 2 ] || fail "it waited $((SECONDS - started)) s more"
kill -TERM "$other"
wait_for 30 "end of the other server" test ! -e /sys/class/vduse/new
wait "$other" || fail "the other server ended with $?"

# What a server of this directory says that it serves is refused at once.
errors=3
fails serve "data: another process serves a device of that name: .* process id $SERVER; " < <(config '')
errors=1
fails rescue data "data: another process serves .* process id $SERVER; " < <(config '')
still_served
quiet

killed() {
	kill -KILL "$SERVER"
	wait "$SERVER" 2>/dev/null || true
}

state_of() {
	"$VDUSE_BLK" list | awk -v name="$1" '$1 == name { print $4 }'
}

has_state() {
	[ "$(state_of "$1")" = "$2" ]
}

# start_partly NAME PATTERN: with the configuration on standard input, after a crash: NAME fails, with one
# error, and all others of the old disks are adopted.
start_partly() {
	cat >"$T/conf"
	"${AS[@]}" "$VDUSE_BLK" serve -c "$T/conf" >"$T/out" 2>"$T/err" </dev/null &
	SERVER=$!
	wait_for 60 "failure of $1" has_state "$1" failed
	wait_for 60 "word of what is not served" grep -q "warning: $1: is not served; the server tries it again" "$T/err"
	is "number of errors ($(cat "$T/err"))" "$(grep -c 'error: ' "$T/err")" 1
	said "error: $2"
	is "what is on the bus" "$(ls /sys/bus/vdpa/devices | grep -vx new | sort | paste -sd' ')" 'b c data' # new is tried again
	is "what is served" "$("$VDUSE_BLK" list | awk '$4 == "attached" { print $1 }' | paste -sd' ')" "$3"
	date >"$T/mnt/date"
	timeout 20 sync -f "$T/mnt" || fail "the mounted disk is not served"
}

# With the good configuration again: all are served, and have the nodes that they had.
made_good() {
	config '' >"$T/conf"
	take_over
	is "nodes" "${NODE[*]}" "$nodes"
	still_served
	quiet
}

# One disk that cannot be adopted does not keep the others down.
killed
start_partly c 'c: .*cannot be adopted' 'data b' < <(config '' 'serial = xx')
made_good

# The inflight log of a new one cannot be made.
killed
mkdir /run/vduse-blk/new.inflight
start_partly new 'new: cannot create /run/vduse-blk/new.inflight' 'data b c' < <(config '' '[new]' "path = $T/new.img")
rmdir /run/vduse-blk/new.inflight
wait_for 60 "new disk" has_state new attached
killed
rm /run/vduse-blk/new.inflight
"$VDUSE_BLK" rescue new >"$T/rescue" 2>&1 || fail "rescue: $(cat "$T/rescue")"
config '' >"$T/conf"
start_server
still_served

umount "$T/mnt"
stop
clean
e2fsck -fn "$T/data.img" >"$T/fsck" 2>&1 || fail "e2fsck: $(cat "$T/fsck")"
is "what is left in runtime_dir" "$(ls /run/vduse-blk)" ''
