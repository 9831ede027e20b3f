#!/bin/bash
# One of several devices fails: the others are served, one log line names it, and it is served as soon
# as it can be. Where every device fails, the server exits with 1 and leaves nothing in the kernel.
# once
. tests/vm/lib.sh

for name in one two three; do
	image $name.img 16M >/dev/null
done

# A section for each device; the third one's has more.
config() {
	local name
	for name in one two three; do
		printf '[%s]\npath = %s\n' $name "$T/$name.img"
	done
	printf '%s\n' "$@"
}

# start_partly DEVICES: with the configuration on standard input, until so many are usable
start_partly() {
	cat >"$T/conf"
	: >"$T/out"
	"${AS[@]}" "$VDUSE_BLK" serve -c "$T/conf" >"$T/out" 2>"$T/err" </dev/null &
	SERVER=$!
	wait_for "$PATIENCE" "$1 devices" devices_printed "$1"
	! server_ended || fail "the server ended"
}

state_of() {
	"$VDUSE_BLK" list -c "$T/conf" | awk -v name="$1" '$1 == name { print $4 }'
}

has_state() {
	[ "$(state_of "$1")" = "$2" ]
}

# fails_alone PATTERN: the third one has failed, with one error line, and the first two are served.
fails_alone() {
	wait_for 60 "failure of three" has_state three failed
	said "error: .*$1"
	said 'warning: three: is not served; the server tries it again'
	printed 'one two'
	for name in one two; do
		is "state of $name" "$(state_of $name)" attached
		fill_direct "$(awk -v name=$name '$1 == name { print $2 }' "$T/out")" 101 64K
	done
}

# comes: it is served, and no line that said why not was written twice.
comes() {
	wait_for 60 "third device" devices_printed 3
	is "state of three" "$(state_of three)" attached
	said 'three: is served after [0-9]+ failed attempts'
	is "number of errors" "$(grep 'error: ' "$T/err" | sort | uniq -d | wc -l)" 0
	fill_direct "$(awk '$1 == "three" { print $2 }' "$T/out")" 102 64K
}

# Nothing in the kernel, no inflight log of a device: that is what clean() is here.
all_clean() {
	clean
	is "what is in /run/vduse-blk" "$(ls /run/vduse-blk 2>/dev/null || true)" ''
}

printed() {
	is "what was printed" "$(cut -d' ' -f1 "$T/out" | paste -sd' ')" "$1"
}

# A store that cannot be opened, until it can.
mv "$T/three.img" "$T/away"
start_partly 2 < <(config)
fails_alone "three: cannot open $T/three.img: No such file"
"$VDUSE_BLK" list --json -c "$T/conf" | jq -e '.[] | select(.name == "three") | .error | test("No such file")' >/dev/null ||
	fail "list --json does not say why: $("$VDUSE_BLK" list --json -c "$T/conf")"
mv "$T/away" "$T/three.img"
comes
stop
all_clean

# None can be: the server ends, and undoes what it did.
printf '[%s]\npath = /nosuch\nreadonly = yes\n' four five >"$T/conf"
status=0
timeout 60 "$VDUSE_BLK" serve -c "$T/conf" >"$T/out" 2>"$T/err" </dev/null || status=$?
is "exit status" $status 1
printed ''
is "number of errors" "$(grep -c 'error: ' "$T/err")" 2
all_clean

# A store that another process has.
serve <<-C
	[first]
	path = $T/three.img
C
set_aside
start_partly 2 < <(config)
fails_alone "three: cannot open $T/three.img: in use by another process"
kill -TERM "$ASIDE"
wait "$ASIDE" || fail "the first server ended with $?"
comes
stop
rm -r "$T/aside"
ASIDE=
all_clean

# A name that another program has in VDUSE.
image other.img 16M >/dev/null
qemu-storage-daemon --blockdev driver=file,node-name=f,filename="$T/other.img" \
	--export type=vduse-blk,id=e,node-name=f,name=three,writable=on >"$T/qsd" 2>&1 &
qsd=$!
disown $qsd
defer reap $qsd
wait_for 30 "device of qemu-storage-daemon" test -e /sys/class/vduse/three
start_partly 2 < <(config)
fails_alone 'three: .*another process'
kill $qsd
comes
stop
all_clean

# The third one's node never comes: /dev is somebody's own, as in a container.
serve < <(config)
nodes="${NODE[one]} ${NODE[two]}"
stop
quiet
all_clean
cat >"$T/own_dev" <<-'S'
	mount --bind /dev "$T/dev"
	mount -t tmpfs tmpfs /dev
	for node in "$T/dev"/* $nodes; do
		ln -s "$T/dev/${node##*/}" "/dev/${node##*/}"
	done
	exec "$@"
S
mkdir "$T/dev"
AS=(env "T=$T" "nodes=$nodes" unshare --mount --propagation=private bash "$T/own_dev")
start_partly 2 < <(config)
AS=()
wait_for 60 "failure of three" has_state three failed
said 'error: three: the kernel created /dev/.*, but /dev has no such node'
stop
all_clean
