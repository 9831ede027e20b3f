// SPDX-License-Identifier: GPL-2.0-or-later
/* hostile: see usage(), and hostile.h for what it is. */
#include "hostile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "native.h"
#include "time_ns.h"
#include "vmm.h"

#define QUEUES 2

static const struct hostile_case *const tables[] = { message_cases, memory_cases, ring_cases,
						     socket_cases };

/* The good front end on the other disk. */
static struct bystander {
	pthread_t thread;
	struct session s;
	struct load load;
	uint64_t done; /* requests, for who waits for progress */
	bool enough;
} bystander;

static void *run_bystander(void *arg)
{
	struct bystander *by = arg;

	where("good front end on the other disk");
	while (!load_relaxed(&by->enough)) {
		must(load_run(&by->load, 64), "I/O");
		store_relaxed(&by->done, by->load.done);
	}
	must(load_verify(&by->load), "verify");
	return NULL;
}

static void start_bystander(struct bystander *by, const char *path)
{
	session_open(&by->s, path, vmm_find("qemu"), QUEUES, true);
	session_start(&by->s);
	load_init(&by->load, &by->s, 0, 2048, false);
	by->load.depth = 8;
	must(-pthread_create(&by->thread, NULL, run_bystander, by), "thread");
}

static void end_bystander(struct bystander *by)
{
	store_relaxed(&by->enough, true);
	pthread_join(by->thread, NULL);
	session_stop(&by->s);
	load_exit(&by->load);
	session_exit(&by->s);
}

static void pause_ms(unsigned int ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000l }, NULL);
}

/* It goes on, whatever the other disk is going through. */
static void check_bystander(void)
{
	uint64_t before = load_relaxed(&bystander.done);
	uint64_t deadline_ns = time_now_ns() + PATIENCE_MS * 1000000ull;

	while (load_relaxed(&bystander.done) < before + 64) {
		want(time_now_ns() < deadline_ns, "the other disk stands still");
		pause_ms(1);
	}
}

/* What the server has: entries of a directory, or lines of a file, below its /proc. */
struct belongings {
	unsigned int fds, maps;
};

static struct belongings count_belongings(pid_t server)
{
	struct belongings b = { 0 };
	char path[64];
	DIR *dir;
	FILE *maps;
	int c;

	snprintf(path, sizeof(path), "/proc/%d/fd", server);
	dir = opendir(path);
	want(dir, "the server is gone");
	while (readdir(dir))
		b.fds++;
	closedir(dir);
	snprintf(path, sizeof(path), "/proc/%d/maps", server);
	maps = fopen(path, "r");
	want(maps, "the server is gone");
	while ((c = getc(maps)) != EOF)
		b.maps += c == '\n';
	fclose(maps);
	return b;
}

/*
 * Threads come and go, and their stacks and arenas stay for the next ones: so many mappings more are
 * no leak, where each of hundreds of connections could leave one. A sanitizer takes more.
 */
static unsigned int maps_slack(void)
{
	const char *slack = getenv("MAPS_SLACK");

	return slack ? (unsigned int)atoi(slack) : 64;
}

/* A descriptor of a client that has left may take the server a moment to close. */
static struct belongings check_belongings(pid_t server, struct belongings before)
{
	uint64_t deadline_ns = time_now_ns() + PATIENCE_MS * 1000000ull;
	struct belongings now = count_belongings(server);

	while (now.fds > before.fds || now.maps > before.maps + maps_slack()) {
		want(time_now_ns() < deadline_ns,
		     "the server has %u descriptors and %u mappings, and had %u and %u", now.fds,
		     now.maps, before.fds, before.maps);
		pause_ms(10);
		now = count_belongings(server);
	}
	return now;
}

void hostile_open(struct session *s, const struct bench *b, enum stage stage)
{
	if (stage == CONNECTED) {
		*s = (struct session){ .path = b->victim,
				       .vmm = vmm_find("qemu"),
				       .inflight_fd = -1 };
		must(vug_memory_init(&s->memory), "address space");
		must(vuc_connect(&s->c, b->victim, PATIENCE_MS), "connect");
		return;
	}
	session_open(s, b->victim, vmm_find("qemu"), QUEUES, true);
	if (stage == RUNNING)
		session_start(s);
}

void hostile_end(struct session *s)
{
	if (s->c.fd >= 0) {
		shutdown(s->c.fd, SHUT_WR);
		want(vuc_closed(&s->c), "the server does not close the connection");
	}
	session_exit(s);
}

void hostile_do(int err)
{
	want(err == 0 || err == -EREMOTEIO || err == -ECONNRESET, "%s", strerror(-err));
}

