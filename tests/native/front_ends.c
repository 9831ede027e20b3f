// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * front_ends: plays the front ends of virtual machine monitors at a vhost-user-blk socket, with
 * verified I/O. See usage().
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/virtio_config.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dirty_log.h"
#include "load.h"
#include "native.h"
#include "session.h"
#include "time_ns.h"
#include "vmm.h"

#define NOT_OFFERED 77 /* the back end lacks what a case needs */

static struct options {
	const char *path;
	const char *image;  /* the file behind the disk, or NULL */
	const char *until;  /* a file that ends the case crash */
	const char *target; /* the socket of another server for the same disk */
	unsigned int queues;
	uint64_t requests; /* of a case */
	unsigned int rounds;
	bool peer; /* qemu-storage-daemon: what it lacks, and what it is known to fail, is left out */
} options = { .queues = 4, .requests = 3000, .rounds = 8 };

struct front_end {
	struct session s;
	struct load load;
};

static void open_front_end(struct front_end *f, const char *vmm)
{
	session_open(&f->s, options.path, vmm_find(vmm), options.queues, !options.peer);
	session_start(&f->s);
	load_init(&f->load, &f->s, 0, MIN(f->s.config.capacity / 8, 4096), false);
}

/* Reads back all that was written, from the disk and from the file. */
static void close_front_end(struct front_end *f)
{
	must(load_verify(&f->load), "verify");
	want(f->load.done == f->load.offered, "requests are missing");
	session_stop(&f->s);
	session_close(&f->s);
	if (options.image)
		load_verify_file(&f->load, options.image);
	load_exit(&f->load);
	session_exit(&f->s);
}

static void run(struct front_end *f, uint64_t requests)
{
	must(load_run(&f->load, requests), "I/O");
}

/* Ends the case where the back end does not offer a feature. */
static void need(const struct session *s, enum vuc_protocol bit, const char *name)
{
	if (session_protocol(s, bit) && (s->vmm->protocol >> bit & 1))
		return;
	printf("not offered: %s\n", name);
	exit(options.peer ? NOT_OFFERED : 1);
}

static bool offers_log(const struct session *s)
{
	return (s->offered >> VUC_F_LOG_ALL & 1) && session_protocol(s, VUC_P_LOG_SHMFD);
}

/* Start, I/O, reset by the guest, start again. */
static void play_vmm(const char *name)
{
	struct front_end f;

	open_front_end(&f, name);
	run(&f, options.requests);
	if (session_can_stop(&f.s)) {
		session_stop(&f.s);
		session_reset(&f.s);
		session_start(&f.s);
		run(&f, options.requests);
	}
	close_front_end(&f);
}

/* The next front end finds what this one wrote. */
static void disk_is_kept(const char *name)
{
	struct front_end first, second;

	open_front_end(&first, name);
	run(&first, options.requests);
	must(load_verify(&first.load), "verify");
	session_stop(&first.s);
	session_close(&first.s);
	open_front_end(&second, name);
	memcpy(second.load.generation, first.load.generation,
	       second.load.blocks * sizeof(*second.load.generation));
	close_front_end(&second);
	load_exit(&first.load);
	session_exit(&first.s);
}

/* A driver masks and unmasks interrupts: another eventfd each time, and none for a while. */
static void replace_call(struct session *s, struct vug_queue *q, bool none)
{
	int old = q->call_fd, fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t count;

	want(fd >= 0, "eventfd: %s", strerror(errno));
	if (none)
		must(vuc_set_vring_fd(&s->c, VUC_SET_VRING_CALL, q->index, -1), "no call");
	q->call_fd = fd;
	must(vug_send_call(q, &s->c), "SET_VRING_CALL");
	/* What came to the old one, or to none, belongs to the new one: a VMM looks as well. */
	if (none || read(old, &count, sizeof(count)) > 0)
		must(write(fd, &(uint64_t){ 1 }, 8) == 8 ? 0 : -EIO, "eventfd");
	close(old);
}

static void call_is_replaced_under_load(const char *name)
{
	struct front_end f;

	open_front_end(&f, name);
	for (unsigned int i = 0; i < options.rounds * 8; i++) {
		struct vug_queue *q = &f.s.queues[i % f.s.queue_count];

		load_offer(&f.load, 64);
		replace_call(&f.s, q, i % 3 == 2);
		run(&f, 32);
	}
	close_front_end(&f);
}

