// SPDX-License-Identifier: GPL-2.0-or-later
/* vduse-blk/server.c: the start: modules, workers, limits, what ends it, and who is notified. */
#include <dirent.h>
#include <poll.h>

#include "manager_fixture.h"
#include "server_fixture.h"

START_TEST(end_of_the_start_is_reported_on_ready_fd)
{
	int ready[2], reader_stays = _i;
	struct pollfd come;
	char byte;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC | O_NONBLOCK), 0);
	start.options.ready_fd = ready[1];
	start.config.device_count = 2;
	store_relaxed(&world->disk[1].stuck, ANY_SERVER);
	start_server(&server);
	close(ready[1]);
	server_expect_out(&server, nodes[0]);
	if (reader_stays) {
		ck_assert_int_eq(read(ready[0], &byte, 1), -1); /* it is served, and "two" is not */
		ck_assert_int_eq(errno, EAGAIN);
	} else {
		close(ready[0]);
	}
	store_relaxed(&world->disk[1].stuck, 0);
	server_expect_out(&server, nodes[1]);
	if (reader_stays) {
		come = (struct pollfd){ .fd = ready[0], .events = POLLIN };
		ck_assert_int_eq(poll(&come, 1, -1), 1);
		ck_assert_int_eq(read(ready[0], &byte, 1), 1);
		ck_assert_int_eq(poll(&come, 1, -1), 1);
		ck_assert_int_eq(read(ready[0], &byte, 1), 0);
		close(ready[0]);
	}
	end_server(&server);
}
END_TEST

START_TEST(start_without_any_disk_fails)
{
	start.config.device_count = 1;
	ck_assert_int_eq(unlink(start.devices[0].path), 0);
	start_server(&server);
	server_expect_log(&server, "one: cannot open");
	ck_assert_int_eq(server_wait(&server), EXIT_RUNTIME);
}
END_TEST

/* As to two devices that a configuration gives the same file by two names. */
START_TEST(disks_of_the_same_bytes_are_refused)
{
	ck_assert_int_eq(unlink(start.devices[1].path), 0);
	ck_assert_int_eq(link(start.devices[0].path, start.devices[1].path), 0);
	start_server(&server);
	server_expect_log(&server, "error: ");
	ck_assert_int_eq(server_wait(&server), EXIT_RUNTIME);
	ck_assert_uint_eq(world->disk[0].attached + world->disk[2].attached, 0);
}
END_TEST

START_TEST(server_without_its_directory_does_not_start)
{
	temp_image(start.config.runtime_dir, 0);
	start_server(&server);
	server_expect_log(&server, "error: ");
	ck_assert_int_eq(server_wait(&server), EXIT_RUNTIME);
	ck_assert_uint_eq(world->disk[0].attached, 0);
}
END_TEST

/* Its disks come first; that it cannot be asked is logged. */
START_TEST(server_without_a_control_socket_serves_its_disks)
{
	char name[128];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0'; /* too long for the address of a socket */
	start.config.runtime_dir = temp_path("%s", name);
	server.allowed = "cannot listen in";
	start_serving(2);
	server_expect_log(&server, "cannot listen in");
	end_server(&server);
	expect_in_kernel(1, false);
}
END_TEST

START_TEST(start_loads_what_is_missing)
{
	static const struct {
		const char *missing, *loaded;
	} cases[] = {
		{ NULL, "" },
		{ "/dev/vduse/control", "vduse " },
		{ "virtio_vdpa", "virtio_vdpa " },
		{ "virtio_blk", "virtio_blk " },
		{ "vhost_vdpa", "vhost_vdpa " },
	};

	start.missing = cases[_i].missing;
	start.devices[1].driver = DRIVER_VHOST_VDPA;
	start_serving(2);
	end_server(&server);
	ck_assert_str_eq(world->loaded, cases[_i].loaded);
}
END_TEST

/* Another driver's modules are not the business of a server. */
START_TEST(only_the_drivers_of_its_disks_are_loaded)
{
	bool vhost = _i;

	start.missing = vhost ? "virtio" : "vhost_vdpa";
	start.devices[0].driver = vhost ? DRIVER_VHOST_VDPA : DRIVER_VIRTIO_VDPA;
	start_serving(1);
	end_server(&server);
	ck_assert_str_eq(world->loaded, "");
}
END_TEST

