// SPDX-License-Identifier: GPL-2.0-or-later
/* Memory that is none: regions that overlap, wrap, lie outside of their file, or shrink under load. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hostile.h"
#include "native.h"

#define MIB (1ull << 20)

/* A region or two; the second has size 0 where there is none. */
struct bad_memory {
	const char *name;
	struct vuc_region first, second;
};

static const struct bad_memory bad_memories[] = {
	{ "size 0", { 0, 0, MIB, 0 }, { 0 } },
	{ "size of a byte", { 0, 1, MIB, 0 }, { 0 } },
	{ "guest address wraps", { UINT64_MAX - MIB + 1, 2 * MIB, MIB, 0 }, { 0 } },
	{ "guest address ends at the top", { UINT64_MAX - MIB + 1, MIB, MIB, 0 }, { 0 } },
	{ "user address wraps", { 0, 2 * MIB, UINT64_MAX - MIB + 1, 0 }, { 0 } },
	{ "offset wraps", { 0, MIB, MIB, UINT64_MAX - 4095 }, { 0 } },
	{ "offset is not of a page", { 0, MIB, MIB, 123 }, { 0 } },
	{ "offset behind the file", { 0, MIB, MIB, FD_BYTES }, { 0 } },
	{ "end behind the file", { 0, 2 * MIB, MIB, FD_BYTES - MIB }, { 0 } },
	{ "larger than the file", { 0, 1ull << 40, MIB, 0 }, { 0 } },
	{ "as large as can be", { 0, UINT64_MAX, 0, 0 }, { 0 } },
	{ "half of all addresses", { 0, 1ull << 63, 0, 0 }, { 0 } },
	{ "the same twice", { 0, MIB, MIB, 0 }, { 0, MIB, MIB, 0 } },
	{ "guest addresses overlap", { 0, 2 * MIB, MIB, 0 }, { MIB, 2 * MIB, 8 * MIB, 0 } },
	{ "user addresses overlap", { 0, 2 * MIB, MIB, 0 }, { 8 * MIB, 2 * MIB, 2 * MIB, 0 } },
	{ "one inside the other", { 0, 8 * MIB, MIB, 0 }, { MIB, MIB, 32 * MIB, 0 } },
};

static void send_bad_memory(struct session *s, const struct bench *b, const struct bad_memory *bad)
{
	struct vuc_region regions[2] = { bad->first, bad->second };
	int fds[2] = { b->fds[FD_MEMORY], b->fds[FD_MEMORY] };

	hostile_do(vuc_set_memory(&s->c, regions, fds, bad->second.size ? 2 : 1));
	hostile_kick(s);
}

static void send_bad_slots(struct session *s, const struct bench *b, const struct bad_memory *bad)
{
	int err = vuc_add_memory(&s->c, &bad->first, b->fds[FD_MEMORY]);

	hostile_do(err);
	if (!err && bad->second.size)
		hostile_do(vuc_add_memory(&s->c, &bad->second, b->fds[FD_MEMORY]));
	hostile_kick(s);
}

static void each_bad_memory(struct bench *b, enum stage stage,
			    void (*send)(struct session *s, const struct bench *b,
					 const struct bad_memory *bad))
{
	struct session s;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad_memories); i++) {
		where("memory: %s, stage %d", bad_memories[i].name, stage);
		hostile_open(&s, b, stage);
		send(&s, b, &bad_memories[i]);
		hostile_end(&s);
	}
}

static void bad_table(struct bench *b)
{
	each_bad_memory(b, GREETED, send_bad_memory);
	each_bad_memory(b, RUNNING, send_bad_memory);
}

static void bad_slots(struct bench *b)
{
	each_bad_memory(b, GREETED, send_bad_slots);
	each_bad_memory(b, RUNNING, send_bad_slots);
}

/* Numbers of regions that are not the number of descriptors, or more than fit. */
static void bad_counts(struct bench *b)
{
	static const uint32_t counts[] = { 0, 2, 7, 8, 9, 32, 1000, 1u << 31, UINT32_MAX };
	struct vuc_memory memory = { 0 };
	int fds[VUC_TABLE_REGIONS];
	struct session s;

	for (unsigned int i = 0; i < VUC_TABLE_REGIONS; i++) {
		memory.regions[i] = (struct vuc_region){ i * MIB, MIB, i * MIB, 0 };
		fds[i] = b->fds[FD_MEMORY];
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(counts) * 2; i++) {
		where("count %u with %s descriptors", counts[i / 2], i % 2 ? "all" : "one");
		hostile_open(&s, b, RUNNING);
		memory.count = counts[i / 2];
		hostile_do(
			vuc_tell(&s.c, VUC_SET_MEM_TABLE,
				 &(struct vuc_send){ .payload = &memory,
						     .size = sizeof(memory),
						     .fds = fds,
						     .fd_count = i % 2 ? VUC_TABLE_REGIONS : 1 }));
		hostile_kick(&s);
		hostile_end(&s);
	}
}