/* GET_VRING_BASE with requests in flight: they come back before the reply, and none is lost. */
static void rings_stop_under_load(const char *name)
{
	struct front_end f;

	open_front_end(&f, name);
	for (unsigned int i = 0; i < options.rounds; i++) {
		load_offer(&f.load, 200);
		session_stop(&f.s);
		session_start(&f.s);
		run(&f, 50);
	}
	close_front_end(&f);
}

/* One ring is stopped and started again, on the same connection, while others run. */
static void one_ring_stops_under_load(const char *name)
{
	struct front_end f;
	uint32_t base;

	open_front_end(&f, name);
	for (unsigned int i = 0; i < options.rounds; i++) {
		struct vug_queue *q = &f.s.queues[i % f.s.queue_count];

		load_offer(&f.load, 200);
		must(vuc_get_vring_base(&f.s.c, q->index, &base), "GET_VRING_BASE");
		want(base == vug_used_idx(q), "queue %u: base %u, used %u", q->index, base,
		     vug_used_idx(q));
		load_offer(&f.load, 20);
		must(vug_send_start(q, &f.s.c), "start of a ring");
		run(&f, 50);
	}
	close_front_end(&f);
}

/* SET_VRING_ENABLE alone, as a VMM that pauses its guest has it. */
static void rings_are_disabled_under_load(const char *name)
{
	struct front_end f;

	open_front_end(&f, name);
	for (unsigned int i = 0; i < options.rounds; i++) {
		load_offer(&f.load, 200);
		for (unsigned int n = 0; n < f.s.queue_count; n++)
			must(vug_send_enable(&f.s.queues[n], &f.s.c, false), "disable");
		load_reap(&f.load);
		for (unsigned int n = 0; n < f.s.queue_count; n++) {
			must(vug_send_enable(&f.s.queues[n], &f.s.c, true), "enable");
			vug_kick(&f.s.queues[n]);
		}
		run(&f, 50);
	}
	close_front_end(&f);
}

/* The connection goes, with requests in flight; the area of GET_INFLIGHT_FD brings them back. */
static void front_end_comes_again(const char *name)
{
	struct front_end f;

	open_front_end(&f, name);
	need(&f.s, VUC_P_INFLIGHT_SHMFD, "INFLIGHT_SHMFD");
	for (unsigned int i = 0; i < options.rounds; i++) {
		load_offer(&f.load, 200);
		must(session_reconnect(&f.s), "reconnect");
		run(&f, 100);
	}
	close_front_end(&f);
}

/* Regions of their own for a while, and requests to them; the others never stop. */
static void memory_slots_come_and_go(const char *name)
{
	struct front_end f;
	struct vug_queue extra;
	int index;

	open_front_end(&f, name);
	need(&f.s, VUC_P_CONFIGURE_MEM_SLOTS, "CONFIGURE_MEM_SLOTS");
	for (unsigned int i = 0; i < options.rounds; i++) {
		const uint64_t addr = 0x200000000ull + i * 2ull * VUG_QUEUE_BYTES;

		load_offer(&f.load, 100);
		index = vug_memory_add(&f.s.memory, addr, VUG_QUEUE_BYTES);
		want(index >= 0, "no region");
		must(vuc_add_memory(&f.s.c, &f.s.memory.regions[index].wire,
				    f.s.memory.regions[index].fd),
		     "ADD_MEM_REG");
		/* The last queue moves into it. */
		run(&f, 0);
		must(vuc_get_vring_base(&f.s.c, f.s.queue_count - 1, &(uint32_t){ 0 }), "stop");
		extra = f.s.queues[f.s.queue_count - 1];
		must(vug_queue_init(&f.s.queues[f.s.queue_count - 1], &f.s.memory,
				    f.s.queue_count - 1, f.s.queue_size, addr),
		     "queue");
		f.s.queues[f.s.queue_count - 1].event_idx = extra.event_idx;
		f.s.queues[f.s.queue_count - 1].indirect = extra.indirect;
		f.s.queues[f.s.queue_count - 1].segment_max = extra.segment_max;
		must(vug_send_start(&f.s.queues[f.s.queue_count - 1], &f.s.c), "start");
		run(&f, 200);
		/* And back. */
		must(vuc_get_vring_base(&f.s.c, f.s.queue_count - 1, &(uint32_t){ 0 }), "stop");
		vug_queue_exit(&f.s.queues[f.s.queue_count - 1]);
		f.s.queues[f.s.queue_count - 1] = extra;
		must(vuc_remove_memory(&f.s.c, &f.s.memory.regions[index].wire), "REM_MEM_REG");
		vug_memory_remove(&f.s.memory, (unsigned int)index);
		must(vug_send_start(&f.s.queues[f.s.queue_count - 1], &f.s.c), "start");
		run(&f, 50);
	}
	close_front_end(&f);
}

