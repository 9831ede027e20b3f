// SPDX-License-Identifier: GPL-2.0-or-later
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#else
#define sd_notifyf(unset, ...) ((void)(unset))
#endif

#include "attach.h"
#include "device.h"
#include "log.h"
#include "modules.h"
#include "ring.h"
#include "sigbus.h"
#include "worker.h"

#define MAIN_RING_ENTRIES 64

/* How often a disk that is in use at the end is looked at again. */
#define BUSY_RETRY_US	 1000000
#define BUSY_SOON_US	 100000
#define BUSY_QUIET_LOOKS 10 /* the first ones, soon after another and without a word */

enum disk_state {
	DISK_STORE_OPEN, /* nothing in the kernel */
	DISK_CREATED,	 /* a VDUSE device, not on the bus */
	DISK_ATTACHING,
	DISK_ATTACHED,
	DISK_DETACHING,
	DISK_BUSY, /* should go, but somebody uses it */
	DISK_CLOSING,
	DISK_GONE,
};

struct disk {
	struct server *server;
	struct device device;
	struct attach_job job;
	enum disk_state state;
	unsigned int busy_looks;
	bool left; /* a VM holds it: it stays in the kernel when we go */
};

struct server {
	const struct config *config;
	struct ring ring;
	struct attach attach;
	struct worker *workers;
	unsigned int worker_count;
	struct disk *disks;
	size_t disk_count; /* with an open store */
	size_t attached;
	size_t remaining; /* not DISK_GONE */
	int signal_fd;
	struct ring_poll signals;
	struct ring_timer busy_retry;
	bool stopping;
	bool signalled;
	bool forced; /* a second signal: disks in use are taken away */
	enum exit_status status;
};

static int load_vduse(enum exit_status *status)
{
	int err;

	if (access("/dev/vduse/control", F_OK) == 0)
		return 0;
	err = module_load("vduse");
	if (err == -ENOENT)
		*status = EXIT_NO_VDUSE;
	return err;
}

static int load_driver(enum vdpa_driver driver)
{
	int err = 0;

	if (!vdpa_driver_present(driver))
		err = module_load(vdpa_driver_name(driver));
	if (!err && driver == VDPA_DRIVER_VIRTIO &&
	    access("/sys/bus/virtio/drivers/virtio_blk", F_OK))
		err = module_load("virtio_blk");
	return err;
}

static int load_modules(const struct config *config, enum exit_status *status)
{
	int err;

	*status = EXIT_RUNTIME;
	err = load_vduse(status);
	for (size_t i = 0; i < config->device_count && !err; i++)
		err = load_driver(config->devices[i].driver);
	return err;
}

/* UMEM and fixed buffers are counted against memlock, for root too; each queue has descriptors. */
static void raise_limits(void)
{
	struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		log_debug("the limit of locked memory stays: %s", strerror(errno));
	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int open_stores(struct server *server)
{
	const struct config *config = server->config;
	int err;

	server->disks = calloc(config->device_count, sizeof(*server->disks));
	if (!server->disks)
		return -ENOMEM;
	for (size_t i = 0; i < config->device_count; i++) {
		struct disk *disk = &server->disks[i];

		err = device_open_store(&disk->device, &config->devices[i]);
		if (err)
			return err;
		disk->server = server;
		server->disk_count++;
	}
	return 0;
}

static void close_stores(struct server *server)
{
	for (size_t i = 0; i < server->disk_count; i++)
		device_close_store(&server->disks[i].device); /* those that were never created */
	free(server->disks);
}

static unsigned int wanted_workers(const struct server *server)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int queues = 0, wanted = server->config->workers;

	for (size_t i = 0; i < server->disk_count; i++)
		queues += server->disks[i].device.limits.queues;
	if (!wanted)
		wanted = cpus > 0 ? (unsigned int)cpus : 1;
	return MIN(wanted, queues);
}

static void stop_workers(struct server *server)
{
	while (server->worker_count)
		worker_stop(&server->workers[--server->worker_count]);
	free(server->workers);
}

