// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/frontend/device.c, vduse_messages.c and queue.c with failures: a device that cannot be created, writes
 * that were lost, a reply that has to wait.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inflight.h"
#include "frontend/vduse_messages.h"
#include "device_fixture.h"
#include "disk/status.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define OK    VIRTIO_BLK_S_OK
#define IOERR VIRTIO_BLK_S_IOERR

/* ---- system calls that fail when the test says so ---- */

static unsigned int eventfds_left = ~0u; /* once more devices than these were made in the kernel */
static unsigned int devices_before;
static int allocate_error;

int eventfd(unsigned int count, int flags)
{
	if (fake_kern_calls(FAKE_CREATE) > devices_before && eventfds_left != ~0u &&
	    !eventfds_left--) {
		errno = EMFILE;
		return -1;
	}
	return (int)syscall(SYS_eventfd2, count, flags);
}

int posix_fallocate(int fd, off_t offset, off_t len)
{
	if (allocate_error)
		return allocate_error;
	return syscall(SYS_fallocate, fd, 0, offset, len) ? errno : 0;
}

/* Is there memory? The sanitizer's allocator keeps what was freed. */
#if defined(__SANITIZE_ADDRESS__)
#define CAN_TELL false
#else
#define CAN_TELL true
#endif

static bool is_mapped(const void *addr)
{
	return !msync((void *)((uintptr_t)addr & ~4095ul), 4096, MS_ASYNC) || errno != ENOMEM;
}

/* From the next device on. */
static void limit_eventfds(unsigned int count)
{
	devices_before = fake_kern_calls(FAKE_CREATE);
	eventfds_left = count;
}

static void start(void)
{
	rig_start();
	rig_driver_start();
}

static void setup(void)
{
	rig_setup();
	eventfds_left = ~0u;
	allocate_error = 0;
}

/* ---- a device that cannot be made ---- */

static const char *log_path(void)
{
	return temp_path("run-%d/disk0.inflight", getpid());
}

static void expect_nothing_left(void)
{
	ck_assert_ptr_null(fake_kern_dev("disk0"));
	ck_assert_int_eq(access(log_path(), F_OK), -1);
}

START_TEST(queue_without_a_descriptor_undoes_those_before_it)
{
	static const char *const expected[] = {
		"disk0: queue 0: cannot create an eventfd: Too many open files",
		"disk0: queue 1: cannot create an eventfd: Too many open files",
		"disk0: queue 2: cannot create an eventfd: Too many open files"
	};

	rig.config.queues = 3;
	limit_eventfds((unsigned int)_i);
	test_log_expect(LOG_LEVEL_ERROR, expected[_i]);
	ck_assert_int_eq(rig_try_open(), -EMFILE);
	expect_nothing_left();

	eventfds_left = ~0u; /* the next try succeeds */
	start();
	ck_assert_int_eq(rig_do(2, VIRTIO_BLK_T_IN, 0, 512), OK);
}
END_TEST

START_TEST(inflight_log_without_room_leaves_nothing)
{
	allocate_error = ENOSPC;
	test_log_expect(LOG_LEVEL_ERROR, "disk0.inflight: No space left on device");
	ck_assert_int_eq(rig_try_open(), -ENOSPC);
	expect_nothing_left();
	allocate_error = 0;
	start();
	ck_assert_int_eq(rig_do(0, VIRTIO_BLK_T_IN, 0, 512), OK);
}
END_TEST

/* A device with a driver is not given up with the server that cannot serve it. */
START_TEST(adopted_device_outlives_a_server_without_descriptors)
{
	start();
	rig_crash();
	limit_eventfds(1);
	test_log_expect(LOG_LEVEL_ERROR,
			"disk0: queue 1: cannot create an eventfd: Too many open files");
	ck_assert_int_eq(rig_try_open(), -EMFILE);
	ck_assert_ptr_nonnull(fake_kern_dev("disk0"));
	ck_assert_int_eq(access(log_path(), F_OK), 0);
	eventfds_left = ~0u;
	rig_restart();
	ck_assert_int_eq(rig_do(1, VIRTIO_BLK_T_IN, 0, 512), OK);
}
END_TEST

