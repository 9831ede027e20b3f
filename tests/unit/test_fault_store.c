// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/store/fault_store.c: each fault occurs where it was asked for, and nowhere else. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fds.h"
#include "store/store_type.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_clock.h"
#include "test_log.h"
#include "threads.h"

#define SIZE  (1u << 20)
#define BLOCK 4096u
#define MANY  200 /* more than a pool may have threads */

#define LOOK_US 5000 /* a thread of the store looks at the clock so often */

struct operation {
	struct backend_io io;
	struct iovec iov;
	unsigned int completions;
	int err;
	bool loss_was_known;
};

static char disk_name[] = "disk0";
static char *image, *flag; /* paths; the second one comes and goes */
static struct device_config config;
static struct ring ring;
static struct backend *store;
static bool durable; /* of writes from now on */
static unsigned int losses;
static unsigned int fds_before;
static uint8_t memory[BLOCK] __attribute__((aligned(4096)));
static struct operation operations[MANY];

static void setup(void)
{
	test_log_begin();
	test_clock_stop();
	image = temp_path("image");
	flag = temp_path("flag");
	unlink(flag);
	temp_image(image, SIZE);
	fds_before = fds_open();
	ck_assert_int_eq(ring_init(&ring, 8), 0);
	config = (struct device_config){ .name = disk_name };
}

static void teardown(void)
{
	if (store)
		backend_close(store);
	free(config.path);
	ring_exit(&ring);
	ck_assert_uint_eq(fds_open(), fds_before);
	test_log_end();
}

static void note_loss(void *owner)
{
	ck_assert_ptr_eq(owner, &losses);
	losses++;
}

/* @faults: "%s" in it is the path that comes and goes */
static void set_path(const char *faults)
{
	char text[1024];

	snprintf(text, sizeof(text), faults, flag);
	free(config.path);
	ck_assert_int_ge(asprintf(&config.path, "fault:%s:%s", text, image), 0);
}

static void open_store(const char *faults)
{
	set_path(faults);
	ck_assert_int_eq(store_type_of(&config)->open(&config, 0, &store), 0);
	store->lost = note_loss;
	store->owner = &losses;
}

static void io_done(struct backend_io *io, int err)
{
	struct operation *o = container_of(io, struct operation, io);

	o->completions++;
	o->err = err;
	o->loss_was_known = losses;
}

static struct operation *submit(struct operation *o, enum backend_op op, uint64_t block)
{
	*o = (struct operation){
		.io = { .op = op,
			.durable = durable && op == BACKEND_WRITE,
			.offset = block * BLOCK,
			.len = BLOCK,
			.iov = &o->iov,
			.iov_count = 1,
			.done = io_done },
		.iov = { memory, BLOCK },
	};
	backend_submit(store, &ring, &o->io);
	return o;
}

static int finish(struct operation *o)
{
	while (!o->completions)
		ck_assert_int_eq(ring_run(&ring, true), 0);
	ck_assert_uint_eq(o->completions, 1);
	return o->err;
}

/* The store looks again after some time whether it must hold an operation. */
static int finish_held(struct operation *o)
{
	while (!o->completions) {
		test_clock_advance(1000);
		other_threads_run();
		ck_assert_int_eq(ring_run(&ring, false), 0);
	}
	return finish(o);
}

static int run(enum backend_op op, uint64_t block)
{
	return finish_held(submit(&operations[0], op, block));
}

static int write_block(uint64_t block, uint8_t byte)
{
	memset(memory, byte, sizeof(memory));
	return run(BACKEND_WRITE, block);
}

static uint8_t byte_of(uint64_t block)
{
	int fd = open(image, O_RDONLY | O_CLOEXEC);
	uint8_t byte;

	ck_assert_int_eq(pread(fd, &byte, 1, (off_t)(block * BLOCK)), 1);
	close(fd);
	return byte;
}

static const struct {
	const char *faults;
	enum backend_op op;
} nth[] = {
	{ "fail_read=3", BACKEND_READ },
	{ "fail_write=3", BACKEND_WRITE },
	{ "fail_flush=3", BACKEND_FLUSH },
};

START_TEST(only_the_nth_operation_of_its_kind_fails)
{
	open_store(nth[_i].faults);
	for (unsigned int i = 1; i <= 5; i++)
		for (enum backend_op op = BACKEND_READ; op <= BACKEND_WRITE_ZEROES; op++) {
			bool fails = i == 3 && op == nth[_i].op;

			ck_assert_int_eq(run(op, i), fails ? -EIO : 0);
			ck_assert(operations[0].io.sync_failed == (fails && op == BACKEND_FLUSH));
		}
	ck_assert_uint_eq(losses, nth[_i].op == BACKEND_FLUSH);
}
END_TEST

