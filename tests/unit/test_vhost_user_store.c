// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/frontend/vhost_user_store.c: the store is open and locked while rings run, and not else. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fake_store_kern.h"
#include "store/store_type.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"
#include "vhost_user_fixture.h"

#define OK  VIRTIO_BLK_S_OK
#define OUT VIRTIO_BLK_T_OUT

/* Another server opens the store. Return: it; NULL: it is in use */
static struct backend *try_open(void)
{
	struct backend *backend = NULL;
	char text[LOG_CAPTURE_MAX];
	int err;

	log_capture(text);
	err = store_type_of(&vuf.config)->open(&vuf.config, 0, &backend);
	log_capture(NULL);
	ck_assert_msg(!err || err == -EBUSY, "%s", text);
	return backend;
}

static bool is_open(void)
{
	struct backend *backend = try_open();

	if (backend)
		backend_close(backend);
	return !backend;
}

static void get_base(uint32_t queue)
{
	uint32_t base;

	ck_assert_int_eq(vuc_get_vring_base(&vuf.c, queue, &base), 0);
}

static void enable(uint32_t queue, bool on)
{
	ck_assert_int_eq(vug_send_enable(&vuf.queues[queue], &vuf.c, on), 0);
}

START_TEST(open_while_rings_run)
{
	vuf_serve();
	ck_assert(!is_open());
	vuf_connect();
	vuf_accept_features();
	ck_assert_int_eq(vug_memory_send(&vuf.memory, &vuf.c), 0);
	vuf_take_inflight();
	ck_assert(!is_open());
	vuf_start_rings();
	ck_assert(is_open());
	get_base(0);
	ck_assert(is_open());
	get_base(0);
	get_base(1);
	ck_assert(!is_open());
	get_base(1);
	vuf_start_rings();
	ck_assert(is_open());
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	vuf_disconnect();
	ck_assert(!is_open());
}
END_TEST

/* A write that fails in the page cache while the store is closed is never reported otherwise. */
START_TEST(page_cache_cannot_be_written_back)
{
	vuf_up();
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	manual_sync_error = _i ? -EIO : 0;
	if (_i) {
		test_log_expect(LOG_LEVEL_ERROR, "cannot write back the page cache of");
		test_log_expect(LOG_LEVEL_ERROR, "writes may be lost");
	}
	get_base(0);
	get_base(1);
	manual_sync_error = 0;
	vuf_start_rings();
	ck_assert_int_eq(vuf_do(0, VIRTIO_BLK_T_FLUSH, 0, 0, 0), _i ? VIRTIO_BLK_S_IOERR : OK);
}
END_TEST

static unsigned int syncs, syncs_apart;

/* Does the thread have descriptors of the process? The socket of the front end is one. */
static void before_call(const struct store_call *call)
{
	if (call->what != STORE_CALL_SYNC)
		return;
	__atomic_fetch_add(&syncs, 1, __ATOMIC_SEQ_CST);
	if (fcntl(vuf.c.fd, F_GETFD) < 0)
		__atomic_fetch_add(&syncs_apart, 1, __ATOMIC_SEQ_CST);
}

/*
 * A store may stall while its page cache is written back, for ever. If the server is killed then, the
 * thread must not keep the sockets and locks of other disks.
 */
START_TEST(page_cache_is_written_back_without_descriptors_of_the_process)
{
	vuf_up();
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	fake_store_watch(before_call, NULL);
	get_base(0);
	get_base(1);
	fake_store_watch(NULL, NULL);
	ck_assert_uint_eq(syncs, 1);
#ifndef __SANITIZE_THREAD__
	ck_assert_uint_eq(syncs_apart, 1);
#endif
	ck_assert(!is_open());
}
END_TEST

/* The guest's driver may only wait. */
START_TEST(open_while_rings_are_disabled)
{
	vuf_up();
	enable(0, false);
	enable(1, false);
	ck_assert(is_open());
	enable(1, true);
	ck_assert_int_eq(vuf_do(1, OUT, 0, 512, 1), OK);
}
END_TEST

START_TEST(closed_by_a_reset)
{
	vuf_up();
	ck_assert(is_open());
	ck_assert_int_eq(vuc_set_empty(&vuf.c, _i ? VUC_RESET_DEVICE : VUC_RESET_OWNER), 0);
	ck_assert(!is_open());
}
END_TEST

START_TEST(closed_with_the_device)
{
	vuf_up();
	vuf_stop();
	ck_assert(!is_open());
}
END_TEST

static void kick_later(void)
{
	uint64_t value = 0;

	ck_assert_int_eq(vuc_send(&vuf.c, VUC_SET_VRING_KICK,
				  &(struct vuc_send){ .payload = &value,
						      .size = sizeof(value),
						      .fds = &vuf.queues[0].kick_fd,
						      .fd_count = 1,
						      .flags = VUC_NEED_REPLY }),
			 0);
}

static struct backend *take_store(void)
{
	struct backend *other;

	vuf_up();
	get_base(0);
	get_base(1);
	other = try_open();
	ck_assert_ptr_nonnull(other);
	return other;
}

/* The source of a migration still has it. */
START_TEST(ring_starts_when_the_store_is_free)
{
	struct backend *other = take_store();

	kick_later();
	usleep(_i * 150000);
	ck_assert_int_eq(vuf_state(0), QUEUE_STOPPED);
	backend_close(other);
	ck_assert(vuf_acknowledged(VUC_SET_VRING_KICK));
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
	vuf_stop();
}
END_TEST

