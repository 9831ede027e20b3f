// SPDX-License-Identifier: GPL-2.0-or-later
/* lib/vhost_user_listener.c: whose socket it is, and who may connect to it. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "compiler.h"
#include "fds.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"
#include "vhost_user_listener.h"

#define NAME "disk0"

static char path[VHOST_USER_PATH_MAX + 64], lock[VHOST_USER_PATH_MAX + 64];
static struct vhost_user_listener listener;
static unsigned int fds_before;

static int try_connect(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = (int)syscall(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int err;

	strcpy(addr.sun_path, path);
	err = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ? -errno : 0;
	close(fd);
	return err;
}

/* ---- system calls that fail, and are looked at ---- */

static int socket_error, listen_error, chmod_error, lchown_error, lock_error;
static unsigned int remove_locks; /* as a former owner does, just before the lock is taken */
static bool check_access;
static gid_t group_wanted;

static int fails_with(int err)
{
	errno = err;
	return -1;
}

int socket(int domain, int type, int protocol)
{
	return socket_error ? fails_with(socket_error)
			    : (int)syscall(SYS_socket, domain, type, protocol);
}

static void expect_access(mode_t mode, gid_t gid)
{
	struct stat st;

	if (!check_access)
		return;
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, mode);
	ck_assert_uint_eq(st.st_gid, gid);
	ck_assert_int_eq(try_connect(), -ECONNREFUSED);
}

int lchown(const char *file, uid_t owner, gid_t group)
{
	expect_access(0600, getegid());
	return lchown_error ? fails_with(lchown_error)
			    : (int)syscall(SYS_lchown, file, owner, group);
}

int chmod(const char *file, mode_t mode)
{
	expect_access(0600, group_wanted);
	return chmod_error ? fails_with(chmod_error)
			   : (int)syscall(SYS_fchmodat, AT_FDCWD, file, mode);
}

int listen(int fd, int backlog)
{
	expect_access(listener.mode, group_wanted);
	return listen_error ? fails_with(listen_error) : (int)syscall(SYS_listen, fd, backlog);
}

int fcntl(int fd, int command, ...)
{
	va_list args;
	void *arg;

	va_start(args, command);
	arg = va_arg(args, void *);
	va_end(args);
	if (command == F_OFD_SETLK && lock_error)
		return fails_with(lock_error);
	if (command == F_OFD_SETLK && remove_locks) {
		remove_locks--;
		ck_assert_int_eq(unlink(lock), 0);
	}
	return (int)syscall(SYS_fcntl, fd, command, arg);
}

/* ---- fixture ---- */

static void set_path(const char *text)
{
	snprintf(path, sizeof(path), "%s", text);
	snprintf(lock, sizeof(lock), "%s.lock", text);
}

static void setup(void)
{
	test_log_begin();
	umask(0);
	fds_before = fds_open();
	set_path(temp_path("s"));
	listener = (struct vhost_user_listener){ .path = path, .mode = 0660 };
	group_wanted = getegid();
}

static void teardown(void)
{
	vhost_user_unlisten(&listener);
	ck_assert_uint_eq(fds_open(), fds_before);
	unlink(path);
	unlink(lock);
	test_log_end();
}

static void expect_listening(void)
{
	ck_assert_int_eq(vhost_user_listen(NAME, &listener), 0);
	ck_assert_int_ge(listener.fd, 0);
	ck_assert_int_ge(listener.lock_fd, 0);
	ck_assert_int_eq(try_connect(), 0);
}

/* With one line about it, and nothing left behind but a file that was there before. */
static void expect_refusal(int err, const char *part)
{
	test_log_expect(LOG_LEVEL_ERROR, part);
	ck_assert_int_eq(vhost_user_listen(NAME, &listener), err);
	ck_assert_int_eq(listener.fd, -1);
	ck_assert_int_lt(listener.lock_fd, 0);
	ck_assert_uint_eq(fds_open(), fds_before);
}

