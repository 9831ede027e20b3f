#!/bin/bash
# Each mistake gets one line that names the thing, the right exit status, and leaves nothing behind.
# deadline: 600
# once
. tests/vm/lib.sh

img=$(image disk.img 16M)
chmod 755 "$T" # other users are to read what they may

# One mistake: bad STATUS PATTERN..., with the configuration on standard input.
bad() {
	refused "$@"
	one_line "$T/refused.err"
	clean
}

# A store that cannot be served: bad_store PATH PATTERN [LINE]
bad_store() {
	bad 1 "error: disk: .*$2" <<-C
		[disk]
		path = $1
		${3-}
	C
}

#
# The configuration: tests/unit/usage.sh has the mistakes in it
#
bad 2 'refused.conf:3: .*"quues" is not a key; accepted: path, driver' <<-C
	[disk]
	path = $img
	quues = 2
C

# The file itself.
for_config() {
	local status=0
	timeout 60 "${AS[@]}" "$VDUSE_BLK" serve -c "$1" >"$T/out" 2>"$T/err" </dev/null || status=$?
	[ $status -eq 2 ] || fail "status $status, not 2, for configuration $1"
	one_line "$T/err"
	said "$1: $2"
	clean
}
as_nobody=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
for_config "$T/missing.conf" 'No such file'
for_config "$T" 'Is a directory'
printf '[disk]\npath = %s\n' "$img" >"$T/secret.conf"
chmod 600 "$T/secret.conf"
AS=("${as_nobody[@]}")
for_config "$T/secret.conf" 'Permission denied'
AS=()

#
# The store
#
# In use: by a mount, by a claim. tests/native/t_bad_stores.sh has more.
null_disk 16
mkfs.ext4 -q "$DISK"
mkdir "$T/mnt"
mount "$DISK" "$T/mnt"
bad_store "$DISK" "cannot open $DISK: in use"
umount "$T/mnt"
cat >"$T/claim.py" <<-'P'
	import os, sys, time
	while True:
	    try:
	        os.open(sys.argv[1], os.O_RDWR | os.O_EXCL)
	        print("claimed", flush=True)
	        time.sleep(600)
	    except OSError:
	        time.sleep(0.1) # umount may still be at it
P
python3 "$T/claim.py" "$DISK" >"$T/claim" &
user=$!
disown $user
wait_for 30 "claim on $DISK" grep -q claimed "$T/claim"
bad_store "$DISK" "cannot open $DISK: in use"
kill $user

#
# Others on this machine
#

# Another server has the image; has the name; has both.
serve <<-C
	[disk]
	path = $img
	[vhost]
	path = $(image vhost.img 16M)
	driver = vhost-vdpa
C
set_aside
started=$SECONDS
refused 1 'error: mine: cannot open .*in use by another process' <<-C
	[mine]
	path = $img
C
one_line "$T/refused.err"
refused 1 'error: disk: .*another process serves a device of that name' <<-C
	[disk]
	path = $(image mine.img 16M)
C
one_line "$T/refused.err"
say "$((SECONDS - started)) s until two were refused"
started=$SECONDS
refused 1 'error: disk: .*another process serves a device of that name' <"$T/aside/conf"
is "number of errors" "$(grep -c 'error: ' "$T/refused.err")" 2 # one for each disk
say "$((SECONDS - started)) s until the same configuration was refused"
take_back
dd if=/dev/urandom of="${NODE[disk]}" bs=64k count=1 oflag=direct status=none ||
	fail "the first server suffered"
stop
quiet
clean

# Another program serves that name.
qemu-storage-daemon --blockdev driver=file,node-name=f,filename="$T/mine.img" \
	--export type=vduse-blk,id=e,node-name=f,name=disk,writable=on >"$T/qsd" 2>&1 &
user=$!
disown $user
wait_for 30 "device of qemu-storage-daemon" test -e /sys/class/vduse/disk
refused 1 'error: disk: .*another process serves a device of that name' <<-C
	[disk]
	path = $img
C
one_line "$T/refused.err"
kill -KILL $user
wait_for 30 "end of qemu-storage-daemon" test ! -e "/proc/$user"

