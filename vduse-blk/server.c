// SPDX-License-Identifier: GPL-2.0-or-later
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "frontend/bounce.h"
#include "config/front_end.h"
#include "control/control.h"
#include "frontend/device.h"
#include "frontend/front_end_modules.h"
#include "disk/disks.h"
#include "disk/disks_report.h"
#include "disk/resize.h"
#include "inflight.h"
#include "frontend/irq_cpu.h"
#include "log.h"
#include "process/logger.h"
#include "process/notify.h"
#include "disk/backing_conflict.h"
#include "process/startup_wait.h"
#include "process/process_limits.h"
#include "ring.h"
#include "sigbus.h"
#include "takeover/succession.h"
#include "time_ns.h"
#include "queue/worker.h"

#define MAIN_RING_ENTRIES 64

/* Connection, its socket for requests, dirty log, and the memory of a guest in eight files. */
#define VHOST_USER_DESCRIPTORS 12

/*
 * Signals within this time after the first one do not count as the second signal, which detaches
 * disks in use: the end of a login session sends several at once.
 */
#define SIGNAL_BURST_NS 1000000000ull

/* How long a server waits at its end for stuck readers of its log and output. */
#define OUTPUT_WAIT_NS (1000ull * 1000 * 1000)

/* A task, since the check may block for ever on a file system that stalls. */
struct path_check {
	struct task task;
	struct ring_timer timer;
	const struct config *config;
	int result;
	bool running;
	bool late;
};

struct server {
	const struct config *config;
	struct ring ring;
	struct disks disks;
	struct worker *workers;
	unsigned int worker_count;
	struct polling_shared polling_shared;
	int signal_fd;
	struct ring_poll signals;
	uint64_t signalled_ns; /* the time of the first signal that ends the server; 0: none yet */
	struct control control;
	bool controlled; /* @control listens */
	struct succession succession;
	struct path_check path_check;
	int ready_fd; /* of struct server_options */
	bool ends_at_once;
};

static unsigned int count_queues(const struct config *config)
{
	unsigned int queues = 0;

	for (size_t i = 0; i < config->device_count; i++)
		queues += config_queue_count(&config->devices[i]);
	return queues;
}

static unsigned int wanted_workers(const struct config *config)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned int queues = count_queues(config), wanted = config->workers;

	if (!wanted)
		wanted = cpus > 0 ? (unsigned int)cpus : 1;
	return MIN(wanted, queues);
}

/*
 * A worker has a ring and an eventfd. A device has its own descriptor, /dev/vduse/control, five for the
 * store, one for O_EXCL and one for the inflight log. A queue has an eventfd for kicks, and with vhost-user
 * one for interrupts and one for errors. With vhost-user the connection and the memory of the guest have
 * some more.
 */
static unsigned long wanted_descriptors(const struct config *config)
{
	unsigned long wanted = 64 + 2 * wanted_workers(config) + 10 * config->device_count;

	for (size_t i = 0; i < config->device_count; i++) {
		bool vdpa = front_end_of(config->devices[i].driver)->vdpa;

		wanted += config_queue_count(&config->devices[i]) * (vdpa ? 1 : 3);
		wanted += vdpa ? 0 : VHOST_USER_DESCRIPTORS;
	}
	return wanted;
}

static void stop_workers(struct server *server)
{
	while (server->worker_count)
		worker_stop(&server->workers[--server->worker_count]);
	free(server->workers);
}

static int start_workers(struct server *server)
{
	unsigned int wanted = wanted_workers(server->config);
	int err;

	server->workers = calloc(wanted, sizeof(*server->workers));
	if (!server->workers)
		return -ENOMEM;
	polling_shared_init(&server->polling_shared);
	irq_cpu_init("/sys/devices/system/cpu");
	while (server->worker_count < wanted) {
		err = worker_start(&server->workers[server->worker_count], server->worker_count,
				   &server->polling_shared);
		if (err) {
			stop_workers(server);
			return err;
		}
		server->worker_count++;
	}
	return 0;
}

static void stop(struct server *server, const char *signal_name)
{
	uint64_t now_ns = time_now_ns();
	bool force = server->disks.host.rescue || server->ends_at_once ||
		     server->disks.host.goal != DISK_SERVE;

	if (server->signalled_ns && now_ns - server->signalled_ns < SIGNAL_BURST_NS)
		return;
	if (succession_cancel(&server->succession, signal_name))
		return;
	log_info("%s: detaching%s", signal_name, force ? ", disks in use too" : "");
	server->signalled_ns = now_ns;
	succession_stop(&server->succession);
	disks_stop(&server->disks, force);
}

static void signal_came(struct ring_poll *poll)
{
	struct server *server = container_of(poll, struct server, signals);
	struct signalfd_siginfo info;

	while (read(server->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGUSR1:
			if (!succession_cancel(&server->succession, "SIGUSR1"))
				disks_leave(&server->disks);
			break;
		case SIGHUP:
			log_info("SIGHUP is ignored; to use a changed configuration: vduse-blk "
				 "serve --takeover -c FILE");
			break;
		default:
			stop(server, strsignal((int)info.ssi_signo));
		}
	}
}