static int start_workers(struct server *server)
{
	unsigned int wanted = wanted_workers(server);
	bool spare_cpu = wanted < (unsigned long)sysconf(_SC_NPROCESSORS_ONLN);
	int err;

	server->workers = calloc(wanted, sizeof(*server->workers));
	if (!server->workers)
		return -ENOMEM;
	while (server->worker_count < wanted) {
		err = worker_start(&server->workers[server->worker_count], server->worker_count,
				   spare_cpu);
		if (err) {
			stop_workers(server);
			return err;
		}
		server->worker_count++;
	}
	return 0;
}

static void disk_gone(struct disk *disk)
{
	disk->state = DISK_GONE;
	disk->server->remaining--;
}

static void disk_closed(struct device *device)
{
	struct disk *disk = container_of(device, struct disk, device);

	if (disk->left)
		device_abandon(device);
	else if (device_destroy(device))
		disk->server->status = EXIT_RUNTIME;
	device_close_store(device);
	disk_gone(disk);
}

static void disk_close(struct disk *disk)
{
	disk->state = DISK_CLOSING;
	device_close(&disk->device, disk_closed);
}

static void busy_retry(struct ring_timer *timer);

/* Kept, looked at again by and by; where a second signal has come meanwhile, taken away. */
static void disk_is_busy(struct disk *disk)
{
	struct server *server = disk->server;

	disk->state = DISK_BUSY;
	disk->busy_looks++;
	/* Who closes a disk that was written has udev look at it, for a moment. */
	if (disk->busy_looks == BUSY_QUIET_LOOKS)
		log_warn("%s: %s is in use: %s; it is served until it is free, or until a second "
			 "signal",
			 disk->job.name, disk->job.node, disk->job.users);
	ring_timer_start(&server->ring, &server->busy_retry,
			 server->forced			       ? 0
			 : disk->busy_looks < BUSY_QUIET_LOOKS ? BUSY_SOON_US
							       : BUSY_RETRY_US,
			 busy_retry);
}

static void disk_detached(struct attach_job *job)
{
	struct disk *disk = container_of(job, struct disk, job);
	struct server *server = disk->server;

	if (job->result == -EBUSY && job->verb == DETACH_UNUSED) {
		disk_is_busy(disk);
		return;
	}
	if (job->result) {
		server->status = EXIT_RUNTIME;
		disk->left = true;
		if (job->result == -EBUSY)
			log_err("%s: %s is still in use: %s; it is left in the kernel, unserved",
				job->name, job->node, job->users);
	}
	disk_close(disk);
}

static void disk_submit(struct disk *disk, enum attach_verb verb, enum disk_state state,
			void (*finished)(struct attach_job *job))
{
	const struct device_config *config = disk->device.config;

	disk->state = state;
	disk->job = (struct attach_job){
		.verb = verb,
		.name = config->name,
		.driver = config->driver,
		.finished = finished,
	};
	attach_submit(&disk->server->attach, &disk->job);
}

static void disk_detach(struct disk *disk, enum attach_verb verb)
{
	disk_submit(disk, verb, DISK_DETACHING, disk_detached);
}

/* An earlier server attached it, and its users may be there still. */
static bool disk_was_attached(const struct disk *disk)
{
	return vduse_dev_adopted(disk->device.dev) && vdpa_bus_on_bus(disk->device.config->name);
}

/* Sends away what is still there, last attached first. */
static void server_stop(struct server *server)
{
	enum attach_verb verb = server->forced ? DETACH_FORCE : DETACH_UNUSED;

	for (size_t i = server->disk_count; i-- > 0;) {
		struct disk *disk = &server->disks[i];

		switch (disk->state) {
		case DISK_STORE_OPEN:
			disk_gone(disk);
			break;
		case DISK_CREATED:
			if (disk_was_attached(disk))
				disk_detach(disk, verb);
			else
				disk_close(disk);
			break;
		case DISK_ATTACHED:
		case DISK_BUSY:
			disk_detach(disk, verb);
			break;
		case DISK_ATTACHING: /* disk_attached() sees that we are stopping */
		case DISK_DETACHING:
		case DISK_CLOSING:
		case DISK_GONE:
			break;
		}
	}
}