/* The whole table again under load, as QEMU sends it when a guest's memory map changes. */
static void memory_table_is_sent_again(const char *name)
{
	struct front_end f;

	open_front_end(&f, name);
	for (unsigned int i = 0; i < options.rounds; i++) {
		load_offer(&f.load, 100);
		must(vug_memory_send(&f.s.memory, &f.s.c), "SET_MEM_TABLE");
		run(&f, 50);
	}
	close_front_end(&f);
}

/* What is in flight when the log begins is not checked: it was offered before. */
static void begin_log(struct front_end *f, struct dirty_log *log)
{
	load_offer(&f->load, 60);
	dirty_log_start(log, &f->s);
	must(load_drain(&f->load), "drain");
	f->load.log = log;
}

/* As a migration ends: the rings stop, a last pass is made, and the destination has it all. */
static void end_log(struct front_end *f, struct dirty_log *log)
{
	f->load.log = NULL;
	for (unsigned int i = 0; i < f->s.queue_count; i++)
		must(vuc_get_vring_base(&f->s.c, i, &(uint32_t){ 0 }), "GET_VRING_BASE");
	want(dirty_log_count(log, &f->s) > 0, "nothing was logged");
	dirty_log_compare(log, &f->s, !options.peer);
	dirty_log_stop(&f->s);
	for (unsigned int i = 0; i < f->s.queue_count; i++)
		must(vug_send_start(&f->s.queues[i], &f->s.c), "start of a ring");
}

static void log_rounds(struct front_end *f, struct dirty_log *log)
{
	for (unsigned int i = 0; i < options.rounds; i++) {
		begin_log(f, log);
		for (unsigned int n = 0; n < 40; n++) {
			run(f, 25);
			dirty_log_collect(log, &f->s);
		}
		end_log(f, log);
		run(f, 100);
		want(dirty_log_count(log, &f->s) == 0, "logged after the end of the log");
	}
}

static void open_with_log(struct front_end *f, struct dirty_log *log, const char *name)
{
	open_front_end(f, name);
	need(&f->s, VUC_P_LOG_SHMFD, "LOG_SHMFD");
	if (!offers_log(&f->s)) {
		printf("not offered: LOG_ALL\n");
		exit(options.peer ? NOT_OFFERED : 1);
	}
	dirty_log_init(log);
}

static void dirty_log_has_all_pages(const char *name)
{
	struct dirty_log log;
	struct front_end f;

	open_with_log(&f, &log, name);
	log_rounds(&f, &log);
	want(log.checked > 1000, "only %" PRIu64 " pages were checked", log.checked);
	printf("%" PRIu64 " pages checked\n", log.checked);
	close_front_end(&f);
	dirty_log_exit(&log);
}

/* This must fail: a bit is thrown away, as by a back end that forgets one. See lost_bit_is_noticed(). */
static void lose_a_bit(const char *name)
{
	struct dirty_log log;
	struct front_end f;

	open_with_log(&f, &log, name);
	log.forget = 500;
	log_rounds(&f, &log);
	exit(0);
}

static void lost_bit_is_noticed(const char *name)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	want(child >= 0, "fork: %s", strerror(errno));
	if (!child) {
		want(freopen("/dev/null", "w", stdout), "/dev/null");
		lose_a_bit(name);
	}
	want(waitpid(child, &status, 0) == child, "waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_OFFERED)
		exit(NOT_OFFERED);
	want(WIFEXITED(status) && WEXITSTATUS(status) == 1, "a bit was lost, and nobody noticed");
}

