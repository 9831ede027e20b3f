// SPDX-License-Identifier: GPL-2.0-or-later
#include "dirty_log.h"

#include "compiler.h"

/* Most pages are marked already when a guest reuses its buffers: a load is cheaper than the OR. */
static void mark_pages(uint8_t *byte, uint8_t pages)
{
	if ((load_relaxed(byte) & pages) != pages)
		__atomic_fetch_or(byte, pages, __ATOMIC_SEQ_CST);
}

/* 64 pages at a time: a hostile driver may name a buffer of 4 GiB a thousand times in a chain. */
static void mark_words(uint64_t *word, size_t count)
{
	for (; count; count--, word++)
		if (load_relaxed(word) != UINT64_MAX)
			__atomic_store_n(word, UINT64_MAX, __ATOMIC_SEQ_CST);
}

void dirty_log_mark(const struct dirty_log *log, uint64_t guest_addr, uint64_t len)
{
	uint64_t page = guest_addr >> DIRTY_LOG_PAGE_SHIFT, end;

	if (!len || page / 8 >= log->size)
		return;
	end = ((guest_addr + (len - 1)) >> DIRTY_LOG_PAGE_SHIFT) + 1;
	end = MIN(MAX(end, page + 1), (uint64_t)log->size * 8);
	while (page < end) {
		uint64_t words = page % 64 ? 0 : (end - page) / 64;
		uint64_t byte_end = MIN(end, (page | 7) + 1);

		if (words) {
			mark_words((uint64_t *)(void *)(log->bits + page / 8), words);
			page += words * 64;
			continue;
		}
		mark_pages(&log->bits[page / 8],
			   (uint8_t)((0xffu << (page % 8)) & (0xffu >> (7 - (byte_end - 1) % 8))));
		page = byte_end;
	}
}
