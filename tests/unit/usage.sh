#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# vduse-blk/main.c: a wrong command line gives one line with the reason, exit status 2, and has no
# effect. Also: configurations with errors. $VDUSE_BLK is the program under test.
set -u
unset JOURNAL_STREAM # or its lines are for the journal
VDUSE_BLK=${VDUSE_BLK:-vduse-blk/vduse-blk}
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
checks=0 failures=0 last=0

fail() {
	[ $last -eq $checks ] || failures=$((failures + 1))
	last=$checks
	echo "vduse-blk $line: $*"
	sed 's/^/    | /' "$T/out" "$T/err"
}

run() {
	line=$* status=0
	checks=$((checks + 1))
	"$VDUSE_BLK" "$@" >"$T/out" 2>"$T/err" </dev/null || status=$?
}

# wrong PATTERN ARGUMENT...
wrong() {
	local pattern=$1
	shift
	run "$@"
	[ $status -eq 2 ] || fail "status $status, not 2"
	[ ! -s "$T/out" ] || fail "something on standard output"
	[ "$(wc -l <"$T/err")" -eq 1 ] || fail "not one line on standard error"
	grep -qE -- "$pattern" "$T/err" || fail "not '$pattern'"
}

# right PATTERN ARGUMENT...: the pattern is of standard output, and nothing stands on the other one
right() {
	local pattern=$1
	shift
	run "$@"
	[ $status -eq 0 ] || fail "status $status, not 0"
	[ ! -s "$T/err" ] || fail "something on standard error"
	grep -qE -- "$pattern" "$T/out" || fail "not '$pattern'"
}

conf=$T/conf
printf '[global]\nruntime_dir = %s\n[no-such-device]\npath = /none\n' "$T/run" >"$conf"
name=no-such-device # there must be none of that name, should an error here have an effect

wrong 'a verb is needed'
wrong 'a verb is needed' -c "$conf"
wrong "unknown verb 'server'" server -c "$conf"
wrong frobnicate serve --frobnicate
wrong "invalid option -- 'x'" serve -x
wrong 'requires an argument' serve -c
wrong 'serve needs -c FILE' serve
wrong 'serve needs -c FILE' serve --takeover
wrong 'check needs -c FILE' check
wrong 'dump needs -c FILE' dump --json
wrong "unexpected argument 'check' after serve" serve check -c "$conf"
wrong "unexpected argument '$conf' after check" check "$conf"
wrong "unexpected argument '$name' after gc" gc "$name" --dry-run
wrong 'rescue needs the NAME of a device' rescue
wrong 'rescue needs the NAME of a device' rescue -c "$conf"
wrong "resize needs the NAME" resize
wrong "unexpected argument 'more' after rescue" rescue $name more

# Options that are another verb's.
wrong 'rescue does not take --dry-run' rescue $name --dry-run
wrong 'rescue does not take --dry-run' rescue $name -n
wrong 'rescue does not take --dry-run' -n rescue $name -c "$conf"
wrong 'rescue does not take --json' rescue $name --json
wrong 'rescue does not take --takeover' rescue $name --takeover
wrong 'check does not take --json' check -c "$conf" --json
wrong 'serve does not take --stores' serve -c "$conf" --stores
wrong 'check does not take --takeover' check -c "$conf" --takeover
wrong 'serve does not take --dry-run' serve -n -c "$conf"
wrong 'serve does not take --json' serve -c "$conf" --json
wrong 'dump does not take --dry-run' dump -nc "$conf"
wrong 'list does not take --dry-run' list -n
wrong 'stats does not take --takeover' stats --takeover
wrong 'check does not take --background' check -c "$conf" --background
wrong 'rescue does not take --background' rescue $name --background
wrong 'gc does not take --config' gc --dry-run -c "$conf"
wrong 'gc does not take --json' gc --json

