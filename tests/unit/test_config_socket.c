// SPDX-License-Identifier: GPL-2.0-or-later
/* The keys of driver = vhost-user. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "config_fixture.h"
#include "suite.h"
#include "test_log.h"

#define USER "[vdb]\npath = /a\ndriver = vhost-user\n"

START_TEST(default_socket_is_in_runtime_dir)
{
	ck_assert_int_eq(cfg_load("[global]\nruntime_dir = /r\n" USER), 0);
	ck_assert_str_eq(cfg.devices[0].socket, "/r/vdb.sock");
	ck_assert_uint_eq(cfg.devices[0].socket_mode, 0660);
	ck_assert_str_eq(cfg.devices[0].socket_group, "");
	cfg_round_trip();
}
END_TEST

START_TEST(values_are_read_and_dumped)
{
	ck_assert_int_eq(cfg_load(USER "socket = '/s;1'\nsocket_mode = 0600\nsocket_group = kvm\n"),
			 0);
	ck_assert_str_eq(cfg.devices[0].socket, "/s;1");
	ck_assert_uint_eq(cfg.devices[0].socket_mode, 0600);
	ck_assert_str_eq(cfg.devices[0].socket_group, "kvm");
	cfg_round_trip();
}
END_TEST

START_TEST(other_drivers_have_no_socket)
{
	ck_assert_int_eq(cfg_load("[vdb]\npath = /a\n"), 0);
	ck_assert_str_eq(cfg.devices[0].socket, "");
}
END_TEST

static const struct {
	const char *text, *error;
} errors[] = {
	{ USER "socket = s\n", "accepted: auto, or an absolute path of at most 107 bytes" },
	{ USER "socket = '/a b'\n", "socket: \"/a b\" is not understood" },
	{ USER "socket_mode = 8\n", "socket_mode: \"8\" is not understood" },
	{ USER "socket_mode = 01000\n", "socket_mode: \"01000\" is not understood" },
	{ USER "socket_mode = 06x\n", "socket_mode: \"06x\" is not understood" },
	{ USER "umem = on\n", "driver = vhost-user has no bounce buffer" },
	{ USER "bounce_size = 1M\n", "driver = vhost-user has no bounce buffer" },
	{ "[vdb]\npath = /a\nsocket = /s\n", "[vdb] socket, but driver = virtio-vdpa has none" },
	{ "[vdb]\npath = /a\nsocket_group = kvm\n",
	  "[vdb] socket_group, but driver = virtio-vdpa" },
	{ USER "socket = /s\n[vdc]\npath = /b\ndriver = vhost-user\nsocket = /s\n",
	  "the socket \"/s\" is also that of [vdb] in line 4" },
};

START_TEST(error_names_key_and_what_is_accepted)
{
	test_log_expect(LOG_LEVEL_ERROR, errors[_i].error);
	ck_assert_int_eq(cfg_load(errors[_i].text), -EINVAL);
}
END_TEST

START_TEST(socket_of_107_bytes_is_the_longest)
{
	char path[120], text[256];

	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[107] = '\0';
	snprintf(text, sizeof(text), USER "socket = %s\n", path);
	ck_assert_int_eq(cfg_load(text), 0);
	ck_assert_str_eq(cfg.devices[0].socket, path);
	config_exit(&cfg);

	path[107] = 'a';
	path[108] = '\0';
	snprintf(text, sizeof(text), USER "socket = %s\n", path);
	test_log_expect(LOG_LEVEL_ERROR, "socket: ");
	ck_assert_int_eq(cfg_load(text), -EINVAL);
}
END_TEST

START_TEST(default_socket_may_be_too_long)
{
	char path[120], text[300];

	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[100] = '\0';
	snprintf(text, sizeof(text), "[global]\nruntime_dir = %s\n" USER, path);
	test_log_expect(
		LOG_LEVEL_ERROR,
		"[vdb] runtime_dir and the name make a path of its socket that is too long");
	ck_assert_int_eq(cfg_load(text), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config_socket");
	TCase *tc = suite_case(suite, "socket", cfg_setup, cfg_teardown);

	tcase_add_unchecked_fixture(tc, cfg_begin, cfg_end);
	tcase_add_test(tc, default_socket_is_in_runtime_dir);
	tcase_add_test(tc, values_are_read_and_dumped);
	tcase_add_test(tc, other_drivers_have_no_socket);
	tcase_add_loop_test(tc, error_names_key_and_what_is_accepted, 0, ARRAY_SIZE(errors));
	tcase_add_test(tc, socket_of_107_bytes_is_the_longest);
	tcase_add_test(tc, default_socket_may_be_too_long);
	return suite_run(suite);
}
