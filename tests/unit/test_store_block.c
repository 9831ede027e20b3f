// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/store/host_file.c with loop devices, where root may make them. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "places.h"
#include "store_fixture.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_clock.h"
#include "test_log.h"

static uint64_t loop_limit(const char *name)
{
	unsigned long long value = 0;
	char file[128];
	FILE *f;

	snprintf(file, sizeof(file), "/sys/block/%s/queue/%s", loop_name + strlen("/dev/"), name);
	f = fopen(file, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%llu", &value), 1);
	fclose(f);
	return value;
}

static void expect_loop_limits(uint32_t block)
{
	ck_assert(st_store.block_device);
	ck_assert_uint_eq(st_store.limits.logical_block, block);
	ck_assert_uint_eq(st_store.limits.physical_block, loop_limit("physical_block_size"));
	ck_assert_uint_eq(st_store.limits.io_min, loop_limit("minimum_io_size"));
	ck_assert_uint_eq(st_store.limits.io_opt, loop_limit("optimal_io_size"));
	ck_assert_uint_eq(st_store.limits.discard_granularity, loop_limit("discard_granularity"));
	ck_assert_uint_eq(st_store.limits.discard_max,
			  MIN(loop_limit("discard_max_bytes"), 2u << 30));
	ck_assert_uint_gt(st_store.limits.zeroes_max, 0);
}

static bool others_may_claim_loop(void)
{
	int fd = open(loop_name, O_RDONLY | O_EXCL | O_CLOEXEC); /* as mount does */

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

START_TEST(block_device_has_its_own_limits)
{
	uint32_t block = _i ? 4096 : 512;
	int loop = st_make_loop(block);
	char number[32];
	struct stat st;

	if (loop < 0)
		return;
	ck_assert_int_eq(fstat(loop, &st), 0);
	snprintf(number, sizeof(number), " %u:%u", major(st.st_rdev), minor(st.st_rdev));
	for (st_config.cache = CACHE_AUTO; st_config.cache <= CACHE_UNSAFE; st_config.cache++) {
		st_expect_open(&st_store);
		expect_loop_limits(block);
		ck_assert_uint_eq(st_store.limits.size, ST_IMAGE_SIZE);
		ck_assert_int_eq(st_store.direct, st_config.cache <= CACHE_NONE);
		ck_assert_ptr_nonnull(strstr(st_store.identity, number));
		host_file_close(&st_store);
	}
	st_config.cache = CACHE_WRITEBACK;
	st_config.logical_block_size = 512;
	if (block > 512)
		st_expect_refusal(-EINVAL, "too small");
	st_config.logical_block_size = 4096;
	st_config.offset = 8192;
	st_expect_open(&st_store);
	ck_assert_uint_eq(st_store.limits.logical_block, 4096);
	ck_assert_uint_ge(st_store.limits.physical_block, 4096);
	ck_assert_uint_eq(st_store.limits.size, ST_IMAGE_SIZE - 8192);
	host_file_close(&st_store);
	st_config.offset = 512;
	st_expect_refusal(-EINVAL, ODD);
	st_config.offset = ST_IMAGE_SIZE;
	st_expect_refusal(-EINVAL, NOTHING);
	close(loop);
}
END_TEST

START_TEST(block_device_that_is_written_is_claimed)
{
	int loop = st_make_loop(512), other;

	if (loop < 0)
		return;
	st_config.cache = _i ? CACHE_WRITEBACK : CACHE_AUTO;
	st_expect_open(&st_store);
	ck_assert(!others_may_claim_loop());
	st_expect_second(&(struct st_part){ .readonly = true }, false);
	st_expect_second(&(struct st_part){ .readonly = false }, false);
	host_file_close(&st_store);

	other = open(loop_name, O_RDONLY | O_EXCL | O_CLOEXEC);
	ck_assert_int_ge(other, 0);
	st_expect_second(&(struct st_part){ .readonly = false }, false);
	st_expect_second(&(struct st_part){ .readonly = true },
			 true); /* it may be mounted read-only */
	close(other);

	st_configure_part(&(struct st_part){ .readonly = true });
	st_expect_open(&st_store);
	st_expect_second(&(struct st_part){ .readonly = true }, true);
	st_expect_second(&(struct st_part){ .readonly = false }, false);
	host_file_close(&st_store);
	close(loop);
}
END_TEST

START_TEST(slices_of_a_block_device_share_one_claim)
{
	struct st_part parts[] = { { false, 0, 8192 }, { false, 8192, 8192 }, { true, 65536, 0 } };
	int loop = st_make_loop(512);
	struct host_file stores[3];
	pid_t pid;

	if (loop < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		st_configure_part(&parts[i]);
		st_expect_open(&stores[i]);
	}
	st_expect_second(&(struct st_part){ false, 4096, 8192 }, false);
	st_expect_second(&(struct st_part){ false, 0, 0 }, false);
	for (size_t i = 0; i < 2; i++) {
		ck_assert(!others_may_claim_loop());
		host_file_close(&stores[_i ? 1 - i : i]);
	}
	ck_assert(others_may_claim_loop()); /* the one that is left only reads */
	host_file_close(&stores[2]);

	pid = st_start_holder(&parts[0]); /* another process claims for itself */
	st_expect_second(&parts[1], false);
	st_end_holder(pid);
	st_expect_second(&parts[1], true);
	ck_assert(others_may_claim_loop());
	close(loop);
}
END_TEST

/*
 * The thread sanitizer follows descriptors through open() and close(), and through closedir(), but
 * not through opendir(): a number that one thread had for a file looks raced for when another one had
 * it for a directory.
 */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race_top:closedir\n";
}

#define SLICE_THREADS 4

static int slice_results[SLICE_THREADS];

/* A slice of its own, opened and closed again and again. */
static void *open_slice(void *arg)
{
	size_t i = (size_t)arg;
	struct device_config config = st_config;
	struct host_file store;
	int err = 0;

	config.offset = i * 8192;
	config.size = 8192;
	for (int round = 0; round < 50 && !err; round++) {
		err = host_file_open(&config, 0, &store);
		if (!err)
			host_file_close(&store);
	}
	slice_results[i] = err;
	return NULL;
}

/* No thread sees the device as in use because another one opens or closes it just now. */
START_TEST(threads_share_the_claim_of_a_block_device)
{
	int loop = st_make_loop(512);
	pthread_t threads[SLICE_THREADS];

	if (loop < 0)
		return;
	test_log_allow(LOG_LEVEL_ERROR, ""); /* the test's own thread looks at the results */
	for (size_t i = 0; i < SLICE_THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, open_slice, (void *)i), 0);
	for (size_t i = 0; i < SLICE_THREADS; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < SLICE_THREADS; i++)
		ck_assert_int_eq(slice_results[i], 0);
	ck_assert(others_may_claim_loop());
	close(loop);
}
END_TEST

