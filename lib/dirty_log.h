/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dirty log of a live migration: one bit for each page of 4096 bytes of guest memory.
 *
 * The back end sets the bit of a page after it has written to the page. The front end reads and
 * clears the bits while guest and back end run, and copies these pages to the new host. Bits are set
 * with an atomic OR, since the front end and several threads change the log.
 *
 * Source: docs/interop/vhost-user.rst, "Migration".
 */
#ifndef LIB_DIRTY_LOG_H
#define LIB_DIRTY_LOG_H

#include <stddef.h>
#include <stdint.h>

#define DIRTY_LOG_PAGE_SHIFT 12

struct dirty_log {
	uint8_t *bits; /* shared with the front end, which may truncate it (sigbus.h) */
	size_t size;   /* bytes; pages behind its end are not logged */
};

/** dirty_log_mark() - [@guest_addr, @guest_addr + @len) was written. Any thread */
void dirty_log_mark(const struct dirty_log *log, uint64_t guest_addr, uint64_t len);

#endif
