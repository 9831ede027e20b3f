// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vduse-blk/disk*.c and disks.c: disks are independent of each other. Stores, devices and queues
 * are real; the kernel is a fake. The test implements the vdpa bus and the jobs that change it.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "disk/disk_command.h"
#include "disk/disks.h"
#include "fake_kern.h"
#include "fds.h"
#include "suite.h"
#include "temp_dir.h"
#include "test_log.h"

#define DISKS 3
#define TURNS 400000u

static struct {
	struct ring ring;
	struct worker worker;
	struct polling_shared shared;
	struct device_config devices[DISKS];
	struct config config;
	struct disks disks;
	struct attach_job *job[DISKS]; /* under way */
	int submitted, order[DISKS];   /* disks of the first jobs */
	enum vdpa_state bus[DISKS];
	char node[DISKS][VDPA_NODE_MAX];
	bool done; /* a command */
	int err;
	bool time_stops; /* timers of disks do not expire at the next turn, as if time had passed */
} t;

static char names[DISKS][8] = { "one", "two", "three" };
static unsigned int fds_before;

/*
 * Does the main thread close the store? On FUSE and virtiofs close() waits for the reply of the file server
 * (fuse_flush(), uninterruptible), on NFS for what is dirty.
 */
static pid_t main_thread;
static ino_t watched_store;
static bool main_closed_store;

static void watch_close(int fd)
{
	struct stat st;

	if (watched_store && gettid() == main_thread && !fstat(fd, &st) &&
	    st.st_ino == watched_store)
		main_closed_store = true;
}

static int index_of(const char *name)
{
	for (int i = 0; i < DISKS; i++)
		if (!strcmp(names[i], name))
			return i;
	ck_abort_msg("no disk %s", name);
	return -1;
}

/* ---- the vdpa bus: instead of attach.c and lib/vdpa_bus.c ---- */

void attach_submit(struct attach_job *job, struct ring *ring)
{
	int i = index_of(job->name);

	(void)ring;
	ck_assert_msg(!t.job[i], "%s: two jobs at a time", job->name);
	t.job[i] = job;
	if (t.submitted < DISKS)
		t.order[t.submitted] = i;
	t.submitted++;
}

enum vdpa_state vdpa_bus_state(const char *name)
{
	return t.bus[index_of(name)];
}

int vdpa_bus_driver(const char *name, enum vdpa_driver *driver)
{
	*driver = VDPA_DRIVER_VIRTIO;
	return t.bus[index_of(name)] == VDPA_BOUND ? 0 : -ENOENT;
}

int vdpa_bus_node(const char *name, char node[VDPA_NODE_MAX])
{
	memcpy(node, t.node[index_of(name)], VDPA_NODE_MAX);
	return node[0] ? 0 : -ENOENT;
}

const char *vdpa_driver_name(enum vdpa_driver driver)
{
	(void)driver;
	return "virtio_vdpa";
}

static void set_bus(int i, enum vdpa_state state, const char *node)
{
	struct fake_dev *dev = fake_kern_dev(names[i]);

	t.bus[i] = state;
	snprintf(t.node[i], sizeof(t.node[i]), "%s", node);
	if (!dev)
		return;
	if (state == VDPA_ABSENT)
		fake_kern_bus_del(dev);
	else if (!dev->on_bus)
		ck_assert_int_eq(fake_kern_bus_add(dev), 0);
}

/* A job ends, as the kernel has done it. */
static void finish_job(int i, int result)
{
	struct attach_job *job = t.job[i];
	bool attach;

	ck_assert_ptr_nonnull(job);
	attach = job->verb == ATTACH || job->verb == ADOPT;
	t.job[i] = NULL;
	job->result = result;
	if (!result && attach) {
		set_bus(i, VDPA_BOUND, i == 0 ? "/dev/vda" : i == 1 ? "/dev/vdb" : "/dev/vdc");
		memcpy(job->node, t.node[i], sizeof(job->node));
	} else if (!result) {
		set_bus(i, VDPA_ABSENT, "");
	}
	job->finished(job);
}

/* ---- a server ---- */

/* Return: NULL: it was not made, or has ended */
static struct disk *disk(int i)
{
	return disks_find(&t.disks, names[i]);
}

static void turn(void)
{
	for (int i = 0; i < DISKS && !t.time_stops; i++) {
		if (!disk(i))
			continue;
		ring_timer_hurry(&t.ring, &disk(i)->timer);
		ring_timer_hurry(&t.ring, &disk(i)->watch);
	}
	ck_assert_int_eq(ring_run(&t.ring, false), 0);
	disks_reap(&t.disks);
	usleep(50);
}

#define wait_for(cond)                                                                             \
	do {                                                                                       \
		for (unsigned int left = TURNS; !(cond); left--) {                                 \
			ck_assert_msg(left, "this never came: " #cond);                            \
			turn();                                                                    \
		}                                                                                  \
	} while (0)

static void make_image(int i)
{
	int fd = open(t.devices[i].path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 1 << 20), 0);
	close(fd);
}

static void setup(void)
{
	test_log_begin();
	fake_kern_reset();
	memset(&t, 0, sizeof(t));
	fds_before = fds_open();
	for (int i = 0; i < DISKS; i++) {
		t.devices[i] = (struct device_config){
			.name = names[i],
			.path = temp_path("%s-%d", names[i], getpid()),
			.cache = CACHE_WRITEBACK,
			.queues = 1,
			.queue_size = 16,
			.umem = SWITCH_NO,
		};
		make_image(i);
	}
	t.config = (struct config){
		.runtime_dir = temp_path("run-%d", getpid()),
		.devices = t.devices,
		.device_count = DISKS,
	};
	ck_assert_int_eq(ring_init(&t.ring, 64), 0);
	polling_shared_init(&t.shared);
	ck_assert_int_eq(worker_start(&t.worker, 0, &t.shared), 0);
	t.disks.host = (struct disk_host){
		.ring = &t.ring,
		.config = &t.config,
		.workers = &t.worker,
		.worker_count = 1,
	};
	disks_init(&t.disks);
}

static void begin(void)
{
	ck_assert_int_eq(disks_add_all(&t.disks), 0);
	disks_start(&t.disks);
}

/* All that can be are attached, in their order. */
static void begin_attached(void)
{
	begin();
	for (int i = 0; i < DISKS; i++) {
		wait_for(t.job[i]);
		finish_job(i, 0);
	}
	ck_assert(t.disks.started);
}

static void end(void)
{
	disks_stop(&t.disks, false);
	for (unsigned int left = TURNS; t.disks.remaining; left--) {
		ck_assert_msg(left, "the disks do not end");
		for (int i = 0; i < DISKS; i++)
			if (t.job[i])
				finish_job(i, 0);
		turn();
	}
}

