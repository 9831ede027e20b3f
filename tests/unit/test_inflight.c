// SPDX-License-Identifier: GPL-2.0-or-later
/* The inflight log: what a crash at any moment leaves, and what is refused. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fds.h"
#include "inflight.h"
#include "suite.h"
#include "test_log.h"

#define VQS	2
#define VQ_SIZE 8

static char dir[64], file[128];
static struct inflight_params params;
static struct inflight *inflight;
static struct inflight_vq *vq;
static uint16_t heads[VQ_SIZE];
static unsigned int fds_before;

/* How much of the inflight log is mapped? */
static unsigned int mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned int count = 0;
	char line[512];

	ck_assert_ptr_nonnull(maps);
	while (fgets(line, sizeof(line), maps))
		count += strstr(line, "disk.inflight") != NULL;
	fclose(maps);
	return count;
}

static void setup(void)
{
	test_log_begin();
	fds_before = fds_open();
	strcpy(dir, "/tmp/test_inflight.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/disk.inflight", dir);
	params = (struct inflight_params){
		.directory = dir,
		.name = "disk",
		.features = 0x1234,
		.vq_num = VQS,
		.vq_size = VQ_SIZE,
		.identity = "file 8:1/77, 1048576 bytes",
	};
	ck_assert_int_eq(inflight_create(&params, &inflight), 0);
	vq = inflight_vq(inflight, 1);
}

static void teardown(void)
{
	if (inflight)
		inflight_close(inflight, true);
	inflight = NULL;
	unlink(file);
	rmdir(dir);
	ck_assert_uint_eq(fds_open(), fds_before);
	ck_assert_uint_eq(mappings(), 0);
	test_log_end();
}

/* As after kill -9: the mapping is gone, the file is what it was. */
static void crash(void)
{
	char why[INFLIGHT_WHY_MAX] = "";

	inflight_close(inflight, false);
	inflight = NULL;
	ck_assert_msg(inflight_open(&params, &inflight, why) == 0, "%s", why);
	vq = inflight_vq(inflight, 1);
}

static void publish(uint16_t used_idx, int count, ...)
{
	uint16_t published[VQ_SIZE];
	va_list args;

	va_start(args, count);
	for (int i = 0; i < count; i++)
		published[i] = (uint16_t)va_arg(args, int);
	va_end(args);
	inflight_vq_published(vq, published, (uint32_t)count, used_idx);
}

START_TEST(inflight_log_of_anything_is_opened_for_a_rescue)
{
	struct inflight_params any = { .directory = dir, .name = "disk", .vq_num = VQS };

	inflight_vq_start(vq, VQ_SIZE, 100, 100);
	inflight_vq_take(vq, 5);
	vq->user_flag = 1;
	inflight_close(inflight, false);
	inflight = NULL;
	ck_assert_int_eq(inflight_open_any(&any, &inflight), 0);
	ck_assert_uint_eq(any.vq_size, VQ_SIZE);
	ck_assert_uint_eq(inflight_vq(inflight, 1)->user_flag, 1);
	ck_assert_int_eq(inflight_vq_recover(inflight_vq(inflight, 1), 100, VQ_SIZE, heads), 1);
	ck_assert_uint_eq(heads[0], 5);
	inflight_close(inflight, false);
	inflight = NULL;

	any.vq_num = VQS + 1;
	any.vq_size = 77;
	ck_assert_int_eq(inflight_open_any(&any, &inflight), -EINVAL);
	ck_assert_uint_eq(any.vq_size, 77);
	any.vq_num = VQS;
	ck_assert_int_eq(truncate(file, 20), 0);
	ck_assert_int_eq(inflight_open_any(&any, &inflight), -EINVAL);
	unlink(file);
	ck_assert_int_eq(inflight_open_any(&any, &inflight), -ENOENT);
}
END_TEST

START_TEST(without_an_inflight_log_a_guess_is_made_of_the_ring)
{
	static const uint16_t taken[] = { 6, 2, 5 };

	inflight_vq_guess(vq, VQ_SIZE, 65534, taken, 3);
	ck_assert(inflight_vq_is_active(vq));
	crash();
	ck_assert_int_eq(inflight_vq_recover(vq, 65534, VQ_SIZE, heads), 3);
	ck_assert_mem_eq(heads, taken, sizeof(taken));
	inflight_vq_guess(vq, VQ_SIZE, 9, taken, 0);
	ck_assert(inflight_vq_is_active(vq));
	ck_assert_int_eq(inflight_vq_recover(vq, 9, VQ_SIZE, heads), 0);
}
END_TEST

