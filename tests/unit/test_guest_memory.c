// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/queue/guest_memory.c: what is registered when, and given back before it goes. */
#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "queue/guest_memory.h"
#include "iotlb_fixture.h"
#include "device_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define SHIFT 16 /* small slices, so that many fit into what anybody may lock */
#define SLICE ((size_t)1 << SHIFT)
#define PAGE  4096u

static struct ring ring;
static struct guest_memory *memory;
static uint8_t *mapped; /* begins at a multiple of a slice */
static uint8_t *mapping;
#define MAPPED_SIZE (8 * SLICE)

static struct guest_memory *new_memory(unsigned int shift)
{
	struct guest_memory *m = guest_memory_new(&ring, &tl_view, "disk0", shift);

	ck_assert_ptr_nonnull(m);
	return m;
}

static void end_memory(struct guest_memory *m)
{
	guest_memory_drop(m);
	guest_memory_free(m);
}

static void setup(void)
{
	tl_setup();
	ck_assert_int_eq(ring_init(&ring, 8), 0);
	memory = new_memory(SHIFT);
	mapping = mmap(NULL, MAPPED_SIZE + SLICE, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(mapping, MAP_FAILED);
	mapped = mapping + (-(uintptr_t)mapping & (SLICE - 1));
}

static unsigned int registered(struct ring *at)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < RING_BUFFERS_MAX; i++)
		count += at->buffers[i].users > 0;
	return count;
}

static void teardown(void)
{
	end_memory(memory);
	ck_assert_uint_eq(registered(&ring), 0);
	ring_exit(&ring);
	munmap(mapping, MAPPED_SIZE + SLICE);
	tl_teardown();
}

/* A region of the driver's, @size bytes at @addr, that the queue has used. */
static void add_region(uint8_t *addr, size_t size)
{
	uint64_t start = (uintptr_t)addr;

	tl_source_add_at(start, start + size - 1, RW, addr);
	tl_expect_map(start, 1, RW, addr, 1);
}

static const struct ring_buffer *find_in(struct guest_memory *m, uint8_t *addr, size_t len)
{
	const struct iovec piece = { .iov_base = addr, .iov_len = len };

	return guest_memory_find(m, &piece);
}

static const struct ring_buffer *find(uint8_t *addr, size_t len)
{
	return find_in(memory, addr, len);
}

START_TEST(slice_is_registered_when_it_is_first_used)
{
	const struct ring_buffer *first, *second;

	add_region(mapped, MAPPED_SIZE);
	ck_assert_uint_eq(registered(&ring), 0);
	first = find(mapped + PAGE, PAGE);
	ck_assert_ptr_nonnull(first);
	ck_assert_ptr_eq(first->addr, mapped);
	ck_assert_uint_eq(first->len, SLICE);
	ck_assert_uint_eq(registered(&ring), 1);
	ck_assert_ptr_eq(find(mapped + SLICE - PAGE, PAGE), first);

	second = find(mapped + SLICE, PAGE);
	ck_assert_ptr_nonnull(second);
	ck_assert_uint_ne(second->index, first->index);
	ck_assert_ptr_eq(find(mapped, PAGE), first);
	ck_assert_uint_eq(registered(&ring), 2);
}
END_TEST

START_TEST(slice_ends_where_its_region_does)
{
	const struct ring_buffer *slice;

	add_region(mapped + 2 * PAGE, SLICE);
	slice = find(mapped + 3 * PAGE, 512);
	ck_assert_ptr_nonnull(slice);
	ck_assert_ptr_eq(slice->addr, mapped + 2 * PAGE);
	ck_assert_uint_eq(slice->len, SLICE - 2 * PAGE);
	slice = find(mapped + SLICE, 512);
	ck_assert_ptr_nonnull(slice);
	ck_assert_uint_eq(slice->len, 2 * PAGE);
}
END_TEST

START_TEST(regions_share_a_multiple_of_the_slice)
{
	const struct ring_buffer *slices[GUEST_SLICE_PROBES];
	unsigned int i;

	for (i = 0; i <= GUEST_SLICE_PROBES; i++)
		add_region(mapped + 2 * i * PAGE, PAGE);
	for (i = 0; i < GUEST_SLICE_PROBES; i++)
		slices[i] = find(mapped + 2 * i * PAGE, PAGE);
	for (i = 0; i < GUEST_SLICE_PROBES; i++) {
		ck_assert_ptr_nonnull(slices[i]);
		ck_assert_ptr_eq(slices[i]->addr, mapped + 2 * i * PAGE);
		ck_assert_ptr_eq(find(mapped + 2 * i * PAGE, PAGE), slices[i]);
	}
	ck_assert_ptr_null(find(mapped + 2 * i * PAGE, PAGE)); /* one too many: without */
	ck_assert_uint_eq(registered(&ring), GUEST_SLICE_PROBES);
}
END_TEST