/* Reported once; the user of the store remembers it. */
START_TEST(lost_write_is_reported_by_the_next_sync)
{
	bool by_durable_write = _i;

	open_store("lose_write=2");
	ck_assert_int_eq(write_block(0, 1), 0);
	ck_assert_int_eq(run(BACKEND_FLUSH, 0), 0);
	ck_assert_int_eq(write_block(1, 1), 0);
	ck_assert_int_eq(write_block(2, 1), 0);
	ck_assert_uint_eq(losses, 0);
	ck_assert_uint_eq(byte_of(0), 1);
	ck_assert_uint_eq(byte_of(1), 0);
	ck_assert_uint_eq(byte_of(2), 1);
	durable = by_durable_write;
	ck_assert_int_eq(run(by_durable_write ? BACKEND_WRITE : BACKEND_FLUSH, 3), -EIO);
	ck_assert(operations[0].loss_was_known && operations[0].io.sync_failed);
	ck_assert_uint_eq(losses, 1);
	ck_assert_int_eq(run(BACKEND_FLUSH, 0), 0);
	ck_assert_uint_eq(losses, 1);
}
END_TEST

START_TEST(durable_write_that_is_lost_fails)
{
	open_store("lose_write=1");
	durable = true;
	ck_assert_int_eq(write_block(0, 1), -EIO);
	ck_assert(operations[0].loss_was_known && operations[0].io.sync_failed);
	ck_assert_uint_eq(byte_of(0), 0);
	ck_assert_int_eq(write_block(0, 2), 0);
	ck_assert_uint_eq(byte_of(0), 2);
}
END_TEST

/* cache = unsafe promises nothing. */
START_TEST(lost_write_is_not_reported_where_flushes_are_ignored)
{
	config.cache = CACHE_UNSAFE;
	open_store("lose_write=1");
	ck_assert_int_eq(write_block(0, 1), 0);
	ck_assert_int_eq(run(BACKEND_FLUSH, 0), 0);
	ck_assert_uint_eq(losses, 0);
}
END_TEST

START_TEST(operations_fail_while_a_path_exists)
{
	open_store("fail_while=%s");
	for (int there = 0; there < 4; there++) {
		if (there % 2)
			temp_image(flag, 0);
		else
			unlink(flag);
		for (enum backend_op op = BACKEND_READ; op <= BACKEND_WRITE_ZEROES; op++)
			ck_assert_int_eq(run(op, 0), there % 2 ? -EIO : 0);
		ck_assert_uint_eq(losses, (unsigned int)(there + 1) / 2);
	}
}
END_TEST

/* Looks at what the threads of the store do meanwhile. */
static void run_for_ms(unsigned int ms)
{
	for (; ms; ms--) {
		test_clock_advance(1000);
		other_threads_run();
		ck_assert_int_eq(ring_run(&ring, false), 0);
	}
}

START_TEST(operation_begins_after_the_delay)
{
	open_store("delay_ms=60");
	for (enum backend_op op = BACKEND_READ; op <= BACKEND_WRITE_ZEROES; op++) {
		submit(&operations[0], op, 0);
		run_for_ms(59);
		ck_assert_uint_eq(operations[0].completions, 0);
		test_clock_advance(1000 + LOOK_US);
		ck_assert_int_eq(finish(&operations[0]), 0);
	}
}
END_TEST

/* More of them than there may be threads: the delay is that of each, and not of one after the other. */
START_TEST(delays_of_many_operations_pass_together)
{
	open_store("delay_ms=400");
	for (size_t i = 0; i < MANY; i++)
		submit(&operations[i], BACKEND_READ, i % 8);
	run_for_ms(399);
	for (size_t i = 0; i < MANY; i++)
		ck_assert_uint_eq(operations[i].completions, 0);
	test_clock_advance(1000 + LOOK_US);
	for (size_t i = 0; i < MANY; i++)
		ck_assert_int_eq(finish(&operations[i]), 0);
}
END_TEST

START_TEST(operations_are_held_while_a_path_exists)
{
	open_store("hold_while=%s");
	ck_assert_int_eq(write_block(0, 1), 0);
	temp_image(flag, 0);
	memset(memory, 2, sizeof(memory));
	submit(&operations[0], BACKEND_WRITE, 0);
	submit(&operations[1], BACKEND_FLUSH, 0);
	run_for_ms(50);
	ck_assert(!operations[0].completions && !operations[1].completions);
	ck_assert_uint_eq(byte_of(0), 1);
	unlink(flag);
	ck_assert_int_eq(finish_held(&operations[0]), 0);
	ck_assert_int_eq(finish_held(&operations[1]), 0);
	ck_assert_uint_eq(byte_of(0), 2);
}
END_TEST

