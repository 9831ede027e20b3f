// SPDX-License-Identifier: GPL-2.0-or-later
#include "server_fixture.h"

#include <dirent.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "disk/attach.h"
#include "fake_kern.h"
#include "modules.h"
#include "process/logger.h"
#include "test_log.h"

static char names[SERVER_DISKS][8] = { "one", "two", "three" };
const char *const nodes[SERVER_DISKS] = { "one /dev/vda", "two /dev/vdb", "three /dev/vdc" };

struct world *world;
struct start start;
struct server_process server, successor;

static int index_of(const char *name)
{
	for (int i = 0; i < SERVER_DISKS; i++)
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
} jobs[SERVER_DISKS];

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
	if (stuck == ANY_SERVER || stuck == getpid()) {
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
	return driver == VDPA_DRIVER_VHOST ? "vhost_vdpa" : "virtio_vdpa";
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
	for (int i = 0; i < SERVER_DISKS; i++)
		world->disk[i].in_kernel = fake_kern_dev(names[i]) != NULL;
	return status;
}

void start_server(struct server_process *process)
{
	server_spawn(process, serve, NULL);
}

void expect_nodes(struct server_process *process, int first, int count)
{
	server_expect_outs(process, nodes + first, count);
}

void start_serving(int count)
{
	start.config.device_count = (size_t)count;
	start_server(&server);
	expect_nodes(&server, 0, count);
}

void send_signal(const struct server_process *process, int signal)
{
	ck_assert_int_eq(kill(process->pid, signal), 0);
}

void end_server(struct server_process *process)
{
	send_signal(process, SIGTERM);
	server_expect_log(process, "Terminated: detaching");
	ck_assert_int_eq(server_wait(process), EXIT_OK);
}

/* ---- requests ---- */

char text[1024];
bool text_is_error;

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

const char *ask(const struct server_process *process, const char *question)
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

void expect_listed(const struct server_process *process, const char *part)
{
	ck_assert_msg(strstr(ask(process, "list"), part) != NULL, "not listed: %s", part);
	ck_assert(!text_is_error);
}

void expect_in_kernel(int i, bool wanted)
{
	ck_assert_msg(world->disk[i].in_kernel == wanted, "%s: %d", names[i],
		      world->disk[i].in_kernel);
}

void server_setup(void)
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
	for (int i = 0; i < SERVER_DISKS; i++) {
		start.devices[i] = (struct device_config){
			.name = names[i],
			.path = temp_path("%s-%d", names[i], getpid()),
			.cache = CACHE_WRITEBACK,
			.queues = 1,
			.queue_size = 16,
			.umem = SWITCH_NO,
		};
		temp_image(start.devices[i].path, 1 << 20);
	}
	start.config = (struct config){
		.runtime_dir = temp_path("run-%d", getpid()),
		.devices = start.devices,
		.device_count = SERVER_DISKS,
	};
	start.options.ready_fd = -1;
}

void server_teardown(void)
{
	munmap(world, sizeof(*world));
	test_log_end();
}