START_TEST(piece_across_slices_does_not_lie_in_one)
{
	const struct ring_buffer *slice;

	add_region(mapped, MAPPED_SIZE);
	slice = find(mapped + SLICE - PAGE, 2 * PAGE);
	ck_assert(!slice || !ring_buffer_has(slice, mapped + SLICE - PAGE, 2 * PAGE));
}
END_TEST

START_TEST(memory_of_no_region_is_not_registered)
{
	add_region(mapped, SLICE);
	ck_assert_ptr_null(find(mapped + SLICE, PAGE));
	ck_assert_uint_eq(registered(&ring), 0);
}
END_TEST

START_TEST(refusal_is_said_once_and_lasts_until_the_drop)
{
	add_region(mapped, MAPPED_SIZE);
	ck_assert_int_eq(mprotect(mapped, 2 * SLICE, PROT_READ), 0);
	test_log_expect(
		LOG_LEVEL_WARNING,
		"disk0: cannot register 65536 bytes of guest memory with io_uring: Bad address");
	ck_assert_ptr_null(find(mapped, PAGE));
	ck_assert_ptr_null(find(mapped + SLICE, PAGE));
	ck_assert_ptr_nonnull(find(mapped + 2 * SLICE, PAGE));

	ck_assert_int_eq(mprotect(mapped, 2 * SLICE, PROT_READ | PROT_WRITE), 0);
	ck_assert_ptr_null(find(mapped, PAGE));
	guest_memory_drop(memory);
	ck_assert_uint_eq(registered(&ring), 0);
	ck_assert_ptr_nonnull(find(mapped, PAGE));
}
END_TEST

START_TEST(queues_share_what_is_pinned)
{
	struct guest_memory *other = new_memory(SHIFT);
	const struct ring_buffer *mine, *theirs;

	add_region(mapped, MAPPED_SIZE);
	mine = find(mapped, PAGE);
	theirs = find_in(other, mapped + PAGE, PAGE);
	ck_assert_ptr_nonnull(mine);
	ck_assert_ptr_nonnull(theirs);
	ck_assert_uint_eq(mine->index, theirs->index);
	ck_assert_uint_eq(registered(&ring), 1);
	end_memory(other);
	ck_assert_uint_eq(registered(&ring), 1);
	ck_assert_ptr_eq(find(mapped, PAGE), mine);
}
END_TEST

/* Two that take all they can leave nothing for the third, which does without. */
START_TEST(full_table_is_no_failure)
{
	unsigned int count = RING_BUFFERS_MAX / GUEST_SLICES;
	struct guest_memory *greedy[RING_BUFFERS_MAX / GUEST_SLICES], *late = new_memory(12);
	uint8_t *pages;

	pages = mmap(NULL, (RING_BUFFERS_MAX + 1) * PAGE, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(pages, MAP_FAILED);
	add_region(pages, (RING_BUFFERS_MAX + 1) * PAGE);
	for (unsigned int i = 0; i < count; i++) {
		greedy[i] = new_memory(12);
		for (unsigned int k = 0; k < GUEST_SLICES; k++)
			ck_assert_ptr_nonnull(
				find_in(greedy[i], pages + (i * GUEST_SLICES + k) * PAGE, PAGE));
	}
	ck_assert_uint_eq(registered(&ring), RING_BUFFERS_MAX);
	test_log_expect(LOG_LEVEL_WARNING, "the worker's table of registered buffers is full");
	ck_assert_ptr_null(find_in(late, pages + RING_BUFFERS_MAX * PAGE, PAGE));
	ck_assert_ptr_nonnull(find_in(late, pages, PAGE)); /* shared */
	ck_assert_ptr_null(find_in(greedy[0], pages + GUEST_SLICES * PAGE, PAGE));
	for (unsigned int i = 0; i < count; i++)
		end_memory(greedy[i]);
	end_memory(late);
	munmap(pages, (RING_BUFFERS_MAX + 1) * PAGE);
}
END_TEST

/* ---- a whole disk ---- */

/* Something to do on the worker, whose ring nobody else may look into. */
struct errand {
	struct ring_message to_worker, to_main;
	unsigned int (*run)(struct ring *at);
	unsigned int result;
	bool back;
};

static void errand_back(struct ring_message *message)
{
	container_of(message, struct errand, to_main)->back = true;
}

static void errand_there(struct ring_message *message)
{
	struct errand *errand = container_of(message, struct errand, to_worker);

	errand->result = errand->run(&rig.workers[0].ring);
	ring_post(&rig.ring, &errand->to_main);
}

static unsigned int on_worker(unsigned int (*run)(struct ring *at))
{
	struct errand errand = {
		.to_worker.run = errand_there,
		.to_main.run = errand_back,
		.run = run,
	};

	rig_settle();
	ring_post(&rig.workers[0].ring, &errand.to_worker);
	rig_wait(errand.back);
	return errand.result;
}

static unsigned int rig_registered(void)
{
	return on_worker(registered);
}

/* As if others had all of the table. */
static unsigned int take_all(struct ring *at)
{
	for (unsigned int i = 0; i < RING_BUFFERS_MAX; i++)
		at->buffers[i].users = 1;
	return 0;
}

static unsigned int give_back_all(struct ring *at)
{
	memset(at->buffers, 0, sizeof(at->buffers));
	return 0;
}

static void start_disk(void)
{
	rig.config.driver = DRIVER_VHOST_VDPA;
	rig.config.pin_guest_memory = true;
	rig_start();
	rig_driver_start();
}

/* Writes two sectors of @queue and reads them back. */
static void exercise(uint32_t queue, uint8_t byte)
{
	uint8_t data[1024], back[1024] = { 0 };
	struct rig_req req = rig_add(queue, VIRTIO_BLK_T_OUT, 8 * queue, sizeof(data));

	memset(data, byte, sizeof(data));
	rig_fill(&req, data, sizeof(data));
	rig_go(queue);
	ck_assert_uint_eq(rig_finish(&req), VIRTIO_BLK_S_OK);
	req = rig_add(queue, VIRTIO_BLK_T_IN, 8 * queue, sizeof(data));
	rig_fill(&req, back, sizeof(back));
	rig_go(queue);
	ck_assert_uint_eq(rig_finish(&req), VIRTIO_BLK_S_OK);
	guest_read(rig.guests[queue], req.data, back, sizeof(back));
	ck_assert_int_eq(memcmp(data, back, sizeof(data)), 0);
}

START_TEST(requests_go_by_registered_memory)
{
	start_disk();
	ck_assert_uint_eq(rig_registered(), 0);
	exercise(0, 0x11);
	ck_assert_uint_ge(rig_registered(), 1);
	exercise(1, 0x22);

	manual_hold(rig.store, true);
	rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_add_pieces(0, 1);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 2);
	ck_assert_ptr_nonnull(manual_look(rig.store, 0).buffer);
	ck_assert_ptr_null(manual_look(rig.store, 1).buffer);
	manual_hold(rig.store, false);
	manual_finish(rig.store, 0, 2, MANUAL_DO);
	rig_next(0);
	rig_next(0);
}
END_TEST

