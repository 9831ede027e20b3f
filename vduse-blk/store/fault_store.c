// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A file or block device with faults on request, for tests (config/fault_options.h).
 *
 * A fault delays or replaces an operation of the file's store. An operation that is delayed waits on a
 * thread of this store's pool: no worker blocks.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "config/config_path.h"
#include "config/fault_options.h"
#include "log.h"
#include "store_pool.h"
#include "store_threads.h"
#include "store_type.h"
#include "time_ns.h"

/* How long a thread sleeps before it looks again whether the operation still has to wait. */
#define LOOK_NS (5ull * 1000 * 1000)

struct fault_store {
	struct backend base;
	struct backend *file;
	struct fault_options options;
	bool needs_thread;    /* operations may have to wait, or a path may have to be looked for */
	bool ignores_flushes; /* cache = unsafe */
	struct pool_fds no_fds; /* of the threads */
	struct store_pool *pool;
	uint32_t reads, writes, flushes; /* begun so far, if one is to fail; atomic */
	uint32_t writes_to_lose;	 /* likewise, if one is to be lost */
	bool loss_to_report;		 /* a write was lost, and no sync has failed yet; atomic */
};

/* The private part of an operation, until it is passed on. */
struct fault_io {
	struct pool_job job;
	uint64_t since_ns; /* when it was submitted */
};

_Static_assert(sizeof(struct fault_io) <= BACKEND_IO_PRIVATE, "BACKEND_IO_PRIVATE");

static struct fault_store *fault_of(struct backend *backend)
{
	return container_of(backend, struct fault_store, base);
}

static struct fault_io *fault_io(struct backend_io *io)
{
	return (struct fault_io *)io->private;
}

static struct backend_io *io_of(struct pool_job *job)
{
	struct fault_io *own = container_of(job, struct fault_io, job);

	return container_of((unsigned char(*)[BACKEND_IO_PRIVATE])own, struct backend_io, private);
}

/* Reports the loss before this and any later completion. */
static void sync_fails(struct fault_store *fault, struct backend_io *io)
{
	backend_lost(&fault->base);
	__atomic_store_n(&fault->loss_to_report, false, __ATOMIC_SEQ_CST);
	io->sync_failed = true;
	io->done(io, -EIO);
}

static void io_fails(struct fault_store *fault, struct backend_io *io)
{
	if (io->op == BACKEND_FLUSH)
		sync_fails(fault, io);
	else
		io->done(io, -EIO);
}

static bool reports_loss(struct fault_store *fault, const struct backend_io *io)
{
	return (io->op == BACKEND_FLUSH || io->durable) && !fault->ignores_flushes &&
	       __atomic_load_n(&fault->loss_to_report, __ATOMIC_SEQ_CST);
}

/* Return: is this the operation number @nth of those that @counter counts? */
static bool is_nth(uint32_t *counter, uint32_t nth)
{
	return nth && __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED) == nth;
}

static bool is_to_fail(struct fault_store *fault, enum backend_op op)
{
	switch (op) {
	case BACKEND_READ:
		return is_nth(&fault->reads, fault->options.fail_read);
	case BACKEND_WRITE:
		return is_nth(&fault->writes, fault->options.fail_write);
	case BACKEND_FLUSH:
		return is_nth(&fault->flushes, fault->options.fail_flush);
	case BACKEND_DISCARD:
	case BACKEND_WRITE_ZEROES:
		break;
	}
	return false;
}

/* All waits are over. */
static void io_begin(struct fault_store *fault, struct backend_io *io)
{
	bool fails = is_to_fail(fault, io->op);
	bool lost = io->op == BACKEND_WRITE &&
		    is_nth(&fault->writes_to_lose, fault->options.lose_write);

	if (lost)
		__atomic_store_n(&fault->loss_to_report, true, __ATOMIC_SEQ_CST);
	if (fails)
		io_fails(fault, io);
	else if (reports_loss(fault, io))
		sync_fails(fault, io);
	else if (lost)
		io->done(io, 0);
	else
		backend_submit(fault->file, io->ring, io);
}

static bool exists(const char *path)
{
	return path[0] && !access(path, F_OK);
}

static bool must_wait(const struct fault_store *fault, uint64_t since_ns)
{
	return time_now_ns() - since_ns < fault->options.delay_ms * 1000000ull ||
	       exists(fault->options.hold_while);
}

/* On a thread of the pool. Return: 0; -EIO: the operation fails; -ECANCELED */
static int wait_work(struct pool_job *job, const struct pool_fds *fds)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	struct backend_io *io = io_of(job);
	struct fault_store *fault = fault_of(io->backend);

	(void)fds;
	while (!load_relaxed(&io->cancelled) && must_wait(fault, fault_io(io)->since_ns))
		nanosleep(&pause, NULL);
	if (load_relaxed(&io->cancelled))
		return -ECANCELED;
	return exists(fault->options.fail_while) ? -EIO : 0;
}