START_TEST(each_block_device_has_its_own_claim)
{
	int loop = st_make_loop(512), other_loop;
	char first_name[sizeof(loop_name)];
	struct host_file first;

	if (loop < 0)
		return;
	strcpy(first_name, loop_name);
	st_expect_open(&first);
	other_loop = st_make_loop(512);
	ck_assert_int_ge(other_loop, 0);
	ck_assert_str_ne(loop_name, first_name);
	ck_assert(others_may_claim_loop());
	st_expect_open(&st_store);
	ck_assert(!others_may_claim_loop());
	host_file_close(&first);
	ck_assert(!others_may_claim_loop());
	strcpy(loop_name, first_name);
	ck_assert(others_may_claim_loop());
	host_file_close(&st_store);
	close(other_loop);
	close(loop);
}
END_TEST

/* A look beside the server that has it: nothing of it is kept from that, and nothing stays open. */
START_TEST(block_device_that_is_served_can_be_examined)
{
	int loop = st_make_loop(512);
	struct host_file examined;
	pid_t pid;

	if (loop < 0)
		return;
	pid = st_start_holder(&(struct st_part){ 0 });
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(host_file_examine(&st_config, i, &examined), 0);
		ck_assert_int_eq(examined.fd, -1);
		ck_assert_ptr_null(examined.claim);
		ck_assert_uint_eq(examined.limits.size, ST_IMAGE_SIZE);
	}
	test_log_expect(LOG_LEVEL_ERROR, "in use by another process");
	ck_assert_int_eq(host_file_try_claim(&st_config), -EBUSY);
	st_config.readonly = true;
	ck_assert_int_eq(host_file_try_claim(&st_config), 0);
	st_config.readonly = false;
	st_end_holder(pid);
	ck_assert_int_eq(host_file_try_claim(&st_config), 0);
	ck_assert(others_may_claim_loop());

	st_config.size = 2 * ST_IMAGE_SIZE;
	test_log_expect(LOG_LEVEL_ERROR, PAST_END);
	ck_assert_int_eq(host_file_examine(&st_config, false, &examined), -EINVAL);
	close(loop);
}
END_TEST

START_TEST(descriptors_run_out_for_a_block_device)
{
	int loop = st_make_loop(512);

	if (loop < 0)
		return;
	for (unsigned int n = 0; n < 7; n++) { /* path, claim, disk, 4 for syncs */
		st_fds_limit = st_limit_for(n);
		st_expect_refusal(-EMFILE, "Too many open files");
		ck_assert(others_may_claim_loop());
	}
	st_fds_limit = RLIM_INFINITY;
	st_expect_second(&(struct st_part){ 0 }, true);
	close(loop);
}
END_TEST

