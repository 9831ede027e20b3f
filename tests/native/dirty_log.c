// SPDX-License-Identifier: GPL-2.0-or-later
#include "dirty_log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "native.h"

#define PAGE VUG_PAGE

void dirty_log_init(struct dirty_log *log)
{
	uint64_t last = MEM_HIGH + MEM_HIGH_BYTES - 1;

	*log = (struct dirty_log){ .bytes = last / PAGE / 8 + 1 };
	log->fd = memfd_create("dirty-log", MFD_CLOEXEC);
	want(log->fd >= 0 && ftruncate(log->fd, (off_t)log->bytes) == 0, "log: %s",
	     strerror(errno));
	log->shared = mmap(NULL, log->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, log->fd, 0);
	log->collected = calloc(1, log->bytes);
	want(log->shared != MAP_FAILED && log->collected, "no memory for the log");
}

void dirty_log_exit(struct dirty_log *log)
{
	munmap(log->shared, log->bytes);
	close(log->fd);
	free(log->collected);
}

/* The features and the addresses of the rings say whether the back end logs. */
static void say(struct session *s, bool log_all)
{
	s->log_all = log_all;
	if (log_all)
		s->features |= 1ull << VUC_F_LOG_ALL;
	else
		s->features &= ~(1ull << VUC_F_LOG_ALL);
	must(vuc_set_u64(&s->c, VUC_SET_FEATURES, s->features), "SET_FEATURES for the log");
	for (unsigned int i = 0; i < s->queue_count; i++)
		must(vug_send_addr(&s->queues[i], &s->c, log_all), "SET_VRING_ADDR for the log");
}

void dirty_log_start(struct dirty_log *log, struct session *s)
{
	must(vuc_set_log_base(&s->c, log->bytes, log->fd), "SET_LOG_BASE");
	say(s, true);
}

void dirty_log_stop(struct session *s)
{
	say(s, false);
}

void dirty_log_collect(struct dirty_log *log)
{
	for (uint64_t i = 0; i < log->bytes; i++)
		if (load_relaxed(&log->shared[i]))
			log->collected[i] |=
				__atomic_exchange_n(&log->shared[i], 0, __ATOMIC_SEQ_CST);
}

static uint8_t bit_of(uint64_t page)
{
	return (uint8_t)(1u << page % 8);
}

static void clear_page(struct dirty_log *log, uint64_t page)
{
	__atomic_fetch_and(&log->shared[page / 8], (uint8_t)~bit_of(page), __ATOMIC_SEQ_CST);
	log->collected[page / 8] &= (uint8_t)~bit_of(page);
}

void dirty_log_clear(struct dirty_log *log, const struct vug_slot *slot)
{
	for (uint64_t at = 0; at < VUG_SLOT_BYTES; at += PAGE)
		clear_page(log, (slot->addr + at) / PAGE);
}

static bool is_marked(const struct dirty_log *log, uint64_t page)
{
	return (load_acquire(&log->shared[page / 8]) | log->collected[page / 8]) & bit_of(page);
}

static void check_page(struct dirty_log *log, uint64_t addr, const char *what)
{
	uint64_t page = addr / PAGE;

	if (++log->checked == log->forget)
		clear_page(log, page);
	want(is_marked(log, page),
	     "the page at %#" PRIx64 " (%s) was written and is not marked in the dirty log",
	     page * PAGE, what);
}

void dirty_log_check(struct dirty_log *log, const struct vug_queue *q, const struct vug_slot *slot)
{
	uint64_t entry = q->used_addr + 4 + (uint16_t)(q->last_used - 1u) % q->num * 8ull;

	check_page(log, slot->addr, "status");
	if (slot->type == VIRTIO_BLK_T_IN || slot->type == VIRTIO_BLK_T_GET_ID)
		for (uint64_t at = 0; at < slot->len; at += PAGE)
			check_page(log, slot->addr + PAGE + at, "data");
	check_page(log, q->used_addr, "used index");
	check_page(log, entry, "used entry");
}

uint64_t dirty_log_count(struct dirty_log *log)
{
	uint64_t count = 0;

	dirty_log_collect(log);
	for (uint64_t i = 0; i < log->bytes; i++)
		count += (uint64_t)__builtin_popcount(log->collected[i]);
	memset(log->collected, 0, log->bytes);
	return count;
}