static void busy_retry(struct ring_timer *timer)
{
	struct server *server = container_of(timer, struct server, busy_retry);

	server_stop(server);
}

static void request_stop(struct server *server)
{
	if (!server->stopping)
		sd_notifyf(0, "STOPPING=1\nSTATUS=Detaching");
	server->stopping = true;
	server_stop(server);
}

static void disk_attach(struct disk *disk);

static void disk_attached(struct attach_job *job)
{
	struct disk *disk = container_of(job, struct disk, job);
	struct server *server = disk->server;

	if (job->result) {
		server->status = EXIT_RUNTIME;
		disk->state = DISK_CREATED;
		request_stop(server);
		return;
	}
	disk->state = DISK_ATTACHED;
	if (server->stopping) {
		server_stop(server);
		return;
	}
	printf("%s %s\n", job->name, job->node);
	fflush(stdout);
	server->attached++;
	if (server->attached < server->disk_count)
		disk_attach(&server->disks[server->attached]);
	else
		sd_notifyf(0, "READY=1\nSTATUS=Serving %zu devices", server->disk_count);
}

static void disk_attach(struct disk *disk)
{
	disk_submit(disk, disk_was_attached(disk) ? ADOPT : ATTACH, DISK_ATTACHING, disk_attached);
}

static int create_devices(struct server *server)
{
	unsigned int next_worker = 0;
	int err;

	for (size_t i = 0; i < server->disk_count; i++) {
		struct disk *disk = &server->disks[i];

		err = device_create(&disk->device, server->config->runtime_dir, &server->ring,
				    server->workers, server->worker_count, &next_worker);
		if (err)
			return err;
		disk->state = DISK_CREATED;
	}
	return 0;
}

static void signal_came(struct ring_poll *poll)
{
	struct server *server = container_of(poll, struct server, signals);
	struct signalfd_siginfo info;

	while (read(server->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		server->forced = server->signalled;
		server->signalled = true;
		log_info("%s: detaching%s", strsignal((int)info.ssi_signo),
			 server->forced ? ", disks in use too" : "");
		request_stop(server);
	}
}

/* Before any thread is started: they inherit the mask. */
static int block_signals(struct server *server)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN); /* whoever reads our output may go; the disks stay */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	server->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (server->signal_fd < 0) {
		log_err("cannot create a signalfd: %s", strerror(errno));
		return -errno;
	}
	return 0;
}

static void serve_until_gone(struct server *server)
{
	server->remaining = server->disk_count;
	ring_poll_start(&server->ring, &server->signals, server->signal_fd, signal_came);
	if (create_devices(server)) {
		server->status = EXIT_RUNTIME;
		request_stop(server);
	} else {
		disk_attach(&server->disks[0]);
	}
	while (server->remaining)
		if (ring_run(&server->ring, true))
			abort();
}

static int server_threads(struct server *server)
{
	int err;

	err = ring_init(&server->ring, MAIN_RING_ENTRIES);
	if (err)
		return err;
	err = start_workers(server);
	if (err)
		goto exit_ring;
	err = attach_start(&server->attach, &server->ring);
	if (err)
		goto stop_workers;

	serve_until_gone(server);
	attach_stop(&server->attach);
stop_workers:
	stop_workers(server);
exit_ring:
	ring_exit(&server->ring);
	return err;
}

enum exit_status server_run(const struct config *config)
{
	struct server server = { .config = config, .signal_fd = -1 };

	if (load_modules(config, &server.status))
		return server.status;
	server.status = EXIT_RUNTIME;
	raise_limits();
	/* Memory that we need to write back a disk must not be waited for with that very disk. */
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		log_debug("not an I/O flusher: %s", strerror(errno));
	if (block_signals(&server) || sigbus_guard_install())
		return server.status;
	if (!open_stores(&server)) {
		server.status = EXIT_OK;
		if (server_threads(&server))
			server.status = EXIT_RUNTIME;
	}
	close_stores(&server);
	close(server.signal_fd);
	return server.status;
}