/* Saved and loaded between two connections; this device has no state, so it is empty or short. */
static void device_state_is_saved_and_loaded(const char *name)
{
	struct front_end f;
	uint8_t state[4096];
	uint64_t result;
	int pipe_fds[2];
	ssize_t n, size = 0;

	open_front_end(&f, name);
	need(&f.s, VUC_P_DEVICE_STATE, "DEVICE_STATE");
	run(&f, options.requests);
	session_stop(&f.s);
	want(pipe(pipe_fds) == 0, "pipe");
	must(vuc_device_state(&f.s.c, 0, pipe_fds[1]), "SET_DEVICE_STATE_FD to save");
	close(pipe_fds[1]);
	while ((n = read(pipe_fds[0], state + size, sizeof(state) - (size_t)size)) > 0)
		size += n;
	want(n == 0, "read of the state: %s", strerror(errno));
	close(pipe_fds[0]);
	must(vuc_get_u64(&f.s.c, VUC_CHECK_DEVICE_STATE, &result), "CHECK_DEVICE_STATE");
	want(result == 0, "the state was not saved");
	must(session_reconnect(&f.s), "reconnect");
	session_stop(&f.s);
	want(pipe(pipe_fds) == 0, "pipe");
	must(vuc_device_state(&f.s.c, 1, pipe_fds[0]), "SET_DEVICE_STATE_FD to load");
	close(pipe_fds[0]);
	want(write(pipe_fds[1], state, (size_t)size) == size, "write of the state");
	close(pipe_fds[1]);
	must(vuc_get_u64(&f.s.c, VUC_CHECK_DEVICE_STATE, &result), "CHECK_DEVICE_STATE");
	want(result == 0, "the state was not loaded");
	session_start(&f.s);
	run(&f, options.requests);
	close_front_end(&f);
}

/* RESET_DEVICE with requests in flight; the guest's driver begins with empty rings. */
static void device_is_reset_under_load(const char *name)
{
	struct front_end f;

	open_front_end(&f, name);
	need(&f.s, VUC_P_RESET_DEVICE, "RESET_DEVICE");
	for (unsigned int i = 0; i < options.rounds; i++) {
		load_offer(&f.load, 200);
		must(vuc_set_empty(&f.s.c, VUC_RESET_DEVICE), "RESET_DEVICE");
		/* What the reset ended has happened or not; nothing may come any more. */
		load_forget(&f.load);
		session_reset(&f.s);
		session_start(&f.s);
		run(&f, 100);
	}
	close_front_end(&f);
}

/* A change of the size by somebody else: the back end says so, and the configuration has it. */
static void config_change_is_told(const char *name)
{
	struct front_end f;
	struct vuc_header header;
	uint64_t before;

	open_front_end(&f, name);
	need(&f.s, VUC_P_BACKEND_REQ, "BACKEND_REQ");
	before = f.s.config.capacity;
	printf("ready\n");
	fflush(stdout);
	run(&f, options.requests);
	must(vuc_next_backend_request(&f.s.c, &header), "message of the back end");
	want(header.request == VUC_BACKEND_CONFIG_CHANGE, "request %u of the back end",
	     header.request);
	must(vuc_get_config(&f.s.c, 0, sizeof(f.s.config), 0, (uint8_t *)&f.s.config),
	     "GET_CONFIG");
	want(f.s.config.capacity != before, "the capacity is %" PRIu64 " as before", before);
	printf("capacity %" PRIu64 "\n", (uint64_t)f.s.config.capacity);
	run(&f, options.requests);
	close_front_end(&f);
}

/*
 * I/O through any number of lost connections, until a file exists: the shell kills or replaces the
 * server. A line for each few hundred requests.
 */
static void server_goes_under_load(const char *name)
{
	struct front_end f;
	unsigned int lost = 0;
	int err = 0;

	open_front_end(&f, name);
	need(&f.s, VUC_P_INFLIGHT_SHMFD, "INFLIGHT_SHMFD");
	want(options.until, "--until says when it ends");
	while (access(options.until, F_OK) < 0 || err) {
		if (err == -ECONNRESET) {
			where("%s, connection %u", name, ++lost);
			err = session_reconnect(&f.s);
			continue;
		}
		must(err, "I/O");
		printf("running, %" PRIu64 " requests, %u connections lost\n", f.load.done, lost);
		fflush(stdout);
		err = load_run(&f.load, 300);
	}
	printf("%" PRIu64 " requests, %u connections lost\n", f.load.done, lost);
	close_front_end(&f);
}

