// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/config*.c: which files are accepted, and conflicts between devices. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config_fixture.h"
#include "suite.h"
#include "test_log.h"

START_TEST(missing_file_is_one_line)
{
	test_log_expect(LOG_LEVEL_ERROR, "none.conf: No such file or directory");
	ck_assert_int_eq(config_load("none.conf", &cfg), -ENOENT);
}
END_TEST

START_TEST(directory_is_no_configuration)
{
	test_log_expect(LOG_LEVEL_ERROR, ".: Is a directory");
	ck_assert_int_eq(config_load(".", &cfg), -EISDIR);
}
END_TEST

START_TEST(endless_file_is_refused)
{
	test_log_expect(LOG_LEVEL_ERROR, "/dev/zero: more than 1048576 bytes");
	ck_assert_int_eq(config_load("/dev/zero", &cfg), -EINVAL);
}
END_TEST

START_TEST(file_may_be_a_pipe)
{
	char path[64];
	int fds[2];

	ck_assert_int_eq(pipe(fds), 0);
	ck_assert_int_eq(write(fds[1], CFG_DEVICE, strlen(CFG_DEVICE)), strlen(CFG_DEVICE));
	close(fds[1]);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[0]);
	ck_assert_int_eq(config_load(path, &cfg), 0);
	ck_assert_str_eq(cfg.devices[0].path, "/a");
	close(fds[0]);
}
END_TEST

START_TEST(thousand_and_twenty_four_devices_are_the_most)
{
	FILE *f = fopen("t.conf", "we");
	size_t i;

	for (i = 0; i < 1026; i++)
		fprintf(f, "[d%zu]\npath = %zu\n", i, i);
	fclose(f);
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:2049: [d1024] is one device too many; at most");
	test_log_expect(LOG_LEVEL_ERROR, "t.conf:2051: [d1025] is one device too many; at most");
	ck_assert_int_eq(config_load("t.conf", &cfg), -EINVAL);
}
END_TEST

START_TEST(devices_keep_the_order_of_the_file)
{
	ck_assert_int_eq(cfg_load("[z]\npath=1\n[a]\npath=2\n[global]\nworkers=7\n[m]\npath=3\n"),
			 0);
	ck_assert_uint_eq(cfg.device_count, 3);
	ck_assert_str_eq(cfg.devices[0].name, "z");
	ck_assert_str_eq(cfg.devices[1].name, "a");
	ck_assert_str_eq(cfg.devices[2].name, "m");
	ck_assert_str_eq(cfg.devices[2].path, "3");
	ck_assert_uint_eq(cfg.workers, 7);
}
END_TEST

static void read_example(char *text, size_t size)
{
	int fd = openat(cfg_source_fd, "conf/vduse-blk.conf", O_RDONLY | O_CLOEXEC);
	ssize_t len;

	ck_assert_msg(fd >= 0, "run me at the top of the source tree");
	len = read(fd, text, size - 1);
	ck_assert_int_gt(len, 0);
	text[len] = '\0';
	close(fd);
}

START_TEST(example_configuration_is_right_once_its_device_is_uncommented)
{
	static char text[65536];

	read_example(text, sizeof(text));
	cfg_refused(text, "t.conf: no device section");
	strstr(text, "\n#[data]")[1] = ' ';
	strstr(text, "\n#path = ")[1] = ' ';
	ck_assert_int_eq(cfg_load(text), 0);
	ck_assert_uint_eq(cfg.device_count, 1);
}
END_TEST

/* "# " begins prose; "#" and anything else is a line to be uncommented. */
START_TEST(example_configuration_shows_every_key_with_its_default)
{
	static char text[65536];
	size_t keys = 0;
	char *c;

	read_example(text, sizeof(text));
	for (c = text; (c = strstr(c, "\n#")); c++) {
		if (!strchr(" \n", c[2])) {
			c[1] = ' ';
			keys += c[2] != '[';
		}
	}
	ck_assert_uint_eq(keys, (3 + 22) + 2 + 4 + 3);
	ck_assert_int_eq(cfg_load(text), 0);
	ck_assert_uint_eq(cfg.device_count, 4);
	ck_assert_int_eq(cfg.log_level, LOG_LEVEL_INFO);
	ck_assert_str_eq(cfg.runtime_dir, "/run/vduse-blk");
	ck_assert_uint_eq(cfg.workers, CONFIG_AUTO);
	cfg_defaults_check(&cfg.devices[0]);
}
END_TEST

static const struct slices {
	const char *first, *second;
	bool collide;
} slices[] = {
	{ "", "", true },
	{ "readonly = yes", "", true },
	{ "", "readonly = yes", true },
	{ "readonly = yes", "readonly = yes", false },
	{ "size = 1M", "offset = 1M", false },
	{ "size = 1M", "offset = 1048064", true },
	{ "offset = 1M", "size = 1M", false },
	{ "offset = 1M", "size = 1049088", true },
	{ "offset = 1M\nsize = 1M", "offset = 2M\nsize = 1M", false },
	{ "offset = 1M\nsize = 4M", "offset = 2M\nsize = 1M", true },
	{ "offset = 1M", "offset = 1G", true },
};

START_TEST(two_writers_of_one_slice_are_refused)
{
	const struct slices *s = &slices[_i];
	char text[512];

	snprintf(text, sizeof(text), "[vdb]\npath = /a\n%s\n[vdc]\n%s\npath = /a\n", s->first,
		 s->second);
	if (s->collide)
		test_log_expect(LOG_LEVEL_ERROR,
				": [vdc] would write to the same part of \"/a\" as [vdb] in line "
				"2; accepted: readonly = yes in both, or extents (offset, size) "
				"that do not overlap");
	ck_assert_int_eq(cfg_load(text), s->collide ? -EINVAL : 0);
}
END_TEST