START_TEST(memory_of_a_queue_goes_with_it)
{
	const void *slots[2], *large[2];

	if (!CAN_TELL)
		return;
	start();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(rig_do((uint32_t)i, VIRTIO_BLK_T_IN, 0, 512), OK);
		slots[i] = rig.device.queues.all[i].requests.slots;
		large[i] = rig.device.queues.all[i].requests.iov_share.own;
		ck_assert(is_mapped(slots[i]) && is_mapped(large[i]));
	}
	rig_close();
	for (int i = 0; i < 2; i++)
		ck_assert(!is_mapped(slots[i]) && !is_mapped(large[i]));
	ck_assert_ptr_null(rig.device.queues.all);
}
END_TEST

/* What stays in the kernel may be adopted, and so the inflight log stays. */
START_TEST(inflight_log_stays_with_a_device_that_cannot_be_destroyed)
{
	start();
	rig_close();
	fake_kern_fail(FAKE_DESTROY, 1, -EPERM);
	test_log_expect(LOG_LEVEL_ERROR, "disk0: the VDUSE device stays in the kernel");
	rig_destroy(-EPERM);
	ck_assert_ptr_nonnull(fake_kern_dev("disk0"));
	fake_kern_reset();
}
END_TEST

/* ---- writes that were lost ---- */

static uint8_t flush(uint32_t queue)
{
	return rig_do(queue, VIRTIO_BLK_T_FLUSH, 0, 0);
}

static uint32_t marks(void)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < rig.config.queues; i++)
		count += inflight_vq(rig.device.inflight, i)->user_flag != 0;
	return count;
}

/* The server before this one may have had its mark in the part of any queue. */
static void crash_with_mark(uint32_t queue)
{
	inflight_vq(rig.device.inflight, queue)->user_flag = 1;
	rig_crash();
	rig_restart();
}

START_TEST(lost_writes_are_known_to_the_server_after_a_crash)
{
	start();
	crash_with_mark((uint32_t)_i);
	ck_assert(rig.device.queues.disk.flush_failed);
	ck_assert_uint_eq(flush(0), IOERR);
	ck_assert_uint_eq(flush(1), IOERR);
	rig_crash(); /* and to the one after that */
	rig_restart();
	ck_assert(rig.device.queues.disk.flush_failed);
}
END_TEST

START_TEST(server_after_a_crash_knows_of_no_loss_where_there_was_none)
{
	start();
	ck_assert_uint_eq(flush(0), OK);
	rig_crash();
	rig_restart();
	ck_assert(!rig.device.queues.disk.flush_failed);
	ck_assert_uint_eq(flush(0), OK);
}
END_TEST

START_TEST(reset_forgives_for_this_server_and_the_next)
{
	start();
	crash_with_mark((uint32_t)_i);
	rig.device.backend->cached = false;
	rig_status(0);
	ck_assert(!rig.device.queues.disk.flush_failed);
	ck_assert_uint_eq(marks(), 0);
	rig_driver_start();
	ck_assert_uint_eq(flush(0), OK);
	rig_crash();
	rig_restart();
	ck_assert(!rig.device.queues.disk.flush_failed);
	ck_assert_uint_eq(flush(1), OK);
}
END_TEST

/* The next driver might read from the page cache what was lost. */
START_TEST(reset_forgives_nothing_where_there_is_a_page_cache)
{
	start();
	rig.device.backend->cached = true;
	test_log_expect(LOG_LEVEL_ERROR, "writes may be lost");
	rig.device.backend->lost(rig.device.backend->owner);
	rig_status(0);
	ck_assert(rig.device.queues.disk.flush_failed);
	ck_assert_uint_eq(marks(), 1);
	rig_driver_start();
	ck_assert_uint_eq(flush(0), IOERR);
}
END_TEST

/* ---- a reply that has to wait ---- */

static char text[1024];

