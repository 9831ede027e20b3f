// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/server.c and takeover/succession.c: whole servers as processes, their signals, requests to them,
 * and takeovers from one by another. Each has a kernel of its own, which is a fake. What is on the
 * vdpa bus is in memory that all of them share.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "disk/attach.h"
#include "control/control_ask.h"
#include "fake_kern.h"
#include "process/logger.h"
#include "modules.h"
#include "server.h"
#include "server_process.h"
#include "suite.h"
#include "takeover/takeover.h"
#include "temp_dir.h"
#include "test_log.h"

#define DISKS 3
#define ANY   (-1)

#define LEFT "leaving all disks as they are"

static char names[DISKS][8] = { "one", "two", "three" };
static const char *const nodes[DISKS] = { "one /dev/vda", "two /dev/vdb", "three /dev/vdc" };

/* What all servers of a test share; the test sets what is marked with (t). */
static struct world {
	struct {
		bool on_bus;
		bool in_use;	  /* (t) is not detached but by force */
		int attach_error; /* (t) of the next attempt */
		pid_t stuck;	/* (t) jobs of this server on it do not end; ANY: of all servers */
		bool in_kernel; /* at the end of the server that ended last */
		unsigned int attached, detached;
	} disk[DISKS];

	char loaded[128]; /* modules, each with a space behind it */
} * world;

/* What a server of the test is started with. */
static struct start {
	struct config config;
	struct device_config devices[DISKS];
	struct server_options options;
	const char *no_module; /* that cannot be loaded */
	int module_error;
	const char *missing;	  /* what access() does not find, besides devices */
	unsigned int descriptors; /* RLIMIT_NOFILE; 0: as it is */
	int signal;		  /* is pending from the beginning; 0: none */
} start;

static struct server_process server, successor;

static int index_of(const char *name)
{
	for (int i = 0; i < DISKS; i++)
		if (!strcmp(names[i], name))
			return i;
	ck_abort_msg("no disk %s", name);
	return -1;
}

/* ---- in a server: the vdpa bus, instead of attach.c and lib/vdpa_bus.c, and modules ---- */

static struct {
	struct attach_job *job;
	struct ring *ring;
	struct ring_timer timer;
} jobs[DISKS];

static int do_job(struct attach_job *job, int i)
{
	bool attach = job->verb == ATTACH || job->verb == ADOPT;
	struct fake_dev *dev = fake_kern_dev(job->name);

	snprintf(job->node, sizeof(job->node), "/dev/vd%c", 'a' + i);
	if (attach && world->disk[i].attach_error)
		return world->disk[i].attach_error;
	if (!attach && job->verb != DETACH_FORCE && load_relaxed(&world->disk[i].in_use)) {
		snprintf(job->users, sizeof(job->users), "mkfs (4711)");
		return -EBUSY;
	}
	ck_assert_ptr_nonnull(dev);
	if (!attach)
		fake_kern_bus_del(dev);
	else if (!dev->on_bus)
		ck_assert_int_eq(fake_kern_bus_add(dev), 0);
	store_relaxed(&world->disk[i].on_bus, attach);
	*(attach ? &world->disk[i].attached : &world->disk[i].detached) += 1;
	return 0;
}

static void job_expired(struct ring_timer *timer)
{
	pid_t stuck;
	int i = 0;

	while (timer != &jobs[i].timer)
		i++;
	stuck = load_relaxed(&world->disk[i].stuck);
	if (stuck == ANY || stuck == getpid()) {
		ring_timer_start(jobs[i].ring, timer, 1000, job_expired);
		return;
	}
	jobs[i].job->result = do_job(jobs[i].job, i);
	jobs[i].job->finished(jobs[i].job);
}

void attach_submit(struct attach_job *job, struct ring *ring)
{
	int i = index_of(job->name);

	jobs[i].job = job;
	jobs[i].ring = ring;
	ring_timer_start(ring, &jobs[i].timer, 0, job_expired);
}

enum vdpa_state vdpa_bus_state(const char *name)
{
	return world->disk[index_of(name)].on_bus ? VDPA_BOUND : VDPA_ABSENT;
}

int vdpa_bus_driver(const char *name, enum vdpa_driver *driver)
{
	(void)name;
	(void)driver;
	return -ENOENT;
}