/* As many regions as the server says, and then more. */
static void many_slots(struct bench *b)
{
	struct session s;
	int err = 0;

	hostile_open(&s, b, GREETED);
	for (uint64_t i = 0; !err && i < s.slots_offered + 100; i++) {
		struct vuc_region region = { i * MIB, 4096, i * MIB, 4096 * (i % 16) };

		err = vuc_add_memory(&s.c, &region, b->fds[FD_MEMORY]);
		if (i < s.slots_offered)
			must(err, "region of those that were offered");
	}
	want(err, "more regions than were offered");
	hostile_do(err);
	hostile_end(&s);
}

static void remove_what_is_not_there(struct bench *b)
{
	struct vuc_region wrong[4];
	struct session s;

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		where("removal %u", i);
		hostile_open(&s, b, RUNNING);
		wrong[i] = s.memory.regions[0].wire;
		if (i == 0)
			wrong[i].guest_addr += 4096;
		else if (i == 1)
			wrong[i].user_addr += 4096;
		else if (i == 2)
			wrong[i].size -= 4096;
		else
			wrong[i] = (struct vuc_region){ 0 };
		hostile_do(vuc_remove_memory(&s.c, &wrong[i]));
		hostile_kick(&s);
		hostile_end(&s);
	}
}

/* All memory goes, rings included, while they run. */
static void remove_what_is_in_use(struct bench *b)
{
	struct session s;

	for (unsigned int first = 0; first < 3; first++) {
		where("removal from region %u on", first);
		hostile_open(&s, b, RUNNING);
		for (unsigned int i = 0; i < s.memory.count; i++) {
			const struct vuc_region *wire =
				&s.memory.regions[(first + i) % s.memory.count].wire;

			hostile_kick(&s);
			if (s.c.fd >= 0)
				hostile_do(vuc_remove_memory(&s.c, wire));
		}
		hostile_kick(&s);
		hostile_end(&s);
	}
}

/* The file behind a region gets shorter: what the server reads or writes there is gone. */
static void memory_shrinks(struct bench *b)
{
	struct session s;
	struct load load;

	for (unsigned int i = 0; i < 6; i++) {
		where("memory shrinks, way %u", i);
		hostile_open(&s, b, RUNNING);
		load_init(&load, &s, 0, 256, false);
		load_offer(&load, 60);
		/* Not ours: a page of it that is touched is a SIGBUS here as well. */
		want(ftruncate(s.memory.regions[i % 2].fd, i < 2 ? 0 : 4096 * (i * 8)) == 0,
		     "truncate: %s", strerror(errno));
		for (unsigned int n = 0; n < s.queue_count; n++)
			vug_kick(&s.queues[n]);
		load_exit(&load);
		hostile_end(&s);
	}
}

/* The area of requests in flight: what the front end gives back is not what it got. */
static void bad_inflight(struct bench *b)
{
	static const struct vuc_inflight bad[] = {
		{ 0, 0, 2, 128, 0 },
		{ 1, 0, 2, 128, 0 },
		{ 4096, 0, 0, 128, 0 },
		{ 4096, 0, 2, 0, 0 },
		{ 4096, 0, UINT16_MAX, UINT16_MAX, 0 },
		{ FD_BYTES, 0, UINT16_MAX, UINT16_MAX, 0 },
		{ FD_BYTES * 2ull, 0, 2, 128, 0 },
		{ UINT64_MAX, 0, 2, 128, 0 },
		{ 1ull << 63, 1ull << 63, 2, 128, 0 },
		{ 16384, UINT64_MAX - 4095, 2, 128, 0 },
		{ 16384, FD_BYTES, 2, 128, 0 },
		{ 16384, 77, 2, 128, 0 },
	};
	struct session s;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad) * 2; i++) {
		where("inflight area %u", i / 2);
		hostile_open(&s, b, i % 2 ? RUNNING : GREETED);
		hostile_do(vuc_set_inflight(&s.c, &bad[i / 2], b->fds[FD_MEMORY]));
		hostile_kick(&s);
		hostile_end(&s);
	}
}