/* Those that a thread waits with, and those that wait for a thread. */
START_TEST(held_operations_end_when_they_are_cancelled)
{
	static const char *const faults[] = { "hold_while=%s", "delay_ms=3600000" };

	temp_image(flag, 0);
	open_store(faults[_i]);
	for (size_t i = 0; i < MANY; i++)
		submit(&operations[i], BACKEND_WRITE, i % 8);
	run_for_ms(20);
	for (size_t i = 0; i < MANY; i++) {
		ck_assert_uint_eq(operations[i].completions, 0);
		backend_cancel(&operations[i].io);
	}
	for (size_t i = 0; i < MANY; i++) {
		ck_assert_int_eq(finish_held(&operations[i]), -ECANCELED);
		ck_assert(operations[i].io.cancelled);
	}
	run_for_ms(20);
	ck_assert_uint_eq(operations[0].completions, 1);
	ck_assert_uint_eq(byte_of(0), 0);
}
END_TEST

START_TEST(faults_add_up)
{
	open_store("delay_ms=1,fail_write=1,lose_write=2,fail_read=2,hold_while=%s");
	ck_assert_int_eq(write_block(0, 1), -EIO);
	ck_assert_int_eq(write_block(1, 1), 0);
	ck_assert_int_eq(write_block(2, 1), 0);
	ck_assert_int_eq(run(BACKEND_READ, 0), 0);
	ck_assert_int_eq(run(BACKEND_READ, 0), -EIO);
	ck_assert_int_eq(run(BACKEND_FLUSH, 0), -EIO);
	ck_assert_uint_eq(byte_of(1), 0);
	ck_assert_uint_eq(byte_of(2), 1);
}
END_TEST

/* To its users the store is the one of the file. */
START_TEST(store_has_the_limits_and_the_identity_of_the_file)
{
	struct device_config plain = config;
	struct backend examined = { 0 };
	char identity[BACKEND_IDENTITY_MAX];

	plain.path = image;
	ck_assert_int_eq(store_type_of(&plain)->examine(&plain, false, &examined), 0);
	open_store("fail_read=1");
	ck_assert_mem_eq(&store->limits, &examined.limits, sizeof(store->limits));
	ck_assert_str_eq(store->identity, examined.identity);
	store_identify(&config, identity);
	ck_assert_str_eq(identity, examined.identity);
	ck_assert_int_eq(store_type_of(&config)->examine(&config, false, &examined), 0);
	ck_assert_str_eq(identity, examined.identity);
	ck_assert_int_eq(store_type_of(&config)->check_use(&config, false), 0);
}
END_TEST

static void expect_refusal(const char *faults, int err, const char *line)
{
	struct backend *out = NULL;

	test_log_expect(LOG_LEVEL_ERROR, line);
	set_path(faults);
	ck_assert_int_eq(store_type_of(&config)->open(&config, 0, &out), err);
	ck_assert_ptr_null(out);
	/* A thread that was joined is listed for a moment more. */
	turn_until(!threads_named("store-starter"), other_threads_run());
}

START_TEST(store_that_cannot_be_opened_leaves_nothing)
{
	expect_refusal("fail_red=1", -EINVAL, "disk0: path: \"fail_red=1\" is no fault");
	unlink(image);
	expect_refusal("fail_read=1", -ENOENT, "disk0: cannot open ");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fault_store");
	TCase *tc = suite_case(suite, "faults", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, only_the_nth_operation_of_its_kind_fails, 0, ARRAY_SIZE(nth));
	tcase_add_loop_test(tc, lost_write_is_reported_by_the_next_sync, 0, 2);
	tcase_add_test(tc, durable_write_that_is_lost_fails);
	tcase_add_test(tc, lost_write_is_not_reported_where_flushes_are_ignored);
	tcase_add_test(tc, operations_fail_while_a_path_exists);
	tcase_add_test(tc, operation_begins_after_the_delay);
	tcase_add_test(tc, delays_of_many_operations_pass_together);
	tcase_add_test(tc, operations_are_held_while_a_path_exists);
	tcase_add_loop_test(tc, held_operations_end_when_they_are_cancelled, 0, 2);
	tcase_add_test(tc, faults_add_up);
	tcase_add_test(tc, store_has_the_limits_and_the_identity_of_the_file);
	tcase_add_test(tc, store_that_cannot_be_opened_leaves_nothing);
	return suite_run(suite);
}