# A configuration that is not there: to try again changes nothing, so this is not status 1.
wrong '/none: No such file' serve -c /none
wrong '/none: No such file' serve --takeover -c /none
wrong '/none: No such file' serve --takeover --background -c /none
wrong '/none: No such file' check -c /none
wrong "$T: Is a directory" serve -c "$T"

# Repetitions.
wrong '--config is given twice' check -c "$conf" -c "$conf"
wrong '--config is given twice' serve -c /none --config="$conf"
wrong '--json is given twice' list --json --json
wrong '--dry-run is given twice' gc -n --dry-run
wrong '--takeover is given twice' serve --takeover --takeover -c "$conf"

right "^$conf: correct" check -c "$conf"
right "^$conf: correct" --config="$conf" check

# Stores: those that are wrong, a line each; check alone does not look.
truncate -s 1M "$T/good.img" "$T/small.img"
truncate -s 1000000 "$T/odd.img"
chmod 600 "$T"/*.img
cat >"$T/stores.conf" <<-C
	[good]
	path = $T/good.img
	[missing]
	path = $T/missing.img
	[directory]
	path = $T
	[small]
	path = $T/small.img
	size = 2M
	[odd]
	path = $T/odd.img
	[behind]
	path = $T/small.img
	offset = 4M
C
right "^$T/stores.conf: correct$" check -c "$T/stores.conf"
run check --stores -c "$T/stores.conf"
[ $status -eq 1 ] || fail "status $status, not 1"
[ ! -s "$T/out" ] || fail "something on standard output"
[ "$(wc -l <"$T/err")" -eq 5 ] || fail "not a line for each of five"
for text in 'missing: cannot open .*No such file' 'directory: cannot open .*neither a regular file' \
	'small: size 2097152 at offset 0 goes past the end' 'odd: .* must be multiples' 'behind: .*nothing to serve'; do
	grep -qE -- "error: $text" "$T/err" || fail "not '$text'"
done
printf '[good]\npath = %s/good.img\n' "$T" >"$T/stores.conf"
right "^$T/stores.conf: correct, and its stores too$" check -c "$T/stores.conf" --stores
printf '[again]\npath = %s/./good.img\n' "$T" >>"$T/stores.conf"
run check --stores -c "$T/stores.conf"
[ $status -eq 1 ] || fail "status $status, not 1, from two devices on one image"

# Errors in a configuration: error PATTERN, with the file on standard input
error() {
	cat >"$T/error.conf"
	wrong "$1" serve -c "$T/error.conf"
}

# One disk without a file, and the conventions of vhost-user back ends.
wrong '\-\-vhost-user needs the PATH' serve --vhost-user "$T/s"
wrong 'vhost-user serves one disk without a file: -c' serve --vhost-user "$T/s" /none -c "$conf"
wrong "check does not take --vhost-user" check --vhost-user "$T/s"
wrong "unexpected argument 'more'; accepted: KEY=VALUE" serve --vhost-user "$T/s" /none more
wrong 'queues: "x" is not understood' serve --vhost-user "$T/s" /none queues=x
wrong '"quues" is not a key' serve --vhost-user "$T/s" /none quues=1
right '^\{ "type": "block", "features": \[ "read-only", "blk-file" \] \}$' --print-capabilities
right '"type": "block"' --socket-path="$T/s" --print-capabilities
wrong '\-\-blk-file=PATH is needed' --socket-path="$T/s"
wrong 'one of --socket-path=PATH and --fd=FD' --blk-file=/none
wrong '\-\-fd=99 is not the number of an open descriptor' --blk-file=/none --fd=99
wrong '\-\-fd=x is not the number of an open descriptor' --blk-file=/none --fd=x
wrong '\-\-fd=9 is not a Unix stream socket' --blk-file=/none --fd=9 9</dev/null
wrong "unexpected argument 'serve'" --blk-file=/none --socket-path="$T/s" serve

# A key of an otherwise good device: error_in_key KEY VALUE PATTERN
error_in_key() {
	error "error.conf:3: .*$1.*$3" <<-C
		[disk]
		path = $T/good.img
		$1 = $2
	C
}

error_in_name() {
	error "error.conf:1: .*$2" <<-C
		[$1]
		path = $T/good.img
	C
}

error_in_key quues 2 '" is not a key; accepted: path, driver'
error_in_key workers 2 'belongs in \[global\]'
error_in_key path "$T/good.img" '; the first is in line 2'
error_in_key queue_size 100 '"100" is not understood; accepted: .*a power of two'
error_in_key queue_size 2048 '"2048" is not understood'
error_in_key queue_size 1 '"1" is not understood'
error_in_key queues 0 '"0" is not understood; accepted: auto, or 1 to'
error_in_key queues -1 '"-1" is not understood'
error_in_key queues many '"many" is not understood'
error_in_key serial 123456789012345678901 'accepted: 1 to 20'
error_in_key driver vhost '"vhost" is not understood; accepted: virtio-vdpa, vhost-vdpa or vhost-user'
error_in_key cache directsync '"directsync" is not understood; accepted: auto, none'
error_in_key readonly perhaps '"perhaps" is not understood; accepted: yes or no'
error_in_key logical_block_size 8192 '"8192" is not understood'
error_in_key size 100 '"100" is not understood; accepted: auto, or a multiple of 512'
error_in_key size 0 '"0" is not understood'
error_in_key size 12X '"12X" is not understood'
error_in_key size 10MB '"10MB" is not understood; .*; K, M, G or T may follow the number$'
error_in_key size garbage '"garbage" is not understood'
error_in_key offset 1000 '"1000" is not understood; accepted: a multiple of 512'
error_in_key bounce_size 4K '"4K" is not understood'
error_in_key poll_us 1s '"1s" is not understood'
error_in_key '' x 'not understood'
error_in_name vq0 'is what the kernel calls a queue'
error_in_name control "control"
error_in_name a/b 'character other than'
error_in_name ../up 'begins with a dot'
error_in_name '' 'characters long'
error_in_name "$(printf 'x%.0s' {1..256})" 'characters long'
error 'error.conf:3: .*a second section \[disk\]; the first is in line 1' <<-C
	[disk]
	path = $T/good.img
	[disk]
C
error 'error.conf:2: .*log_level.*"loud" is not understood; accepted: error' <<-C
	[global]
	log_level = loud
	[disk]
	path = $T/good.img
C
error 'error.conf:2: .*"pth" is not a key' <<-C
	[disk]
	pth = $T/good.img
C
error 'no device section' <<<''
error 'error.conf:1: .*before the first \[SECTION\]' <<<'path = x'
error 'error.conf:1: .*no path' <<<'[disk]'
error 'error.conf:4: .*would write to the same part of' <<-C
	[disk]
	path = $T/good.img
	[again]
	path = $T/good.img
C

right '^\[no-such-device\]' dump -c "$conf"
right '"name": "no-such-device"' dump --json -c "$conf"
right '^\[\]' list --json -c "$conf"
right '^\[\]' stats -c "$conf" --json
right '^Usage: ' --help
right '^Usage: ' rescue $name -h
right '^vduse-blk [0-9]' -V
right 'log_level' --help-keys

# Errors in the order of their lines, whoever found them, and no second one that follows from the
# first: a mistyped path is not a missing one, too.
printf '%s\n' '[global]' 'workers = 0' '[d]' 'pth = /a' 'size = 10MB' 'quues = 2' '[e]' 'queues = 0' >"$conf"
run check -c "$conf"
[ $status -eq 2 ] || fail "status $status, not 2"
[ "$(cut -d: -f4 "$T/err" | tr '\n' ' ')" = '2 4 5 6 7 8 ' ] || fail "not in line order"
grep -q ':5: .*"10MB" .*K, M, G or T may follow the number$' "$T/err" || fail "no word of units"

echo "$((100 * (checks - failures) / checks))%: Checks: $checks, Failures: $failures"
[ $failures -eq 0 ]
