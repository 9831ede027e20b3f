// SPDX-License-Identifier: GPL-2.0-or-later
#include "disk_fixture.h"

#include "fds.h"

struct disk_fixture ds;
char ds_names[DS_DISKS][8] = { "one", "two", "three" };

static int index_of(const char *name)
{
	for (int i = 0; i < DS_DISKS; i++)
		if (!strcmp(ds_names[i], name))
			return i;
	ck_abort_msg("no disk %s", name);
	return -1;
}

/* ---- the vdpa bus: instead of attach.c and lib/vdpa_bus.c ---- */

void attach_submit(struct attach_job *job, struct ring *ring)
{
	int i = index_of(job->name);

	(void)ring;
	ck_assert_msg(!ds.job[i], "%s: two jobs at a time", job->name);
	ds.job[i] = job;
	if (ds.submitted < DS_DISKS)
		ds.order[ds.submitted] = i;
	ds.submitted++;
}

enum vdpa_state vdpa_bus_state(const char *name)
{
	return ds.bus[index_of(name)];
}

int vdpa_bus_driver(const char *name, enum vdpa_driver *driver)
{
	*driver = VDPA_DRIVER_VIRTIO;
	return ds.bus[index_of(name)] == VDPA_BOUND ? 0 : -ENOENT;
}

int vdpa_bus_node(const char *name, char node[VDPA_NODE_MAX])
{
	memcpy(node, ds.node[index_of(name)], VDPA_NODE_MAX);
	return node[0] ? 0 : -ENOENT;
}

const char *vdpa_driver_name(enum vdpa_driver driver)
{
	(void)driver;
	return "virtio_vdpa";
}

void ds_set_bus(int i, enum vdpa_state state, const char *node)
{
	struct fake_dev *dev = fake_kern_dev(ds_names[i]);

	ds.bus[i] = state;
	snprintf(ds.node[i], sizeof(ds.node[i]), "%s", node);
	if (!dev)
		return;
	if (state == VDPA_ABSENT)
		fake_kern_bus_del(dev);
	else if (!dev->on_bus)
		ck_assert_int_eq(fake_kern_bus_add(dev), 0);
}

void ds_finish_job(int i, int result)
{
	struct attach_job *job = ds.job[i];
	bool attach;

	ck_assert_ptr_nonnull(job);
	attach = job->verb == ATTACH || job->verb == ADOPT;
	ds.job[i] = NULL;
	job->result = result;
	if (!result && attach) {
		ds_set_bus(i, VDPA_BOUND, i == 0 ? "/dev/vda" : i == 1 ? "/dev/vdb" : "/dev/vdc");
		memcpy(job->node, ds.node[i], sizeof(job->node));
	} else if (!result) {
		ds_set_bus(i, VDPA_ABSENT, "");
	}
	job->finished(job);
}

void ds_finish_jobs(void)
{
	for (int i = 0; i < DS_DISKS; i++)
		if (ds.job[i])
			ds_finish_job(i, 0);
}

void ds_attach(int i)
{
	ds_wait(ds.job[i]);
	ds_finish_job(i, 0);
}

/* ---- commands ---- */

void ds_command_done(struct disk_command *command, int err)
{
	ck_assert_ptr_null(command->disk);
	ck_assert(!ds.done); /* once */
	ds.done = true;
	ds.err = err;
}

static void begin_command(int i, enum disk_verb verb, bool force)
{
	ds.done = false;
	ds.command = (struct disk_command){
		.verb = verb,
		.force = force,
		.done = ds_command_done,
	};
	disk_command(ds_disk(i), &ds.command);
}

void ds_release(int i)
{
	begin_command(i, DISK_RELEASE, false);
}

void ds_remove(int i, bool force)
{
	begin_command(i, DISK_REMOVE, force);
}

/* ---- a server ---- */

struct disk *ds_disk(int i)
{
	return disks_find(&ds.disks, ds_names[i]);
}

void ds_turn(void)
{
	for (int i = 0; i < DS_DISKS && !ds.timers_wait; i++) {
		if (!ds_disk(i))
			continue;
		ring_timer_expire_now(&ds.ring, &ds_disk(i)->timer);
		ring_timer_expire_now(&ds.ring, &ds_disk(i)->watch);
	}
	ck_assert_int_eq(ring_run(&ds.ring, true), 0);
	disks_reap(&ds.disks);
}

void ds_seconds_pass(unsigned int seconds)
{
	test_clock_advance(seconds * 1000000ull);
	turn_until(!test_clock_due(), ds_turn());
}

void ds_make_image(int i)
{
	temp_image(ds.devices[i].path, 1 << 20);
}

static void configure(void)
{
	for (int i = 0; i < DS_DISKS; i++) {
		ds.devices[i] = (struct device_config){
			.name = ds_names[i],
			.path = temp_path("%s-%d", ds_names[i], getpid()),
			.cache = CACHE_WRITEBACK,
			.queues = 1,
			.queue_size = 16,
			.umem = SWITCH_NO,
		};
		ds_make_image(i);
	}
	ds.config = (struct config){
		.runtime_dir = temp_path("run-%d", getpid()),
		.devices = ds.devices,
		.device_count = DS_DISKS,
	};
}

void ds_setup(void)
{
	test_log_begin();
	test_clock_stop();
	fake_kern_reset();
	memset(&ds, 0, sizeof(ds));
	ds.fds_before = fds_open();
	configure();
	ck_assert_int_eq(ring_init(&ds.ring, 64), 0);
	polling_shared_init(&ds.shared);
	ck_assert_int_eq(worker_start(&ds.worker, 0, &ds.shared), 0);
	ds.disks.host = (struct disk_host){
		.ring = &ds.ring,
		.config = &ds.config,
		.workers = &ds.worker,
		.worker_count = 1,
	};
	disks_init(&ds.disks);
}

void ds_begin(void)
{
	ck_assert_int_eq(disks_add_all(&ds.disks), 0);
	disks_start(&ds.disks);
}

void ds_begin_attached(void)
{
	ds_begin();
	for (int i = 0; i < DS_DISKS; i++)
		ds_attach(i);
	ck_assert(ds.disks.started);
}

void ds_end(void)
{
	disks_stop(&ds.disks, false);
	for (ds_finish_jobs(); ds.disks.remaining; ds_finish_jobs())
		ds_turn();
}

void ds_teardown(void)
{
	if (ds.disks.remaining)
		ds_end();
	ds_wait(list_is_empty(&ds.disks.all)); /* all memory can be freed before the process ends */
	ck_assert_uint_eq(ds.disks.host.tasks, 0);
	disks_exit(&ds.disks);
	worker_stop(&ds.worker);
	ring_exit(&ds.ring);
	fake_kern_reset();
	ck_assert_uint_eq(fds_open(), ds.fds_before);
	test_log_end();
}
