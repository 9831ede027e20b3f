// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/takeover/succession.c, leave.c: one server process takes over from another. */
#include "manager_fixture.h"
#include "server_fixture.h"

static void start_successor(int count)
{
	start.config.device_count = (size_t)count;
	start.options.mode = SERVER_TAKEOVER;
	start_server(&successor);
}

/*
 * The old server has released the first disk, and the new one cannot adopt it. After half a second the new
 * one adopts the second disk meanwhile.
 */
static void begin_stuck_takeover(void)
{
	start_serving(2);
	store_relaxed(&world->disk[0].stuck, ANY_SERVER);
	start_successor(2);
	server.allowed_out = successor.allowed_out = "two /dev/vdb";
	server_expect_log(&server, "begins to take over");
	while (!strstr(ask(&successor, "list"), "one - virtio-vdpa attaching"))
		;
	store_relaxed(&world->disk[0].stuck, successor.pid);
	ck_assert_ptr_null(strstr(ask(&server, "list"), "one "));
}

/* The old server serves its disks again, and nothing else has happened to them. */
static void expect_taken_back(void)
{
	server_expect_log(&server, "has ended early: this server serves");
	while (!strstr(ask(&server, "list"), "one /dev/vda virtio-vdpa attached"))
		;
	while (!strstr(ask(&server, "list"), "two /dev/vdb virtio-vdpa attached"))
		;
	ck_assert_uint_eq(world->disk[0].detached + world->disk[1].detached, 0);
	expect_nodes(&server, 0, 1);
	end_server(&server);
	expect_in_kernel(0, false);
}

START_TEST(successor_takes_all_disks)
{
	int count = 2 + _i; /* it may have more of them */

	start_serving(2);
	start_successor(count);
	expect_nodes(&successor, 0, count);
	server_expect_log(&server, "has taken over");
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	for (int i = 0; i < 2; i++)
		ck_assert_uint_eq(world->disk[i].detached, 0);
	expect_listed(&successor, "two /dev/vdb virtio-vdpa attached 1048576 ");
	end_server(&successor);
	for (int i = 0; i < count; i++) {
		ck_assert_uint_eq(world->disk[i].detached, 1);
		expect_in_kernel(i, false);
	}
}
END_TEST

START_TEST(signal_to_the_successor_gives_the_takeover_up)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGUSR1 };

	begin_stuck_takeover();
	server.allowed = "disks again";
	send_signal(&successor, signals[_i]);
	server_expect_log(&successor, "the takeover is cancelled: ");
	server_expect_log(&successor, "leaving all disks as they are");
	store_relaxed(&world->disk[0].stuck, 0);
	ck_assert_int_eq(server_wait(&successor), EXIT_RUNTIME);
	ck_assert_uint_eq(server_log_count(&successor, "detaching"), 0);
	expect_taken_back();
}
END_TEST

START_TEST(disk_that_cannot_be_adopted_gives_the_takeover_up)
{
	begin_stuck_takeover();
	server.allowed = "disks again";
	successor.allowed = "one: cannot attach: No such device";
	world->disk[0].attach_error = -ENODEV;
	store_relaxed(&world->disk[0].stuck, server.pid);
	server_expect_log(&successor, "the takeover is cancelled: disk one cannot be adopted");
	server_expect_log(&successor, "leaving all disks as they are");
	ck_assert_int_eq(server_wait(&successor), EXIT_RUNTIME);
	world->disk[0].attach_error = 0;
	store_relaxed(&world->disk[0].stuck, 0);
	expect_taken_back();
}
END_TEST

START_TEST(server_that_is_killed_leaves_its_disks_to_the_successor)
{
	begin_stuck_takeover();
	successor.allowed = "this server adopts its remaining 1 disks as after a crash";
	send_signal(&server, SIGKILL);
	store_relaxed(&world->disk[0].stuck, 0);
	expect_nodes(&successor, 0, 2);
	end_server(&successor);
	expect_in_kernel(1, false);
}
END_TEST

/* What would fail is found before any disk is released. */
START_TEST(successor_that_cannot_go_on_with_a_disk_takes_none)
{
	start_serving(2);
	start.devices[1].queue_size = 32;
	start_successor(2);
	server_expect_log(&successor,
			  "two: is attached already, and cannot be adopted: queue_size");
	ck_assert_int_eq(server_wait(&successor), EXIT_RUNTIME);
	server_expect_log(&server, "before it requested a disk");
	end_server(&server);
	ck_assert_uint_eq(world->disk[0].attached + world->disk[1].attached, 2);
}
END_TEST

