// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/inflight_memory.c: an inflight log that another process keeps, and may have changed. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fds.h"
#include "inflight.h"
#include "suite.h"
#include "test_log.h"

#define VQS	2
#define VQ_SIZE 8

static struct inflight_params params;
static unsigned int fds_before;
static int fd;
static size_t size;
static char why[INFLIGHT_WHY_MAX];

static void setup(void)
{
	test_log_begin();
	fds_before = fds_open();
	params = (struct inflight_params){
		.name = "disk",
		.features = 0x1234,
		.vq_num = VQS,
		.vq_size = VQ_SIZE,
		.identity = "file 8:1/77 at 0",
	};
	ck_assert_int_eq(inflight_memory_new(&params, &fd, &size), 0);
}

static void teardown(void)
{
	close(fd);
	ck_assert_uint_eq(fds_open(), fds_before);
	test_log_end();
}

static struct inflight *open_log(void)
{
	struct inflight *inflight = NULL;

	ck_assert_int_eq(inflight_memory_open(&params, fd, &inflight, why), 0);
	ck_assert_uint_eq(inflight_vq_count(inflight), params.vq_num);
	return inflight;
}

static void expect_refusal(int from, const char *part)
{
	struct inflight *inflight = NULL;

	ck_assert_int_eq(inflight_memory_open(&params, from, &inflight, why), -EINVAL);
	ck_assert_msg(strstr(why, part) != NULL, "%s", why);
	ck_assert_ptr_null(inflight);
}

START_TEST(new_log_is_empty_and_sealed)
{
	struct inflight *inflight = open_log();
	struct stat st;

	for (uint32_t i = 0; i < VQS; i++) {
		ck_assert(!inflight_vq_is_active(inflight_vq(inflight, i)));
		ck_assert_uint_eq(inflight_vq(inflight, i)->active, 0);
		ck_assert_uint_eq(inflight_vq(inflight, i)->user_flag, 0);
	}
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq((size_t)st.st_size, size);
	ck_assert_int_eq(fcntl(fd, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(ftruncate(fd, 0), -1);
	inflight_close(inflight, true);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC); /* the caller's */
}
END_TEST

/* The next server finds what the former one has written, by another descriptor. */
START_TEST(log_outlives_the_server)
{
	struct inflight *inflight = open_log();
	struct inflight_vq *vq = inflight_vq(inflight, 1);
	uint16_t heads[VQ_SIZE];
	int other = dup(fd);

	inflight_vq_start(vq, VQ_SIZE, 100, 100);
	inflight_vq_take(vq, 5);
	inflight_vq_take(vq, 2);
	inflight_close(inflight, false);
	close(fd);
	fd = other;

	inflight = open_log();
	vq = inflight_vq(inflight, 1);
	ck_assert(inflight_vq_is_active(vq));
	ck_assert(!inflight_vq_is_active(inflight_vq(inflight, 0)));
	ck_assert_int_eq(inflight_vq_recover(vq, 100, VQ_SIZE, heads), 2);
	ck_assert_uint_eq(heads[0], 5);
	ck_assert_uint_eq(heads[1], 2);
	inflight_close(inflight, false);
}
END_TEST

START_TEST(no_room_for_the_parts_of_others)
{
	struct inflight *inflight = open_log();
	uint8_t *last = (uint8_t *)&inflight_vq(inflight, VQS - 1)->entries[VQ_SIZE];

	ck_assert((uint8_t *)inflight_vq(inflight, 1) >=
		  (uint8_t *)&inflight_vq(inflight, 0)->entries[VQ_SIZE]);
	ck_assert(last <= (uint8_t *)inflight_vq(inflight, VQS));
	inflight_close(inflight, false);
}
END_TEST

START_TEST(another_disk)
{
	params.identity = "file 8:1/78 at 0";
	expect_refusal(fd, "the disk was \"file 8:1/77 at 0\" and is \"file 8:1/78 at 0\"");
	params.identity = "file 8:1/77 at 0";
	params.features = 0x1235;
	expect_refusal(fd, "features were 0x1234 and are 0x1235");
	params.features = 0x1234;
	inflight_close(open_log(), false);
}
END_TEST

/* The identity in the log is what the other process has written: it must not begin a line of a log. */
START_TEST(identity_with_a_newline)
{
	struct inflight *inflight;

	close(fd);
	params.identity = "x\nvduse-blk: \033[31m";
	ck_assert_int_eq(inflight_memory_new(&params, &fd, &size), 0);
	params.identity = "file 8:1/77 at 0";
	ck_assert_int_eq(inflight_memory_open(&params, fd, &inflight, why), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "x?vduse-blk: ?[31m"));
}
END_TEST