START_TEST(heads_come_back_in_the_order_they_were_taken)
{
	inflight_vq_start(vq, VQ_SIZE, 100, 100);
	inflight_vq_take(vq, 7);
	inflight_vq_take(vq, 0);
	inflight_vq_take(vq, 3);
	crash();
	ck_assert_int_eq(inflight_vq_recover(vq, 100, VQ_SIZE, heads), 3);
	ck_assert_uint_eq(heads[0], 7);
	ck_assert_uint_eq(heads[1], 0);
	ck_assert_uint_eq(heads[2], 3);
}
END_TEST

START_TEST(pushed_but_not_published_is_served_again)
{
	inflight_vq_start(vq, VQ_SIZE, 65535, 65535);
	inflight_vq_take(vq, 1);
	inflight_vq_take(vq, 2);
	inflight_vq_push(vq, 2);
	crash();
	ck_assert_int_eq(inflight_vq_recover(vq, 65535, VQ_SIZE, heads), 2);
	ck_assert_uint_eq(heads[0], 1);
	ck_assert_uint_eq(heads[1], 2);
}
END_TEST

START_TEST(published_is_not_served_again_even_where_the_inflight_log_misses_it)
{
	inflight_vq_start(vq, VQ_SIZE, 65535, 65535);
	inflight_vq_take(vq, 1);
	inflight_vq_take(vq, 2);
	inflight_vq_take(vq, 3);
	inflight_vq_push(vq, 3);
	inflight_vq_push(vq, 1);
	if (_i) /* the crash came between the first entry and the second */
		vq->entries[3] = 0;
	crash();
	ck_assert_int_eq(inflight_vq_recover(vq, 1, VQ_SIZE, heads), 1);
	ck_assert_uint_eq(heads[0], 2);
	crash(); /* and once more, with nothing done in between */
	ck_assert_int_eq(inflight_vq_recover(vq, 1, VQ_SIZE, heads), 1);
	ck_assert_uint_eq(heads[0], 2);
}
END_TEST

START_TEST(published_and_logged_is_free)
{
	inflight_vq_start(vq, VQ_SIZE, 5, 5);
	inflight_vq_take(vq, 4);
	inflight_vq_push(vq, 4);
	publish(6, 1, 4);
	inflight_vq_take(vq, 4); /* the driver used the head again */
	crash();
	ck_assert_int_eq(inflight_vq_recover(vq, 6, VQ_SIZE, heads), 1);
	ck_assert_uint_eq(heads[0], 4);
}
END_TEST

START_TEST(head_zero_is_a_head_like_any_other)
{
	/* The known mistake (spdk#3766): an index that was never set clears entry 0. */
	inflight_vq_start(vq, VQ_SIZE, 17, 17);
	inflight_vq_take(vq, 0);
	crash();
	ck_assert_int_eq(inflight_vq_recover(vq, 17, VQ_SIZE, heads), 1);
	ck_assert_uint_eq(heads[0], 0);
}
END_TEST

START_TEST(ring_that_is_not_of_the_inflight_log_is_refused)
{
	ck_assert_int_eq(inflight_vq_recover(vq, 0, VQ_SIZE, heads), -EINVAL); /* never started */
	inflight_vq_start(vq, VQ_SIZE, 10, 10);
	ck_assert_int_eq(inflight_vq_recover(vq, 10 + VQ_SIZE + 1, VQ_SIZE, heads), -EINVAL);
	ck_assert_int_eq(inflight_vq_recover(vq, 9, VQ_SIZE, heads), -EINVAL);
	inflight_vq_stop(vq);
	ck_assert_int_eq(inflight_vq_recover(vq, 10, VQ_SIZE, heads), -EINVAL);
}
END_TEST

START_TEST(queues_do_not_touch_each_other)
{
	struct inflight_vq *other = inflight_vq(inflight, 0);

	inflight_vq_start(other, VQ_SIZE, 0, 0);
	inflight_vq_start(vq, VQ_SIZE, 0, 0);
	for (uint16_t head = 0; head < VQ_SIZE; head++)
		inflight_vq_take(other, head);
	ck_assert_int_eq(inflight_vq_recover(vq, 0, VQ_SIZE, heads), 0);
	ck_assert_int_eq(inflight_vq_recover(other, 0, VQ_SIZE, heads), VQ_SIZE);
}
END_TEST

