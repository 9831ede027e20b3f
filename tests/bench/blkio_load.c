// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * blkio_load DRIVER PATH LOAD DEPTH MILLISECONDS [BYTES [THREADS]]: requests by libblkio.
 *
 * LOAD is read or write, at random places, or scan, which reads in order. DRIVER is io_uring,
 * virtio-blk-vhost-vdpa or virtio-blk-vhost-user. Each thread has a queue of its own, with DEPTH
 * requests of BYTES (4096) in flight. Prints one line: requests in a second of all threads; then
 * microseconds of CPU time of this process for a request, and the latencies in microseconds that 50 %,
 * 99 % and 99.9 % of the requests do not exceed.
 *
 * Debian's fio has no libblkio engine, and qemu-img bench gives libblkio memory that VDUSE devices
 * cannot be given.
 */
#include <blkio.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "compiler.h"
#include "time_ns.h"

#define DEPTH_MAX   256
#define THREADS_MAX 16

/* Latencies: 32 buckets for each power of two, so an error of 3 %. */
#define BUCKET_BITS 5
#define BUCKETS	    (64 << BUCKET_BITS)

struct arguments {
	const char *driver, *path;
	bool write, scan;
	int depth, threads;
	size_t bytes;
	uint64_t run_ns;
};

struct load {
	const struct arguments *args;
	struct blkioq *queue;
	uint8_t *memory; /* @bytes for each request in flight */
	uint64_t blocks; /* of the disk */
	uint64_t position, random;
	uint64_t began_ns[DEPTH_MAX];
	uint64_t done, took_ns;
	uint64_t latencies[BUCKETS];
	pthread_t thread;
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
	if (load->args->scan)
		return load->position++ % load->blocks;
	/* xorshift64: the same places in every run */
	load->random ^= load->random << 13;
	load->random ^= load->random >> 7;
	load->random ^= load->random << 17;
	return load->random % load->blocks;
}

static void submit(struct load *load, uintptr_t slot, uint64_t now_ns)
{
	size_t bytes = load->args->bytes;
	uint64_t at = next_block(load) * bytes;
	void *data = load->memory + slot * bytes;

	load->began_ns[slot] = now_ns;
	if (load->args->write)
		blkioq_write(load->queue, at, data, bytes, (void *)slot, 0);
	else
		blkioq_read(load->queue, at, data, bytes, (void *)slot, 0);
}

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int shift;

	if (ns < 1u << BUCKET_BITS)
		return (unsigned int)ns;
	shift = 63 - BUCKET_BITS - (unsigned int)__builtin_clzll(ns);
	return ((shift + 1) << BUCKET_BITS) + ((ns >> shift) & ((1u << BUCKET_BITS) - 1));
}

/* The smallest latency that falls into the bucket. */
static uint64_t bucket_ns(unsigned int bucket)
{
	unsigned int shift = bucket >> BUCKET_BITS, low = bucket & ((1u << BUCKET_BITS) - 1);

	return shift ? ((1ull << BUCKET_BITS) + low) << (shift - 1) : low;
}

/* Keeps @depth requests in flight. */
static void *run(void *arg)
{
	struct blkio_completion completions[DEPTH_MAX];
	struct load *load = arg;
	const struct arguments *args = load->args;
	uint64_t start_ns = time_now_ns(), now_ns = start_ns;

	for (int i = 0; i < args->depth; i++)
		submit(load, (uintptr_t)i, now_ns);
	while (now_ns - start_ns < args->run_ns) {
		int count = blkioq_do_io(load->queue, completions, 1, args->depth, NULL);

		check(count < 0, "I/O");
		now_ns = time_now_ns();
		for (int i = 0; i < count; i++) {
			uintptr_t slot = (uintptr_t)completions[i].user_data;

			check(completions[i].ret, "request");
			load->latencies[bucket_of(now_ns - load->began_ns[slot])]++;
			submit(load, slot, now_ns);
		}
		load->done += (uint64_t)count;
	}
	load->took_ns = now_ns - start_ns;
	blkioq_do_io(load->queue, completions, args->depth, args->depth, NULL);
	return NULL;
}