START_TEST(nothing_is_registered_unless_asked_for)
{
	rig.config.driver = DRIVER_VHOST_VDPA;
	rig_start();
	rig_driver_start();
	exercise(0, 0x11);
	ck_assert_uint_eq(rig_registered(), 0);
}
END_TEST

/* Before the answer lets the memory go, and not while the store may still use it. */
START_TEST(memory_is_given_back_before_it_moves)
{
	unsigned int before;
	uint32_t id;

	start_disk();
	exercise(0, 0x11);
	exercise(1, 0x22);
	manual_hold(rig.store, true);
	rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	before = rig_registered();
	id = _i ? rig_send_status(0) : rig_send_iotlb(0, UINT64_MAX);
	rig_wait(manual_cancelled(rig.store) == 1);
	ck_assert_uint_ge(rig_registered(), 1);
	ck_assert_uint_le(rig_registered(), before);
	manual_hold(rig.store, false);
	manual_finish(rig.store, 0, 1, 0);
	ck_assert(rig_reply_is_ok(id));
	ck_assert_uint_eq(rig_registered(), 0);
	if (_i)
		return;
	rig_next(0);
	rig_unmap();
	rig_map();
	exercise(0, 0x33);
	exercise(1, 0x44);
	ck_assert_uint_ge(rig_registered(), 1);
	rig_status(0);
	ck_assert_uint_eq(rig_registered(), 0);
}
END_TEST

START_TEST(disk_works_where_nothing_can_be_registered)
{
	start_disk();
	on_worker(take_all);
	for (uint32_t i = 0; i < rig.config.queues; i++)
		test_log_expect(LOG_LEVEL_WARNING, "disk0: ");
	exercise(0, 0x11);
	exercise(1, 0x22);
	exercise(0, 0x33);
	rig_status(0);
	on_worker(give_back_all);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guest_memory");
	TCase *tc = suite_case(suite, "slices", setup, teardown);

	tcase_add_test(tc, slice_is_registered_when_it_is_first_used);
	tcase_add_test(tc, slice_ends_where_its_region_does);
	tcase_add_test(tc, regions_share_a_multiple_of_the_slice);
	tcase_add_test(tc, piece_across_slices_does_not_lie_in_one);
	tcase_add_test(tc, memory_of_no_region_is_not_registered);
	tcase_add_test(tc, refusal_is_said_once_and_lasts_until_the_drop);
	tcase_add_test(tc, queues_share_what_is_pinned);
	tcase_add_test(tc, full_table_is_no_failure);

	tc = suite_case(suite, "disk", rig_setup, rig_teardown);
	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, requests_go_by_registered_memory);
	tcase_add_test(tc, nothing_is_registered_unless_asked_for);
	tcase_add_loop_test(tc, memory_is_given_back_before_it_moves, 0, 2);
	tcase_add_test(tc, disk_works_where_nothing_can_be_registered);
	return suite_run(suite);
}
