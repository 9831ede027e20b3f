// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Files and block devices.
 *
 * Reads and writes are in file_rw.c. All other operations block, so threads of the store do them
 * (store_pool.h). If the store does not support an operation, they try the next best one. An operation
 * that must be durable ends with a sync.
 */
#include "file_store.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/front_end.h"
#include "log.h"
#include "store_access.h"
#include "store_holder.h"
#include "store_kern.h"
#include "store_threads.h"
#include "store_type.h"

#define ZERO_CHUNK 65536u /* bytes of zeroes in memory, for stores that cannot make them */

static const uint8_t zeroes[ZERO_CHUNK] __attribute__((aligned(4096)));

void io_to_pool(struct backend_io *io,
		int (*work)(struct pool_job *job, const struct pool_fds *fds),
		void (*done)(struct pool_job *job))
{
	struct file_io *own = file_io(io);

	own->job.work = work;
	own->job.done = done;
	own->job.ring = io->ring;
	own->in_pool = true;
	store_pool_submit(store_of(io)->pool, &own->job);
}

static void sync_done(struct pool_job *job)
{
	struct backend_io *io = io_of_job(job);

	file_io(io)->in_pool = false;
	io->sync_failed = job->result && job->result != -ECANCELED;
	io_finish(io, job->result);
}

static void sync_start(struct backend_io *io)
{
	io_to_pool(io, NULL, sync_done);
}

void io_finish_changed(struct backend_io *io, int err)
{
	if (likely(err || !io->durable))
		io_finish(io, err);
	else if (io->cancelled)
		io_finish(io, -ECANCELED);
	else
		sync_start(io);
}

/* ---- operations on a thread of the pool ---- */

static bool not_supported(int res)
{
	return res == -EOPNOTSUPP || res == -ENOSYS || res == -ENODEV || res == -ENOTTY;
}

/*
 * Writes one chunk. O_DIRECT continues at whole blocks only, so a partial block is written again.
 * Return: 0; -errno
 */
static int write_chunk(struct backend_io *io, int fd)
{
	const struct host_file *file = &store_of(io)->file;
	struct iovec iov = {
		.iov_base = (void *)(uintptr_t)zeroes,
		.iov_len = MIN(io->len - io->done_bytes, (uint64_t)ZERO_CHUNK),
	};
	ssize_t n =
		store_kern_transfer(true, fd, &iov, 1, file->offset + io->offset + io->done_bytes);

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n > 0 && file->direct)
		n -= n % file->length_align;
	if (n == 0)
		return -ENODATA;
	if (n < 0)
		return (int)n;
	io->done_bytes += (uint64_t)n;
	return 0;
}

/* If nothing else works: writes zeroes from a shared buffer. */
static int write_zeroes(struct backend_io *io, int fd)
{
	int err = 0;

	while (!err && io->done_bytes < io->len)
		err = load_relaxed(&io->cancelled) ? -ECANCELED : write_chunk(io, fd);
	return err;
}

static int try_allocate(const struct backend_io *io, int fd, int mode)
{
	return store_kern_allocate(fd, mode, store_of(io)->file.offset + io->offset, io->len);
}

static int try_discard(const struct backend_io *io, int fd, int mode)
{
	(void)mode;
	return store_kern_discard(fd, store_of(io)->file.offset + io->offset, io->len);
}

/*
 * Before Linux discards or zeroes a part of a block device, it drops the pages of that part from the page
 * cache. While a process has the device open with O_EXCL, as this one does (store_claim.h), it can only drop
 * clean pages, and fails with EBUSY for a dirty one (truncate_bdev_range() in block/bdev.c). So the part is
 * written back first. Return: 0; -EBUSY: a neighbour has written to one of these pages again; other -errno
 */