static struct blkio *open_disk(const struct arguments *args)
{
	struct blkio *blkio;

	check(blkio_create(args->driver, &blkio), args->driver);
	check(blkio_set_str(blkio, "path", args->path), args->path);
	if (!strcmp(args->driver, "io_uring"))
		check(blkio_set_bool(blkio, "direct", true), "direct");
	check(blkio_connect(blkio), "connect");
	if (args->threads > 1)
		check(blkio_set_int(blkio, "num-queues", args->threads), "num-queues");
	check(blkio_start(blkio), "start");
	return blkio;
}

static void init_loads(struct blkio *blkio, const struct arguments *args, struct load *loads)
{
	struct blkio_mem_region region;
	size_t part = DEPTH_MAX * args->bytes;
	uint64_t size;

	check(blkio_get_uint64(blkio, "capacity", &size), "capacity");
	check(blkio_alloc_mem_region(blkio, &region, part * (size_t)args->threads), "memory");
	check(blkio_map_mem_region(blkio, &region), "memory");
	for (int i = 0; i < args->threads; i++) {
		loads[i].args = args;
		loads[i].queue = blkio_get_queue(blkio, i);
		loads[i].memory = (uint8_t *)region.addr + part * (size_t)i;
		loads[i].blocks = size / args->bytes;
		loads[i].random = 88172645463325252ull + (uint64_t)i;
	}
}

static uint64_t percentile(const struct load *loads, int threads, uint64_t done, double share)
{
	uint64_t wanted = (uint64_t)((double)done * share), seen = 0;

	for (unsigned int bucket = 0; bucket < BUCKETS; bucket++) {
		for (int i = 0; i < threads; i++)
			seen += loads[i].latencies[bucket];
		if (seen >= wanted)
			return bucket_ns(bucket);
	}
	return 0;
}

static double cpu_us(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void measure(struct load *loads, const struct arguments *args)
{
	double before_us = cpu_us(), per_second = 0;
	uint64_t done = 0;

	for (int i = 0; i < args->threads; i++)
		if (pthread_create(&loads[i].thread, NULL, run, &loads[i]))
			exit(1);
	for (int i = 0; i < args->threads; i++) {
		pthread_join(loads[i].thread, NULL);
		done += loads[i].done;
		per_second += (double)loads[i].done * 1e9 / (double)loads[i].took_ns;
	}
	printf("%.0f %.2f %.1f %.1f %.1f\n", per_second, (cpu_us() - before_us) / (double)done,
	       (double)percentile(loads, args->threads, done, 0.5) / 1000,
	       (double)percentile(loads, args->threads, done, 0.99) / 1000,
	       (double)percentile(loads, args->threads, done, 0.999) / 1000);
}

int main(int argc, char **argv)
{
	static struct load loads[THREADS_MAX];
	struct arguments args;
	struct blkio *blkio;

	if (argc < 6 || argc > 8) {
		fprintf(stderr, "usage: blkio_load DRIVER PATH read|write|scan DEPTH MILLISECONDS "
				"[BYTES [THREADS]]\n");
		return 2;
	}
	args = (struct arguments){
		.driver = argv[1],
		.path = argv[2],
		.write = !strcmp(argv[3], "write"),
		.scan = !strcmp(argv[3], "scan"),
		.depth = MIN(atoi(argv[4]), DEPTH_MAX),
		.run_ns = (uint64_t)atoi(argv[5]) * 1000000,
		.bytes = argc > 6 ? (size_t)atoi(argv[6]) : 4096,
		.threads = argc > 7 ? MIN(atoi(argv[7]), THREADS_MAX) : 1,
	};
	blkio = open_disk(&args);
	init_loads(blkio, &args, loads);
	measure(loads, &args);
	blkio_destroy(&blkio);
	return 0;
}
