/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verified I/O on all queues of a session: random reads, writes, flushes, discards and write zeroes.
 *
 * Every block that is written has its number, a generation and a pattern made of both, and the load
 * remembers the generation that each block must have. So it finds a write to a wrong place, half a
 * write, an old write that comes late, and a read of something else. No two requests in flight touch
 * the same block. What is in flight when the connection is lost must come back after the session has
 * connected again. The same seed gives the same requests.
 */
#ifndef TESTS_NATIVE_LOAD_H
#define TESTS_NATIVE_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "session.h"

#define LOAD_BLOCK 4096u

struct dirty_log;

struct load {
	struct session *s;
	uint64_t first, blocks; /* of the disk, in LOAD_BLOCK */
	uint32_t *generation;	/* of each block; GENERATION_UNKNOWN: its bytes are not known */
	bool *busy;		/* of each block: a request in flight touches it */
	uint64_t random;
	unsigned int depth; /* requests in flight in each queue, at most */
	bool read_only;
	uint64_t offered, done; /* requests */
	uint64_t reads, writes, flushes, ranges;
	struct dirty_log *log; /* checked for each request; NULL: there is none */
};

/** load_init() - for blocks @first to @first + @blocks of the disk, whose bytes are zeroes or unknown */
void load_init(struct load *load, struct session *s, uint64_t first, uint64_t blocks, bool zeroes);
void load_exit(struct load *load);

/**
 * load_run() - offer @count requests more, and wait until all have come back
 *
 * Return: 0; -ECONNRESET: the back end has closed the connection. All else ends the program: an error
 * status, wrong data, a request that does not come back, an interrupt that was lost.
 */
int __must_check load_run(struct load *load, uint64_t count);

/** load_offer() - offer so many and return at once: they are in flight */
void load_offer(struct load *load, unsigned int count);

/** load_drain() - wait for all that is in flight. Return: as load_run() */
int __must_check load_drain(struct load *load);

/** load_reap() - take what has come back, without waiting */
void load_reap(struct load *load);

/** load_forget() - a reset has ended what is in flight: what these blocks have is not known */
void load_forget(struct load *load);

/** load_in_flight() - how many requests are */
unsigned int load_in_flight(const struct load *load);

/** load_verify() - read all blocks, and compare. Return: as load_run() */
int __must_check load_verify(struct load *load);

/** load_verify_file() - compare the image file itself, to which all was flushed */
void load_verify_file(const struct load *load, const char *image);

#endif
