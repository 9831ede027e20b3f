// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/store/host_file.c: a store that another user has locked. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "places.h"
#include "store_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_clock.h"
#include "test_log.h"

static const struct {
	struct st_part first, second;
	bool fine;
} pairs[] = {
	{ { false, 0, 0 }, { false, 0, 0 }, false },
	{ { false, 0, 0 }, { true, 0, 0 }, false },
	{ { true, 0, 0 }, { false, 0, 0 }, false },
	{ { true, 0, 0 }, { true, 0, 0 }, true },
	{ { false, 0, 8192 }, { false, 8192, 8192 }, true },
	{ { false, 8192, 8192 }, { false, 0, 8192 }, true },
	{ { false, 0, 8192 }, { true, 8192, 8192 }, true },
	{ { false, 0, 8192 }, { false, 8192, 0 }, true },
	{ { false, 8192, 0 }, { false, 0, 8192 }, true },
	{ { false, 0, 8192 }, { false, 4096, 8192 }, false },
	{ { false, 0, 8192 }, { false, 7680, 512 }, false },
	{ { false, 4096, 512 }, { false, 0, 0 }, false },
	{ { false, 0, 0 }, { true, 4096, 512 }, false },
	{ { false, 8192, 0 }, { false, ST_IMAGE_SIZE - 512, 512 }, false },
	{ { true, 0, 8192 }, { true, 4096, 8192 }, true },
	{ { true, 0, 8192 }, { false, 4096, 8192 }, false },
};

/* In one process: the open file counts. With O_DIRECT and without, and one of each. */
START_TEST(slices_that_overlap_have_one_writer_or_readers)
{
	static const enum cache_mode modes[] = { CACHE_AUTO, CACHE_WRITEBACK };

	for (size_t i = 0; i < 4; i++) {
		st_config.cache = modes[i / 2];
		st_configure_part(&pairs[_i].first);
		st_expect_open(&st_store);
		st_config.cache = modes[i % 2];
		st_expect_second(&pairs[_i].second, pairs[_i].fine);
		host_file_close(&st_store);
		st_expect_second(&pairs[_i].second, true);
	}
}
END_TEST

START_TEST(other_process_counts_until_it_is_gone)
{
	pid_t pid = st_start_holder(&pairs[_i].first);

	st_expect_second(&pairs[_i].second, pairs[_i].fine);
	st_end_holder(pid);
	st_expect_second(&pairs[_i].second, true);
}
END_TEST

START_TEST(other_process_may_be_waited_for)
{
	st_end_holder_after(st_start_holder(&(struct st_part){ 0 }), 100);
	st_wait_ms = 20000;
	st_expect_open(&st_store);
	ck_assert_uint_ge(test_clock.slept_us, 100 * 1000);
	ck_assert_uint_lt(test_clock.slept_us, 10000 * 1000);
	host_file_close(&st_store);
}
END_TEST

START_TEST(waiting_ends_and_is_for_busy_stores_alone)
{
	test_clock_stop();
	st_expect_open(&st_store);
	st_wait_ms = 100;
	st_expect_refusal(-EBUSY, "in use by another process");
	ck_assert_uint_ge(test_clock.slept_us, 100 * 1000);
	host_file_close(&st_store);

	test_clock_stop();
	st_wait_ms = 60000;
	unlink(st_image);
	st_expect_refusal(-ENOENT, "No such file");
	st_make_image(513);
	st_expect_refusal(-EINVAL, ODD);
	ck_assert_uint_eq(test_clock.sleeps, 0);
}
END_TEST

/* A server was killed, and a thread of it that waits for the store has its own table. */
START_TEST(descriptor_of_a_thread_holds_the_store)
{
	int own;

	st_expect_open(&st_store);
	own = dup(st_store.fd);
	ck_assert_int_ge(own, 0);
	host_file_close(&st_store);
	st_expect_refusal(-EBUSY, "in use by another process");
	close(own);
	st_expect_open(&st_store);
	host_file_close(&st_store);
}
END_TEST

/* Readers share the bytes; but who succeeds a killed reader waits for the end of its reads. */
START_TEST(reader_waits_for_the_reader_that_it_succeeds)
{
	char *name = st_config.name;
	struct host_file successor;

	st_config.readonly = true;
	st_config.cache = _i ? CACHE_AUTO : CACHE_WRITEBACK;
	st_expect_open(&st_store);
	st_expect_open(&successor); /* of nobody */
	host_file_close(&successor);

	st_wait_ms = 100;
	st_config.name = (char *)"another";
	st_expect_open(&successor);
	host_file_close(&successor);
	st_config.name = name;
	host_file_close(&st_store);

	st_wait_ms = 0;
	st_expect_open(&st_store);
	st_wait_ms = 100;
	st_expect_refusal(-EBUSY, "in use by another process");
	host_file_close(&st_store);
	st_expect_open(&successor);
	host_file_close(&successor);
}
END_TEST

/* What a running server has, and will leave: all but the lock is known. */
START_TEST(store_that_another_has_can_be_examined)
{
	pid_t pid = st_start_holder(&(struct st_part){ 0 });
	struct host_file examined;

	test_log_allow(LOG_LEVEL_ERROR, "");
	ck_assert_int_eq(host_file_examine(&st_config, false, &examined), 0);
	ck_assert_int_eq(host_file_examine(&st_config, true, &examined), -EBUSY);
	st_end_holder(pid);
	ck_assert_int_eq(host_file_examine(&st_config, true, &examined), 0);
	ck_assert_int_eq(examined.fd, -1);

	st_expect_open(&st_store);
	ck_assert_str_eq(examined.identity, st_store.identity);
	ck_assert_mem_eq(&examined.limits, &st_store.limits, sizeof(st_store.limits));
	host_file_close(&st_store);

	unlink(st_image);
	ck_assert_int_eq(host_file_examine(&st_config, false, &examined), -ENOENT);
	st_make_image(513);
	ck_assert_int_eq(host_file_examine(&st_config, false, &examined), -EINVAL);
	ck_assert_uint_eq(test_log_count(ODD), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_lock");
	TCase *tc = suite_case(suite, "lock", st_setup, st_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, slices_that_overlap_have_one_writer_or_readers, 0,
			    ARRAY_SIZE(pairs));
	tcase_add_loop_test(tc, other_process_counts_until_it_is_gone, 0, ARRAY_SIZE(pairs));
	tcase_add_test(tc, other_process_may_be_waited_for);
	tcase_add_test(tc, waiting_ends_and_is_for_busy_stores_alone);
	tcase_add_loop_test(tc, reader_waits_for_the_reader_that_it_succeeds, 0, 2);
	tcase_add_test(tc, descriptor_of_a_thread_holds_the_store);
	tcase_add_test(tc, store_that_another_has_can_be_examined);
	return suite_run(suite);
}