static void teardown(void)
{
	if (t.disks.remaining)
		end();
	wait_for(list_is_empty(&t.disks.all)); /* all memory can be freed before the process ends */
	ck_assert_uint_eq(t.disks.host.tasks, 0);
	disks_exit(&t.disks);
	worker_stop(&t.worker);
	ring_exit(&t.ring);
	fake_kern_reset();
	ck_assert_uint_eq(fds_open(), fds_before);
	test_log_end();
}

/* ---- the start ---- */

START_TEST(new_disks_are_attached_in_the_order_of_the_file)
{
	begin();
	for (int i = 0; i < DISKS; i++) {
		wait_for(t.job[i]);
		ck_assert_int_eq(t.job[i]->verb, ATTACH);
		for (int j = i + 1; j < DISKS; j++)
			ck_assert_ptr_null(t.job[j]);
		ck_assert(!t.disks.started);
		finish_job(i, 0);
		ck_assert_int_eq(disk(i)->state, DISK_ATTACHED);
	}
	ck_assert(t.disks.started);
	ck_assert(!t.disks.host.failed);
	end();
	for (int i = 0; i < DISKS; i++)
		ck_assert_ptr_null(fake_kern_dev(names[i]));
}
END_TEST

START_TEST(disk_that_fails_is_tried_again_while_others_are_served)
{
	int bad = _i;

	unlink(t.devices[bad].path);
	test_log_expect(LOG_LEVEL_ERROR, "cannot open");
	test_log_expect(LOG_LEVEL_WARNING, "is not served; the server tries it again");
	begin();
	for (int i = 0; i < DISKS; i++) {
		if (i == bad)
			continue;
		wait_for(t.job[i]);
		finish_job(i, 0);
	}
	wait_for(t.disks.started && disk(bad)->state == DISK_FAILED);
	ck_assert_ptr_nonnull(strstr(disk(bad)->why, "No such file"));
	/* The reason is not logged a second time. */
	wait_for(disk(bad)->failures >= 2);
	make_image(bad);
	wait_for(t.job[bad]);
	finish_job(bad, 0);
	ck_assert_int_eq(disk(bad)->state, DISK_ATTACHED);
	ck_assert_uint_eq(disk(bad)->failures, 0);
	ck_assert_uint_eq(test_log_count("is served after"), 1);
}
END_TEST

/* The start ends while a disk that failed is being opened again. */
START_TEST(disk_that_failed_is_reported_whatever_it_does_when_the_start_ends)
{
	unlink(t.devices[1].path);
	test_log_expect(LOG_LEVEL_ERROR, "two: cannot open");
	test_log_expect(LOG_LEVEL_WARNING, "two: is not served; the server tries it again");
	t.time_stops = true;
	begin();
	wait_for(t.job[0] && disk(1)->state == DISK_FAILED);
	disk(1)->state = DISK_OPENING;
	finish_job(0, 0);
	wait_for(t.job[2]);
	finish_job(2, 0);
	ck_assert(t.disks.started);
	ck_assert_int_eq(disk(1)->state, DISK_OPENING);
	disk(1)->state = DISK_FAILED;
}
END_TEST

START_TEST(server_whose_disks_all_fail_ends)
{
	for (int i = 0; i < DISKS; i++) {
		unlink(t.devices[i].path);
		test_log_expect(LOG_LEVEL_ERROR, "cannot open");
	}
	begin();
	wait_for(!t.disks.remaining);
	ck_assert(t.disks.host.failed);
}
END_TEST

/* The last one fails when another one is being opened again. */
START_TEST(server_whose_disks_fail_one_after_the_other_ends)
{
	for (int i = 1; i < DISKS; i++) {
		unlink(t.devices[i].path);
		test_log_expect(LOG_LEVEL_ERROR, "cannot open");
	}
	test_log_expect(LOG_LEVEL_ERROR, "one: cannot attach: No such device");
	t.time_stops = true;
	begin();
	wait_for(t.job[0] && disk(1)->state == DISK_FAILED && disk(2)->state == DISK_FAILED);
	disk(1)->state = DISK_OPENING;
	finish_job(0, -ENODEV);
	wait_for(!t.disks.remaining);
	ck_assert(t.disks.host.failed);
}
END_TEST

START_TEST(disk_that_cannot_be_attached_is_undone_and_tried_again)
{
	bool has_reason = _i;

	test_log_expect(LOG_LEVEL_ERROR,
			has_reason ? "one: no driver" : "one: cannot attach: No such device");
	test_log_expect(LOG_LEVEL_WARNING, "one: is not served");
	begin();
	wait_for(t.job[0]);
	if (has_reason)
		snprintf(t.job[0]->error, sizeof(t.job[0]->error), "one: no driver");
	t.time_stops = true; /* the others are attached before it is tried again */
	finish_job(0, -ENODEV);
	wait_for(disk(0)->state == DISK_FAILED);
	t.time_stops = true; /* or it may be attached before the start ends */
	ck_assert_ptr_null(fake_kern_dev("one"));
	for (int i = 1; i < DISKS; i++) {
		wait_for(t.job[i]);
		finish_job(i, 0);
	}
	t.time_stops = false;
	wait_for(t.job[0]);
	finish_job(0, 0);
	ck_assert_int_eq(disk(0)->state, DISK_ATTACHED);
}
END_TEST

/* As if it had begun to open or to attach so much earlier. */
static void has_taken(int i, uint64_t seconds)
{
	disk(i)->since_ns -= seconds * 1000000000;
	ck_assert(disk(i)->slow_timer.active);
	ring_timer_hurry(&t.ring, &disk(i)->slow_timer);
	for (int turns = 0; turns < 20; turns++)
		turn();
}

/* The first one's job never ends. */
START_TEST(disk_that_is_slow_gives_its_turn_away)
{
	begin();
	wait_for(t.job[0] && disk(1)->state == DISK_CREATED);
	has_taken(0, 5);
	ck_assert_ptr_null(t.job[1]);
	has_taken(0, 6);
	wait_for(t.job[1]);
	ck_assert_ptr_nonnull(t.job[0]);
	finish_job(1, 0);
	wait_for(t.job[2]);
	finish_job(2, 0);
	ck_assert(!t.disks.started);
	finish_job(0, 0);
	ck_assert(t.disks.started);
	ck_assert_uint_eq(test_log_count("is not served"), 0);
}
END_TEST