int vdpa_bus_node(const char *name, char node[VDPA_NODE_MAX])
{
	(void)name;
	(void)node;
	return -ENOENT;
}

const char *vdpa_driver_name(enum vdpa_driver driver)
{
	return driver == DRIVER_VHOST_VDPA ? "vhost_vdpa" : "virtio_vdpa";
}

bool vdpa_driver_present(enum vdpa_driver driver)
{
	return !start.missing || strcmp(start.missing, vdpa_driver_name(driver)) != 0;
}

static int has_path(const char *path)
{
	if (strcmp(path, "/dev/vduse/control") &&
	    strcmp(path, "/sys/bus/virtio/drivers/virtio_blk"))
		return -1;
	return !start.missing || !strstr(path, start.missing);
}

int module_load(const char *name)
{
	size_t len = strlen(world->loaded);

	if (start.no_module && !strcmp(start.no_module, name))
		return start.module_error;
	snprintf(world->loaded + len, sizeof(world->loaded) - len, "%s ", name);
	return 0;
}

/* ---- a server ---- */

/* What an earlier server has left on the bus. */
static void find_orphans(void)
{
	for (size_t i = 0; i < start.config.device_count; i++) {
		const struct device_config *device = &start.config.devices[i];
		struct fake_dev *dev;

		if (!world->disk[index_of(device->name)].on_bus)
			continue;
		dev = fake_kern_orphan(device->name);
		ck_assert_int_eq(fake_kern_bus_add(dev), 0);
		dev->vq_num = device->queues;
	}
}

static int serve(void *unused)
{
	int status;

	(void)unused;
	if (start.descriptors) {
		struct rlimit limit = { start.descriptors, start.descriptors };

		setrlimit(RLIMIT_NOFILE, &limit);
	}
	if (start.signal) {
		sigset_t set;

		sigemptyset(&set);
		sigaddset(&set, start.signal);
		sigprocmask(SIG_BLOCK, &set, NULL);
		raise(start.signal);
	}
	log_init(logger_print, LOG_LEVEL_INFO);
	fake_kern_reset();
	fake_kern_has_path = has_path;
	find_orphans();
	status = (int)server_run(&start.config, &start.options);
	for (int i = 0; i < DISKS; i++)
		world->disk[i].in_kernel = fake_kern_dev(names[i]) != NULL;
	return status;
}

static void start_server(struct server_process *process)
{
	server_spawn(process, serve, NULL);
}

static void expect_nodes(struct server_process *process, int first, int count)
{
	for (int i = first; i < first + count; i++)
		server_expect_out(process, nodes[i]);
}

/* A server that serves the first @count disks. */
static void start_serving(int count)
{
	start.config.device_count = (size_t)count;
	start_server(&server);
	expect_nodes(&server, 0, count);
}

static void send_signal(const struct server_process *process, int signal)
{
	ck_assert_int_eq(kill(process->pid, signal), 0);
}

/* ---- requests ---- */

static char text[1024];

static bool text_is_error;

/* Return: a connection; -1: it does not listen */
static int connect_to(const struct server_process *process)
{
	DIR *dir = opendir(start.config.runtime_dir);
	struct dirent *entry;
	char path[400];
	int pid, fd = -1;

	while (dir && fd < 0 && (entry = readdir(dir))) {
		if (sscanf(entry->d_name, "%d-", &pid) != 1 || pid != process->pid)
			continue;
		snprintf(path, sizeof(path), "%s/%s", start.config.runtime_dir, entry->d_name);
		fd = control_connect(path);
	}
	if (dir)
		closedir(dir);
	return fd;
}

/* Return: the response of this server; empty: it does not listen */
static const char *ask(const struct server_process *process, const char *question)
{
	int fd = connect_to(process);
	struct pollfd come = { .fd = fd, .events = POLLIN };
	char *response = NULL;

	if (fd >= 0 && send(fd, question, strlen(question), MSG_NOSIGNAL) > 0 &&
	    poll(&come, 1, -1) == 1)
		response = control_receive(fd, &text_is_error);
	snprintf(text, sizeof(text), "%s", response ? response : "");
	free(response);
	if (fd >= 0)
		close(fd);
	return text;
}

static void expect_listed(const struct server_process *process, const char *part)
{
	ck_assert_msg(strstr(ask(process, "list"), part) != NULL, "not listed: %s", part);
	ck_assert(!text_is_error);
}

