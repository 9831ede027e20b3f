# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Verified I/O of libblkio on the disk at $T/socket, without end, while servers replace each other. libblkio
# never connects again.

LIBBLKIO=

libblkio_starts() { # QUEUES
	"$TOOLS/blkio_verify" "$T/socket" "$1" "$T/enough" >"$T/blkio" 2>&1 &
	LIBBLKIO=$!
	defer reap $LIBBLKIO
	libblkio_seen=0
	libblkio_runs
}

libblkio_has_more() {
	[ "$(grep -c '^running' "$T/blkio")" -gt $((libblkio_seen + 8)) ] || process_ended $LIBBLKIO
}

# I/O goes on: a line stands for a thousand requests of a queue.
libblkio_runs() {
	wait_for "$PATIENCE" "I/O of libblkio" libblkio_has_more
	! process_ended $LIBBLKIO || fail "blkio_verify: $(tail -n 3 "$T/blkio")"
	libblkio_seen=$(grep -c '^running' "$T/blkio")
}

libblkio_ends() {
	touch "$T/enough"
	wait $LIBBLKIO || fail "blkio_verify: $(tail -n 3 "$T/blkio")"
	say "$(grep -c '^running' "$T/blkio") thousand requests"
}