/* It is served when it can be. */
START_TEST(start_ends_without_a_disk_that_takes_too_long)
{
	begin();
	wait_for(t.job[0]);
	has_taken(0, 11);
	for (int i = 1; i < DISKS; i++) {
		wait_for(t.job[i]);
		finish_job(i, 0);
	}
	has_taken(0, 15);
	ck_assert(!t.disks.started);
	has_taken(0, 5);
	ck_assert(t.disks.started);
	ck_assert_uint_eq(test_log_count("one: is not served yet: it is attaching"), 1);
	ck_assert_uint_eq(test_log_count("is not served"), 1);
	ck_assert(!disk(0)->slow_timer.active);
	finish_job(0, 0);
	ck_assert_int_eq(disk(0)->state, DISK_ATTACHED);
}
END_TEST

static void begin_and_finish_jobs(void)
{
	begin();
	for (unsigned int left = TURNS; !t.disks.started; left--) {
		ck_assert(left);
		for (int i = 0; i < DISKS; i++)
			if (t.job[i])
				finish_job(i, 0);
		turn();
	}
}

START_TEST(two_paths_to_the_same_bytes_are_refused)
{
	unlink(t.devices[2].path);
	ck_assert_int_eq(link(t.devices[0].path, t.devices[2].path), 0);
	t.devices[0].size = t.devices[2].size = 512 << 10;
	t.devices[2].offset = _i ? 512 << 10 : 0;
	test_log_allow(LOG_LEVEL_WARNING, "open for writing too"); /* the other's task */
	if (!_i) {
		test_log_allow(LOG_LEVEL_ERROR, "shares bytes with disk ");
		test_log_allow(LOG_LEVEL_ERROR, "in use by another process");
		test_log_expect(LOG_LEVEL_WARNING, "is not served");
	}
	begin_and_finish_jobs();
	ck_assert_int_eq((disk(0)->state == DISK_ATTACHED) + (disk(2)->state == DISK_ATTACHED),
			 _i ? 2 : 1);
}
END_TEST

START_TEST(only_readers_share_their_bytes)
{
	bool one_writes = _i;

	unlink(t.devices[2].path);
	ck_assert_int_eq(link(t.devices[0].path, t.devices[2].path), 0);
	t.devices[0].readonly = true;
	t.devices[2].readonly = !one_writes;
	if (one_writes) {
		test_log_allow(LOG_LEVEL_WARNING, "open for writing too");
		test_log_allow(LOG_LEVEL_ERROR, "shares bytes with disk ");
		test_log_allow(LOG_LEVEL_ERROR, "in use by another process");
		test_log_expect(LOG_LEVEL_WARNING, "is not served");
	}
	begin_and_finish_jobs();
	ck_assert_int_eq((disk(0)->state == DISK_ATTACHED) + (disk(2)->state == DISK_ATTACHED),
			 one_writes ? 1 : 2);
}
END_TEST

/* It was removed from the bus, and cannot be made again: the log says so as at the start. */
START_TEST(disk_that_fails_later_is_reported_too)
{
	begin_attached();
	fake_kern_fail(FAKE_CREATE, 1, -EPERM);
	set_bus(1, VDPA_ABSENT, "");
	test_log_expect(LOG_LEVEL_WARNING, "two: another program removed it from the vdpa bus");
	test_log_expect(LOG_LEVEL_ERROR, "two: cannot create the VDUSE device");
	test_log_expect(LOG_LEVEL_WARNING, "two: is not served; the server tries it again");
	disk(1)->device.driver_changed(&disk(1)->device);
	wait_for(t.job[1]);
	ck_assert_int_eq(t.job[1]->verb, ATTACH);
	finish_job(1, 0);
	ck_assert_int_eq(disk(1)->state, DISK_ATTACHED);
	ck_assert_uint_eq(test_log_count("two: is served after 1 failed attempts"), 1);
}
END_TEST

/* ---- the end ---- */

START_TEST(last_disk_is_detached_first)
{
	begin_attached();
	t.submitted = 0;
	disks_stop(&t.disks, false);
	for (int i = 0; i < DISKS; i++)
		ck_assert_int_eq(t.order[i], DISKS - 1 - i);
	ck_assert_int_eq(t.submitted, DISKS);
}
END_TEST

/* Neither another signal nor a second request to leave has an effect then. */
START_TEST(server_that_leaves_detaches_nothing)
{
	begin_attached();
	disks_leave(&t.disks);
	disks_leave(&t.disks);
	disks_stop(&t.disks, false);
	disks_stop(&t.disks, true);
	wait_for(!t.disks.remaining);
	for (int i = 0; i < DISKS; i++) {
		ck_assert_ptr_null(t.job[i]);
		ck_assert_ptr_nonnull(fake_kern_dev(names[i]));
	}
	ck_assert_uint_eq(test_log_count("leaving all disks as they are"), 1);
}
END_TEST

START_TEST(busy_disk_is_served_until_it_is_free)
{
	begin_attached();
	disks_stop(&t.disks, false);
	for (int i = 0; i < DISKS; i++)
		ck_assert_int_eq(t.job[i]->verb, DETACH_UNUSED);
	finish_job(0, 0);
	finish_job(2, 0);
	finish_job(1, -EBUSY);
	ck_assert_int_eq(disk(1)->state, DISK_BUSY);
	wait_for(t.job[1]);
	finish_job(1, -EBUSY);
	t.time_stops = true;
	wait_for(t.disks.remaining == 1);
	ck_assert_int_eq(disk(1)->state, DISK_BUSY);
	disks_stop(&t.disks, true);
	wait_for(t.job[1]);
	ck_assert_int_eq(t.job[1]->verb, DETACH_FORCE);
	finish_job(1, 0);
	wait_for(!t.disks.remaining);
	ck_assert(!t.disks.host.failed);
}
END_TEST

START_TEST(disk_that_cannot_be_detached_by_force_stays_in_the_kernel)
{
	begin_attached();
	disks_stop(&t.disks, true);
	test_log_expect(LOG_LEVEL_ERROR, _i ? "two: is still being removed by another process"
					    : "two: /dev/vdb is still in use");
	snprintf(t.job[1]->node, sizeof(t.job[1]->node), "/dev/vdb");
	finish_job(1, _i ? -EINPROGRESS : -EBUSY);
	finish_job(0, 0);
	finish_job(2, 0);
	wait_for(!t.disks.remaining);
	ck_assert(t.disks.host.failed);
	ck_assert_ptr_nonnull(fake_kern_dev("two"));
	ck_assert_ptr_null(fake_kern_dev("one"));
}
END_TEST

