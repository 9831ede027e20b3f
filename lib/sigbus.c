// SPDX-License-Identifier: GPL-2.0-or-later
#include "sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/*
 * More than the default of vm.max_map_count. Only the part of the array that is used takes memory.
 */
#define RANGES_MAX 65536

/* The smallest range, [start, end), that contains all lost pages. Zeroes: there are none. */
struct hull {
	uintptr_t start, end;
};

/* A registered range. @start 0: the entry is free. */
struct range {
	uintptr_t start, end;
	struct hull lost;
};

__thread volatile enum sigbus_state sigbus_state;
unsigned int sigbus_lost_ranges;
unsigned int sigbus_ranges_max = RANGES_MAX;

/*
 * Changed under the lock. The handler and sigbus_is_lost() read it without the lock: the entry of
 * memory that is in use does not change.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct range ranges[RANGES_MAX];
static unsigned int range_count; /* all entries from here on are free */
static unsigned int first_free;	 /* no entry before this one is free */
static struct hull all_lost;	 /* of all ranges, never reduced */

/* A huge page (hugetlbfs) can only be replaced as a whole. replace_page() tries all sizes. */
static const size_t page_sizes[] = { 4096, 2ul << 20, 1ul << 30 };

static struct range *find_range(uintptr_t addr)
{
	unsigned int count = load_acquire(&range_count);

	for (unsigned int i = 0; i < count; i++) {
		struct range *range = &ranges[i];
		uintptr_t start = load_acquire(&range->start);

		/*
		 * Reads start again: the entry may have been reused for another range meanwhile.
		 */
		if (start && addr - start < load_acquire(&range->end) - start &&
		    start == load_relaxed(&range->start))
			return range;
	}
	return NULL;
}

int sigbus_guard_range(void *addr, size_t len)
{
	unsigned int i;

	pthread_mutex_lock(&lock);
	i = first_free;
	while (i < range_count && ranges[i].start)
		i++;
	first_free = i;
	if (i < sigbus_ranges_max) {
		store_relaxed(&ranges[i].end, (uintptr_t)addr + len);
		store_relaxed(&ranges[i].lost.start, 0);
		store_relaxed(&ranges[i].lost.end, 0);
		store_release(&ranges[i].start, (uintptr_t)addr);
		if (i == range_count)
			store_release(&range_count, i + 1);
	}
	pthread_mutex_unlock(&lock);
	return i < sigbus_ranges_max ? 0 : -ENOSPC;
}

struct iovec sigbus_unguard_range(void *addr)
{
	struct iovec removed = { .iov_base = NULL };
	struct range *range;

	pthread_mutex_lock(&lock);
	range = find_range((uintptr_t)addr);
	if (range) {
		removed.iov_base = (void *)range->start;
		removed.iov_len = range->end - range->start;
		if (load_relaxed(&range->lost.end))
			__atomic_fetch_sub(&sigbus_lost_ranges, 1, __ATOMIC_RELAXED);
		store_release(&range->start, 0);
		first_free = MIN(first_free, (unsigned int)(range - ranges));
		while (range_count && !ranges[range_count - 1].start)
			store_release(&range_count, range_count - 1);
	}
	pthread_mutex_unlock(&lock);
	return removed;
}

bool sigbus_is_lost_slow(const void *addr, size_t len)
{
	const uintptr_t first = (uintptr_t)addr;
	const struct range *range;

	/* A quick test: memory of other drivers is rarely between lost pages. */
	if (first >= load_acquire(&all_lost.end) || first + len <= load_acquire(&all_lost.start))
		return false;
	range = find_range(first);
	return range && first < load_acquire(&range->lost.end) &&
	       first + len > load_acquire(&range->lost.start);
}

/* Several threads may call it at the same time. Return: was the hull empty? */
static bool hull_add(struct hull *hull, uintptr_t start, uintptr_t end)
{
	uintptr_t was_start = load_relaxed(&hull->start), was_end = load_relaxed(&hull->end);

	while ((!was_start || was_start > start) &&
	       !__atomic_compare_exchange_n(&hull->start, &was_start, start, false,
					    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		;
	while (was_end < end && !__atomic_compare_exchange_n(&hull->end, &was_end, end, false,
							     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		;
	return !was_end;
}

/* Called before the page is replaced: a thread that reads the zeroes sees the mark. */
static void mark_lost(struct range *range, uintptr_t start, uintptr_t end)
{
	hull_add(&all_lost, start, end);
	if (hull_add(&range->lost, start, end))
		__atomic_fetch_add(&sigbus_lost_ranges, 1, __ATOMIC_SEQ_CST);
}

static bool replace(uintptr_t start, size_t len)
{
	return mmap((void *)start, len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

static bool replace_page(struct range *range, uintptr_t addr)
{
	for (size_t i = 0; i < ARRAY_SIZE(page_sizes); i++) {
		uintptr_t start = addr & ~(page_sizes[i] - 1);

		mark_lost(range, start, start + page_sizes[i]);
		if (replace(start, page_sizes[i]))
			return true;
		if (errno != EINVAL)
			return false;
	}
	return false;
}

/*
 * A replaced page splits its mapping into three. A driver that truncates its memory, and makes this
 * process read every second page, could use up all mappings (vm.max_map_count). When the
 * replacement of a page fails, the whole range is replaced.
 */
static bool replace_all(struct range *range)
{
	mark_lost(range, range->start, range->end);
	return replace(range->start, range->end - range->start);
}

static bool survive(const siginfo_t *info)
{
	struct range *range;

	if (sigbus_state == SIGBUS_FATAL)
		return false;
	if (info->si_code != BUS_ADRERR && info->si_code != BUS_MCEERR_AR)
		return false;
	range = find_range((uintptr_t)info->si_addr);
	return range && (replace_page(range, (uintptr_t)info->si_addr) || replace_all(range));
}

/* A signal handler: uses system calls and atomic operations only. */
static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
	int saved_errno = errno;

	(void)context;
	/* "Action optional": a memory error in a page that no thread has accessed. */
	if (info->si_code == BUS_MCEERR_AO)
		return;
	if (!survive(info)) {
		/* The instruction is repeated, and the default action ends the process. */
		signal(signal_number, SIG_DFL);
		return;
	}
	sigbus_state = SIGBUS_SEEN;
	errno = saved_errno;
}

int sigbus_guard_install(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}