static void expect_in_kernel(int i, bool wanted)
{
	ck_assert_msg(world->disk[i].in_kernel == wanted, "%s: %d", names[i],
		      world->disk[i].in_kernel);
}

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

static void make_image(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
}

static void setup(void)
{
	test_log_begin();
	unsetenv("JOURNAL_STREAM");
	unsetenv("NOTIFY_SOCKET");
	world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	ck_assert(world != MAP_FAILED);
	memset(&start, 0, sizeof(start));
	memset(&server, 0, sizeof(server));
	memset(&successor, 0, sizeof(successor));
	for (int i = 0; i < DISKS; i++) {
		start.devices[i] = (struct device_config){
			.name = names[i],
			.path = temp_path("%s-%d", names[i], getpid()),
			.cache = CACHE_WRITEBACK,
			.queues = 1,
			.queue_size = 16,
			.umem = SWITCH_NO,
		};
		make_image(start.devices[i].path);
	}
	start.config = (struct config){
		.runtime_dir = temp_path("run-%d", getpid()),
		.devices = start.devices,
		.device_count = DISKS,
	};
	start.options.ready_fd = -1;
}

static void teardown(void)
{
	munmap(world, sizeof(*world));
	test_log_end();
}

/* ---- one server ---- */

START_TEST(disks_are_served_until_a_signal)
{
	static const struct {
		int signal;
		const char *line;
	} ends[] = { { SIGTERM, "Terminated: detaching" }, { SIGINT, "Interrupt: detaching" } };

	start_serving(DISKS);
	expect_listed(&server, "two /dev/vdb virtio-vdpa attached 1048576 ");
	send_signal(&server, ends[_i].signal);
	server_expect_log(&server, ends[_i].line);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	for (int i = 0; i < DISKS; i++) {
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
	send_signal(&server, SIGTERM);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
}
END_TEST

START_TEST(sigusr1_leaves_all_disks)
{
	start_serving(2);
	send_signal(&server, SIGUSR1);
	server_expect_log(&server, LEFT);
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

START_TEST(start_without_any_disk_fails)
{
	start.config.device_count = 1;
	ck_assert_int_eq(unlink(start.devices[0].path), 0);
	start_server(&server);
	server_expect_log(&server, "one: cannot open");
	ck_assert_int_eq(server_wait(&server), EXIT_RUNTIME);
}
END_TEST

START_TEST(end_of_the_start_is_told)
{
	int ready[2], reader_stays = _i;
	struct pollfd come;
	char byte;

	ck_assert_int_eq(pipe2(ready, O_CLOEXEC | O_NONBLOCK), 0);
	start.options.ready_fd = ready[1];
	start.config.device_count = 2;
	store_relaxed(&world->disk[1].stuck, ANY);
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
	send_signal(&server, SIGTERM);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
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
	make_image(start.config.runtime_dir);
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
	send_signal(&server, SIGTERM);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	expect_in_kernel(1, false);
}
END_TEST

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
	send_signal(&server, SIGTERM);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
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
	send_signal(&server, SIGTERM);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
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
	send_signal(&server, SIGTERM);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
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
	send_signal(&server, SIGTERM);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
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
	send_signal(&server, SIGTERM);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	ck_assert(strstr(line, " 107 ") || server_log_count(&server, server.allowed) == 1);
}
END_TEST

START_TEST(request_that_it_does_not_know_is_refused)
{
	start_serving(1);
	ck_assert_str_eq(ask(&server, "what?"), CONTROL_UNKNOWN);
	ck_assert(text_is_error);
	send_signal(&server, SIGTERM);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
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
	send_signal(&server, SIGTERM);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
}
END_TEST

START_TEST(server_tells_whether_it_keeps_a_disk)
{
	world->disk[1].stuck = ANY;
	start.config.device_count = 2;
	start_server(&server);
	expect_nodes(&server, 0, 1);
	ck_assert_str_eq(ask(&server, "owner\none"), "keeps");
	ck_assert(!text_is_error);
	while (strcmp(ask(&server, "owner\ntwo\n"), "has") != 0)
		usleep(1000);
	ck_assert_str_eq(ask(&server, "owner\nthree"), "none");
	ck_assert_str_eq(ask(&server, "owner\n"), "none");
	store_relaxed(&world->disk[1].stuck, 0);
	expect_nodes(&server, 1, 1);
	send_signal(&server, SIGTERM);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
}
END_TEST

#ifdef HAVE_LIBSYSTEMD

static int manager_listen(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%.70s/notify-%d", temp_dir, getpid());
	ck_assert_int_eq(bind(manager, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
	return manager;
}

static void expect_told(int manager, const char *wanted)
{
	char message[256] = "";

	ck_assert_int_gt(recv(manager, message, sizeof(message) - 1, 0), 0);
	ck_assert_str_eq(message, wanted);
}

/* A disk that failed is not counted, and not waited for. */
START_TEST(service_manager_is_told_of_the_start_and_of_the_end)
{
	int manager = manager_listen();

	ck_assert_int_eq(unlink(start.devices[1].path), 0);
	server.allowed = "two: ";
	start_server(&server);
	server_expect_out(&server, nodes[0]);
	server_expect_out(&server, nodes[2]);
	expect_told(manager, "READY=1\nSTATUS=Serving 2 devices");
	send_signal(&server, SIGTERM);
	expect_told(manager, "STOPPING=1\nSTATUS=Detaching");
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	close(manager);
}
END_TEST

START_TEST(service_manager_is_told_of_a_takeover)
{
	int manager = manager_listen();
	char main_pid[64];

	start_serving(2);
	expect_told(manager, "READY=1\nSTATUS=Serving 2 devices");
	start.config.device_count = 3;
	start.options.mode = SERVER_TAKEOVER;
	start_server(&successor);
	snprintf(main_pid, sizeof(main_pid), "MAINPID=%d\nSTATUS=Taking over", successor.pid);
	expect_told(manager, main_pid);
	expect_told(manager, "READY=1\nSTATUS=Serving 3 devices");
	expect_nodes(&successor, 0, 3);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	send_signal(&successor, SIGTERM);
	expect_told(manager, "STOPPING=1\nSTATUS=Detaching");
	ck_assert_int_eq(server_wait(&successor), EXIT_OK);
	close(manager);
}
END_TEST

#endif

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
	server_expect_log(&server, LEFT);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	expect_in_kernel(0, true);
	expect_in_kernel(1, true);
}
END_TEST

/* ---- a server and its successor ---- */

static void start_successor(int count)
{
	start.config.device_count = (size_t)count;
	start.options.mode = SERVER_TAKEOVER;
	start_server(&successor);
}

/* The old server has released the first disk, and the new one cannot go on with it. */
static void begin_stuck_takeover(void)
{
	start_serving(2);
	store_relaxed(&world->disk[0].stuck, ANY);
	start_successor(2);
	server_expect_log(&server, "begins to take over");
	while (!strstr(ask(&successor, "list"), "one - virtio-vdpa attaching"))
		;
	store_relaxed(&world->disk[0].stuck, successor.pid);
	ck_assert_ptr_null(strstr(ask(&server, "list"), "one "));
}

static void end_server(struct server_process *process)
{
	send_signal(process, SIGTERM);
	server_expect_log(process, "Terminated: detaching");
	ck_assert_int_eq(server_wait(process), EXIT_OK);
}

/* The old server serves its disks again, and nothing else has happened to them. */
static void expect_taken_back(void)
{
	server_expect_log(&server, "has given up or ended: this server goes on");
	while (!strstr(ask(&server, "list"), "one /dev/vda virtio-vdpa attached"))
		;
	expect_listed(&server, "two /dev/vdb virtio-vdpa attached");
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
	server.allowed = "this server goes on, and serves 1 disks again";
	send_signal(&successor, signals[_i]);
	server_expect_log(&successor, "the takeover is given up: ");
	server_expect_log(&successor, LEFT);
	store_relaxed(&world->disk[0].stuck, 0);
	ck_assert_int_eq(server_wait(&successor), EXIT_RUNTIME);
	ck_assert_uint_eq(server_log_count(&successor, "detaching"), 0);
	expect_taken_back();
}
END_TEST

START_TEST(disk_that_cannot_be_adopted_gives_the_takeover_up)
{
	begin_stuck_takeover();
	server.allowed = "this server goes on, and serves 1 disks again";
	successor.allowed = "one: cannot attach: No such device";
	world->disk[0].attach_error = -ENODEV;
	store_relaxed(&world->disk[0].stuck, server.pid);
	server_expect_log(&successor, "the takeover is given up: disk one cannot be adopted");
	server_expect_log(&successor, LEFT);
	ck_assert_int_eq(server_wait(&successor), EXIT_RUNTIME);
	world->disk[0].attach_error = 0;
	store_relaxed(&world->disk[0].stuck, 0);
	expect_taken_back();
}
END_TEST

START_TEST(server_that_is_killed_leaves_its_disks_to_the_successor)
{
	begin_stuck_takeover();
	successor.allowed = "its remaining 1 disks are adopted as after a crash";
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
	server_expect_log(&server, "before it took over a disk");
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
	server_expect_log(&successor, "a signal came before the takeover began");
	ck_assert_int_eq(server_wait(&successor), EXIT_RUNTIME);
	server_expect_log(&server, "before it took over a disk");
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
	expect_listed(&server, "two /dev/vdb virtio-vdpa attached");
	store_relaxed(&world->disk[0].stuck, 0);
	expect_nodes(&successor, 0, 2);
	ck_assert_int_eq(server_wait(&server), EXIT_OK);
	ck_assert_uint_eq(server_log_count(&server, LEFT), 0);
	end_server(&successor);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server");
	TCase *tc = suite_case(suite, "server", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_loop_test(tc, disks_are_served_until_a_signal, 0, 2);
	tcase_add_test(tc, hangup_is_no_end);
	tcase_add_test(tc, sigusr1_leaves_all_disks);
	tcase_add_test(tc, signals_of_one_burst_count_as_one);
	tcase_add_test(tc, later_signal_detaches_disks_in_use);
	tcase_add_test(tc, start_without_any_disk_fails);
	tcase_add_loop_test(tc, end_of_the_start_is_told, 0, 2);
	tcase_add_test(tc, disks_of_the_same_bytes_are_refused);
	tcase_add_test(tc, server_without_its_directory_does_not_start);
	tcase_add_test(tc, server_without_a_control_socket_serves_its_disks);
	tcase_add_test(tc, signals_of_lost_readers_and_limits_do_not_end_a_server);
	tcase_add_loop_test(tc, start_loads_what_is_missing, 0, 5);
	tcase_add_loop_test(tc, only_the_drivers_of_its_disks_are_loaded, 0, 2);
	tcase_add_loop_test(tc, module_that_cannot_be_loaded_ends_the_start, 0, 4);
	tcase_add_loop_test(tc, there_are_as_many_workers_as_configured_and_no_more_than_queues, 0,
			    4);
	tcase_add_test(tc, limit_of_descriptors_is_raised_or_the_log_says_what_is_needed);
	tcase_add_test(tc, request_that_it_does_not_know_is_refused);
	tcase_add_test(tc, counters_of_queues_are_a_table);
	tcase_add_test(tc, server_tells_whether_it_keeps_a_disk);
#ifdef HAVE_LIBSYSTEMD
	tcase_add_test(tc, service_manager_is_told_of_the_start_and_of_the_end);
	tcase_add_test(tc, service_manager_is_told_of_a_takeover);
#endif
	tcase_add_test(tc, rescue_ends_when_the_disk_is_detached);
	tcase_add_test(tc, signal_to_a_rescue_detaches_a_disk_in_use);
	tcase_add_test(tc, server_leaves_all_disks_where_it_is_asked_to);
	tcase_add_loop_test(tc, successor_takes_all_disks, 0, 2);
	tcase_add_loop_test(tc, signal_to_the_successor_gives_the_takeover_up, 0, 3);
	tcase_add_test(tc, disk_that_cannot_be_adopted_gives_the_takeover_up);
	tcase_add_test(tc, server_that_is_killed_leaves_its_disks_to_the_successor);
	tcase_add_test(tc, successor_that_cannot_go_on_with_a_disk_takes_none);
	tcase_add_test(tc, successor_without_one_of_the_disks_is_refused);
	tcase_add_test(tc, signal_before_the_takeover_leaves_all_as_it_is);
	tcase_add_test(tc, takeover_without_a_server_is_a_start);
	tcase_add_test(tc, request_to_leave_has_no_effect_during_a_takeover);
	return suite_run(suite);
}