/* The log names the user of a disk once, after a time in which a program such as udev can close it. */
START_TEST(disk_that_stays_in_use_is_named_once)
{
	begin_attached();
	test_log_expect(LOG_LEVEL_WARNING,
			_i ? "two: is being removed by another process; it is served until the "
			     "removal has ended, or until a second signal"
			   : "two: /dev/vdb is in use: mkfs (4711); it is served until it is no "
			     "longer in use, or until a second signal");
	disks_stop(&t.disks, false);
	for (int i = 0; i < 12; i++) {
		wait_for(t.job[1]);
		snprintf(t.job[1]->node, sizeof(t.job[1]->node), "/dev/vdb");
		snprintf(t.job[1]->users, sizeof(t.job[1]->users), "mkfs (4711)");
		ck_assert_uint_eq(test_log_count("two:"), i >= 10);
		finish_job(1, _i ? -EINPROGRESS : -EBUSY);
		ck_assert_int_eq(disk(1)->state, DISK_BUSY);
	}
}
END_TEST

START_TEST(disk_in_use_is_left_when_another_server_comes)
{
	begin_attached();
	disks_stop(&t.disks, false);
	finish_job(0, 0);
	finish_job(2, 0);
	disks_leave(&t.disks);
	ck_assert_int_eq(disk(1)->state, DISK_DETACHING);
	finish_job(1, -EBUSY);
	wait_for(!t.disks.remaining);
	ck_assert_ptr_nonnull(fake_kern_dev("two"));
	ck_assert(!t.disks.host.failed);
}
END_TEST

START_TEST(device_that_waits_for_its_turn_is_destroyed_at_a_stop)
{
	begin();
	wait_for(t.job[0] && disk(1)->state == DISK_CREATED);
	disks_stop(&t.disks, false);
	ck_assert_ptr_null(t.job[1]); /* no driver ever had it */
	end();
	ck_assert_ptr_null(fake_kern_dev("two"));
}
END_TEST

START_TEST(stop_while_a_disk_is_being_attached_detaches_it)
{
	begin();
	wait_for(t.job[0]);
	disks_stop(&t.disks, false);
	finish_job(0, _i ? -ENODEV : 0);
	if (!_i) {
		ck_assert_int_eq(t.job[0]->verb, DETACH_UNUSED);
		finish_job(0, 0);
	}
	wait_for(!t.disks.remaining);
	ck_assert_ptr_null(fake_kern_dev("one"));
}
END_TEST

START_TEST(stop_while_stores_are_being_opened_does_not_wait)
{
	begin();
	disks_stop(&t.disks, false);
	ck_assert_uint_eq(t.disks.remaining, 0);
	ck_assert_uint_eq(t.disks.host.tasks, DISKS);
	disks_reap(&t.disks);
	ck_assert_uint_eq(t.disks.ended, DISKS); /* the tasks use them */
}
END_TEST

START_TEST(leaving_keeps_all_in_the_kernel)
{
	begin_attached();
	disks_leave(&t.disks);
	wait_for(!t.disks.remaining);
	for (int i = 0; i < DISKS; i++) {
		ck_assert_ptr_null(t.job[i]);
		ck_assert_ptr_nonnull(fake_kern_dev(names[i]));
	}
	ck_assert(!t.disks.host.failed);
}
END_TEST

/* ---- another server ---- */

static void done(struct disk_command *command, int err)
{
	ck_assert_ptr_null(command->disk);
	ck_assert(!t.done); /* once */
	t.done = true;
	t.err = err;
}

START_TEST(disk_is_handed_over_and_the_others_stay)
{
	struct disk_command release = { .verb = DISK_RELEASE, .done = done };

	begin_attached();
	disk_command(disk(1), &release);
	wait_for(t.done);
	ck_assert_int_eq(t.err, 0);
	ck_assert_int_eq(disk(1)->state, DISK_RELEASED);
	ck_assert_int_eq(fake_kern_dev("two")->fd, -1);
	ck_assert_ptr_null(disk(1)->device.backend);
	ck_assert_int_eq(disk(0)->state, DISK_ATTACHED);
	if (_i) {
		disk_forget(disk(1));
		ck_assert_uint_eq(t.disks.remaining, DISKS - 1);
		return;
	}
	disk_take_back(disk(1));
	wait_for(t.job[1]);
	ck_assert_int_eq(t.job[1]->verb, ADOPT);
	finish_job(1, 0);
	ck_assert_int_eq(disk(1)->state, DISK_ATTACHED);
}
END_TEST

START_TEST(release_that_is_called_off_while_it_is_under_way)
{
	struct disk_command release = { .verb = DISK_RELEASE, .done = done };

	begin_attached();
	disk_command(disk(1), &release);
	ck_assert_int_eq(disk(1)->state, DISK_CLOSING);
	disk_take_back(disk(1));
	wait_for(t.job[1]);
	ck_assert_int_eq(t.job[1]->verb, ADOPT);
	finish_job(1, 0);
	ck_assert(!t.done);
	ck_assert_int_eq(disk(1)->state, DISK_ATTACHED);
}
END_TEST

START_TEST(release_that_is_called_off_while_the_server_stops)
{
	struct disk_command release = { .verb = DISK_RELEASE, .done = done };

	begin_attached();
	disk_command(disk(1), &release);
	ck_assert_int_eq(disk(1)->state, DISK_CLOSING);
	disks_stop(&t.disks, false);
	disk_take_back(disk(1));
	wait_for(t.job[1]);
	ck_assert_int_eq(t.job[1]->verb, ADOPT);
	finish_job(1, 0);
	ck_assert_int_eq(t.job[1]->verb, DETACH_UNUSED);
	end();
	ck_assert(!t.done);
	ck_assert_ptr_null(fake_kern_dev("two"));
}
END_TEST

/* By a second signal it is given up, which is told. */
START_TEST(stop_while_a_disk_is_taken_back)
{
	struct disk_command release = { .verb = DISK_RELEASE, .done = done };

	begin_attached();
	disk_command(disk(1), &release);
	wait_for(t.done);
	disk_take_back(disk(1));
	ck_assert_int_eq(disk(1)->state, DISK_OPENING);
	disks_stop(&t.disks, false);
	if (_i) {
		test_log_expect(LOG_LEVEL_ERROR,
				"two: could not be opened again after a cancelled takeover");
		disks_stop(&t.disks, true);
		end();
		ck_assert(t.disks.host.failed);
		ck_assert_ptr_nonnull(fake_kern_dev("two"));
		return;
	}
	wait_for(t.job[1]);
	ck_assert_int_eq(t.job[1]->verb, ADOPT);
	end();
	ck_assert(!t.disks.host.failed);
	ck_assert_ptr_null(fake_kern_dev("two"));
}
END_TEST

/* A server that stops has disks in use, and another one takes them over. */
START_TEST(disk_in_use_is_handed_over_by_a_server_that_stops)
{
	struct disk_command release = { .verb = DISK_RELEASE, .done = done };

	begin_attached();
	disks_stop(&t.disks, false);
	ck_assert_int_eq(t.job[1]->verb, DETACH_UNUSED);
	disk_command(disk(1), &release);
	ck_assert(!t.done);
	finish_job(1, -EBUSY);
	wait_for(t.done);
	ck_assert_int_eq(t.err, 0);
	ck_assert_int_eq(disk(1)->state, DISK_RELEASED);
	ck_assert_ptr_nonnull(fake_kern_dev("two"));
	disk_forget(disk(1));
}
END_TEST