/* Call it before a thread is started: threads inherit the mask. */
static int block_signals(struct server *server)
{
	sigset_t set;

	stop_signals(&set);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN); /* the server continues if the reader of its output ends */
	signal(SIGXFSZ, SIG_IGN); /* a write past RLIMIT_FSIZE fails with EFBIG */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	server->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (server->signal_fd < 0) {
		log_err("cannot create a signalfd: %s", strerror(errno));
		return -errno;
	}
	return 0;
}

static void requested(struct control *control, struct control_call *call)
{
	struct server *server = container_of(control, struct server, control);
	struct control_request request;

	if (!control_request_parse(call->text, &request)) {
		fputs(CONTROL_UNKNOWN, call->to);
		control_respond(call, false);
	} else if (request.verb == CONTROL_RESIZE) {
		resize_requested(&server->disks, &request, call);
	} else if (!succession_requested(&server->succession, &request, call)) {
		control_respond(call, disks_report(&server->disks, &request, call->to));
	}
}

static void ready(struct succession *succession)
{
	struct server *server = container_of(succession, struct server, succession);

	if (server->ready_fd < 0)
		return;
	if (write(server->ready_fd, "", 1) != 1)
		log_debug("cannot report the start to the command with --background: %s",
			  strerror(errno));
	close(server->ready_fd);
}

static void control_stopped(struct control *control)
{
	container_of(control, struct server, control)->controlled = false;
}

static void serve_until_ended(struct server *server)
{
	ring_poll_start(&server->ring, &server->signals, server->signal_fd, signal_came);
	server->control.requested = requested;
	succession_start(&server->succession);
	server->controlled =
		!control_start(&server->control, &server->ring, server->config->runtime_dir);
	disks_start(&server->disks);
	while (server->disks.remaining) {
		if (ring_run(&server->ring, true))
			logger_abort(); /* logged; without its ring the server cannot continue */
		disks_reap(&server->disks);
	}
	if (server->controlled)
		control_stop(&server->control, control_stopped);
	while (server->controlled)
		if (ring_run(&server->ring, true))
			logger_abort();
}

/* The time limit for the check of all paths. */
#define PATHS_US 3000000

static void check_paths(struct task *task)
{
	struct path_check *check = container_of(task, struct path_check, task);

	check->result = backing_conflict_check(check->config);
}

static void paths_checked(struct task *task)
{
	container_of(task, struct path_check, task)->running = false;
}

static void paths_late(struct ring_timer *timer)
{
	container_of(timer, struct path_check, timer)->late = true;
}

/*
 * Refuses a configuration in which two disks share bytes of a store. If the check takes too long, the
 * start continues without it: each disk is compared again with the open disks when it is opened.
 */
static int refuse_overlaps(struct server *server)
{
	struct path_check *check = &server->path_check;

	check->config = server->config;
	check->task = (struct task){ .name = "paths", .work = check_paths, .done = paths_checked };
	if (task_start(&check->task, &server->ring))
		return -ENOMEM;
	check->running = true;
	ring_timer_start(&server->ring, &check->timer, PATHS_US, paths_late);
	while (check->running && !check->late)
		if (ring_run(&server->ring, true))
			abort();
	return check->running ? 0 : check->result;
}

static int open_and_serve(struct server *server, const struct server_options *options)
{
	int err = inflight_make_directory(server->config->runtime_dir);

	disks_init(&server->disks);
	if (!err)
		err = refuse_overlaps(server);
	if (!err && options->mode == SERVER_TAKEOVER)
		err = succession_prepare(&server->succession);
	if (!err)
		err = disks_add_all(&server->disks);
	if (!err)
		serve_until_ended(server);
	disks_exit(&server->disks);
	succession_exit(&server->succession);
	return err;
}

static int server_threads(struct server *server, const struct server_options *options)
{
	int err;

	err = ring_init(&server->ring, MAIN_RING_ENTRIES);
	if (err)
		return err;
	err = start_workers(server);
	if (err)
		goto exit_ring;
	server->disks.host = (struct disk_host){
		.ring = &server->ring,
		.config = server->config,
		.workers = server->workers,
		.worker_count = server->worker_count,
		.rescue = options->mode == SERVER_RESCUE,
	};
	server->succession.disks = &server->disks;
	server->succession.ready = ready;
	err = open_and_serve(server, options);
	stop_workers(server);
exit_ring:
	if (!tasks_running()) /* they post their ends to the ring, even while the process ends */
		ring_exit(&server->ring);
	return err;
}

enum exit_status server_run(const struct config *config, const struct server_options *options)
{
	static struct server
		server; /* static: a task that never ends may use it until the process ends */
	enum exit_status status;
	uint64_t deadline_ns;
	int err;

	status = EXIT_RUNTIME;
	if (options->mode != SERVER_RESCUE && front_end_load_modules(config, &status))
		return status;
	server.config = config;
	server.signal_fd = -1;
	server.ready_fd = options->ready_fd;
	server.ends_at_once = options->ends_at_once;
	process_raise_limits(wanted_descriptors(config));
	process_lock_memory();
	process_forbid_core_dump();
	if (block_signals(&server) || sigbus_guard_install())
		return EXIT_RUNTIME;
	if (logger_start())
		return EXIT_RUNTIME;

	err = server_threads(&server, options);
	close(server.signal_fd);
	deadline_ns = time_now_ns() + OUTPUT_WAIT_NS;
	notify_flush(deadline_ns);
	logger_stop(deadline_ns);
	return err || server.disks.host.failed ? EXIT_RUNTIME : EXIT_OK;
}