/* The rings stop as in QEMU's migration. Return: how many requests are in flight */
static unsigned int suspend(struct front_end *f)
{
	struct session *s = &f->s;
	uint32_t base;

	for (unsigned int i = 0; i < s->queue_count; i++)
		must(vug_send_enable(&s->queues[i], &s->c, false), "disable");
	for (unsigned int i = 0; i < s->queue_count; i++) {
		struct vug_queue *q = &s->queues[i];

		must(vuc_get_vring_base(&s->c, i, &base), "GET_VRING_BASE");
		load_reap(&f->load);
		want((uint16_t)(base - vug_used_idx(q)) <= q->busy, "queue %u: base %u, used %u", i,
		     base, vug_used_idx(q));
	}
	return load_in_flight(&f->load);
}

/* The target has a log of its own, with the bytes of the source's. */
static void move_log(struct session *s)
{
	int fd = memfd_create("target", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *bytes = mmap(NULL, s->inflight.mmap_size, PROT_READ, MAP_SHARED, s->inflight_fd, 0);

	want(bytes != MAP_FAILED && fd >= 0, "log: %s", strerror(errno));
	want(write(fd, bytes, s->inflight.mmap_size) == (ssize_t)s->inflight.mmap_size, "log: %s",
	     strerror(errno));
	want(!fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL), "seals: %s",
	     strerror(errno));
	munmap(bytes, s->inflight.mmap_size);
	close(s->inflight_fd);
	s->inflight_fd = fd;
}

/* Between two servers, with requests in flight, which the next server serves. */
static void disk_moves_under_load(const char *name)
{
	unsigned int moved = 0;
	struct front_end f;

	want(options.target, "--target says where to");
	open_front_end(&f, name);
	need(&f.s, VUC_P_GET_VRING_BASE_INFLIGHT, "GET_VRING_BASE_INFLIGHT");
	for (unsigned int i = 0; i < options.rounds * 2; i++) {
		load_offer(&f.load, 200);
		usleep(1000 * (i % 8));
		moved += suspend(&f);
		move_log(&f.s);
		f.s.path = i % 2 ? options.path : options.target;
		must(session_reconnect(&f.s), "connection to the other server");
		if (i % 4 == 1)
			continue; /* and on, with the same requests */
		run(&f, 100);
	}
	printf("%u requests moved\n", moved);
	close_front_end(&f);
}

/* A disk that cannot be written: the feature says so, writes fail, and reads go on. */
static void disk_is_read_only(const char *name)
{
	struct front_end f;
	uint8_t block[LOAD_BLOCK] = { 0 };

	open_front_end(&f, name);
	want(session_has(&f.s, VIRTIO_BLK_F_RO), "the back end does not offer RO");
	run(&f, options.requests);
	want(vug_do(&f.s.queues[0], VIRTIO_BLK_T_OUT, 0, block, sizeof(block), PATIENCE_MS) ==
		     VIRTIO_BLK_S_IOERR,
	     "a write to a disk that is read-only");
	run(&f, options.requests);
	close_front_end(&f);
}

static const struct front_end_case {
	const char *name;
	void (*run)(const char *vmm);
	const char *vmm; /* that plays it; NULL: the one that is asked for */
	bool on_request; /* needs a shell that does something meanwhile */
	bool ours;	 /* --peer leaves it out */
} cases[] = {
	{ "vmm", play_vmm, "all", false, false },
	{ "kept", disk_is_kept, NULL, false, false },
	{ "call", call_is_replaced_under_load, NULL, false, true },
	{ "stop", rings_stop_under_load, NULL, false, true },
	{ "one-ring", one_ring_stops_under_load, NULL, false, true },
	{ "disable", rings_are_disabled_under_load, NULL, false, true },
	{ "reconnect", front_end_comes_again, NULL, false, true },
	{ "slots", memory_slots_come_and_go, NULL, false, false },
	{ "table", memory_table_is_sent_again, "crosvm", false, true },
	{ "dirty-log", dirty_log_has_all_pages, NULL, false, false },
	{ "lost-bit", lost_bit_is_noticed, NULL, false, true },
	{ "device-state", device_state_is_saved_and_loaded, "cloud-hypervisor", false, false },
	{ "reset", device_is_reset_under_load, NULL, false, false },
	{ "resize", config_change_is_told, NULL, true, false },
	{ "crash", server_goes_under_load, NULL, true, false },
	{ "move", disk_moves_under_load, "qemu-11", true, false },
	{ "read-only", disk_is_read_only, NULL, true, false },
};