START_TEST(successor_without_one_of_the_disks_is_refused)
{
	start_serving(2);
	start_successor(1);
	server_expect_log(&successor, "it serves two too, which the configuration file");
	ck_assert_int_eq(server_wait(&successor), EXIT_RUNTIME);
	end_server(&server);
	ck_assert_uint_eq(world->disk[0].attached, 1);
}
END_TEST

START_TEST(signal_before_the_takeover_leaves_all_as_it_is)
{
	start_serving(2);
	start.signal = SIGTERM;
	start_successor(2);
	server_expect_log(&successor, "a signal ends this server before the takeover");
	ck_assert_int_eq(server_wait(&successor), EXIT_RUNTIME);
	server_expect_log(&server, "before it requested a disk");
	end_server(&server);
	ck_assert_uint_eq(world->disk[0].attached, 1);
}
END_TEST

START_TEST(takeover_without_a_server_is_a_start)
{
	start_successor(2);
	expect_nodes(&successor, 0, 2);
	end_server(&successor);
}
END_TEST

/* Another program of version 0.1.0 cannot end a server whose disks change over. */
START_TEST(request_to_leave_has_no_effect_during_a_takeover)
{
	begin_stuck_takeover();
	ck_assert_str_eq(ask(&server, "may-leave\none\n"), "");
	ck_assert(!text_is_error);
	ck_assert_str_eq(ask(&server, "leave\none\ntwo\n"), "");
	ck_assert(!text_is_error);
	ck_assert_uint_eq(world->disk[0].detached + world->disk[1].detached, 0);
	store_relaxed(&world->disk[0].stuck, 0);
	expect_nodes(&successor, 0, 2);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	ck_assert_uint_eq(server_log_count(&server, "leaving all disks as they are"), 0);
	end_server(&successor);
}
END_TEST

#ifdef HAVE_LIBSYSTEMD

START_TEST(service_manager_is_notified_of_a_takeover)
{
	int manager = manager_listen();
	char main_pid[64];

	start_serving(2);
	manager_expect(manager, "READY=1\nSTATUS=Serving 2 devices");
	start.config.device_count = 3;
	start.options.mode = SERVER_TAKEOVER;
	start_server(&successor);
	snprintf(main_pid, sizeof(main_pid), "MAINPID=%d\nSTATUS=Taking over", successor.pid);
	manager_expect(manager, main_pid);
	manager_expect(manager, "READY=1\nSTATUS=Serving 3 devices");
	expect_nodes(&successor, 0, 3);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	send_signal(&successor, SIGTERM);
	manager_expect(manager, "STOPPING=1\nSTATUS=Detaching");
	ck_assert_int_eq(server_wait(&successor), EXIT_OK);
	close(manager);
}
END_TEST

#endif

/* ---- a server of version 0.1.0, or its successor ---- */

/* Such a successor asks first whether the server would leave, and then that it does. */
START_TEST(server_leaves_all_disks_where_it_is_asked_to)
{
	start_serving(2);
	ck_assert_str_eq(ask(&server, "may-leave\none\n"),
			 "it serves two too, which the configuration file does not have");
	ck_assert(text_is_error);
	ck_assert_str_eq(ask(&server, "may-leave\none\ntwo\n"), "");
	ck_assert(!text_is_error);
	expect_listed(&server, "two /dev/vdb virtio-vdpa attached");
	ck_assert_str_eq(ask(&server, "leave\none\ntwo\n"), "leaving");
	server_expect_log(&server, "leaving all disks as they are");
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	expect_in_kernel(0, true);
	expect_in_kernel(1, true);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server_takeover");
	TCase *tc = suite_case(suite, "server_takeover", server_setup, server_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, successor_takes_all_disks, 0, 2);
	tcase_add_loop_test(tc, signal_to_the_successor_gives_the_takeover_up, 0, 3);
	tcase_add_test(tc, disk_that_cannot_be_adopted_gives_the_takeover_up);
	tcase_add_test(tc, server_that_is_killed_leaves_its_disks_to_the_successor);
	tcase_add_test(tc, successor_that_cannot_go_on_with_a_disk_takes_none);
	tcase_add_test(tc, successor_without_one_of_the_disks_is_refused);
	tcase_add_test(tc, signal_before_the_takeover_leaves_all_as_it_is);
	tcase_add_test(tc, takeover_without_a_server_is_a_start);
	tcase_add_test(tc, request_to_leave_has_no_effect_during_a_takeover);
#ifdef HAVE_LIBSYSTEMD
	tcase_add_test(tc, service_manager_is_notified_of_a_takeover);
#endif
	tcase_add_test(tc, server_leaves_all_disks_where_it_is_asked_to);
	return suite_run(suite);
}