static void expect_nothing_left(void)
{
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(access(lock, F_OK), -1);
}

/* ---- a socket ---- */

START_TEST(socket_and_lock_file)
{
	struct stat st;

	expect_listening();
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert(S_ISSOCK(st.st_mode));
	ck_assert_uint_eq(st.st_mode & 07777, 0660);
	ck_assert_int_eq(lstat(lock, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(fcntl(listener.fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fcntl(listener.lock_fd, F_GETFD), FD_CLOEXEC);
	ck_assert(fcntl(listener.fd, F_GETFL) & O_NONBLOCK);
	vhost_user_unlink(&listener);
	expect_nothing_left();
	vhost_user_unlisten(&listener);
	vhost_user_unlisten(&listener);
	ck_assert_int_eq(listener.fd, -1);
}
END_TEST

START_TEST(mode_and_group_before_anybody_can_connect)
{
	struct stat st;
	char number[16];

	if (geteuid() == 0)
		group_wanted = 4321;
	snprintf(number, sizeof(number), "%u", group_wanted);
	listener.group = number;
	listener.mode = 0670;
	check_access = true;
	ck_assert_int_eq(vhost_user_listen(NAME, &listener), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_gid, group_wanted);
	ck_assert_uint_eq(st.st_mode & 07777, 0670);
}
END_TEST

START_TEST(group_is_a_name)
{
	struct group *group = getgrgid(getegid());
	struct stat st;

	if (!group)
		return;
	listener.group = group->gr_name;
	expect_listening();
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_gid, getegid());
}
END_TEST

START_TEST(group_does_not_exist)
{
	static const char *const groups[] = { "no-such-group", "12x", "" };

	listener.group = groups[_i];
	expect_refusal(-ENOENT, "there is no such group");
	expect_nothing_left();
}
END_TEST

/* ---- paths ---- */

START_TEST(path_has_the_greatest_length)
{
	size_t len = strlen(path);

	memset(path + len, 'x', VHOST_USER_PATH_MAX - 1 - len);
	path[VHOST_USER_PATH_MAX - 1] = '\0';
	snprintf(lock, sizeof(lock), "%s.lock", path);
	expect_listening();
	ck_assert_int_eq(access(lock, F_OK), 0);
}
END_TEST

START_TEST(path_is_too_long)
{
	size_t len = strlen(path);

	memset(path + len, 'x', VHOST_USER_PATH_MAX - len);
	path[VHOST_USER_PATH_MAX] = '\0';
	expect_refusal(-ENAMETOOLONG, "is too long: 108 bytes, at most 107 are possible");
}
END_TEST

START_TEST(path_is_relative)
{
	ck_assert_int_eq(chdir(temp_dir), 0);
	set_path("relative");
	expect_listening();
	vhost_user_unlink(&listener);
}
END_TEST

START_TEST(directory_is_the_root)
{
	struct stat st;

	set_path("/vhost-user-test-socket");
	ck_assert_int_eq(stat("/", &st), 0);
	if (access("/", W_OK) || st.st_mode & S_IWOTH)
		return;
	expect_listening();
	vhost_user_unlink(&listener);
}
END_TEST

START_TEST(directory_does_not_exist)
{
	set_path(temp_path("none/s"));
	expect_refusal(-ENOENT, "/none: No such file or directory");
}
END_TEST

START_TEST(everybody_may_write_to_the_directory)
{
	char *directory = temp_path("open");

	ck_assert_int_eq(mkdir(directory, 0777), 0);
	set_path(temp_path("open/s"));
	expect_refusal(-EPERM, "every user may write to directory");
	expect_nothing_left();
	/* where nobody else may remove it, it is safe */
	ck_assert_int_eq((int)syscall(SYS_fchmodat, AT_FDCWD, directory, 01777), 0);
	expect_listening();
	vhost_user_unlink(&listener);
	rmdir(directory);
}
END_TEST

/* ---- who has the socket? ---- */

/* What a server leaves that was killed. */
static void leave_socket(const char *at)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, at);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
}