static int change_range(const struct backend_io *io, int fd, int mode,
			int (*change)(const struct backend_io *io, int fd, int mode))
{
	int err = change(io, fd, mode);

	if (err != -EBUSY)
		return err;
	err = store_kern_write_back(fd, store_of(io)->file.offset + io->offset, io->len);
	return err ? -EBUSY : change(io, fd, mode);
}

static int allocate(const struct backend_io *io, int fd, int mode)
{
	return change_range(io, fd, mode, try_allocate);
}

/*
 * Holes read as zeroes and take no space. So an image file gets holes even if the driver did not set
 * UNMAP: virtio 1.3, 5.2.6.2 allows that, and Linux never sets it for BLKZEROOUT. For a block device
 * the driver decides.
 */
static int zeroes_work(struct pool_job *job, const struct pool_fds *fds)
{
	struct backend_io *io = io_of_job(job);
	struct file_store *store = store_of(io);
	bool free_space = !store->keep_space && (io->unmap || !store->file.block_device);
	int err = -EOPNOTSUPP;

	if (free_space && !load_relaxed(&store->no_punch)) {
		err = allocate(io, fds->fd, FALLOC_FL_PUNCH_HOLE);
		if (not_supported(err))
			store_relaxed(&store->no_punch, true);
	}
	if (not_supported(err) && !load_relaxed(&store->no_zero_range)) {
		err = allocate(io, fds->fd, FALLOC_FL_ZERO_RANGE);
		if (not_supported(err))
			store_relaxed(&store->no_zero_range, true);
	}
	return not_supported(err) || err == -EBUSY ? write_zeroes(io, fds->fd) : err;
}

/* A discard is a hint: if the store cannot free space, now or ever, it succeeds without an effect. */
static int discard_work(struct pool_job *job, const struct pool_fds *fds)
{
	struct backend_io *io = io_of_job(job);
	struct file_store *store = store_of(io);
	int err;

	if (store->file.block_device)
		err = change_range(io, fds->fd, 0, try_discard);
	else
		err = allocate(io, fds->fd, FALLOC_FL_PUNCH_HOLE);
	if (not_supported(err))
		store_relaxed(&store->no_discard, true);
	return not_supported(err) || err == -EBUSY ? 0 : err;
}

static void change_done(struct pool_job *job)
{
	struct backend_io *io = io_of_job(job);

	file_io(io)->in_pool = false;
	io_finish_changed(io, job->result);
}

static void file_submit(struct backend *backend, struct ring *ring, struct backend_io *io)
{
	struct file_store *store = store_of(io);

	(void)backend;
	(void)ring;
	file_io(io)->iopoll = store->iopoll;
	if (store->file.cache == CACHE_UNSAFE)
		io->durable = false;
	switch (io->op) {
	case BACKEND_READ:
	case BACKEND_WRITE:
		file_rw_start(io);
		break;
	case BACKEND_FLUSH:
		if (store->file.cache == CACHE_UNSAFE)
			io_finish(io, 0);
		else
			sync_start(io);
		break;
	case BACKEND_DISCARD:
		if (load_relaxed(&store->no_discard))
			io_finish(io, 0);
		else
			io_to_pool(io, discard_work, change_done);
		break;
	case BACKEND_WRITE_ZEROES:
		io_to_pool(io, zeroes_work, change_done);
		break;
	}
}

/* An operation in the ring's second io_uring cannot be cancelled; ring_cancel() does not find it. */
static void file_cancel(struct backend *backend, struct backend_io *io)
{
	(void)backend;
	if (file_io(io)->in_pool)
		store_pool_cancel(store_of(io)->pool, &file_io(io)->job);
	else
		ring_cancel(io->ring, &file_io(io)->ring_op);
}

static unsigned int file_descriptors(struct backend *backend, int **fds, unsigned int max)
{
	struct file_store *store = container_of(backend, struct file_store, base);

	return host_file_descriptors(&store->file, fds, max);
}

static void set_pool_fds(struct file_store *store)
{
	store->pool_fds.fd = store->file.fd;
	memcpy(store->pool_fds.sync, store->file.sync_fds, sizeof(store->pool_fds.sync));
}