static void expect_refusal(int err, const char *because)
{
	char why[INFLIGHT_WHY_MAX] = "";
	struct inflight *untouched = (void *)&params, *out = untouched;

	inflight_close(inflight, false);
	inflight = NULL;
	ck_assert_int_eq(inflight_open(&params, &out, why), err);
	ck_assert_ptr_eq(out, untouched);
	ck_assert_msg(strstr(why, because), "'%s' is not in '%s'", because, why);
}

START_TEST(another_disk_is_refused_with_what_differs)
{
	switch (_i) {
	case 0:
		params.features = 0x1235;
		expect_refusal(-EINVAL, "features were 0x1234 and are 0x1235");
		break;
	case 1:
		params.vq_num = VQS + 1;
		expect_refusal(-EINVAL, "queues were 2 and are 3");
		break;
	case 2:
		params.vq_size = VQ_SIZE * 2;
		expect_refusal(-EINVAL, "queue_size was 8 and is 16");
		break;
	case 3:
		params.identity = "file 8:1/78, 1048576 bytes";
		expect_refusal(-EINVAL, "the disk was \"file 8:1/77, 1048576 bytes\" and is "
					"\"file 8:1/78, 1048576 bytes\"");
		break;
	}
}
END_TEST

START_TEST(damaged_file_is_refused)
{
	struct stat st;
	uint8_t byte;
	int fd = open(file, O_RDWR);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	if (_i < 64) { /* a bit in the header; bytes 12 to 15 are the checksum itself */
		ck_assert_int_eq(pread(fd, &byte, 1, _i), 1);
		byte ^= 1;
		ck_assert_int_eq(pwrite(fd, &byte, 1, _i), 1);
	} else {
		static const long sizes[] = { 0, 1, 20, 40, 300, -1, 1000000 };
		long size = sizes[_i - 64];

		ck_assert_int_eq(ftruncate(fd, size == -1 ? st.st_size - 1 : size), 0);
	}
	close(fd);
	expect_refusal(-EINVAL, _i >= 64 ? "it is damaged" : _i / 4 == 2 ? "it is of version" : "");
}
END_TEST

/* The driver was told of a ring full at once, and the inflight log does not know. */
START_TEST(ring_full_that_was_published_is_not_served_again)
{
	inflight_vq_start(vq, VQ_SIZE, 65530, 65530);
	for (uint16_t head = 0; head < VQ_SIZE; head++)
		inflight_vq_take(vq, head);
	for (uint16_t head = 0; head < VQ_SIZE; head++)
		inflight_vq_push(vq, head);
	crash();
	ck_assert_int_eq(inflight_vq_recover(vq, (uint16_t)(65530 + VQ_SIZE), VQ_SIZE, heads), 0);
}
END_TEST

/* Who opens a FIFO for reading waits for a writer, unless it says that it does not. */
START_TEST(file_that_is_a_fifo_is_not_waited_for)
{
	char why[INFLIGHT_WHY_MAX], identity[INFLIGHT_IDENTITY_MAX];
	struct inflight *out;

	inflight_close(inflight, true);
	inflight = NULL;
	ck_assert_int_eq(mkfifo(file, 0600), 0);
	ck_assert_int_eq(inflight_open(&params, &out, why), -EINVAL);
	ck_assert_int_eq(inflight_peek(&params, identity, why), -EINVAL);
}
END_TEST

START_TEST(peek_does_not_follow_a_link)
{
	char why[INFLIGHT_WHY_MAX], identity[INFLIGHT_IDENTITY_MAX], target[160];

	snprintf(target, sizeof(target), "%s.real", file);
	ck_assert_int_eq(rename(file, target), 0);
	ck_assert_int_eq(symlink(target, file), 0);
	ck_assert_int_eq(inflight_peek(&params, identity, why), -ELOOP);
	unlink(target);
}
END_TEST

START_TEST(directory_and_file_that_cannot_be_made_are_logged)
{
	struct inflight *untouched = (void *)&params, *out = untouched;
	char sub[160];

	inflight_close(inflight, true);
	inflight = NULL;
	ck_assert_int_eq(mkdir(file, 0700), 0); /* where the file should be */
	test_log_expect(LOG_LEVEL_ERROR, "disk: cannot create");
	ck_assert_int_eq(inflight_create(&params, &out), -EEXIST);
	ck_assert_int_eq(rmdir(file), 0);

	snprintf(sub, sizeof(sub), "%s/missing/run", dir);
	params.directory = sub;
	test_log_expect(LOG_LEVEL_ERROR, "missing/run: No such file or directory");
	ck_assert_int_eq(inflight_create(&params, &out), -ENOENT);
	ck_assert_ptr_eq(out, untouched);
}
END_TEST