static const char *stats(void)
{
	struct disk *disk = calloc(1, sizeof(*disk));
	FILE *to = fmemopen(text, sizeof(text), "w");

	disk->config = &rig.config;
	disk->device = rig.device;
	status_stats(disk, to);
	fclose(to);
	free(disk);
	return text;
}

/* The timer that looks how long the reply has been owed: as if it were time. */
static void look_now(void)
{
	uint64_t received_ns = rig.device.vduse.received_ns;

	ck_assert(rig.device.vduse.stall.active);
	ring_timer_expire_now(&rig.ring, &rig.device.vduse.stall);
	rig_wait(!rig.device.vduse.message_pending || rig.device.vduse.stall.active);
	for (int i = 0; i < 10; i++)
		rig_turn();
	ck_assert_uint_eq(rig.device.vduse.received_ns, received_ns);
}

START_TEST(late_reply_is_logged_once_and_again_when_it_is_sent)
{
	uint32_t id;

	start();
	ck_assert_uint_eq(rig.device.vduse.messages_replied, 4);
	manual_hold(rig.store, true);
	rig_add(0, VIRTIO_BLK_T_IN, 0, 512);
	rig_go(0);
	rig_wait(manual_held(rig.store) == 1);
	id = rig_send_status(0);
	rig_wait(rig.device.vduse.message_pending);
	look_now();
	ck_assert(!rig.device.vduse.reply_stalled); /* it was asked for a moment ago */
	ck_assert_ptr_null(strstr(stats(), "stalled"));

	rig.device.vduse.received_ns -= 7000000000u;
	test_log_expect(LOG_LEVEL_WARNING, "disk0: reply to SET_STATUS delayed");
	look_now();
	ck_assert(rig.device.vduse.reply_stalled);
	ck_assert_ptr_nonnull(strstr(stats(), "the store stalls"));
	look_now(); /* which is nothing new */

	manual_finish(rig.store, 0, 1, 0);
	ck_assert(rig_reply_is_ok(id));
	rig_wait(!rig.device.vduse.message_pending);
	ck_assert(!rig.device.vduse.reply_stalled);
	ck_assert_ptr_null(strstr(stats(), "stalled"));
	ck_assert_uint_eq(test_log_count("disk0: sent the reply to SET_STATUS after 7 s") +
				  test_log_count("disk0: sent the reply to SET_STATUS after 8 s"),
			  1);
	ck_assert_uint_ge(rig.device.vduse.slowest_reply_ns, 7000000000u);

	/* Nothing is owed, so nobody looks any more; and the next reply is none of that. */
	ring_timer_expire_now(&rig.ring, &rig.device.vduse.stall);
	rig_wait(!rig.device.vduse.stall.active);
	fake_kern_driver_reset(rig.kern);
	guest_reset(rig.guests[0], 0);
	guest_reset(rig.guests[1], 0);
	manual_hold(rig.store, false);
	rig_driver_start();
	ck_assert(!rig.device.vduse.reply_stalled);
	ck_assert_uint_eq(test_log_count("sent the reply to"), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("device_faults");
	TCase *tc = suite_case(suite, "device_faults", setup, rig_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, queue_without_a_descriptor_undoes_those_before_it, 0, 3);
	tcase_add_test(tc, inflight_log_without_room_leaves_nothing);
	tcase_add_test(tc, adopted_device_outlives_a_server_without_descriptors);
	tcase_add_test(tc, memory_of_a_queue_goes_with_it);
	tcase_add_test(tc, inflight_log_stays_with_a_device_that_cannot_be_destroyed);
	tcase_add_loop_test(tc, lost_writes_are_known_to_the_server_after_a_crash, 0, 2);
	tcase_add_test(tc, server_after_a_crash_knows_of_no_loss_where_there_was_none);
	tcase_add_loop_test(tc, reset_forgives_for_this_server_and_the_next, 0, 2);
	tcase_add_test(tc, reset_forgives_nothing_where_there_is_a_page_cache);
	tcase_add_test(tc, late_reply_is_logged_once_and_again_when_it_is_sent);
	return suite_run(suite);
}