/* In a process of its own, so that one that fails leaves the others. Return: its exit status */
static int run_apart(const struct front_end_case *c, const char *vmm)
{
	int status;
	pid_t child;

	fflush(stdout);
	child = fork();
	want(child >= 0, "fork: %s", strerror(errno));
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		where("%s %s", c->name, vmm);
		c->run(vmm);
		fflush(stdout);
		_exit(0);
	}
	want(waitpid(child, &status, 0) == child, "waitpid");
	if (WIFSIGNALED(status)) {
		printf("FAIL: %s %s: %s\n", c->name, vmm, strsignal(WTERMSIG(status)));
		return 1;
	}
	return WEXITSTATUS(status);
}

static bool named(const char *name, char *const *names)
{
	for (; *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

static bool is_wanted(const struct front_end_case *c, char *const *names)
{
	if (*names)
		return named(c->name, names);
	return !c->on_request && !(options.peer && c->ours);
}

static int run_with(const struct front_end_case *c, const char *vmm)
{
	int status = run_apart(c, vmm);
	const char *how = "FAILED";

	if (status == 0)
		how = "ok";
	else if (status == NOT_OFFERED)
		how = "skipped";
	printf("%-7s %s %s\n", how, c->name, vmm);
	fflush(stdout);
	return status != 0 && status != NOT_OFFERED;
}

/* @vmm: NULL: the case decides. Return: how many failed */
static int run_case(const struct front_end_case *c, const char *vmm)
{
	int failed = 0;

	if (!vmm)
		vmm = c->vmm ? c->vmm : "qemu";
	if (strcmp(vmm, "all"))
		return run_with(c, vmm);
	for (unsigned int i = 0; i < vmm_count; i++)
		failed += run_with(c, vmms[i].name);
	return failed;
}

static int usage(void)
{
	fputs("usage: front_ends [OPTION]... SOCKET [CASE...]\n"
	      "  --vmm NAME      that plays the cases, or all; each case has its own\n"
	      "  --queues N      of each front end (4)\n"
	      "  --image FILE    the image behind the disk, compared at the end\n"
	      "  --requests N    of a case (3000)\n"
	      "  --rounds N      of a case that repeats something (8)\n"
	      "  --peer          leave out what qemu-storage-daemon is known to lack or to fail\n"
	      "  --until FILE    end of the case crash\n"
	      "  --target SOCKET of another server for the same disk, for the case move\n"
	      "The disk's data are lost. Cases:\n ",
	      stderr);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++)
		fprintf(stderr, " %s%s", cases[i].name, cases[i].on_request ? "*" : "");
	fputs("\n(* only when it is named)\n", stderr);
	return 2;
}

int main(int argc, char *argv[])
{
	static const struct option long_options[] = { { "vmm", required_argument, NULL, 'v' },
						      { "queues", required_argument, NULL, 'q' },
						      { "image", required_argument, NULL, 'i' },
						      { "requests", required_argument, NULL, 'n' },
						      { "rounds", required_argument, NULL, 'r' },
						      { "peer", no_argument, NULL, 'p' },
						      { "until", required_argument, NULL, 'u' },
						      { "target", required_argument, NULL, 't' },
						      { 0 } };
	const char *vmm = NULL;
	int option, failed = 0, run = 0;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case 'v':
			vmm = optarg;
			break;
		case 'q':
			options.queues = (unsigned int)MIN(atoi(optarg), QUEUES_MAX);
			break;
		case 'i':
			options.image = optarg;
			break;
		case 't':
			options.target = optarg;
			break;
		case 'u':
			options.until = optarg;
			break;
		case 'n':
			options.requests = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			options.rounds = (unsigned int)atoi(optarg);
			break;
		case 'p':
			options.peer = true;
			break;
		default:
			return usage();
		}
	}
	if (optind == argc)
		return usage();
	options.path = argv[optind];
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++)
		if (is_wanted(&cases[i], argv + optind + 1)) {
			run++;
			failed += run_case(&cases[i], vmm);
		}
	if (!run)
		return usage();
	return failed ? 1 : 0;
}