START_TEST(directory_is_made_beforehand_or_refused)
{
	char sub[160];
	struct stat st;

	snprintf(sub, sizeof(sub), "%s/missing/run", dir);
	test_log_expect(LOG_LEVEL_ERROR, "cannot use directory");
	ck_assert_int_eq(inflight_make_directory(sub), -ENOENT);
	snprintf(sub, sizeof(sub), "%s/run", dir);
	ck_assert_int_eq(inflight_make_directory(sub), 0);
	ck_assert_int_eq(inflight_make_directory(sub), 0);
	ck_assert_int_eq(stat(sub, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	ck_assert_int_eq(chmod(sub, 0720), 0);
	test_log_expect(LOG_LEVEL_ERROR, "other users may write to it");
	ck_assert_int_eq(inflight_make_directory(sub), -EPERM);
	ck_assert_int_eq(rmdir(sub), 0);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
START_TEST(file_that_cannot_be_mapped_is_refused)
{
	const struct rlimit none = { .rlim_cur = 1, .rlim_max = RLIM_INFINITY };
	char why[INFLIGHT_WHY_MAX];
	struct inflight *out;
	struct rlimit before;
	int opened, created;

	inflight_close(inflight, false);
	inflight = NULL;
	test_log_expect(LOG_LEVEL_ERROR, "disk.inflight: Cannot allocate memory");
	ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &none), 0);
	opened = inflight_open(&params, &out, why);
	created = inflight_create(&params, &out);
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
	ck_assert_int_eq(opened, -ENOMEM);
	ck_assert_int_eq(created, -ENOMEM);
	ck_assert_int_eq(access(file, F_OK), -1);
}
END_TEST
#endif

START_TEST(missing_file_is_not_made_up)
{
	char why[INFLIGHT_WHY_MAX];

	inflight_close(inflight, true);
	inflight = NULL;
	ck_assert_int_eq(access(file, F_OK), -1);
	ck_assert_int_eq(inflight_open(&params, &inflight, why), -ENOENT);
}
END_TEST

START_TEST(link_is_not_followed)
{
	char why[INFLIGHT_WHY_MAX], target[160];

	inflight_close(inflight, false);
	inflight = NULL;
	snprintf(target, sizeof(target), "%s.real", file);
	ck_assert_int_eq(rename(file, target), 0);
	ck_assert_int_eq(symlink(target, file), 0);
	ck_assert_int_eq(inflight_open(&params, &inflight, why), -ELOOP);
	/* A new inflight log takes the link's place, and leaves alone what it points at. */
	ck_assert_int_eq(inflight_create(&params, &inflight), 0);
	ck_assert_int_eq(access(target, F_OK), 0);
	unlink(target);
}
END_TEST

START_TEST(directory_that_others_may_write_to_is_refused)
{
	struct inflight *out;

	inflight_close(inflight, true);
	inflight = NULL;
	ck_assert_int_eq(chmod(dir, 0777), 0);
	test_log_expect(LOG_LEVEL_ERROR, "other users may write to it");
	ck_assert_int_eq(inflight_create(&params, &out), -EPERM);
	ck_assert_int_eq(chmod(dir, 0755), 0);
	ck_assert_int_eq(inflight_create(&params, &inflight), 0);
}
END_TEST

/* Only root can make such a directory; root is who others want to lead astray. */
START_TEST(directory_of_another_owner_is_refused)
{
	char why[INFLIGHT_WHY_MAX], identity[INFLIGHT_IDENTITY_MAX];
	struct inflight *out;

	if (geteuid())
		return;
	ck_assert_int_eq(chown(dir, 65534, 65534), 0);
	ck_assert_int_eq(inflight_open(&params, &out, why), -EPERM);
	ck_assert_int_eq(inflight_open_any(&params, &out), -EPERM);
	ck_assert_int_eq(inflight_peek(&params, identity, why), -EPERM);
	test_log_expect(LOG_LEVEL_ERROR, "it belongs to another user");
	ck_assert_int_eq(inflight_create(&params, &out), -EPERM);
	ck_assert_int_eq(access(file, F_OK), 0); /* what was there is left alone */
	ck_assert_int_eq(chown(dir, geteuid(), getegid()), 0);
	ck_assert_int_eq(inflight_open(&params, &out, why), 0);
	inflight_close(out, false);
}
END_TEST

START_TEST(directory_that_is_a_link_is_refused)
{
	char why[INFLIGHT_WHY_MAX], link[128];
	struct inflight *out;

	snprintf(link, sizeof(link), "%s.link", dir);
	ck_assert_int_eq(symlink(dir, link), 0);
	params.directory = link;
	ck_assert_int_eq(inflight_open(&params, &out, why), -ENOTDIR);
	ck_assert_int_eq(inflight_open_any(&params, &out), -ENOTDIR);
	unlink(link);
}
END_TEST

START_TEST(peek_says_what_an_inflight_log_is_of)
{
	char why[INFLIGHT_WHY_MAX], identity[INFLIGHT_IDENTITY_MAX], sub[128];
	struct inflight_params found = { .directory = dir, .name = "disk" };

	ck_assert_int_eq(inflight_peek(&found, identity, why), 0);
	ck_assert_uint_eq(found.features, params.features);
	ck_assert_uint_eq(found.vq_num, VQS);
	ck_assert_uint_eq(found.vq_size, VQ_SIZE);
	ck_assert_ptr_eq(found.identity, identity);
	ck_assert_str_eq(identity, params.identity);

	found.name = "other";
	ck_assert_int_eq(inflight_peek(&found, identity, why), -ENOENT);
	snprintf(sub, sizeof(sub), "%s/run", dir);
	found.directory = sub;
	ck_assert_int_eq(inflight_peek(&found, identity, why), -ENOENT);
	ck_assert_int_eq(access(sub, F_OK), -1);
	found = (struct inflight_params){ .directory = dir, .name = "disk" };
	ck_assert_int_eq(truncate(file, 200), 0);
	ck_assert_int_eq(inflight_peek(&found, identity, why), -EINVAL);
	ck_assert_str_eq(why, "it is damaged");
	ck_assert_uint_eq(found.vq_num, 0);
}
END_TEST

START_TEST(directory_is_made_for_its_owner_alone)
{
	struct inflight *out;
	char sub[128];
	struct stat st;

	snprintf(sub, sizeof(sub), "%s/run", dir);
	params.directory = sub;
	ck_assert_int_eq(inflight_create(&params, &out), 0);
	ck_assert_int_eq(stat(sub, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	inflight_close(out, true);
	ck_assert_int_eq(rmdir(sub), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("inflight");
	TCase *tc = suite_case(suite, "inflight", setup, teardown);

	tcase_add_test(tc, heads_come_back_in_the_order_they_were_taken);
	tcase_add_test(tc, inflight_log_of_anything_is_opened_for_a_rescue);
	tcase_add_test(tc, without_an_inflight_log_a_guess_is_made_of_the_ring);
	tcase_add_test(tc, pushed_but_not_published_is_served_again);
	tcase_add_loop_test(tc, published_is_not_served_again_even_where_the_inflight_log_misses_it,
			    0, 2);
	tcase_add_test(tc, published_and_logged_is_free);
	tcase_add_test(tc, head_zero_is_a_head_like_any_other);
	tcase_add_test(tc, ring_that_is_not_of_the_inflight_log_is_refused);
	tcase_add_test(tc, queues_do_not_touch_each_other);
	tcase_add_loop_test(tc, another_disk_is_refused_with_what_differs, 0, 4);
	tcase_add_loop_test(tc, damaged_file_is_refused, 0, 71);
	tcase_add_test(tc, ring_full_that_was_published_is_not_served_again);
	tcase_add_test(tc, file_that_is_a_fifo_is_not_waited_for);
	tcase_add_test(tc, peek_does_not_follow_a_link);
	tcase_add_test(tc, directory_and_file_that_cannot_be_made_are_logged);
	tcase_add_test(tc, directory_is_made_beforehand_or_refused);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	tcase_add_test(tc, file_that_cannot_be_mapped_is_refused);
#endif
	tcase_add_test(tc, missing_file_is_not_made_up);
	tcase_add_test(tc, link_is_not_followed);
	tcase_add_test(tc, directory_that_others_may_write_to_is_refused);
	tcase_add_test(tc, directory_of_another_owner_is_refused);
	tcase_add_test(tc, directory_that_is_a_link_is_refused);
	tcase_add_test(tc, peek_says_what_an_inflight_log_is_of);
	tcase_add_test(tc, directory_is_made_for_its_owner_alone);
	return suite_run(suite);
}
