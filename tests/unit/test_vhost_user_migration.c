// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/frontend/vhost_user_guest.c: the dirty log of a live migration. */
#include <check.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mappings.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"
#include "vhost_user_fixture.h"

#define OK     VIRTIO_BLK_S_OK
#define IN     VIRTIO_BLK_T_IN
#define OUT    VIRTIO_BLK_T_OUT
#define BIT(n) (1ull << (n))
#define PAGE   4096ull

/* Bits for the memory of both queues. */
#define LOG_BYTES ((VUF_GUEST_ADDR(VUF_QUEUES) / PAGE + 7) / 8)

static int log_fd;
static uint8_t *bits;

static void setup(void)
{
	vuf_setup();
	log_fd = memfd_create("log", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(log_fd, ROUND_UP(LOG_BYTES, PAGE)), 0);
	bits = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, log_fd, 0);
	ck_assert_ptr_ne(bits, MAP_FAILED);
}

static void teardown(void)
{
	munmap(bits, LOG_BYTES);
	close(log_fd);
	vuf_teardown();
}

static bool is_dirty(uint64_t addr)
{
	return bits[addr / PAGE / 8] >> addr / PAGE % 8 & 1;
}

static void clear(uint64_t addr)
{
	__atomic_fetch_and(&bits[addr / PAGE / 8], (uint8_t) ~(1u << addr / PAGE % 8),
			   __ATOMIC_SEQ_CST);
}

static unsigned int count_dirty(void)
{
	unsigned int count = 0;

	for (size_t i = 0; i < LOG_BYTES; i++)
		count += (unsigned int)__builtin_popcount(bits[i]);
	return count;
}

static int set_log_all(bool on)
{
	return vuc_set_u64(&vuf.c, VUC_SET_FEATURES,
			   on ? vuf.features | BIT(VUC_F_LOG_ALL) : vuf.features);
}

/* As QEMU does it, while rings run. */
static void start_logging(void)
{
	ck_assert_int_eq(vuc_set_log_base(&vuf.c, LOG_BYTES, log_fd), 0);
	ck_assert_int_eq(set_log_all(true), 0);
	for (uint32_t i = 0; i < VUF_QUEUES; i++)
		ck_assert_int_eq(vug_send_addr(&vuf.queues[i], &vuf.c, true), 0);
	vuf_settle();
	memset(bits, 0, LOG_BYTES);
}

/* What a request has written, by its driver's view of it. */
static void check_request(const struct vug_queue *q, const struct vug_slot *slot)
{
	uint64_t data = slot->addr + VUG_PAGE;
	bool in = slot->type == IN;

	must(is_dirty(slot->addr + 0x205), "the status");
	for (uint64_t at = data; at < data + slot->len; at += PAGE)
		must(is_dirty(at) == in, "data at 0x%llx", (unsigned long long)at);
	must(is_dirty(q->used_addr), "the used index");
	must(is_dirty(q->used_addr + 4), "the used entry");
	must(!is_dirty(q->desc_addr) && !is_dirty(q->avail_addr), "rings of the driver");
}

/* A takeover during a migration. */
START_TEST(next_server_marks_what_it_writes)
{
	struct vug_slot *slot;

	vuf_up();
	start_logging();
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	vuf_hand_over(MANUAL_DO);
	vuf_serve();
	vuf_settle();
	memset(bits, 0, LOG_BYTES);
	slot = vuf_offer(0, IN, 0, 8192, 0);
	ck_assert_int_eq(vuf_finish(0, slot), OK);
	vuf_settle();
	check_request(&vuf.queues[0], slot);
}
END_TEST

START_TEST(pages_that_requests_write)
{
	vuf.indirect = _i & 1;
	vuf.event_idx = _i & 2;
	vuf_up();
	start_logging();
	for (uint32_t i = 0; i < 60; i++) {
		struct vug_queue *q = &vuf.queues[i % 2];
		struct vug_slot *slot =
			vuf_offer(i % 2, i % 3 ? IN : OUT, 0, (i % 5 + 1) * 4096, 3);

		ck_assert_int_eq(vuf_finish(i % 2, slot), OK);
		vuf_settle();
		check_request(q, slot);
		ck_assert_uint_eq(count_dirty(), 3 + (slot->type == IN ? slot->len / PAGE : 0));
		memset(bits, 0, LOG_BYTES);
	}
}
END_TEST