/* Its timer for the next attempt runs when it is handed over. */
START_TEST(disk_that_failed_is_handed_over_and_taken_back)
{
	struct disk_command release = { .verb = DISK_RELEASE, .done = done };

	unlink(t.devices[2].path);
	test_log_expect(LOG_LEVEL_ERROR, "cannot open");
	test_log_expect(LOG_LEVEL_WARNING, "is not served; the server tries it again");
	begin();
	for (int i = 0; i < 2; i++) {
		wait_for(t.job[i]);
		finish_job(i, 0);
	}
	wait_for(disk(2)->state == DISK_FAILED);
	disk_command(disk(2), &release);
	ck_assert(t.done);
	make_image(2);
	disk_take_back(disk(2));
	wait_for(t.job[2]);
	finish_job(2, 0);
}
END_TEST

START_TEST(disk_of_another_server_waits_for_its_release)
{
	ck_assert_int_eq(disks_add_all(&t.disks), 0);
	disks_hold(&t.disks, "one");
	disks_start(&t.disks);
	ck_assert_int_eq(disk(0)->state, DISK_WAITING);
	wait_for(t.job[1]); /* its turn comes though the first waits */
	finish_job(1, 0);
	wait_for(t.job[2]);
	finish_job(2, 0);
	disk_released(disk(0));
	wait_for(t.job[0]);
	finish_job(0, 0);
	ck_assert(t.disks.started);
}
END_TEST

/* It ends while it waits for its release: who waits is told. */
START_TEST(disk_that_is_left_ends_its_release)
{
	struct disk_command release = { .verb = DISK_RELEASE, .done = done };

	begin();
	wait_for(t.job[0]);
	disk_command(disk(0), &release);
	disks_leave(&t.disks);
	ck_assert(!t.done);
	finish_job(0, 0);
	wait_for(t.done);
	ck_assert_int_eq(t.err, 0);
	ck_assert_ptr_null(disk(0));
}
END_TEST

/* ---- rescue ---- */

/* A device that no server has any more, and that its driver has. */
static void begin_rescue(void)
{
	t.config.device_count = 1;
	t.devices[0].rescue = t.disks.host.rescue = true;
	unlink(t.devices[0].path);
	t.devices[0].path = (char *)"error:";
	t.devices[0].size = 1 << 20;
	fake_kern_orphan("one");
	set_bus(0, VDPA_BOUND, "/dev/vda");
	begin();
}

START_TEST(rescue_detaches_at_once)
{
	begin_rescue();
	wait_for(t.job[0]);
	ck_assert_int_eq(t.job[0]->verb, DETACH_UNUSED);
	ck_assert_str_eq(disk(0)->device.backend->identity, ""); /* no store */
	finish_job(0, -EBUSY);					 /* served until it is free */
	wait_for(t.job[0]);
	finish_job(0, 0);
	wait_for(!t.disks.remaining);
	ck_assert_ptr_null(fake_kern_dev("one"));
	ck_assert(!t.disks.host.failed);
}
END_TEST

/* A rescue that fails is not tried again: it ends. */
START_TEST(rescue_that_fails_ends)
{
	fake_kern_fail(FAKE_OPEN_DEV, 2, -EIO);
	test_log_expect(LOG_LEVEL_ERROR, "one: cannot open");
	begin_rescue();
	wait_for(!t.disks.remaining);
	ck_assert(t.disks.host.failed);
	ck_assert_ptr_nonnull(fake_kern_dev("one"));
}
END_TEST

/* ---- disks that come and go ---- */

static struct disk_command removal;

static void remove_disk(int i, bool force)
{
	t.done = false;
	removal = (struct disk_command){ .verb = DISK_REMOVE, .force = force, .done = done };
	disk_command(disk(i), &removal);
}

/* Serves the first two; the third one comes later. */
static void begin_two(void)
{
	t.config.device_count = 2;
	begin();
	for (int i = 0; i < 2; i++) {
		wait_for(t.job[i]);
		finish_job(i, 0);
	}
	ck_assert(t.disks.started);
}

static void add_third(void)
{
	struct disk *added;

	ck_assert_int_eq(disks_add(&t.disks, &t.devices[2], &added), 0);
	ck_assert_ptr_eq(added, disk(2));
	disk_start(added, false);
}

static void expect_two_served(void)
{
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(disk(i)->state, DISK_ATTACHED);
		ck_assert_ptr_null(t.job[i]);
	}
	ck_assert(!t.disks.host.failed);
}

START_TEST(disk_is_made_and_ended_while_others_serve)
{
	begin_two();
	for (int round = 0; round < 3; round++) {
		char path[256];

		strcpy(path, t.devices[2].path);
		t.devices[2].path = path;
		add_third();
		ck_assert_int_eq(disks_add(&t.disks, &t.devices[2], NULL), -EEXIST);
		memset(path, 'x', 5); /* it has a copy of its own */
		wait_for(t.job[2]);
		ck_assert_int_eq(t.job[2]->verb, ATTACH);
		finish_job(2, 0);
		ck_assert_int_eq(disk(2)->state, DISK_ATTACHED);
		remove_disk(2, false);
		ck_assert_int_eq(t.job[2]->verb, DETACH_UNUSED);
		finish_job(2, -EBUSY);
		ck_assert_int_eq(disk(2)->state, DISK_BUSY);
		wait_for(t.job[2]);
		ck_assert(!t.done);
		finish_job(2, 0);
		wait_for(t.done);
		ck_assert_int_eq(t.err, 0);
		ck_assert_ptr_null(disk(2));
		ck_assert_ptr_null(fake_kern_dev("three"));
		wait_for(!t.disks.ended); /* its memory is free */
		expect_two_served();
		t.devices[2].path = temp_path("%s-%d", names[2], getpid());
	}
	ck_assert_uint_eq(t.disks.remaining, 2);
}
END_TEST

static unsigned int ends;

static void count_ends(struct disks *disks, struct disk *ended)
{
	ck_assert_ptr_eq(disks, &t.disks);
	ends += ended->state == DISK_GONE && !strcmp(ended->config->name, "three");
}

/* A takeover that is under way has to know. */
START_TEST(end_of_a_disk_is_watched)
{
	t.disks.watch = count_ends;
	ends = 0;
	begin_attached();
	remove_disk(2, false);
	finish_job(2, 0);
	wait_for(t.done);
	ck_assert_uint_eq(ends, 1);
}
END_TEST