START_TEST(module_that_cannot_be_loaded_ends_the_start)
{
	static const struct {
		const char *missing, *no_module;
		int err, status;
	} cases[] = {
		{ "/dev/vduse/control", "vduse", -ENOENT, EXIT_NO_VDUSE },
		{ "/dev/vduse/control", "vduse", -EPERM, EXIT_RUNTIME },
		{ "virtio_vdpa", "virtio_vdpa", -ENOENT, EXIT_RUNTIME },
		{ "virtio_blk", "virtio_blk", -ENOENT, EXIT_RUNTIME },
	};

	start.missing = cases[_i].missing;
	start.no_module = cases[_i].no_module;
	start.module_error = cases[_i].err;
	start_server(&server);
	ck_assert_int_eq(server_wait(&server), cases[_i].status);
	ck_assert_str_eq(world->loaded, "");
	ck_assert_uint_eq(world->disk[0].attached, 0);
}
END_TEST

static unsigned int count_workers(pid_t pid)
{
	char path[64], name[32];
	unsigned int count = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir))) {
		char comm[400];
		FILE *f;

		snprintf(comm, sizeof(comm), "%s/%s/comm", path, entry->d_name);
		f = fopen(comm, "re");
		count += f && fgets(name, sizeof(name), f) && !strncmp(name, "worker-", 7);
		if (f)
			fclose(f);
	}
	closedir(dir);
	return count;
}

START_TEST(there_are_as_many_workers_as_configured_and_no_more_than_queues)
{
	static const unsigned int wanted[][2] = { { 1, 1 }, { 3, 3 }, { 9, 4 } };
	unsigned int cpus = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);

	start.devices[1].queues = 3;
	start.config.workers = _i < 3 ? wanted[_i][0] : CONFIG_AUTO;
	start_serving(2);
	ck_assert_uint_eq(count_workers(server.pid), _i < 3 ? wanted[_i][1] : MIN(cpus, 4));
	end_server(&server);
}
END_TEST

/* 10 for each of two disks, one for each of 17 queues, two for each of three workers, and 64. */
START_TEST(limit_of_descriptors_is_raised_or_the_log_says_what_is_needed)
{
	char path[64], line[256] = "";
	FILE *f;

	start.descriptors = 80; /* the fake kernel needs some more */
	start.devices[0].queues = 16;
	start.config.workers = 3;
	server.allowed = "up to 107 descriptors are needed, and 80 are allowed";
	start_serving(2);
	snprintf(path, sizeof(path), "/proc/%d/limits", (int)server.pid);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (!strstr(line, "Max open files"))
		ck_assert_ptr_nonnull(fgets(line, sizeof(line), f));
	fclose(f);
	end_server(&server);
	ck_assert(strstr(line, " 107 ") || server_log_count(&server, server.allowed) == 1);
}
END_TEST

#ifdef HAVE_LIBSYSTEMD

/* A disk that failed is not counted, and not waited for. */
START_TEST(service_manager_is_notified_of_the_start_and_of_the_end)
{
	int manager = manager_listen();

	ck_assert_int_eq(unlink(start.devices[1].path), 0);
	server.allowed = "two: ";
	start_server(&server);
	server_expect_out(&server, nodes[0]);
	server_expect_out(&server, nodes[2]);
	manager_expect(manager, "READY=1\nSTATUS=Serving 2 devices");
	send_signal(&server, SIGTERM);
	manager_expect(manager, "STOPPING=1\nSTATUS=Detaching");
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	close(manager);
}
END_TEST

#endif

int main(void)
{
	Suite *suite = suite_create("server_start");
	TCase *tc = suite_case(suite, "server_start", server_setup, server_teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, end_of_the_start_is_reported_on_ready_fd, 0, 2);
	tcase_add_test(tc, start_without_any_disk_fails);
	tcase_add_test(tc, disks_of_the_same_bytes_are_refused);
	tcase_add_test(tc, server_without_its_directory_does_not_start);
	tcase_add_test(tc, server_without_a_control_socket_serves_its_disks);
	tcase_add_loop_test(tc, start_loads_what_is_missing, 0, 5);
	tcase_add_loop_test(tc, only_the_drivers_of_its_disks_are_loaded, 0, 2);
	tcase_add_loop_test(tc, module_that_cannot_be_loaded_ends_the_start, 0, 4);
	tcase_add_loop_test(tc, there_are_as_many_workers_as_configured_and_no_more_than_queues, 0,
			    4);
	tcase_add_test(tc, limit_of_descriptors_is_raised_or_the_log_says_what_is_needed);
#ifdef HAVE_LIBSYSTEMD
	tcase_add_test(tc, service_manager_is_notified_of_the_start_and_of_the_end);
#endif
	return suite_run(suite);
}
