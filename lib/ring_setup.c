// SPDX-License-Identifier: GPL-2.0-or-later
#include "ring_setup.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef IORING_SETUP_NO_MMAP /* Linux 6.5 */
#define IORING_SETUP_NO_MMAP (1u << 14)
#endif

/* Bytes before the entries of both rings: more than the kernel needs. */
#define RING_HEAD 1024u

#define PAGE 4096u

/* user_addr, the last member of both structures; older headers call it resv2. */
static void set_user_addr(void *offsets, size_t size, const void *addr)
{
	uint64_t value = (uintptr_t)addr;

	memcpy((uint8_t *)offsets + size - sizeof(value), &value, sizeof(value));
}

static void *map(size_t size)
{
	void *addr = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return addr == MAP_FAILED ? NULL : addr;
}

/* As io_uring_setup_ring_pointers() of liburing, which is not exported. */
static void set_pointers(struct io_uring *uring, const struct io_uring_params *p, uint8_t *rings,
			 size_t size)
{
	struct io_uring_sq *sq = &uring->sq;
	struct io_uring_cq *cq = &uring->cq;

	sq->ring_ptr = cq->ring_ptr = rings;
	sq->ring_sz = cq->ring_sz = size;
	sq->khead = (unsigned int *)(rings + p->sq_off.head);
	sq->ktail = (unsigned int *)(rings + p->sq_off.tail);
	sq->kring_mask = (unsigned int *)(rings + p->sq_off.ring_mask);
	sq->kring_entries = (unsigned int *)(rings + p->sq_off.ring_entries);
	sq->kflags = (unsigned int *)(rings + p->sq_off.flags);
	sq->kdropped = (unsigned int *)(rings + p->sq_off.dropped);
	sq->array = (unsigned int *)(rings + p->sq_off.array);
	sq->ring_mask = *sq->kring_mask;
	sq->ring_entries = *sq->kring_entries;
	cq->khead = (unsigned int *)(rings + p->cq_off.head);
	cq->ktail = (unsigned int *)(rings + p->cq_off.tail);
	cq->kring_mask = (unsigned int *)(rings + p->cq_off.ring_mask);
	cq->kring_entries = (unsigned int *)(rings + p->cq_off.ring_entries);
	cq->koverflow = (unsigned int *)(rings + p->cq_off.overflow);
	cq->kflags = (unsigned int *)(rings + p->cq_off.flags);
	cq->cqes = (struct io_uring_cqe *)(rings + p->cq_off.cqes);
	cq->ring_mask = *cq->kring_mask;
	cq->ring_entries = *cq->kring_entries;
	for (unsigned int i = 0; i < sq->ring_entries; i++)
		sq->array[i] = i;
}

/* @entries: a power of two. Return: 0; -errno */
static int setup_unmapped(struct io_uring *uring, unsigned int entries, unsigned int flags)
{
	size_t rings_size = ROUND_UP(RING_HEAD + 2 * entries * sizeof(struct io_uring_cqe) +
					     entries * sizeof(unsigned int),
				     PAGE);
	size_t sqes_size = ROUND_UP(entries * sizeof(struct io_uring_sqe), PAGE);
	struct io_uring_params p = { .flags = flags | IORING_SETUP_NO_MMAP };
	uint8_t *rings = map(rings_size);
	struct io_uring_sqe *sqes = map(sqes_size);
	int fd, err = -ENOMEM;

	if (!rings || !sqes)
		goto unmap;
	set_user_addr(&p.cq_off, sizeof(p.cq_off), rings);
	set_user_addr(&p.sq_off, sizeof(p.sq_off), sqes);
	fd = (int)syscall(__NR_io_uring_setup, entries, &p);
	if (fd < 0) {
		err = -errno;
		goto unmap;
	}
	memset(uring, 0, sizeof(*uring));
	uring->sq.sqes = sqes;
	set_pointers(uring, &p, rings, rings_size);
	uring->features = p.features;
	uring->flags = flags; /* without NO_MMAP, so that liburing unmaps the rings */
	uring->ring_fd = uring->enter_ring_fd = fd;
	return 0;

unmap:
	if (rings)
		munmap(rings, rings_size);
	if (sqes)
		munmap(sqes, sqes_size);
	return err;
}

int ring_setup(struct io_uring *uring, unsigned int entries, unsigned int flags)
{
	if (!setup_unmapped(uring, entries, flags))
		return 0;
	return io_uring_queue_init(entries, uring, flags);
}