/* Whatever it is doing; but for CREATED: disk_that_is_ended_gives_its_turn_away. */
static const enum disk_state states[] = { DISK_OPENING, DISK_FAILED, DISK_ATTACHING,
					  DISK_ATTACHED };

START_TEST(disk_is_ended_in_each_state)
{
	enum disk_state state = states[_i];

	begin_two();
	if (state == DISK_FAILED) {
		test_log_expect(LOG_LEVEL_ERROR, "three: cannot open");
		test_log_expect(LOG_LEVEL_WARNING, "three: is not served");
		unlink(t.devices[2].path);
	}
	add_third();
	if (state != DISK_OPENING)
		wait_for(disk(2)->state == MIN(state, DISK_ATTACHING));
	if (state == DISK_ATTACHED)
		finish_job(2, 0);
	ck_assert_int_eq(disk(2)->state, state);
	remove_disk(2, false);
	if (state == DISK_ATTACHING)
		finish_job(2, 0);
	if (state == DISK_ATTACHING || state == DISK_ATTACHED)
		finish_job(2, 0);
	wait_for(t.done);
	ck_assert_int_eq(t.err, 0);
	ck_assert_ptr_null(disk(2));
	wait_for(!t.disks.ended);
	ck_assert_ptr_null(fake_kern_dev("three"));
	expect_two_served();
}
END_TEST

/* The last one is ended while the start waits for it. */
START_TEST(start_does_not_wait_for_a_disk_that_is_ended)
{
	begin();
	wait_for(t.job[0]);
	finish_job(0, 0);
	wait_for(t.job[1]);
	remove_disk(2, false);
	finish_job(1, 0);
	wait_for(!disk(2));
	ck_assert(t.disks.started);
	expect_two_served();
}
END_TEST

/* One that cannot be attached does not keep the turn of those that come later. */
START_TEST(disk_that_is_ended_gives_its_turn_away)
{
	begin();
	wait_for(t.job[0] && disk(1)->state == DISK_CREATED);
	wait_for(disk(2)->state == DISK_CREATED);
	remove_disk(1, false);
	finish_job(0, 0);
	wait_for(t.job[2]);
	finish_job(2, 0);
	wait_for(!disk(1));
	ck_assert_int_eq(disk(2)->state, DISK_ATTACHED);
	ck_assert(t.disks.started);
}
END_TEST

START_TEST(no_disk_is_made_while_all_end)
{
	begin_two();
	disks_stop(&t.disks, false);
	ck_assert_int_eq(disks_add(&t.disks, &t.devices[2], NULL), -ESHUTDOWN);
	finish_job(0, -EBUSY);
	finish_job(1, 0);
	ck_assert_int_eq(disks_add(&t.disks, &t.devices[2], NULL), -ESHUTDOWN);
}
END_TEST

/* The one who asked goes away: the disk is served on, as far as it still is. */
START_TEST(removal_is_called_off)
{
	enum disk_state state = _i < 2 ? DISK_DETACHING : DISK_BUSY;
	bool detached = _i == 1, all_stop = _i == 3;

	begin_attached();
	remove_disk(1, false);
	if (state == DISK_BUSY)
		finish_job(1, -EBUSY);
	ck_assert_int_eq(disk(1)->state, state);
	if (all_stop)
		disks_stop(&t.disks, false);
	disk_command_cancel(&removal);
	disk_command_cancel(&removal); /* no effect any more */
	if (state == DISK_DETACHING)
		finish_job(1, detached ? 0 : -EBUSY);
	if (detached || all_stop) {
		end();
		ck_assert_ptr_null(disk(1));
	} else {
		ck_assert_int_eq(disk(1)->state, DISK_ATTACHED);
		wait_for(!disk(1)->timer.active && !disk(1)->watch.active);
		ck_assert_int_eq(disk(1)->state, DISK_ATTACHED);
		ck_assert_ptr_null(t.job[1]);
		remove_disk(1, false); /* and can be asked again */
		finish_job(1, 0);
		wait_for(t.done);
	}
	ck_assert(!t.disks.host.failed);
}
END_TEST

START_TEST(removal_by_force_detaches_a_disk_in_use)
{
	begin_attached();
	remove_disk(1, true);
	ck_assert_int_eq(t.job[1]->verb, DETACH_FORCE);
	if (!_i) {
		finish_job(1, 0);
		wait_for(t.done);
		ck_assert_int_eq(t.err, 0);
		return;
	}
	test_log_expect(LOG_LEVEL_ERROR, "is still in use");
	finish_job(1, -EBUSY); /* a virtual machine has it */
	wait_for(t.done);
	ck_assert_int_eq(t.err, -EBUSY);
	ck_assert_ptr_nonnull(fake_kern_dev("two"));
}
END_TEST

START_TEST(disk_takes_one_command_at_a_time)
{
	struct disk_command release = { .verb = DISK_RELEASE, .done = done };
	struct disk_command second = removal =
		(struct disk_command){ .verb = DISK_REMOVE, .done = done };

	begin_attached();
	disk_command(disk(1), &release);
	disk_command(disk(1), &second);
	ck_assert(t.done);
	ck_assert_int_eq(t.err, -EBUSY);
	disk_command_cancel(&second); /* of the release, no effect */
	t.done = false;
	wait_for(t.done);
	ck_assert_int_eq(t.err, 0);
	ck_assert_int_eq(disk(1)->state, DISK_RELEASED);
	remove_disk(1, false); /* the new server's */
	ck_assert(t.done);
	ck_assert_int_eq(t.err, -EBUSY);
	disk_forget(disk(1));
}
END_TEST

/* A release is called off as a removal is; disks that were not asked for are not taken back. */
START_TEST(release_is_cancelled)
{
	struct disk_command release = { .verb = DISK_RELEASE, .done = done };

	begin_attached();
	disk_take_back(disk(0));
	disk_forget(disk(0));
	ck_assert_int_eq(disk(0)->state, DISK_ATTACHED);
	disk_command(disk(1), &release);
	disk_command_cancel(&release);
	wait_for(t.job[1]);
	ck_assert_int_eq(t.job[1]->verb, ADOPT);
	finish_job(1, 0);
	ck_assert(!t.done);
}
END_TEST

/* ---- other programs ---- */