START_TEST(one_file_by_two_schemes_is_one_store)
{
	test_log_expect(LOG_LEVEL_ERROR, ": [b] would write to the same part of ");
	ck_assert_int_eq(cfg_load(_i ? "[a]\npath = /a\n[b]\npath = file:/a\n"
				     : "[a]\npath = fault:fail_read=1:/a\n"
				       "[b]\npath = fault:fail_read=2:/a\n"),
			 -EINVAL);
}
END_TEST

START_TEST(stores_without_bytes_share_none)
{
	ck_assert_int_eq(cfg_load("[a]\npath = null:\nsize = 1M\n[b]\npath = null:\nsize = 2M\n"
				  "[c]\npath = error:\nsize = 1M\n[d]\npath = error:\nsize = 1M\n"),
			 0);
	ck_assert_str_eq(cfg.devices[1].path, "null:");
	cfg_round_trip();
}
END_TEST

#define LONG1 "customer-database-node-1"
#define LONG2 "customer-database-node-2"

/* Two devices, each with a name and, perhaps, a serial. */
static const struct {
	const char *names[2], *serials[2];
	bool collide;
} serials[] = {
	{ { "a", "b" }, { "x", "x" }, true },
	{ { "a", "b" }, { NULL, "a" }, true },
	{ { "a", "b" }, { "b", NULL }, true },
	{ { "a", "b" }, { "x y", "x_y" }, true },
	{ { "a", "b" }, { "x*y", "x?y" }, true },
	{ { "a", "b" }, { "'x  y '", "'x y'" }, true },
	{ { "a", "b" }, { "' x'", "x" }, true },
	{ { LONG1, "b" }, { NULL, "customer-da-8f61a0a2" }, true },
	{ { "a", "b" }, { "x", "X" }, false },
	{ { "a", "b" }, { "x:y", "x_y" }, false },
	{ { "a", "b" }, { "xy", "x" }, false },
	{ { "a", "b" }, { "b", "a" }, false },
	{ { "a", "b" }, { NULL, NULL }, false },
	{ { LONG1, LONG2 }, { NULL, NULL }, false },
	{ { LONG1, LONG2 }, { "customer-database-no", NULL }, false },
};

START_TEST(two_disks_of_one_serial_are_refused)
{
	char text[512] = "", line[256];
	unsigned int lines[2], n = 0;

	for (int i = 0; i < 2; i++) {
		const char *serial = serials[_i].serials[i];

		n += 2;
		lines[i] = serial ? n + 1 : n - 1; /* of the serial; without one, of the section */
		sprintf(text + strlen(text), "[%s]\npath = /%d\n", serials[_i].names[i], i);
		if (serial)
			sprintf(text + strlen(text), "serial = %s\n", serial);
		n += !!serial;
	}
	snprintf(line, sizeof(line), "t.conf:%u: [%s] the serial number \"", lines[1],
		 serials[_i].names[1]);
	if (serials[_i].collide)
		cfg_refused(text, line);
	else
		ck_assert_int_eq(cfg_load(text), 0);
	snprintf(line, sizeof(line), "\" is also that of [%s] in line %u, ", serials[_i].names[0],
		 lines[0]);
	ck_assert_uint_eq(test_log_count(line), serials[_i].collide);
}
END_TEST

/* Links in /etc/fstab lead to them: they are the same in each version. */
START_TEST(serial_of_a_long_name_is_made_of_all_of_it)
{
	char serial[VIRTIO_BLK_ID_BYTES + 1];

	ck_assert_int_eq(cfg_load("[" LONG1 "]\npath = 1\n[" LONG2 "]\npath = 2\n"
				  "[exactly-twenty-bytes]\npath = 3\n"),
			 0);
	memset(serial, 'x', sizeof(serial));
	strcpy(cfg.devices[0].serial, "12345678901234567890");
	config_serial(&cfg.devices[0], serial);
	ck_assert_str_eq(serial, "12345678901234567890");
	cfg.devices[0].serial[0] = '\0';
	config_serial(&cfg.devices[0], serial);
	ck_assert_str_eq(serial, "customer-da-8f61a0a2");
	config_serial(&cfg.devices[1], serial);
	ck_assert_str_eq(serial, "customer-da-8e619f0f");
	config_serial(&cfg.devices[2], serial);
	ck_assert_str_eq(serial, "exactly-twenty-bytes");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config_files");
	TCase *tc = suite_case(suite, "files", cfg_setup, cfg_teardown);

	tcase_add_unchecked_fixture(tc, cfg_begin, cfg_end);
	tcase_add_test(tc, missing_file_is_one_line);
	tcase_add_test(tc, directory_is_no_configuration);
	tcase_add_test(tc, endless_file_is_refused);
	tcase_add_test(tc, file_may_be_a_pipe);
	tcase_add_test(tc, thousand_and_twenty_four_devices_are_the_most);
	tcase_add_test(tc, devices_keep_the_order_of_the_file);
	tcase_add_test(tc, example_configuration_is_right_once_its_device_is_uncommented);
	tcase_add_test(tc, example_configuration_shows_every_key_with_its_default);
	tcase_add_loop_test(tc, one_file_by_two_schemes_is_one_store, 0, 2);
	tcase_add_test(tc, stores_without_bytes_share_none);
	tcase_add_loop_test(tc, two_writers_of_one_slice_are_refused, 0, ARRAY_SIZE(slices));
	tcase_add_loop_test(tc, two_disks_of_one_serial_are_refused, 0, ARRAY_SIZE(serials));
	tcase_add_test(tc, serial_of_a_long_name_is_made_of_all_of_it);
	return suite_run(suite);
}