START_TEST(another_number_or_size_of_queues)
{
	params.vq_num = VQS + 1;
	expect_refusal(fd, "another number or size of queues");
	params.vq_num = VQS - 1;
	expect_refusal(fd, "another number or size of queues");
	params.vq_num = VQS;
	params.vq_size = VQ_SIZE + 8;
	expect_refusal(fd, "another number or size of queues");
}
END_TEST

/* One queue of this size needs as many bytes as the two of the log. */
START_TEST(another_number_of_queues_in_the_same_bytes)
{
	struct inflight_params one = params;
	int other;
	size_t other_size;

	one.vq_num = 1;
	one.vq_size = 24;
	ck_assert_int_eq(inflight_memory_new(&one, &other, &other_size), 0);
	ck_assert_uint_eq(other_size, size);
	expect_refusal(other, "another number or size of queues");
	close(other);
	one.vq_num = params.vq_num;
	one.vq_size = params.vq_size - 1;
	ck_assert_int_eq(inflight_memory_new(&one, &other, &other_size), 0);
	ck_assert_uint_eq(other_size, size);
	expect_refusal(other, "another number or size of queues");
	close(other);
}
END_TEST

/* Each byte of the header, one after the other. */
START_TEST(damaged_header)
{
	uint8_t byte;

	for (off_t at = 0; at < 8 + 4 + 4 + 8 + 2 + 2 + 4 + INFLIGHT_IDENTITY_MAX; at++) {
		ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
		ck_assert_int_eq(pwrite(fd, &(uint8_t){ byte ^ 0x10 }, 1, at), 1);
		ck_assert_int_eq(
			inflight_memory_open(&params, fd, &(struct inflight *){ NULL }, why),
			-EINVAL);
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	}
	inflight_close(open_log(), false);
}
END_TEST

/* Truncated later, the file would raise SIGBUS in this process. */
START_TEST(size_is_not_sealed)
{
	static const int seals[] = { 0, F_SEAL_SHRINK, F_SEAL_GROW };
	uint8_t bytes[4096];
	int other;

	ck_assert_uint_le(size, sizeof(bytes));
	ck_assert_int_eq(pread(fd, bytes, size, 0), size);
	for (size_t i = 0; i < ARRAY_SIZE(seals); i++) {
		other = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		ck_assert_int_eq(pwrite(other, bytes, size, 0), size);
		ck_assert_int_eq(fcntl(other, F_ADD_SEALS, seals[i]), 0);
		expect_refusal(other, "it was not made by vduse-blk");
		close(other);
	}
	other = open("/dev/null", O_RDWR | O_CLOEXEC);
	expect_refusal(other, "it was not made by vduse-blk");
	close(other);
}
END_TEST

START_TEST(log_cannot_be_written)
{
	uint8_t bytes[4096];
	int other = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct inflight *inflight = NULL;

	ck_assert_int_eq(pread(fd, bytes, size, 0), size);
	ck_assert_int_eq(pwrite(other, bytes, size, 0), size);
	ck_assert_int_eq(fcntl(other, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
	ck_assert_int_eq(inflight_memory_open(&params, other, &inflight, why), -EPERM);
	close(other);
}
END_TEST

START_TEST(no_descriptor_and_no_memory_are_left)
{
	struct rlimit limit, none;
	size_t got;
	int other;

	getrlimit(RLIMIT_NOFILE, &limit);
	none = (struct rlimit){ 0, limit.rlim_max };
	setrlimit(RLIMIT_NOFILE, &none);
	ck_assert_int_eq(inflight_memory_new(&params, &other, &got), -EMFILE);
	setrlimit(RLIMIT_NOFILE, &limit);

	/* the file cannot have its size */
	getrlimit(RLIMIT_FSIZE, &limit);
	none = (struct rlimit){ 1, limit.rlim_max };
	setrlimit(RLIMIT_FSIZE, &none);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(inflight_memory_new(&params, &other, &got), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &limit);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("inflight_memory");
	TCase *tc = suite_case(s, "inflight_memory", setup, teardown);

	tcase_add_test(tc, new_log_is_empty_and_sealed);
	tcase_add_test(tc, log_outlives_the_server);
	tcase_add_test(tc, no_room_for_the_parts_of_others);
	tcase_add_test(tc, another_disk);
	tcase_add_test(tc, identity_with_a_newline);
	tcase_add_test(tc, another_number_or_size_of_queues);
	tcase_add_test(tc, another_number_of_queues_in_the_same_bytes);
	tcase_add_test(tc, damaged_header);
	tcase_add_test(tc, size_is_not_sealed);
	tcase_add_test(tc, log_cannot_be_written);
	tcase_add_test(tc, no_descriptor_and_no_memory_are_left);
	return suite_run(s);
}