START_TEST(removed_device_is_recreated_and_served_when_it_comes_back)
{
	struct fake_dev *before;

	begin_attached();
	before = fake_kern_dev("two");
	before->msg_timeout = 4711; /* to be recognized */
	set_bus(1, VDPA_ABSENT, "");
	test_log_expect(LOG_LEVEL_WARNING, "two: another program removed it from the vdpa bus");
	disk(1)->device.driver_changed(&disk(1)->device);
	wait_for(disk(1)->state == DISK_REMOVED);
	ck_assert_uint_ne(fake_kern_dev("two")->msg_timeout, 4711);
	ck_assert_str_eq(disk(1)->job.node, "");
	ck_assert_ptr_null(t.job[1]);

	wait_for(disk(1)->device.vduse.messages.ring);
	set_bus(1, VDPA_BOUND, "/dev/vdx");
	disk(1)->device.driver_changed(&disk(1)->device);
	wait_for(disk(1)->state == DISK_ATTACHED);
	ck_assert_str_eq(disk(1)->job.node, "/dev/vdx");
}
END_TEST

/* "vdpa dev del" and "vdpa dev add", one right after the other. */
START_TEST(removed_device_that_is_back_already_is_adopted)
{
	struct fake_dev *dev;

	begin_attached();
	dev = fake_kern_dev("two");
	dev->msg_timeout = 4711; /* to be recognized */
	set_bus(1, VDPA_ABSENT, "");
	test_log_expect(LOG_LEVEL_WARNING, "two: another program removed it from the vdpa bus");
	disk(1)->device.driver_changed(&disk(1)->device);
	t.job[1] = NULL;
	wait_for(disk(1)->state == DISK_CLOSING);
	set_bus(1, VDPA_BOUND, "/dev/vdx");
	t.bus[1] = VDPA_ABSENT; /* not in sysfs yet */
	wait_for(t.job[1]);
	ck_assert_int_eq(t.job[1]->verb, ADOPT);
	finish_job(1, 0);
	ck_assert_int_eq(disk(1)->state, DISK_ATTACHED);
	ck_assert_uint_eq(fake_kern_dev("two")->msg_timeout, 4711);
}
END_TEST

START_TEST(unbound_device_is_shown_and_served_again)
{
	begin_attached();
	t.bus[0] = VDPA_UNBOUND;
	test_log_expect(LOG_LEVEL_WARNING, "one: another program unbound its driver");
	disk(0)->device.driver_changed(&disk(0)->device);
	wait_for(disk(0)->state == DISK_UNBOUND);
	t.bus[0] = VDPA_BOUND;
	disk(0)->device.driver_changed(&disk(0)->device);
	wait_for(disk(0)->state == DISK_ATTACHED);
}
END_TEST

/* The driver is reset or started: the only sign that another program may have changed the bus. */
static void driver_changes(int i)
{
	disk(i)->device.driver_changed(&disk(i)->device);
	ck_assert(disk(i)->watch.active);
}

START_TEST(driver_that_only_restarts_changes_nothing)
{
	begin_attached();
	driver_changes(0);
	wait_for(!disk(0)->watch.active);
	ck_assert_int_eq(disk(0)->state, DISK_ATTACHED);
	ck_assert_str_eq(disk(0)->job.node, "/dev/vda");
	ck_assert_uint_eq(test_log_count("another program"), 0);
}
END_TEST

START_TEST(driver_that_is_bound_again_may_give_another_node)
{
	begin_attached();
	set_bus(0, VDPA_BOUND, "/dev/vdx");
	driver_changes(0);
	wait_for(!disk(0)->watch.active);
	ck_assert_int_eq(disk(0)->state, DISK_ATTACHED);
	ck_assert_str_eq(disk(0)->job.node, "/dev/vdx");
	ck_assert_uint_eq(test_log_count("one: another program attached it"), 1);
}
END_TEST

START_TEST(changes_of_the_bus_are_told_once)
{
	begin_attached();
	test_log_expect(LOG_LEVEL_WARNING, "one: another program unbound its driver: /dev/vda is");
	t.bus[0] = VDPA_UNBOUND;
	test_log_expect(LOG_LEVEL_WARNING, "two: another program removed it");
	set_bus(1, VDPA_REMOVING, "");
	for (int i = 0; i < 2; i++)
		driver_changes(i);
	wait_for(disk(0)->state == DISK_UNBOUND);
	ck_assert_str_eq(disk(0)->job.node, "");
	ck_assert_int_eq(disk(1)->state, DISK_ATTACHED); /* until it is gone */
	set_bus(1, VDPA_ABSENT, "");
	wait_for(disk(1)->state == DISK_REMOVED);
	for (int i = 0; i < 2; i++) {
		driver_changes(i);
		wait_for(!disk(i)->watch.active);
	}
	ck_assert_int_eq(disk(0)->state, DISK_UNBOUND);
	ck_assert_int_eq(disk(1)->state, DISK_REMOVED);
}
END_TEST

/* The driver creates the disk, and udev its node, some time after it was bound. */
START_TEST(node_that_comes_late_is_waited_for)
{
	begin_attached();
	t.bus[0] = VDPA_UNBOUND;
	test_log_expect(LOG_LEVEL_WARNING, "one: another program unbound its driver");
	driver_changes(0);
	wait_for(disk(0)->state == DISK_UNBOUND);
	set_bus(0, VDPA_BOUND, "");
	driver_changes(0);
	wait_for(disk(0)->node_checks == 2);
	ck_assert_int_eq(disk(0)->state, DISK_UNBOUND);
	if (_i) {
		set_bus(0, VDPA_BOUND, "/dev/vdx");
		wait_for(disk(0)->state == DISK_ATTACHED);
		ck_assert_str_eq(disk(0)->job.node, "/dev/vdx");
		return;
	}
	disk(0)->node_checks = 18; /* time has passed: not for ever */
	wait_for(!disk(0)->watch.active);
	ck_assert_int_eq(disk(0)->state, DISK_UNBOUND);
}
END_TEST

/* A disk that this server detaches, or that another server has, is not looked at. */
START_TEST(bus_is_not_watched_at_the_end)
{
	struct disk_command release = { .verb = DISK_RELEASE, .done = done };
	bool stops = _i;

	begin_attached();
	driver_changes(1);
	if (stops) {
		disks_stop(&t.disks, false);
	} else {
		disk_command(disk(1), &release);
		wait_for(t.done);
	}
	t.bus[1] = VDPA_ABSENT;
	wait_for(!disk(1)->watch.active);
	ck_assert_int_eq(disk(1)->state, stops ? DISK_DETACHING : DISK_RELEASED);
	if (!stops)
		disk_forget(disk(1));
}
END_TEST

