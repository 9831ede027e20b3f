// SPDX-License-Identifier: GPL-2.0-or-later
#include "umem.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_PAGE_SIZE (2ul << 20)

#ifndef MADV_POPULATE_WRITE /* Linux 5.14 */
#define MADV_POPULATE_WRITE 23
#endif

struct reserve {
	struct reserve *next;
	void *addr;
	size_t size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct reserve *reserves;

/* Maps memory that begins at a multiple of the huge page size. */
static void *map_aligned(size_t size)
{
	size_t padded = size + HUGE_PAGE_SIZE;
	uintptr_t start, aligned;
	void *addr;

	addr = mmap(NULL, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (addr == MAP_FAILED)
		return NULL;
	start = (uintptr_t)addr;
	aligned = (start + HUGE_PAGE_SIZE - 1) & ~(HUGE_PAGE_SIZE - 1);
	if (aligned > start)
		munmap(addr, aligned - start);
	munmap((void *)(aligned + size), start + padded - (aligned + size));
	madvise((void *)aligned, size, MADV_HUGEPAGE);
	return (void *)aligned;
}

void umem_reserve(size_t size)
{
	struct reserve *reserve = malloc(sizeof(*reserve));

	if (!reserve)
		return;
	*reserve = (struct reserve){ .addr = map_aligned(size), .size = size };
	if (!reserve->addr) {
		free(reserve);
		return;
	}
	madvise(reserve->addr, size, MADV_POPULATE_WRITE); /* if it fails: page faults, later */
	pthread_mutex_lock(&lock);
	reserve->next = reserves;
	reserves = reserve;
	pthread_mutex_unlock(&lock);
}

/* Removes the first entry with @size from the list; 0: any size. Return: the entry; NULL */
static struct reserve *take(size_t size)
{
	struct reserve **at, *found;

	pthread_mutex_lock(&lock);
	for (at = &reserves; *at && size && (*at)->size != size;)
		at = &(*at)->next;
	found = *at;
	if (found)
		*at = found->next;
	pthread_mutex_unlock(&lock);
	return found;
}

void umem_unreserve(void)
{
	struct reserve *reserve;

	while ((reserve = take(0))) {
		munmap(reserve->addr, reserve->size);
		free(reserve);
	}
}

void *umem_alloc(size_t size)
{
	struct reserve *reserve = take(size);
	void *addr;

	if (!reserve)
		return map_aligned(size);
	addr = reserve->addr;
	free(reserve);
	return addr;
}

void umem_free(void *addr, size_t size)
{
	munmap(addr, size);
}