static void waited(struct pool_job *job)
{
	struct backend_io *io = io_of(job);
	struct fault_store *fault = fault_of(io->backend);

	if (io->cancelled)
		io->done(io, -ECANCELED);
	else if (job->result == -EIO)
		io_fails(fault, io);
	else if (job->result)
		io->done(io, job->result);
	else
		io_begin(fault, io);
}

static void fault_submit(struct backend *backend, struct ring *ring, struct backend_io *io)
{
	struct fault_store *fault = fault_of(backend);
	struct fault_io *own = fault_io(io);

	if (!fault->needs_thread) {
		io_begin(fault, io);
		return;
	}
	own->job.work = wait_work;
	own->job.done = waited;
	own->job.ring = ring;
	own->since_ns = time_now_ns();
	store_pool_submit(fault->pool, &own->job);
}

/* Once passed on, an operation belongs to the store of the file, and this is not called. */
static void fault_cancel(struct backend *backend, struct backend_io *io)
{
	store_pool_cancel(fault_of(backend)->pool, &fault_io(io)->job);
}

static unsigned int fault_descriptors(struct backend *backend, int **fds, unsigned int max)
{
	return backend_descriptors(fault_of(backend)->file, fds, max);
}

static void fault_moved(struct backend *backend)
{
	backend_moved(fault_of(backend)->file);
}

static void fault_close(struct backend *backend)
{
	struct fault_store *fault = fault_of(backend);

	store_pool_free(fault->pool);
	store_threads_put();
	backend_close(fault->file);
	free(fault);
}

static const struct backend_ops fault_ops = {
	.submit = fault_submit,
	.cancel = fault_cancel,
	.descriptors = fault_descriptors,
	.moved = fault_moved,
	.close = fault_close,
};

/* The configuration of the file below. */
static struct device_config file_config(const struct device_config *config)
{
	struct device_config below = *config;

	below.path = (char *)config_path_file(config->path);
	return below;
}

static void file_lost(void *owner)
{
	struct fault_store *fault = owner;

	backend_lost(&fault->base);
}

static int open_file(const struct device_config *config, unsigned int wait_ms,
		     struct fault_store *fault)
{
	const struct device_config below = file_config(config);
	int err = store_type_file.open(&below, wait_ms, &fault->file);

	if (err)
		return err;
	fault->base = *fault->file;
	fault->base.ops = &fault_ops;
	fault->file->lost = file_lost;
	fault->file->owner = fault;
	return 0;
}

static int set_options(const struct device_config *config, struct fault_store *fault)
{
	const struct fault_options *options = &fault->options;
	char why[FAULT_WHY_MAX];
	int err = fault_options_parse(config->path, &fault->options, why);

	if (err) {
		log_err("%s: path: %s", config->name, why);
		return err;
	}
	fault->needs_thread = options->delay_ms || options->hold_while[0] || options->fail_while[0];
	fault->ignores_flushes = config->cache == CACHE_UNSAFE;
	return 0;
}

static int fault_open(const struct device_config *config, unsigned int wait_ms,
		      struct backend **out)
{
	struct fault_store *fault = calloc(1, sizeof(*fault));
	int err;

	if (!fault)
		return -ENOMEM;
	err = set_options(config, fault);
	if (err)
		goto free_fault;
	err = store_threads_get();
	if (err)
		goto free_fault;
	fault->no_fds.fd = -1;
	err = store_pool_new(config->name, &fault->no_fds, 0, NULL, NULL, NULL, &fault->pool);
	if (err)
		goto put_threads;
	store_pool_widen(fault->pool);
	err = open_file(config, wait_ms, fault);
	if (err)
		goto free_pool;
	*out = &fault->base;
	return 0;

free_pool:
	store_pool_free(fault->pool);
put_threads:
	store_threads_put();
free_fault:
	free(fault);
	return err;
}

static int fault_examine(const struct device_config *config, bool try_lock, struct backend *out)
{
	const struct device_config below = file_config(config);

	return store_type_file.examine(&below, try_lock, out);
}

static int fault_check_use(const struct device_config *config, bool shared)
{
	const struct device_config below = file_config(config);

	return store_type_file.check_use(&below, shared);
}

static void fault_identify(const struct device_config *config, char identity[BACKEND_IDENTITY_MAX])
{
	const struct device_config below = file_config(config);

	store_type_file.identify(&below, identity);
}

const struct store_type store_type_fault = {
	.open = fault_open,
	.examine = fault_examine,
	.check_use = fault_check_use,
	.identify = fault_identify,
};