/* The right area with noise in it, at a start and under load; and one that shrinks. */
static void spoil_inflight(const struct session *s, unsigned int way)
{
	uint8_t *area = mmap(NULL, s->inflight.mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			     s->inflight_fd, (off_t)s->inflight.mmap_offset);

	want(area != MAP_FAILED, "mmap: %s", strerror(errno));
	for (uint64_t i = 0; i < s->inflight.mmap_size; i++)
		area[i] = way == 0 ? 0xff : way == 1 ? 1 : way == 2 ? 0 : (uint8_t)(i * 37 + way);
	munmap(area, s->inflight.mmap_size);
}

static void noise_in_inflight(struct bench *b)
{
	struct session s;

	for (unsigned int i = 0; i < 16; i++) {
		where("noise in the inflight area, way %u", i);
		hostile_open(&s, b, RUNNING);
		hostile_kick(&s);
		spoil_inflight(&s, i / 2);
		if (i % 2 == 0) {
			hostile_kick(&s);
			hostile_end(&s);
			continue;
		}
		s.hostile = true;
		hostile_do(session_reconnect(&s));
		hostile_kick(&s);
		hostile_end(&s);
	}
}

static void inflight_shrinks(struct bench *b)
{
	struct session s;

	for (unsigned int i = 0; i < 2; i++) {
		where("inflight area shrinks, way %u", i);
		hostile_open(&s, b, RUNNING);
		/* It may be sealed against that, and should. */
		if (ftruncate(s.inflight_fd, i ? 64 : 0) < 0)
			want(errno == EPERM, "truncate: %s", strerror(errno));
		hostile_kick(&s);
		hostile_end(&s);
	}
}

static void bad_log(struct bench *b)
{
	static const struct vuc_log bad[] = {
		{ 0, 0 },
		{ 1, 0 },
		{ 4096, 0 }, /* guest memory has more pages */
		{ FD_BYTES * 2ull, 0 },
		{ UINT64_MAX, 0 },
		{ FD_BYTES, UINT64_MAX - 4095 },
		{ FD_BYTES, FD_BYTES },
		{ FD_BYTES, 77 },
	};
	struct session s;

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct vuc_message reply;

		where("dirty log %u", i);
		hostile_open(&s, b, RUNNING);
		s.features |= 1ull << VUC_F_LOG_ALL;
		hostile_do(vuc_ask(&s.c, VUC_SET_LOG_BASE,
				   &(struct vuc_send){ .payload = &bad[i],
						       .size = sizeof(bad[i]),
						       .fds = &b->fds[FD_MEMORY],
						       .fd_count = 1 },
				   &reply));
		hostile_do(vuc_set_u64(&s.c, VUC_SET_FEATURES, s.features));
		for (unsigned int n = 0; n < s.queue_count; n++)
			hostile_do(vug_send_addr(&s.queues[n], &s.c, true));
		hostile_kick(&s);
		hostile_end(&s);
	}
}

static void log_shrinks(struct bench *b)
{
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct session s;

	want(fd >= 0 && ftruncate(fd, (off_t)MIB) == 0, "memfd: %s", strerror(errno));
	hostile_open(&s, b, RUNNING);
	must(vuc_set_log_base(&s.c, MIB, fd), "SET_LOG_BASE");
	s.features |= 1ull << VUC_F_LOG_ALL;
	must(vuc_set_u64(&s.c, VUC_SET_FEATURES, s.features), "SET_FEATURES");
	for (unsigned int n = 0; n < s.queue_count; n++)
		must(vug_send_addr(&s.queues[n], &s.c, true), "SET_VRING_ADDR");
	hostile_kick(&s);
	want(ftruncate(fd, 0) == 0, "truncate: %s", strerror(errno));
	hostile_kick(&s);
	hostile_end(&s);
	close(fd);
}

const struct hostile_case memory_cases[] = {
	{ "bad-table", bad_table },
	{ "bad-slots", bad_slots },
	{ "bad-counts", bad_counts },
	{ "many-slots", many_slots },
	{ "remove-unknown", remove_what_is_not_there },
	{ "remove-in-use", remove_what_is_in_use },
	{ "memory-shrinks", memory_shrinks },
	{ "bad-inflight", bad_inflight },
	{ "noise-in-inflight", noise_in_inflight },
	{ "inflight-shrinks", inflight_shrinks },
	{ "bad-log", bad_log },
	{ "log-shrinks", log_shrinks },
	{ 0 },
};