/* Bits are there when the driver sees the used index. */
START_TEST(bits_come_before_the_used_index)
{
	vuf_up();
	start_logging();
	for (uint32_t i = 0; i < 2000; i++) {
		struct vug_queue *q = &vuf.queues[0];
		struct vug_slot *slot = vug_slot_get(q);

		clear(slot->addr);
		clear(slot->addr + VUG_PAGE);
		ck_assert_ptr_eq(vuf_offer(0, IN, 0, 4096, 3), slot);
		while (vug_used_idx(q) == q->last_used)
			;
		must(is_dirty(slot->addr) && is_dirty(slot->addr + VUG_PAGE), "too late");
		ck_assert_int_eq(vug_reap(q, &slot), 1);
	}
}
END_TEST

START_TEST(nothing_is_logged_before_and_after)
{
	vuf_up();
	ck_assert_int_eq(vuc_set_log_base(&vuf.c, LOG_BYTES, log_fd), 0);
	ck_assert_int_eq(vuf_do(0, IN, 0, 4096, 1), OK);
	vuf_settle();
	ck_assert_uint_eq(count_dirty(), 0);
	start_logging();
	ck_assert_int_eq(vuf_do(0, IN, 0, 4096, 1), OK);
	vuf_settle();
	ck_assert_uint_eq(count_dirty(), 4);
	ck_assert_int_eq(set_log_all(false), 0);
	memset(bits, 0, LOG_BYTES);
	ck_assert_int_eq(vuf_do(0, IN, 0, 4096, 1), OK);
	ck_assert_int_eq(vuf_do(1, IN, 0, 4096, 1), OK);
	vuf_settle();
	ck_assert_uint_eq(count_dirty(), 0);
	/* and on again, without another SET_LOG_BASE */
	ck_assert_int_eq(set_log_all(true), 0);
	ck_assert_int_eq(vuf_do(0, IN, 0, 4096, 1), OK);
	vuf_settle();
	ck_assert(count_dirty() >= 3);
}
END_TEST

START_TEST(logging_without_a_log)
{
	vuf_up();
	ck_assert_int_eq(set_log_all(true), 0);
	ck_assert_int_eq(vuf_do(0, IN, 0, 4096, 1), OK);
	start_logging();
	ck_assert_int_eq(vuf_do(0, IN, 0, 4096, 1), OK);
	ck_assert_uint_ge(count_dirty(), 3);
}
END_TEST

/* The log is replaced under I/O: the old one is not written any more. */
START_TEST(log_is_replaced)
{
	int other = memfd_create("log", MFD_CLOEXEC);
	struct vug_slot *slot;

	ck_assert_int_eq(ftruncate(other, ROUND_UP(LOG_BYTES, PAGE)), 0);
	vuf_up();
	start_logging();
	for (unsigned int i = 0; i < 50; i++) {
		slot = vuf_offer(0, IN, 0, 4096, 1);
		ck_assert_int_eq(vuc_set_log_base(&vuf.c, LOG_BYTES, i % 2 ? log_fd : other), 0);
		ck_assert_int_eq(vuf_finish(0, slot), OK);
		vuf_wait(mappings_total() == 3);
	}
	ck_assert_int_eq(vuc_set_log_base(&vuf.c, LOG_BYTES, other), 0);
	memset(bits, 0, LOG_BYTES);
	ck_assert_int_eq(vuf_do(0, IN, 0, 4096, 1), OK);
	vuf_settle();
	ck_assert_uint_eq(count_dirty(), 0);
	vuf_disconnect();
	vuf_wait(!mappings_total());
	close(other);
}
END_TEST

static void expect_log_refused(uint64_t size, uint64_t offset, int fd, const char *part)
{
	struct vuc_log log = { .mmap_size = size, .mmap_offset = offset };

	vuf_allow_refusals();
	ck_assert_int_eq(vuc_send(&vuf.c, VUC_SET_LOG_BASE,
				  &(struct vuc_send){ .payload = &log,
						      .size = sizeof(log),
						      .fds = &fd,
						      .fd_count = fd >= 0 }),
			 0);
	ck_assert(vuc_closed(&vuf.c));
	vuf_check_refusal(part);
	vuc_close(&vuf.c);
	vuf_connect();
}