void hostile_kick(struct session *s)
{
	for (unsigned int i = 0; i < s->queue_count; i++) {
		struct vug_queue *q = &s->queues[i];
		struct vug_slot *slot = vug_slot_get(q);

		if (slot)
			vug_offer(q, slot, VIRTIO_BLK_T_IN, 0, LOAD_BLOCK);
		vug_publish(q);
		vug_kick(q);
	}
}

void check_victim(const struct bench *b)
{
	struct session s;
	struct load load;

	hostile_open(&s, b, RUNNING);
	load_init(&load, &s, 0, 256, false);
	must(load_run(&load, 64), "I/O of a good front end");
	must(load_verify(&load), "verify");
	session_stop(&s);
	load_exit(&load);
	hostile_end(&s);
}

static int open_or_fail(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	want(fd >= 0, "%s: %s", path, strerror(errno));
	return fd;
}

static int memory_fd(void)
{
	int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	want(fd >= 0 && ftruncate(fd, FD_BYTES) == 0, "memfd: %s", strerror(errno));
	return fd;
}

static int read_only_fd(int memory)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", memory);
	return open_or_fail(path, O_RDONLY);
}

static int full_eventfd(void)
{
	uint64_t most = UINT64_MAX - 1;
	int fd = eventfd(0, EFD_CLOEXEC);

	want(fd >= 0 && write(fd, &most, sizeof(most)) == sizeof(most), "eventfd: %s",
	     strerror(errno));
	return fd;
}

/* Full, and then blocking for those who write it. */
static int full_pipe(int fd)
{
	uint8_t page[4096] = { 0 };

	want(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "pipe: %s", strerror(errno));
	while (write(fd, page, sizeof(page)) > 0)
		;
	want(fcntl(fd, F_SETFL, 0) == 0, "pipe: %s", strerror(errno));
	return fd;
}

static void open_fds(struct bench *b)
{
	int first[2], second[2], pair[2];

	want(pipe2(first, O_CLOEXEC) == 0 && pipe2(second, O_CLOEXEC) == 0, "pipe");
	want(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
	b->fds[FD_MEMORY] = memory_fd();
	b->fds[FD_READ_ONLY] = read_only_fd(b->fds[FD_MEMORY]);
	b->fds[FD_SEALED] = memory_fd();
	want(fcntl(b->fds[FD_SEALED], F_ADD_SEALS, F_SEAL_WRITE) == 0, "seal");
	b->fds[FD_EVENT] = eventfd(0, EFD_CLOEXEC);
	b->fds[FD_EVENT_FULL] = full_eventfd();
	b->fds[FD_EVENT_SEMAPHORE] = eventfd(1000000, EFD_CLOEXEC | EFD_SEMAPHORE);
	b->fds[FD_PIPE_READ] = first[0];
	b->fds[FD_PIPE_WRITE] = full_pipe(second[1]);
	b->fds[FD_SOCKET] = pair[0];
	b->fds[FD_DIRECTORY] = open_or_fail("/", O_RDONLY | O_DIRECTORY);
	b->fds[FD_ZERO] = open_or_fail("/dev/zero", O_RDWR);
	b->fds[FD_EPOLL] = epoll_create1(EPOLL_CLOEXEC);
	b->fds[FD_PATH] = open_or_fail("/", O_PATH);
}

static bool is_wanted(const char *name, char *const *names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

static void run_case(struct bench *b, const struct hostile_case *c, struct belongings before)
{
	struct belongings now;

	where("%s", c->name);
	c->run(b);
	where("after %s", c->name);
	check_bystander();
	check_victim(b);
	now = check_belongings(b->server, before);
	printf("ok      %s: %u descriptors, %u mappings\n", c->name, now.fds, now.maps);
	fflush(stdout);
}

static unsigned int run_table(struct bench *b, const struct hostile_case *table, char *const *names,
			      struct belongings before)
{
	unsigned int run = 0;

	for (; table->name; table++)
		if (is_wanted(table->name, names)) {
			run_case(b, table, before);
			run++;
		}
	return run;
}

int main(int argc, char **argv)
{
	struct belongings before;
	struct bench b = { 0 };
	unsigned int run = 0;

	if (argc < 4) {
		fputs("usage: hostile VICTIM OTHER PID [CASE...]\n"
		      "VICTIM and OTHER are sockets of two disks of the server PID; their data are "
		      "lost.\n",
		      stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	b.victim = argv[1];
	b.server = (pid_t)atoi(argv[3]);
	open_fds(&b);
	start_bystander(&bystander, argv[2]);
	/* What the first front ends make the server allocate stays. */
	check_victim(&b);
	check_victim(&b);
	check_bystander();
	before = count_belongings(b.server);
	for (unsigned int i = 0; i < ARRAY_SIZE(tables); i++)
		run += run_table(&b, tables[i], argv + 4, before);
	end_bystander(&bystander);
	printf("%u cases; meanwhile %" PRIu64 " requests on the other disk\n", run,
	       bystander.load.done);
	return run == 0;
}
