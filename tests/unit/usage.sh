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
name=no-such-device # there must be none of that name, should a mistake here have an effect

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
wrong "'check' is too much behind serve" serve check -c "$conf"
wrong "'$conf' is too much behind check" check "$conf"
wrong "'$name' is too much behind gc" gc "$name" --dry-run
wrong 'rescue needs the NAME of a device' rescue
wrong 'rescue needs the NAME of a device' rescue -c "$conf"
wrong "'more' is too much behind rescue" rescue $name more

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
right '^\[no-such-device\]' dump -c "$conf"
right '"name": "no-such-device"' dump --json -c "$conf"
right '^\[\]' list --json -c "$conf"
right '^\[\]' stats -c "$conf" --json
right '^Usage: ' --help
right '^Usage: ' rescue $name -h
right '^vduse-blk [0-9]' -V
right 'log_level' --help-keys

# Mistakes in the order of their lines, whoever found them, and no second one that follows from the
# first: a mistyped path is not a missing one, too.
printf '%s\n' '[global]' 'workers = 0' '[d]' 'pth = /a' 'size = 10MB' 'quues = 2' '[e]' 'queues = 0' >"$conf"
run check -c "$conf"
[ $status -eq 2 ] || fail "status $status, not 2"
[ "$(cut -d: -f4 "$T/err" | tr '\n' ' ')" = '2 4 5 6 7 8 ' ] || fail "not in line order"
grep -q ':5: .*"10MB" .*K, M, G or T may follow the number$' "$T/err" || fail "no word of units"

echo "$((100 * (checks - failures) / checks))%: Checks: $checks, Failures: $failures"
[ $failures -eq 0 ]