/* It is another program's removal: the disk is made again when it has ended. */
START_TEST(disk_whose_removal_was_under_way_is_recreated)
{
	struct disk_command release = { .verb = DISK_RELEASE, .done = done };

	begin_attached();
	disk_command(disk(1), &release);
	wait_for(t.done);
	disk_take_back(disk(1));
	for (int i = 0; i < 3; i++) {
		wait_for(t.job[1]);
		ck_assert_int_eq(t.job[1]->verb, ADOPT);
		finish_job(1, -EINPROGRESS);
		ck_assert_int_eq(disk(1)->state, DISK_CREATED);
	}
	ck_assert_uint_eq(test_log_count("two: is being removed by another process"), 1);
	wait_for(t.job[1]);
	set_bus(1, VDPA_ABSENT, "");
	finish_job(1, -ESTALE);
	wait_for(t.job[1]);
	ck_assert_int_eq(t.job[1]->verb, ATTACH);
	ck_assert_uint_eq(test_log_count("two: was removed from the vdpa bus"), 1);
	finish_job(1, 0);
	ck_assert_int_eq(disk(1)->state, DISK_ATTACHED);
}
END_TEST

/* A removal that was under way when this server came goes on when the server is to end. */
START_TEST(stop_waits_for_a_removal_that_was_under_way_before)
{
	struct disk_command release = { .verb = DISK_RELEASE, .done = done };

	begin_attached();
	disk_command(disk(1), &release);
	wait_for(t.done);
	disk_take_back(disk(1));
	wait_for(t.job[1]);
	finish_job(1, -EINPROGRESS);
	ck_assert_int_eq(disk(1)->state, DISK_CREATED);
	disks_stop(&t.disks, false);
	ck_assert_int_eq(t.job[1]->verb, DETACH_UNUSED);
	finish_job(1, -EINPROGRESS);
	ck_assert_int_eq(disk(1)->state, DISK_BUSY);
	wait_for(t.job[1]);
	end();
}
END_TEST

START_TEST(main_thread_does_not_close_a_store)
{
	struct disk_command release = { .verb = DISK_RELEASE, .done = done };
	struct stat st;

	begin_attached();
	ck_assert_int_eq(stat(t.devices[1].path, &st), 0);
	main_thread = gettid();
	watched_store = st.st_ino;
	fake_kern_watch_close = watch_close;
	disk_command(disk(1), &release);
	wait_for(t.done);
	watched_store = 0;
	disk_forget(disk(1));
	ck_assert(!main_closed_store);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("disk");
	TCase *tc = suite_case(suite, "disk", setup, teardown);

	tcase_add_unchecked_fixture(tc, temp_dir_make, temp_dir_remove);
	tcase_add_test(tc, new_disks_are_attached_in_the_order_of_the_file);
	tcase_add_loop_test(tc, disk_that_fails_is_tried_again_while_others_are_served, 0, DISKS);
	tcase_add_test(tc, disk_that_failed_is_reported_whatever_it_does_when_the_start_ends);
	tcase_add_test(tc, server_whose_disks_all_fail_ends);
	tcase_add_test(tc, server_whose_disks_fail_one_after_the_other_ends);
	tcase_add_loop_test(tc, disk_that_cannot_be_attached_is_undone_and_tried_again, 0, 2);
	tcase_add_test(tc, disk_that_is_slow_gives_its_turn_away);
	tcase_add_test(tc, start_ends_without_a_disk_that_takes_too_long);
	tcase_add_loop_test(tc, two_paths_to_the_same_bytes_are_refused, 0, 2);
	tcase_add_loop_test(tc, only_readers_share_their_bytes, 0, 2);
	tcase_add_test(tc, disk_that_fails_later_is_reported_too);
	tcase_add_test(tc, last_disk_is_detached_first);
	tcase_add_test(tc, server_that_leaves_detaches_nothing);
	tcase_add_test(tc, busy_disk_is_served_until_it_is_free);
	tcase_add_loop_test(tc, disk_that_cannot_be_detached_by_force_stays_in_the_kernel, 0, 2);
	tcase_add_loop_test(tc, disk_that_stays_in_use_is_named_once, 0, 2);
	tcase_add_test(tc, disk_in_use_is_left_when_another_server_comes);
	tcase_add_test(tc, device_that_waits_for_its_turn_is_destroyed_at_a_stop);
	tcase_add_loop_test(tc, stop_while_a_disk_is_being_attached_detaches_it, 0, 2);
	tcase_add_test(tc, stop_while_stores_are_being_opened_does_not_wait);
	tcase_add_test(tc, leaving_keeps_all_in_the_kernel);
	tcase_add_loop_test(tc, disk_is_handed_over_and_the_others_stay, 0, 2);
	tcase_add_test(tc, release_that_is_called_off_while_it_is_under_way);
	tcase_add_test(tc, release_that_is_called_off_while_the_server_stops);
	tcase_add_loop_test(tc, stop_while_a_disk_is_taken_back, 0, 2);
	tcase_add_test(tc, disk_in_use_is_handed_over_by_a_server_that_stops);
	tcase_add_test(tc, disk_that_failed_is_handed_over_and_taken_back);
	tcase_add_test(tc, disk_of_another_server_waits_for_its_release);
	tcase_add_test(tc, disk_that_is_left_ends_its_release);
	tcase_add_test(tc, rescue_detaches_at_once);
	tcase_add_test(tc, rescue_that_fails_ends);
	tcase_add_test(tc, disk_is_made_and_ended_while_others_serve);
	tcase_add_test(tc, start_does_not_wait_for_a_disk_that_is_ended);
	tcase_add_test(tc, disk_that_is_ended_gives_its_turn_away);
	tcase_add_test(tc, no_disk_is_made_while_all_end);
	tcase_add_test(tc, end_of_a_disk_is_watched);
	tcase_add_loop_test(tc, removal_is_called_off, 0, 4);
	tcase_add_loop_test(tc, removal_by_force_detaches_a_disk_in_use, 0, 2);
	tcase_add_test(tc, disk_takes_one_command_at_a_time);
	tcase_add_test(tc, release_is_cancelled);
	tcase_add_loop_test(tc, disk_is_ended_in_each_state, 0, ARRAY_SIZE(states));
	tcase_add_test(tc, removed_device_is_recreated_and_served_when_it_comes_back);
	tcase_add_test(tc, removed_device_that_is_back_already_is_adopted);
	tcase_add_test(tc, unbound_device_is_shown_and_served_again);
	tcase_add_test(tc, driver_that_only_restarts_changes_nothing);
	tcase_add_test(tc, driver_that_is_bound_again_may_give_another_node);
	tcase_add_test(tc, changes_of_the_bus_are_told_once);
	tcase_add_loop_test(tc, node_that_comes_late_is_waited_for, 0, 2);
	tcase_add_loop_test(tc, bus_is_not_watched_at_the_end, 0, 2);
	tcase_add_test(tc, disk_whose_removal_was_under_way_is_recreated);
	tcase_add_test(tc, main_thread_does_not_close_a_store);
	tcase_add_test(tc, stop_waits_for_a_removal_that_was_under_way_before);
	return suite_run(suite);
}
