// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/server.c: a server as a process: its signals, requests to it, and a rescue. */
#include <poll.h>

#include "server_fixture.h"
#include "threads.h"

START_TEST(disks_are_served_until_a_signal)
{
	static const struct {
		int signal;
		const char *line;
	} ends[] = { { SIGTERM, "Terminated: detaching" }, { SIGINT, "Interrupt: detaching" } };

	start_serving(SERVER_DISKS);
	expect_listed(&server, "two /dev/vdb virtio-vdpa attached 1048576 ");
	send_signal(&server, ends[_i].signal);
	server_expect_log(&server, ends[_i].line);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	for (int i = 0; i < SERVER_DISKS; i++) {
		ck_assert_uint_eq(world->disk[i].detached, 1);
		expect_in_kernel(i, false);
	}
	ck_assert_uint_eq(server_log_count(&server, "disks in use too"), 0);
	ck_assert_str_eq(ask(&server, "list"), "");
}
END_TEST

START_TEST(hangup_is_no_end)
{
	start_serving(1);
	send_signal(&server, SIGHUP);
	server_expect_log(&server, "SIGHUP is ignored");
	expect_listed(&server, "one /dev/vda virtio-vdpa attached ");
	end_server(&server);
}
END_TEST

START_TEST(sigusr1_leaves_all_disks)
{
	start_serving(2);
	send_signal(&server, SIGUSR1);
	server_expect_log(&server, "leaving all disks as they are");
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(world->disk[i].detached, 0);
		expect_in_kernel(i, true);
	}
}
END_TEST

/* The end of a login session sends several signals at once. */
START_TEST(signals_of_one_burst_count_as_one)
{
	store_relaxed(&world->disk[0].in_use, true);
	start_serving(2);
	send_signal(&server, SIGSTOP);
	send_signal(&server, SIGTERM);
	send_signal(&server, SIGINT);
	send_signal(&server, SIGCONT);
	server_expect_log(&server, ": detaching");
	expect_listed(&server, "one ");
	ck_assert_uint_eq(world->disk[0].detached, 0);
	store_relaxed(&world->disk[0].in_use, false);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	ck_assert_uint_eq(server_log_count(&server, "detaching"), 1);
	expect_in_kernel(0, false);
}
END_TEST

START_TEST(later_signal_detaches_disks_in_use)
{
	struct pollfd unused = { 0 };

	store_relaxed(&world->disk[1].in_use, true);
	start_serving(2);
	send_signal(&server, SIGTERM);
	server.allowed =
		"/dev/vdb is in use: mkfs (4711); it is served until it is no longer in use";
	server_expect_log(&server, "Terminated: detaching");
	while (!server_saw_log(&server, "disks in use too")) {
		send_signal(&server, SIGTERM);
		poll(&unused, 0, 20); /* the time of one burst passes */
	}
	server_expect_log(&server, "Terminated: detaching, disks in use too");
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	ck_assert_uint_eq(world->disk[1].detached, 1);
	expect_in_kernel(1, false);
}
END_TEST

/* Return: a line of /proc/PID/status, as a number of base 16 */
static unsigned long long status_bits(pid_t pid, const char *key)
{
	char path[64], line[256];
	unsigned long long bits = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			bits = strtoull(line + strlen(key), NULL, 16);
	fclose(f);
	return bits;
}

START_TEST(signals_of_lost_readers_and_limits_do_not_end_a_server)
{
	unsigned long long ignored, blocked;

	start_serving(1);
	ignored = status_bits(server.pid, "SigIgn:");
	blocked = status_bits(server.pid, "SigBlk:");
	ck_assert(ignored >> (SIGPIPE - 1) & 1);
	ck_assert(ignored >> (SIGXFSZ - 1) & 1);
	ck_assert(blocked >> (SIGHUP - 1) & 1);
	ck_assert(blocked >> (SIGTERM - 1) & 1);
	end_server(&server);
}
END_TEST

