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

static uint64_t used_pages(const struct vug_queue *q)
{
	return q->used_addr / PAGE * PAGE;
}

static const uint8_t *used_bytes(const struct vug_queue *q)
{
	return vug_ptr(q->memory, used_pages(q));
}

void dirty_log_start(struct dirty_log *log, struct session *s)
{
	must(vuc_set_log_base(&s->c, log->bytes, log->fd), "SET_LOG_BASE");
	say(s, true);
	/* The first pass takes everything; what is written from now on is marked. */
	for (unsigned int i = 0; i < s->queue_count; i++)
		memcpy(log->used[i], used_bytes(&s->queues[i]), DIRTY_USED_BYTES);
}

void dirty_log_stop(struct session *s)
{
	say(s, false);
}

static uint8_t bit_of(uint64_t page)
{
	return (uint8_t)(1u << page % 8);
}

/* Bits first: what is written while the page is copied is marked again. */
static void copy_used(struct dirty_log *log, const struct session *s, const uint8_t *taken)
{
	for (unsigned int i = 0; i < s->queue_count; i++)
		for (uint32_t at = 0; at < DIRTY_USED_BYTES; at += PAGE) {
			uint64_t page = (used_pages(&s->queues[i]) + at) / PAGE;

			if (taken[page / 8] & bit_of(page))
				memcpy(log->used[i] + at, used_bytes(&s->queues[i]) + at, PAGE);
		}
}

void dirty_log_collect(struct dirty_log *log, const struct session *s)
{
	uint8_t *taken = calloc(1, log->bytes);

	want(taken, "no memory");
	for (uint64_t i = 0; i < log->bytes; i++) {
		if (load_relaxed(&log->shared[i]))
			taken[i] = __atomic_exchange_n(&log->shared[i], 0, __ATOMIC_SEQ_CST);
		log->collected[i] |= taken[i];
	}
	copy_used(log, s, taken);
	free(taken);
}

static void compare_queue(const struct dirty_log *log, const struct vug_queue *q, bool event)
{
	const uint8_t *copy = log->used[q->index], *now = used_bytes(q);
	size_t event_at = (size_t)((const uint8_t *)&q->used->ring[q->num] - now),
	       behind = event_at + 2;

	want(!memcmp(copy, now, event_at) &&
		     !memcmp(copy + behind, now + behind, DIRTY_USED_BYTES - behind),
	     "the used ring of queue %u was written and is not marked in the dirty log", q->index);
	want(!event || !memcmp(copy + event_at, now + event_at, 2),
	     "avail_event of queue %u was written and is not marked in the dirty log", q->index);
}

void dirty_log_compare(const struct dirty_log *log, const struct session *s, bool event)
{
	for (unsigned int i = 0; i < s->queue_count; i++)
		compare_queue(log, &s->queues[i], event);
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
	/* The index is marked after it was published: dirty_log_compare() looks at it. */
	check_page(log, entry, "used entry");
}

uint64_t dirty_log_count(struct dirty_log *log, const struct session *s)
{
	uint64_t count = 0;

	dirty_log_collect(log, s);
	for (uint64_t i = 0; i < log->bytes; i++)
		count += (uint64_t)__builtin_popcount(log->collected[i]);
	memset(log->collected, 0, log->bytes);
	return count;
}
