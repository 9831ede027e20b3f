# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the runners of the tiers have in common: which tests there are, and what each says about itself
# in lines that begin with "# ". Sourced by tests/TIER/run, in the checkout.

# Sets tests. Those that say "# on request" run only when they are named: find_tests TIER [TEST]...
find_tests() {
	local tier=$1 name
	shift
	tests=()
	[ $# -gt 0 ] || mapfile -t tests < <(grep -L '^# on request$' "tests/$tier"/t_*.sh)
	for name; do
		name=$(basename "$name" .sh)
		if [ ! -f "tests/$tier/t_${name#t_}.sh" ]; then
			echo "tests/$tier/run: there is no test '$name'; tests/$tier/run --list names them" >&2
			exit 2
		fi
		tests+=("tests/$tier/t_${name#t_}.sh")
	done
}

# One that needs longer than the others says so: "# deadline: SECONDS".
deadline_of() {
	local own
	own=$(sed -n 's/^# deadline: //p' "$1")
	echo $((${own:-0} > deadline ? own : deadline))
}

# A test runs with one build: with the first one where it takes very long, or its point is not in our
# memory ("# once"), else with the last one, which has the sanitizers. EVERY_BUILD=1: with each of them.
runs_with() { # TEST PROGRAM
	if grep -q '^# once$' "$1"; then
		[ "$2" = "${programs[0]}" ]
	else
		[ "${EVERY_BUILD-}" ] || [ "$2" = "${programs[-1]}" ]
	fi
}

# Sets programs: the program of each build directory of "DIR...", or $VDUSE_BLK: find_programs [BUILDS]
find_programs() {
	export VDUSE_BLK=${VDUSE_BLK:-$PWD/vduse-blk/vduse-blk}
	programs=("$VDUSE_BLK")
	[ $# -gt 0 ] || return 0
	read -ra programs <<<"$1"
	programs=("${programs[@]/%//vduse-blk/vduse-blk}")
	programs=("${programs[@]/#/$PWD/}")
}

# What sanitizers are to do.
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:halt_on_error=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:suppressions=$PWD/tests/vm/tsan.supp}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
deadline=${TEST_DEADLINE:-300}