START_TEST(block_device_may_be_waited_for)
{
	int loop = st_make_loop(512);

	if (loop < 0)
		return;
	st_end_holder_after(st_start_holder(&(struct st_part){ 0 }), 100);
	st_wait_ms = 20000;
	st_expect_open(&st_store);
	ck_assert_uint_ge(test_clock.slept_us, 100 * 1000);
	ck_assert_uint_lt(test_clock.slept_us, 10000 * 1000);

	test_clock_stop();
	st_wait_ms = 50;
	st_expect_refusal(-EBUSY, "in use by another process");
	ck_assert_uint_ge(test_clock.slept_us, 50 * 1000);
	host_file_close(&st_store);
	close(loop);
}
END_TEST

START_TEST(partition_has_the_limits_of_its_disk)
{
	struct blkpg_partition st_part = { .start = 8192, .length = ST_IMAGE_SIZE / 2, .pno = 1 };
	struct blkpg_ioctl_arg arg = { .op = BLKPG_ADD_PARTITION,
				       .datalen = sizeof(st_part),
				       .data = &st_part };
	char partition[40];
	int loop = st_make_loop(512);

	if (loop < 0)
		return;
	snprintf(partition, sizeof(partition), "%sp1", loop_name);
	if (!ioctl(loop, BLKPG, &arg) && !access(partition, R_OK)) {
		st_config.path = partition;
		st_expect_open(&st_store);
		expect_loop_limits(512);
		ck_assert_uint_eq(st_store.limits.size, ST_IMAGE_SIZE / 2);
		host_file_close(&st_store);
	}
	arg.op = BLKPG_DEL_PARTITION;
	ioctl(loop, BLKPG, &arg);
	close(loop);
}
END_TEST

/* A loop device has no poll queues. */
START_TEST(disk_without_poll_queues_cannot_be_polled_for)
{
	int loop = st_make_loop(512);

	if (loop < 0)
		return;
	st_config.iopoll = true;
	st_expect_refusal(-EINVAL, "has no poll queues");
	st_config.cache = CACHE_WRITEBACK;
	st_expect_refusal(-EINVAL, "is served without O_DIRECT");
	close(loop);
}
END_TEST

/* O_DIRECT to a file needs the blocks of the disk below, here of a loop device. */
START_TEST(file_on_a_disk_with_large_blocks)
{
	char command[128];
	int loop;

	st_make_image(8 * ST_IMAGE_SIZE);
	loop = st_make_loop(4096);
	st_config.path = st_image;
	if (loop < 0)
		return;
	snprintf(command, sizeof(command), "mke2fs -q -F -t ext4 %s >/dev/null 2>&1", loop_name);
	if (!system(command) && mounts_enter() && !mount(loop_name, temp_dir, "ext4", 0, NULL)) {
		st_make_image(ST_IMAGE_SIZE + 512);
		st_config.cache = CACHE_WRITEBACK;
		st_expect_open(&st_store);
		ck_assert_uint_eq(st_store.limits.logical_block, 512);
		host_file_close(&st_store);
		st_config.cache = CACHE_NONE;
		st_expect_refusal(-EINVAL, ODD);
		st_config.logical_block_size = 512;
		st_expect_refusal(-EINVAL, "needs blocks of 4096 bytes with O_DIRECT");
		st_config.logical_block_size = 0;
		st_config.size = ST_IMAGE_SIZE;
		st_expect_open(&st_store);
		ck_assert_uint_eq(st_store.length_align, 4096);
		ck_assert_uint_eq(st_store.limits.logical_block, 4096);
		ck_assert_uint_eq(st_store.limits.physical_block, 4096);
		host_file_close(&st_store);
		ck_assert_int_eq(umount(temp_dir), 0);
	}
	close(loop);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_block");
	TCase *tc = suite_case(suite, "block", st_setup, st_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, block_device_has_its_own_limits, 0, 2);
	tcase_add_loop_test(tc, block_device_that_is_written_is_claimed, 0, 2);
	tcase_add_test(tc, block_device_that_is_served_can_be_examined);
	tcase_add_loop_test(tc, slices_of_a_block_device_share_one_claim, 0, 2);
	tcase_add_test(tc, threads_share_the_claim_of_a_block_device);
	tcase_add_test(tc, each_block_device_has_its_own_claim);
	tcase_add_test(tc, descriptors_run_out_for_a_block_device);
	tcase_add_test(tc, block_device_may_be_waited_for);
	tcase_add_test(tc, partition_has_the_limits_of_its_disk);
	tcase_add_test(tc, disk_without_poll_queues_cannot_be_polled_for);
	tcase_add_test(tc, file_on_a_disk_with_large_blocks);
	return suite_run(suite);
}