START_TEST(log_that_is_refused)
{
	vuf_serve();
	vuf_connect();
	expect_log_refused(LOG_BYTES, 0, -1, "not shared memory");
	expect_log_refused(LOG_BYTES, 0, vuf.queues[0].err_fd, "not shared memory");
	expect_log_refused(LOG_BYTES, 1, log_fd, "not aligned");
	expect_log_refused(0, 0, log_fd, "File too large");
	expect_log_refused(UINT64_MAX, 0, log_fd, "File too large");
	ck_assert_uint_eq(mappings_total(), 0);
}
END_TEST

/* A log that is too short for the memory of the guest: the rest is not logged. */
START_TEST(log_is_short)
{
	uint64_t size = VUF_GUEST_ADDR(1) / PAGE / 8;

	vuf_up();
	start_logging();
	ck_assert_int_eq(vuc_set_log_base(&vuf.c, size, log_fd), 0);
	ck_assert_int_eq(vuf_do(0, IN, 0, 4096, 1), OK);
	ck_assert_int_eq(vuf_do(1, IN, 0, 4096, 1), OK);
	vuf_settle();
	ck_assert(is_dirty(vuf.queues[0].used_addr));
	for (size_t i = size; i < LOG_BYTES; i++)
		ck_assert_uint_eq(bits[i], 0);
}
END_TEST

/* The front end truncates it: the rings stop that write to it, and no other. */
START_TEST(log_is_truncated)
{
	test_log_allow(LOG_LEVEL_ERROR, "SIGBUS");
	vuf_up();
	start_logging();
	munmap(bits, LOG_BYTES);
	ck_assert_int_eq(ftruncate(log_fd, 0), 0);
	vuf_offer(0, IN, 0, 4096, 1);
	vuf_wait(vuf_state(0) == QUEUE_BROKEN);
	ck_assert_int_eq(ftruncate(log_fd, ROUND_UP(LOG_BYTES, PAGE)), 0);
	bits = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, log_fd, 0);
	vuf_disconnect();
	for (uint32_t i = 0; i < 2; i++)
		vug_queue_reset(&vuf.queues[i]);
	vuf_connect();
	vuf_take_inflight();
	vuf_start();
	ck_assert_int_eq(vuf_do(0, IN, 0, 4096, 1), OK);
}
END_TEST

/* The guest's memory likewise. */
START_TEST(memory_of_the_guest_is_truncated)
{
	test_log_allow(LOG_LEVEL_ERROR, "SIGBUS");
	vuf_up();
	vuf_offer(1, IN, 0, 4096, 1);
	vuf_finish_any(1);
	ck_assert_int_eq(ftruncate(vuf.memory.regions[1].fd, 0), 0);
	eventfd_write(vuf.queues[1].kick_fd, 1);
	vuf_wait(vuf_state(1) == QUEUE_BROKEN);
	ck_assert_int_eq(vuf_do(0, IN, 0, 4096, 1), OK);
	vuf_stop();
	ck_assert_int_eq(
		ftruncate(vuf.memory.regions[1].fd,
			  (off_t)(vuf.memory.regions[1].wire.mmap_offset + VUG_QUEUE_BYTES)),
		0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost_user_migration");
	TCase *tc = suite_case(s, "vhost_user_migration", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, next_server_marks_what_it_writes);
	tcase_add_loop_test(tc, pages_that_requests_write, 0, 4);
	tcase_add_test(tc, bits_come_before_the_used_index);
	tcase_add_test(tc, nothing_is_logged_before_and_after);
	tcase_add_test(tc, logging_without_a_log);
	tcase_add_test(tc, log_is_replaced);
	tcase_add_test(tc, log_that_is_refused);
	tcase_add_test(tc, log_is_short);
	tcase_add_test(tc, log_is_truncated);
	tcase_add_test(tc, memory_of_the_guest_is_truncated);
	return suite_run(s);
}