START_TEST(socket_of_a_dead_server_is_replaced)
{
	leave_socket(path);
	if (_i)
		close(open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	expect_listening();
}
END_TEST

START_TEST(socket_of_a_live_server_is_refused)
{
	struct vhost_user_listener second = listener;

	expect_listening();
	test_log_expect(LOG_LEVEL_ERROR, "belongs to a running server");
	ck_assert_int_eq(vhost_user_listen("disk1", &second), -EADDRINUSE);
	ck_assert_int_eq(second.fd, -1);
	ck_assert_int_lt(second.lock_fd, 0);
	ck_assert_int_eq(try_connect(), 0);
	ck_assert_int_eq(access(lock, F_OK), 0);

	/* it has ended, in order or not */
	if (_i)
		vhost_user_unlink(&listener);
	vhost_user_unlisten(&listener);
	expect_listening();
}
END_TEST

START_TEST(not_a_socket)
{
	char target[300];

	if (_i) {
		snprintf(target, sizeof(target), "%s.target", path);
		leave_socket(target);
		ck_assert_int_eq(symlink(target, path), 0);
	} else {
		temp_image(path, 1);
	}
	expect_refusal(-EADDRINUSE, "there is a file that is not a socket");
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(access(lock, F_OK), -1);
	unlink(target);
}
END_TEST

START_TEST(lock_file_is_a_link)
{
	ck_assert_int_eq(symlink("elsewhere", lock), 0);
	expect_refusal(-ELOOP, "cannot lock");
}
END_TEST

START_TEST(former_owner_removes_the_lock_file)
{
	remove_locks = (unsigned int)_i;
	if (_i < 10) {
		expect_listening();
		ck_assert_int_eq(access(lock, F_OK), 0);
	} else {
		expect_refusal(-ESTALE, "cannot lock");
		ck_assert_uint_eq(remove_locks, 0);
	}
}
END_TEST

START_TEST(lock_fails)
{
	lock_error = _i ? ENOLCK : EACCES;
	expect_refusal(_i ? -ENOLCK : -EADDRINUSE,
		       _i ? "cannot lock" : "belongs to a running server");
}
END_TEST

START_TEST(system_call_fails)
{
	static const struct {
		int *error;
		const char *part;
	} calls[] = {
		{ &socket_error, "cannot create a socket: " },
		{ &chmod_error, "cannot set group and mode of " },
		{ &lchown_error, "cannot set group and mode of " },
		{ &listen_error, "cannot listen on " },
	};

	listener.group = "0";
	*calls[_i].error = EPERM;
	expect_refusal(-EPERM, calls[_i].part);
	expect_nothing_left();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vhost_user_listener");
	TCase *tc = suite_case(s, "vhost_user_listener", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, socket_and_lock_file);
	tcase_add_test(tc, mode_and_group_before_anybody_can_connect);
	tcase_add_test(tc, group_is_a_name);
	tcase_add_loop_test(tc, group_does_not_exist, 0, 3);
	tcase_add_test(tc, path_has_the_greatest_length);
	tcase_add_test(tc, path_is_too_long);
	tcase_add_test(tc, path_is_relative);
	tcase_add_test(tc, directory_is_the_root);
	tcase_add_test(tc, directory_does_not_exist);
	tcase_add_test(tc, everybody_may_write_to_the_directory);
	tcase_add_loop_test(tc, socket_of_a_dead_server_is_replaced, 0, 2);
	tcase_add_loop_test(tc, socket_of_a_live_server_is_refused, 0, 2);
	tcase_add_loop_test(tc, not_a_socket, 0, 2);
	tcase_add_test(tc, lock_file_is_a_link);
	tcase_add_loop_test(tc, former_owner_removes_the_lock_file, 0, 11);
	tcase_add_loop_test(tc, lock_fails, 0, 2);
	tcase_add_loop_test(tc, system_call_fails, 0, 4);
	return suite_run(s);
}