/* ---- open() does not return ---- */

static sem_t opens, opened;
static bool open_stalls;

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	if (load_relaxed(&open_stalls) && !strcmp(path, vuf.config.path)) {
		sem_post(&opens);
		while (sem_wait(&opened))
			;
	}
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static void stall(void)
{
	sem_init(&opens, 0, 0);
	sem_init(&opened, 0, 0);
	store_relaxed(&open_stalls, true);
	kick_later();
	while (sem_wait(&opens))
		;
	store_relaxed(&open_stalls, false);
}

/* A file server is gone, for example. The store that is opened in the end is closed again. */
START_TEST(device_ends_while_the_store_is_opened)
{
	vuf_up();
	get_base(0);
	get_base(1);
	stall();
	vuf_begin_close();
	vuf_await_close();
	ck_assert(_i || !vuf_acknowledged(VUC_SET_VRING_KICK));
	if (_i) /* then open() fails */
		ck_assert_int_eq(unlink(vuf.config.path), 0);
	sem_post(&opened);
	vuf_stop();
	ck_assert_uint_eq(test_log_count("refused message"), 0);
	ck_assert(_i || !is_open());
}
END_TEST

/*
 * The next server cannot make good what was acknowledged as failed: the front end must connect again, and
 * starts its rings anew.
 */
START_TEST(connection_is_not_passed_on_while_the_store_is_opened)
{
	vuf_up();
	get_base(0);
	get_base(1);
	stall();
	vuf_keep_connection();
	vuf_begin_close();
	vuf_await_close();
	ck_assert(!vuf_kept());
	ck_assert(!vuf_acknowledged(VUC_SET_VRING_KICK));
	ck_assert(vuc_closed(&vuf.c));
	sem_post(&opened);
	vuf_stop();
	ck_assert_uint_eq(test_log_count("is closed, since the server stops"), 1);
}
END_TEST

/* The tries end with the device. */
START_TEST(device_ends_while_the_store_is_busy)
{
	struct backend *other = take_store();

	kick_later();
	usleep(_i * 150000);
	vuf_begin_close();
	vuf_await_close();
	backend_close(other);
	vuf_stop();
	ck_assert(!is_open());
}
END_TEST

static void expect_start_refused(const char *part)
{
	struct vug_queue *q = &vuf.queues[0];

	vuf_connect();
	vuf_accept_features();
	ck_assert_int_eq(vug_memory_send(&vuf.memory, &vuf.c), 0);
	ck_assert_int_eq(vug_send_num(q, &vuf.c), 0);
	ck_assert_int_eq(vug_send_addr(q, &vuf.c, false), 0);
	ck_assert_int_eq(vug_send_enable(q, &vuf.c, true), 0);
	vuf_expect_refusal(vug_send_kick(q, &vuf.c), part);
	ck_assert_int_eq(vuf_state(0), QUEUE_STOPPED);
	ck_assert_int_eq(vuc_set_empty(&vuf.c, VUC_SET_OWNER), 0); /* it is not tried again */
	vuf_disconnect();
}

START_TEST(another_file)
{
	char *aside = temp_path("aside-%d", getpid());

	vuf_serve();
	ck_assert_int_eq(rename(vuf.config.path, aside), 0);
	temp_image(vuf.config.path, VUF_DISK_SIZE);
	expect_start_refused("is another file or disk than at the start of the server");
	ck_assert_int_eq(unlink(vuf.config.path), 0);
	expect_start_refused("No such file or directory");
	ck_assert_int_eq(rename(aside, vuf.config.path), 0);
	vuf_connect();
	vuf_start();
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
}
END_TEST

START_TEST(store_has_shrunk)
{
	vuf_serve();
	ck_assert_int_eq(truncate(vuf.config.path, VUF_DISK_SIZE / 2), 0);
	expect_start_refused("has shrunk from 1048576 to 524288 bytes");
	ck_assert_int_eq(truncate(vuf.config.path, VUF_DISK_SIZE * 2), 0);
	vuf_connect();
	vuf_start();
	ck_assert_int_eq(vuf_do(0, OUT, 0, 512, 1), OK);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost_user_store");
	TCase *tc = suite_case(s, "vhost_user_store", vuf_setup, vuf_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, open_while_rings_run);
	tcase_add_loop_test(tc, page_cache_cannot_be_written_back, 0, 2);
	tcase_add_test(tc, page_cache_is_written_back_without_descriptors_of_the_process);
	tcase_add_test(tc, open_while_rings_are_disabled);
	tcase_add_loop_test(tc, closed_by_a_reset, 0, 2);
	tcase_add_test(tc, closed_with_the_device);
	tcase_add_loop_test(tc, ring_starts_when_the_store_is_free, 0, 2);
	tcase_add_loop_test(tc, device_ends_while_the_store_is_opened, 0, 2);
	tcase_add_test(tc, connection_is_not_passed_on_while_the_store_is_opened);
	tcase_add_loop_test(tc, device_ends_while_the_store_is_busy, 0, 2);
	tcase_add_test(tc, another_file);
	tcase_add_test(tc, store_has_shrunk);
	return suite_run(s);
}
