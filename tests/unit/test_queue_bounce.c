// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/queue/queue.c: bounce memory of ours is registered with the ring of the queue's worker. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "device_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define OK	    VIRTIO_BLK_S_OK
#define BOUNCE_SIZE (1u << 20)
#define ADDRESS	    0x3000u /* somewhere in the bounce memory */

static void start(uint32_t queues)
{
	rig.config.queues = queues;
	rig.bounce = true;
	rig.config.bounce_size = BOUNCE_SIZE;
	rig_start();
	rig_driver_start();
}

/* A read that the driver bounces. Return: the registered memory that the store was given */
static struct ring_buffer read_bounced(uint32_t queue)
{
	struct rig_req req = rig_add_at(queue, 8, ADDRESS, 4096);
	struct ring_buffer buffer;

	manual_hold(rig.store, true);
	rig_go(queue);
	rig_wait(manual_held(rig.store) == 1);
	buffer = *manual_io(rig.store, 0)->buffer;
	if (buffer.len)
		ck_assert_ptr_eq(manual_io(rig.store, 0)->iov->iov_base, buffer.addr + ADDRESS);
	manual_hold(rig.store, false);
	manual_finish(rig.store, 0, 1, MANUAL_DO);
	ck_assert_int_eq(rig_finish(&req), OK);
	rig_settle();
	return buffer;
}

/* Return: how many queues use the bounce memory, by the ring's table of buffers */
static unsigned int users(void)
{
	const struct ring *ring = &rig.workers[0].ring;
	unsigned int count = 0;

	rig_settle();
	for (unsigned int i = 0; i < RING_BUFFERS_MAX; i++)
		count += ring->buffers[i].users;
	return count;
}

/* The kernel allocates bounce memory at the first request: before it there is nothing to register. */
START_TEST(memory_is_registered_after_the_first_request)
{
	uint8_t data[4096], expected[4096];
	struct rig_req write;

	start(2);
	ck_assert_uint_eq(users(), 0);
	ck_assert_uint_eq(read_bounced(0).len, 0);
	for (uint32_t queue = 0; queue < 2; queue++)
		ck_assert_uint_eq(read_bounced(queue).len, BOUNCE_SIZE);
	ck_assert_uint_eq(users(), 2);

	memset(expected, 0x5a, sizeof(expected));
	write = rig_add(1, VIRTIO_BLK_T_OUT, 8, sizeof(expected));
	rig_fill(&write, expected, sizeof(expected));
	rig_go(1);
	ck_assert_int_eq(rig_finish(&write), OK);
	read_bounced(0);
	fake_kern_read(rig.kern, ADDRESS, data, sizeof(data));
	ck_assert_mem_eq(data, expected, sizeof(data));
	rig_close();
	ck_assert_uint_eq(users(), 0);
}
END_TEST

/* A reset may be followed by another bounce memory. */
START_TEST(memory_is_registered_until_a_reset)
{
	start(1);
	for (int i = 0; i < 3; i++) {
		read_bounced(0);
		ck_assert_uint_eq(read_bounced(0).len, BOUNCE_SIZE);
		ck_assert_uint_eq(users(), 1);
		rig_status(0);
		ck_assert_uint_eq(users(), 0);
		rig_driver_start();
	}
}
END_TEST

/* An UPDATE_IOTLB for other memory pauses the queue, and the bounce memory stays registered. */
START_TEST(memory_stays_registered_while_the_queue_pauses)
{
	start(1);
	read_bounced(0);
	read_bounced(0);
	ck_assert(rig_reply_is_ok(rig_send_iotlb(0, UINT64_MAX)));
	ck_assert(rig_reply_is_ok(rig_send_vq_state(0)));
	ck_assert_uint_eq(users(), 1);
	ck_assert_uint_eq(read_bounced(0).len, BOUNCE_SIZE);
}
END_TEST

START_TEST(memory_that_cannot_be_registered_is_used_all_the_same)
{
	start(1);
	for (unsigned int i = 0; i < RING_BUFFERS_MAX; i++)
		rig.workers[0].ring.buffers[i].users = 1;
	test_log_expect(LOG_LEVEL_WARNING,
			"disk0: queue 0: cannot register the bounce buffer with io_uring: "
			"No space left on device");
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(read_bounced(0).len, 0);
}
END_TEST

/* Linux before 6.0 has no VDUSE_IOTLB_REG_UMEM; vduse_memory.c logs that. */
START_TEST(nothing_is_registered_where_the_memory_is_the_kernels)
{
	start(1);
	fake_kern_fail(FAKE_REG_UMEM, 1, -ENOTTY);
	test_log_expect(LOG_LEVEL_WARNING, "cannot register UMEM");
	for (int i = 0; i < 3; i++)
		ck_assert_uint_eq(read_bounced(0).len, 0);
	ck_assert_uint_eq(users(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("queue_bounce");
	TCase *tc = suite_case(suite, "queue_bounce", rig_setup, rig_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, memory_is_registered_after_the_first_request);
	tcase_add_test(tc, memory_is_registered_until_a_reset);
	tcase_add_test(tc, memory_stays_registered_while_the_queue_pauses);
	tcase_add_test(tc, memory_that_cannot_be_registered_is_used_all_the_same);
	tcase_add_test(tc, nothing_is_registered_where_the_memory_is_the_kernels);
	return suite_run(suite);
}
