// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_fixture.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fds.h"
#include "places.h"
#include "temp_dir.h"
#include "test_clock.h"
#include "test_log.h"

char *st_image;
struct device_config st_config;
struct host_file st_store;
unsigned int st_wait_ms;
rlim_t st_fds_limit = RLIM_INFINITY;

static char disk_name[] = "disk0";
static unsigned int fds_before;

/* Descriptors from @limit on cannot be had; RLIM_INFINITY: as many as may be. */
void st_limit_fds(rlim_t limit)
{
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = MIN(limit, r.rlim_max);
	setrlimit(RLIMIT_NOFILE, &r);
}

rlim_t st_limit_for(unsigned int count)
{
	int fd = dup(STDIN_FILENO);
	rlim_t limit;

	ck_assert_int_ge(fd, 0);
	limit = count ? st_limit_for(count - 1) : (rlim_t)fd;
	close(fd);
	return limit;
}

void st_make_image(off_t size)
{
	temp_image(st_image, size);
}

void st_setup(void)
{
	test_log_begin();
	st_image = temp_path("image");
	unlink(st_image);
	st_make_image(ST_IMAGE_SIZE);
	st_config = (struct device_config){ .name = disk_name, .path = st_image };
	fds_before = fds_open();
}

/* Whatever a test did: nothing stays open. */
void st_teardown(void)
{
	ck_assert_uint_eq(fds_open(), fds_before);
	test_log_end();
}

/* Opens @config, which must fail with one line that names the device, the path and @reason. */
void st_expect_refusal(int err, const char *reason)
{
	unsigned int before = fds_open();
	struct host_file refused;

	test_log_begin();
	test_log_allow(LOG_LEVEL_ERROR, "");
	st_limit_fds(st_fds_limit);
	ck_assert_int_eq(host_file_open(&st_config, st_wait_ms, &refused), err);
	st_limit_fds(RLIM_INFINITY);
	ck_assert_uint_eq(fds_open(), before);
	ck_assert_msg(test_log_count("") == 1 && test_log_count("disk0: ") == 1 &&
			      test_log_count(st_config.path) == 1 && test_log_count(reason) == 1,
		      "not one line about \"%s\"", reason);
	test_log_end();
	test_log_begin();
}

void st_expect_open(struct host_file *opened)
{
	ck_assert_int_eq(host_file_open(&st_config, st_wait_ms, opened), 0);
}

void st_configure_part(const struct st_part *st_part)
{
	st_config.readonly = st_part->readonly;
	st_config.offset = st_part->offset;
	st_config.size = st_part->size;
}

void st_expect_second(const struct st_part *second, bool fine)
{
	struct host_file other;

	st_configure_part(second);
	if (fine) {
		st_expect_open(&other);
		host_file_close(&other);
	} else {
		st_expect_refusal(-EBUSY, "in use by another process");
	}
}

pid_t st_start_holder(const struct st_part *held)
{
	struct host_file other;
	int ready[2];
	char byte = 0;
	pid_t pid;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		st_configure_part(held);
		if (host_file_open(&st_config, 0, &other) || write(ready[1], &byte, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

void st_end_holder(pid_t holder)
{
	kill(holder, SIGKILL);
	ck_assert_int_eq(waitpid(holder, NULL, 0), holder);
}

static pid_t ending_holder;
static uint64_t ends_at_us;

static void end_holder_in_time(void)
{
	if (!ending_holder || test_clock.slept_us < ends_at_us)
		return;
	st_end_holder(ending_holder);
	ending_holder = 0;
}

void st_end_holder_after(pid_t holder, unsigned int ms)
{
	test_clock_stop();
	test_clock.slept = end_holder_in_time;
	ending_holder = holder;
	ends_at_us = ms * 1000;
}

static int sockets[2];

void st_hide(int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
	ck_assert_int_eq(sendmsg(sockets[0], &msg, 0), 1);
	close(fd);
}

void st_end_hidden(void)
{
	close(sockets[0]);
	close(sockets[1]);
}

int st_make_loop(uint32_t block)
{
	int loop = loop_make(st_image, block);

	st_config.path = loop_name;
	return loop;
}
