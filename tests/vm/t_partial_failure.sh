#!/bin/bash
# Several devices, and one of them cannot be: those before it go again, one line names it, nothing stays.
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

# The server must fail with one error, and others that follow from it: fails PATTERN [PATTERN...], with its configuration on standard input. What it printed until
# then is in $T/out.
fails() {
	local status=0 pattern
	cat >"$T/conf"
	timeout 120 "${AS[@]}" "$VDUSE_BLK" serve -c "$T/conf" >"$T/out" 2>"$T/err" </dev/null || status=$?
	is "exit status" $status 1
	is "number of errors" "$(grep -c 'error: ' "$T/err")" $#
	for pattern; do
		said "error: .*$pattern"
	done
	! grep -qE 'ERROR: |runtime error' "$T/err" || fail "a sanitizer has something to say"
}

# Nothing in the kernel, no record of a device: that is what clean() is here.
all_clean() {
	clean
	is "what is in /run/vduse-blk" "$(ls /run/vduse-blk 2>/dev/null || true)" ''
}

printed() {
	is "what was printed" "$(cut -d' ' -f1 "$T/out" | paste -sd' ')" "$1"
}

# A store that cannot be opened: nothing is begun.
mv "$T/three.img" "$T/away"
config | fails "three: cannot open $T/three.img: No such file"
printed ''
all_clean
mv "$T/away" "$T/three.img"

# A store that another process has.
serve <<-C
	[first]
	path = $T/three.img
C
set_aside
config | fails "three: cannot open $T/three.img: in use by another process"
printed ''
take_back
stop
quiet
all_clean

# A name that somebody else has in VDUSE: those created before it are destroyed again.
image other.img 16M >/dev/null
serve <<-C
	[three]
	path = $T/other.img
C
set_aside
config | fails 'three: '
printed ''
is "what is in VDUSE" "$(ls /sys/class/vduse | grep -v control)" three
take_back
is "who serves it" "$(cmp "${NODE[three]}" "$T/other.img" && echo the first)" "the first"
stop
quiet
all_clean

# The same by another program, which is not on the bus.
qemu-storage-daemon --blockdev driver=file,node-name=f,filename="$T/other.img" \
	--export type=vduse-blk,id=e,node-name=f,name=three,writable=on >"$T/qsd" 2>&1 &
qsd=$!
disown $qsd
defer reap $qsd
reap() {
	kill -KILL "$1" 2>/dev/null
}
wait_for 30 "device of qemu-storage-daemon" test -e /sys/class/vduse/three
config | fails 'three: .*another process'
printed ''
kill $qsd
wait_for 30 "end of qemu-storage-daemon" test ! -e /sys/class/vduse/three
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
config | fails 'three: the kernel made /dev/.*, but /dev has had no such node'
printed 'one two'
all_clean
AS=()

# Put on the bus by somebody else while the server is at it, which takes its time with the first. It is
# bound to no driver, so that it can be removed whoever serves it, but not by the server.
null_disk 16 irqmode=2 completion_nsec=300000000
echo 0 >/sys/bus/vdpa/drivers_autoprobe
until vdpa dev add name three mgmtdev vduse 2>/dev/null || [ -e "$T/enough" ]; do
	sleep 0.02
done &
thief=$!
config | sed "s,$T/one.img,$DISK," | fails 'three: cannot add to the vdpa bus: File exists' \
	'three: the VDUSE device stays in the kernel: Device or resource busy'
printed 'one two'
touch "$T/enough"
wait $thief
is "what is on the bus" "$(ls /sys/bus/vdpa/devices)" three
vdpa dev del three
is "what is in VDUSE" "$(ls /sys/class/vduse | grep -v control)" three
echo 1 >/sys/bus/vdpa/drivers_autoprobe

# What was left is taken over by the next server.
serve < <(config)
is "number of devices" "$(wc -l <"$T/out")" 3
for name in one two three; do
	dd if=/dev/urandom of="${NODE[$name]}" bs=64k count=4 oflag=direct status=none ||
		fail "$name cannot be written"
done
stop
quiet
all_clean
