#!/bin/bash
# RLIMIT_FSIZE: a write past it fails, and the server goes on.
# expect-dmesg: error, dev vd|(print_req|buffer_io)_error|Buffer I/O error on dev
# once
. tests/vm/lib.sh

AS=(prlimit --fsize=$((8 << 20)))
serve <<-C
	[limited]
	path = $(image limited.img 16M)
C
node=${NODE[limited]}
fill_direct "$node" 101 1M
if fill_direct "$node" 102 64k 12M >"$T/io" 2>&1; then
	fail "a write past the limit succeeded"
fi
said 'error: limited: .*File too large'
kill -0 "$SERVER" || fail "the server ended"
fill_direct "$node" 103 1M 1M
filled "$node" 101 1M || fail "what was written before is not there"
stop
quiet 'limited: queue [0-9]+: write of|more errors of the store'
clean