START_TEST(request_that_it_does_not_know_is_refused)
{
	start_serving(1);
	ck_assert_str_eq(ask(&server, "what?"), CONTROL_UNKNOWN);
	ck_assert(text_is_error);
	end_server(&server);
}
END_TEST

START_TEST(counters_of_queues_are_a_table)
{
	const char *header, *row;

	start_serving(1);
	ck_assert_ptr_nonnull(strstr(ask(&server, "stats"), "one /dev/vda: attached, "));
	header = strstr(text, "\n  QUEUE STATE   ");
	ck_assert_ptr_nonnull(header);
	ck_assert_ptr_nonnull(strstr(header, "READS"));
	ck_assert_ptr_nonnull(strstr(header, "WRITTEN"));
	row = strstr(header, "\n  0     ");
	ck_assert_ptr_nonnull(row);
	ck_assert_uint_eq(strcspn(row + 1, "\n"), strcspn(header + 1, "\n"));
	end_server(&server);
}
END_TEST

START_TEST(server_tells_whether_it_keeps_a_disk)
{
	world->disk[1].stuck = ANY_SERVER;
	start.config.device_count = 2;
	start_server(&server);
	expect_nodes(&server, 0, 1);
	ck_assert_str_eq(ask(&server, "owner\none"), "keeps");
	ck_assert(!text_is_error);
	turn_until(!strcmp(ask(&server, "owner\ntwo\n"), "has"), other_threads_run());
	ck_assert_str_eq(ask(&server, "owner\nthree"), "none");
	ck_assert_str_eq(ask(&server, "owner\n"), "none");
	store_relaxed(&world->disk[1].stuck, 0);
	expect_nodes(&server, 1, 1);
	end_server(&server);
}
END_TEST

/* ---- rescue ---- */

static void start_rescue(void)
{
	start.config.device_count = 1;
	start.devices[0].path = (char *)"error:";
	start.devices[0].size = 1 << 20;
	start.devices[0].rescue = true;
	start.options.mode = SERVER_RESCUE;
	start.missing = "/dev/vduse/control"; /* to load a module may wait for the device */
	world->disk[0].on_bus = true;
	start_server(&server);
}

START_TEST(rescue_ends_when_the_disk_is_detached)
{
	start_rescue();
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	ck_assert_uint_eq(world->disk[0].detached, 1);
	ck_assert_str_eq(world->loaded, "");
	expect_in_kernel(0, false);
}
END_TEST

/* It detaches from the beginning, so the first signal counts as the second one. */
START_TEST(signal_to_a_rescue_detaches_a_disk_in_use)
{
	store_relaxed(&world->disk[0].in_use, true);
	server.allowed = "/dev/vda is in use: mkfs (4711); it is served until it is no longer "
			 "in use, or until a signal";
	start_rescue();
	while (!strstr(ask(&server, "list"), "one /dev/vda virtio-vdpa in-use"))
		;
	send_signal(&server, SIGTERM);
	server_expect_log(&server, "Terminated: detaching, disks in use too");
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	ck_assert_uint_eq(world->disk[0].detached, 1);
	expect_in_kernel(0, false);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server");
	TCase *tc = suite_case(suite, "server", server_setup, server_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, disks_are_served_until_a_signal, 0, 2);
	tcase_add_test(tc, hangup_is_no_end);
	tcase_add_test(tc, sigusr1_leaves_all_disks);
	tcase_add_test(tc, signals_of_one_burst_count_as_one);
	tcase_add_test(tc, later_signal_detaches_disks_in_use);
	tcase_add_test(tc, signals_of_lost_readers_and_limits_do_not_end_a_server);
	tcase_add_test(tc, request_that_it_does_not_know_is_refused);
	tcase_add_test(tc, counters_of_queues_are_a_table);
	tcase_add_test(tc, server_tells_whether_it_keeps_a_disk);
	tcase_add_test(tc, rescue_ends_when_the_disk_is_detached);
	tcase_add_test(tc, signal_to_a_rescue_detaches_a_disk_in_use);
	return suite_run(suite);
}