# What that left behind, dead, is replaced.
[ -e /sys/class/vduse/disk ] || fail "qemu-storage-daemon left nothing behind when it was killed"
serve <<-C
	[disk]
	path = $img
C
said 'disk: replaced a VDUSE device of this name that no server used'

# A server that was killed: another disk is not put into its place, and the same one goes on.
dmsetup create on-disk --table "0 2048 linear ${NODE[disk]} 0"
settle_udev
kill -KILL "$SERVER"
wait "$SERVER" 2>/dev/null || true
for verb in list stats; do
	"$VDUSE_BLK" $verb >"$T/out" 2>"$T/err" || fail "status $? of $verb"
	[ ! -s "$T/out" ] || fail "$verb knows a server that was killed: $(cat "$T/out")"
	one_line "$T/err"
	said 'warning: disk is not served: its requests wait; see vduse-blk gc --dry-run$'
done
mv /run/vduse-blk/disk.inflight "$T/record"
refused 1 "error: disk: .*cannot be adopted: .*No such file or directory; to end the requests that wait for it: vduse-blk rescue disk" <<-C
	[disk]
	path = $img
C
one_line "$T/refused.err"
mv "$T/record" /run/vduse-blk/disk.inflight
refused 1 'error: disk: .*cannot be adopted: .*queue_size was 1024 and is 64' <<-C
	[disk]
	path = $img
	queue_size = 64
C
one_line "$T/refused.err"
refused 1 'error: disk: .*cannot be adopted' <<-C
	[disk]
	path = $T/mine.img
C
one_line "$T/refused.err"
# Nor is a disk made of itself, through whatever lies in between.
node=${NODE[disk]}
refused 1 "error: disk: cannot open $node: it is stored on this disk itself" <<-C
	[disk]
	path = $node
C
refused 1 'error: disk: cannot open /dev/mapper/on-disk: it is stored on this disk' <<-C
	[disk]
	path = /dev/mapper/on-disk
C
serve <<-C
	[disk]
	path = $img
C
dmsetup remove --retry on-disk
dd if=/dev/urandom of="${NODE[disk]}" bs=64k count=1 oflag=direct status=none ||
	fail "a disk that was gone on with cannot be written"
stop
quiet
clean

#
# Rights
#
AS=("${as_nobody[@]}")
bad 1 'cannot use directory /run/vduse-blk: Permission denied' <<-C
	[disk]
	path = $img
C
mkdir "$T/run"
chown nobody "$T/run"
bad 1 "cannot open $img: Permission denied" <<-C
	[global]
	runtime_dir = $T/run
	[disk]
	path = $img
C
chown nobody "$img"
bad 1 '/dev/vduse/control: Permission denied' <<-C
	[global]
	runtime_dir = $T/run
	[disk]
	path = $img
C
AS=(setpriv --bounding-set -net_admin)
bad 1 'error: disk: .*(Operation not permitted|Permission denied)' <<-C
	[disk]
	path = $img
C
AS=()

#
# The kernel
#
config() {
	printf '[disk]\npath = %s\n' "$img"
}

# No module files at all, behind the back of those that are loaded already.
modules=/lib/modules/$(uname -r)
mkdir "$T/modules"
without_modules() {
	mount --bind "$T/modules" "$modules"
	"$@" < <(config)
	umount "$modules"
}
modprobe -r virtio_vdpa
without_modules bad 1 'kernel module virtio_vdpa: not found'
modprobe -r vhost_vdpa vduse
[ ! -e /dev/vduse/control ] || fail "vduse is still loaded"
without_modules bad 77 'kernel module vduse: not found'
echo 'blacklist vduse' >/etc/modprobe.d/t_bad_input.conf
defer rm -f /etc/modprobe.d/t_bad_input.conf
bad 1 'kernel module vduse: blacklisted' < <(config)
rm /etc/modprobe.d/t_bad_input.conf
AS=("${as_nobody[@]}")
bad 1 'kernel module vduse: cannot load: Operation not permitted' < <(config)
AS=()
config >"$T/good.conf"
serve <"$T/good.conf"
stop
quiet
clean
