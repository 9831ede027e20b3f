// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blkio_load DRIVER PATH read|write DEPTH MILLISECONDS: random 4 KiB requests by libblkio; prints
 * how many were done in a second. DRIVER is io_uring or virtio-blk-vhost-vdpa.
 *
 * Debian's fio has no libblkio engine, and qemu-img bench gives libblkio memory that VDUSE devices
 * cannot be given.
 */
#include <blkio.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"
#include "time_ns.h"

#define BLOCK	  4096u
#define DEPTH_MAX 256

struct load {
	struct blkio *blkio;
	struct blkioq *queue;
	uint8_t *memory; /* a block for each request in flight */
	uint64_t blocks; /* of the disk */
	uint64_t random;
	bool write;
};

static void check(int err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "blkio_load: %s: %s\n", what, blkio_get_error_msg());
	exit(1);
}

static uint64_t next_block(struct load *load)
{
	/* xorshift64: the same places in every run */
	load->random ^= load->random << 13;
	load->random ^= load->random >> 7;
	load->random ^= load->random << 17;
	return load->random % load->blocks;
}

static void submit(struct load *load, uintptr_t slot)
{
	uint64_t at = next_block(load) * BLOCK;
	void *data = load->memory + slot * BLOCK;

	if (load->write)
		blkioq_write(load->queue, at, data, BLOCK, (void *)slot, 0);
	else
		blkioq_read(load->queue, at, data, BLOCK, (void *)slot, 0);
}

static void open_disk(struct load *load, const char *driver, const char *path)
{
	struct blkio_mem_region region;
	uint64_t size;

	check(blkio_create(driver, &load->blkio), driver);
	check(blkio_set_str(load->blkio, "path", path), path);
	if (!strcmp(driver, "io_uring"))
		check(blkio_set_bool(load->blkio, "direct", true), "direct");
	check(blkio_connect(load->blkio), "connect");
	check(blkio_get_uint64(load->blkio, "capacity", &size), "capacity");
	check(blkio_start(load->blkio), "start");
	check(blkio_alloc_mem_region(load->blkio, &region, DEPTH_MAX * BLOCK), "memory");
	check(blkio_map_mem_region(load->blkio, &region), "memory");
	load->queue = blkio_get_queue(load->blkio, 0);
	load->memory = region.addr;
	load->blocks = size / BLOCK;
	load->random = 88172645463325252ull;
}

/* Keeps @depth requests in flight. Return: how many a second */
static uint64_t run(struct load *load, int depth, uint64_t run_ns)
{
	struct blkio_completion completions[DEPTH_MAX];
	uint64_t start_ns = time_now_ns(), now_ns = start_ns, done = 0;

	for (int i = 0; i < depth; i++)
		submit(load, (uintptr_t)i);
	while (now_ns - start_ns < run_ns) {
		int count = blkioq_do_io(load->queue, completions, 1, depth, NULL);

		check(count < 0, "I/O");
		for (int i = 0; i < count; i++) {
			check(completions[i].ret, "request");
			submit(load, (uintptr_t)completions[i].user_data);
		}
		done += (uint64_t)count;
		now_ns = time_now_ns();
	}
	blkioq_do_io(load->queue, completions, depth, depth, NULL);
	return done * 1000000000 / (now_ns - start_ns);
}

int main(int argc, char **argv)
{
	struct load load = { 0 };
	int depth;

	if (argc != 6) {
		fprintf(stderr, "usage: blkio_load DRIVER PATH read|write DEPTH MILLISECONDS\n");
		return 2;
	}
	open_disk(&load, argv[1], argv[2]);
	load.write = !strcmp(argv[3], "write");
	depth = MIN(atoi(argv[4]), DEPTH_MAX);
	printf("%" PRIu64 "\n", run(&load, depth, (uint64_t)atoi(argv[5]) * 1000000));
	blkio_destroy(&load.blkio);
	return 0;
}