static void file_moved(struct backend *backend)
{
	struct file_store *store = container_of(backend, struct file_store, base);

	if (store->holder)
		return;
	host_file_moved(&store->file);
	set_pool_fds(store);
}

static void file_close(struct backend *backend)
{
	struct file_store *store = container_of(backend, struct file_store, base);

	store_pool_free(store->pool);
	if (store->holder)
		store_holder_free(store->holder);
	host_file_close(&store->file);
	store_threads_put();
	free(store);
}

static void file_lost(void *owner)
{
	struct file_store *store = owner;

	backend_lost(&store->base);
}

static const struct backend_ops file_ops = {
	.submit = file_submit,
	.cancel = file_cancel,
	.descriptors = file_descriptors,
	.moved = file_moved,
	.close = file_close,
};

/* Sets the properties that users of the store see. */
static void set_base(struct backend *base, const struct host_file *file)
{
	base->limits = file->limits;
	base->offset = file->offset;
	memcpy(base->identity, file->identity, sizeof(base->identity));
	base->cached = !file->direct;
}

static void file_init(struct file_store *store, const struct device_config *config)
{
	set_base(&store->base, &store->file);
	store->base.ops = &file_ops;
	store->keep_space = config->discard == SWITCH_NO;
	store->iopoll = config->iopoll;
	store->bounce = front_end_of(config->driver)->bounce_buffer;
}

/* A slow store: no worker uses its descriptors, so the process need not have them. */
static void hold(struct file_store *store, const char *name)
{
	int *fds[STORE_HOLDER_MAX], err;
	unsigned int count = host_file_descriptors(&store->file, fds, ARRAY_SIZE(fds));

	err = store_holder_new(fds, count, &store->holder);
	if (!err)
		host_file_forget(&store->file);
	else if (err != -ENOTSUP)
		log_warn(
			"%s: no private descriptor table for the store: %s; if this server is killed "
			"while the store stalls, no other server can serve its disks",
			name, strerror(-err));
}

static int pool_open(struct file_store *store, const char *name)
{
	unsigned int sync_count = store->file.sync_count;
	int err;

	set_pool_fds(store);
	if (!store->file.block_device && store_kern_refuses_nowait(store->file.fd)) {
		store->no_nowait[0] = store->no_nowait[1] = true;
		hold(store, name);
	}
	err = store_pool_new(name, &store->pool_fds, sync_count, store->holder, file_lost, store,
			     &store->pool);
	if (!err && store->no_nowait[0])
		store_pool_widen(store->pool);
	if (err && store->holder)
		store_holder_free(store->holder);
	return err;
}

static int file_open(const struct device_config *config, unsigned int wait_ms, struct backend **out)
{
	struct file_store *store;
	int err;

	store = calloc(1, sizeof(*store));
	if (!store)
		return -ENOMEM;
	err = store_threads_get();
	if (err)
		goto free_file;
	err = host_file_open(config, wait_ms, &store->file);
	if (err)
		goto put_threads;
	file_init(store, config);
	err = pool_open(store, config->name);
	if (err)
		goto close_store;
	*out = &store->base;
	return 0;

close_store:
	host_file_close(&store->file);
put_threads:
	store_threads_put();
free_file:
	free(store);
	return err;
}

static int file_examine(const struct device_config *config, bool try_lock, struct backend *out)
{
	struct host_file file;
	int err = host_file_examine(config, try_lock, &file);

	if (!err)
		set_base(out, &file);
	return err;
}

static int file_check_use(const struct device_config *config, bool shared)
{
	struct stat st;

	if (!stat(config->path, &st))
		store_access_warn(config, &st);
	return shared ? 0 : host_file_try_claim(config);
}

const struct store_type store_type_file = {
	.open = file_open,
	.examine = file_examine,
	.check_use = file_check_use,
	.identify = host_file_identify,
};
