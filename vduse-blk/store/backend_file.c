// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Files and block devices.
 *
 * Reads and writes are in file_rw.c. All other operations block, and are done by the threads of
 * the store (store_pool.h): what the store cannot do falls to the next best way. An operation that
 * must be durable ends with a sync.
 */
#include "backend_file.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/front_end.h"
#include "store_access.h"
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
	store_pool_submit(file_of(io)->pool, &own->job);
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

/* The rest, to the end of this file but for opening: on a thread of the pool. */

static bool not_supported(int res)
{
	return res == -EOPNOTSUPP || res == -ENOSYS || res == -ENODEV || res == -ENOTTY;
}

/*
 * One chunk. What O_DIRECT wrote of a torn block is written again, as it continues at whole blocks
 * only. Return: 0; -errno
 */
static int write_chunk(struct backend_io *io, int fd)
{
	const struct store *store = &file_of(io)->store;
	struct iovec iov = {
		.iov_base = (void *)(uintptr_t)zeroes,
		.iov_len = MIN(io->len - io->done_bytes, (uint64_t)ZERO_CHUNK),
	};
	ssize_t n =
		store_kern_transfer(true, fd, &iov, 1, store->offset + io->offset + io->done_bytes);

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n > 0 && store->direct)
		n -= n % store->length_align;
	if (n == 0)
		return -ENODATA;
	if (n < 0)
		return (int)n;
	io->done_bytes += (uint64_t)n;
	return 0;
}

/* The last resort: writes zeroes from a shared buffer. */
static int write_zeroes(struct backend_io *io, int fd)
{
	int err = 0;

	while (!err && io->done_bytes < io->len)
		err = load_relaxed(&io->cancelled) ? -ECANCELED : write_chunk(io, fd);
	return err;
}

static int allocate(const struct backend_io *io, int fd, int mode)
{
	return store_kern_allocate(fd, mode, file_of(io)->store.offset + io->offset, io->len);
}

/*
 * Holes read as zeroes and take no space, so an image file gets holes even where the driver did not
 * ask for them (virtio 1.3, 5.2.6.2 forbids nothing here, and Linux never asks for BLKZEROOUT). A
 * block device gets what the driver said.
 */
static int zeroes_work(struct pool_job *job, const struct pool_fds *fds)
{
	struct backend_io *io = io_of_job(job);
	struct file_backend *file = file_of(io);
	bool give_back = !file->keep_space && (io->unmap || !file->store.block_device);
	int err = -EOPNOTSUPP;

	if (give_back && !load_relaxed(&file->no_punch)) {
		err = allocate(io, fds->fd, FALLOC_FL_PUNCH_HOLE);
		if (not_supported(err))
			store_relaxed(&file->no_punch, true);
	}
	if (not_supported(err) && !load_relaxed(&file->no_zero_range)) {
		err = allocate(io, fds->fd, FALLOC_FL_ZERO_RANGE);
		if (not_supported(err))
			store_relaxed(&file->no_zero_range, true);
	}
	return not_supported(err) ? write_zeroes(io, fds->fd) : err;
}

/* A discard is a hint: where the store cannot free space it succeeds without an effect. */
static int discard_work(struct pool_job *job, const struct pool_fds *fds)
{
	struct backend_io *io = io_of_job(job);
	struct file_backend *file = file_of(io);
	int err;

	if (file->store.block_device)
		err = store_kern_discard(fds->fd, file->store.offset + io->offset, io->len);
	else
		err = allocate(io, fds->fd, FALLOC_FL_PUNCH_HOLE);
	if (!not_supported(err))
		return err;
	store_relaxed(&file->no_discard, true);
	return 0;
}

static void change_done(struct pool_job *job)
{
	struct backend_io *io = io_of_job(job);

	file_io(io)->in_pool = false;
	io_finish_changed(io, job->result);
}

static void file_submit(struct backend *backend, struct ring *ring, struct backend_io *io)
{
	struct file_backend *file = file_of(io);

	(void)backend;
	(void)ring;
	file_io(io)->iopoll = file->iopoll;
	if (file->store.cache == CACHE_UNSAFE)
		io->durable = false;
	switch (io->op) {
	case BACKEND_READ:
	case BACKEND_WRITE:
		file_rw_start(io);
		break;
	case BACKEND_FLUSH:
		if (file->store.cache == CACHE_UNSAFE)
			io_finish(io, 0);
		else
			sync_start(io);
		break;
	case BACKEND_DISCARD:
		if (load_relaxed(&file->no_discard))
			io_finish(io, 0);
		else
			io_to_pool(io, discard_work, change_done);
		break;
	case BACKEND_WRITE_ZEROES:
		io_to_pool(io, zeroes_work, change_done);
		break;
	}
}

/* What is in the ring's second io_uring cannot be ended, and is not found. */
static void file_cancel(struct backend *backend, struct backend_io *io)
{
	(void)backend;
	if (file_io(io)->in_pool)
		store_pool_cancel(file_of(io)->pool, &file_io(io)->job);
	else
		ring_cancel(io->ring, &file_io(io)->ring_op);
}

static unsigned int file_descriptors(struct backend *backend, int **fds, unsigned int max)
{
	struct file_backend *file = container_of(backend, struct file_backend, base);

	return store_descriptors(&file->store, fds, max);
}

static void set_pool_fds(struct file_backend *file)
{
	file->pool_fds.fd = file->store.fd;
	memcpy(file->pool_fds.sync, file->store.sync_fds, sizeof(file->pool_fds.sync));
}

static void file_moved(struct backend *backend)
{
	struct file_backend *file = container_of(backend, struct file_backend, base);

	store_moved(&file->store);
	set_pool_fds(file);
}

static void file_close(struct backend *backend)
{
	struct file_backend *file = container_of(backend, struct file_backend, base);

	store_pool_free(file->pool);
	store_close(&file->store);
	store_threads_put();
	free(file);
}

static void file_lost(void *owner)
{
	struct file_backend *file = owner;

	backend_lost(&file->base);
}

static const struct backend_ops file_ops = {
	.submit = file_submit,
	.cancel = file_cancel,
	.descriptors = file_descriptors,
	.moved = file_moved,
	.close = file_close,
};

/* What the store tells its users. */
static void set_base(struct backend *base, const struct store *store)
{
	base->limits = store->limits;
	base->offset = store->offset;
	memcpy(base->identity, store->identity, sizeof(base->identity));
	base->cached = !store->direct;
}

static void file_init(struct file_backend *file, const struct device_config *config)
{
	set_base(&file->base, &file->store);
	file->base.ops = &file_ops;
	file->name = config->name;
	file->keep_space = config->discard == SWITCH_NO;
	file->iopoll = config->iopoll;
	file->bounce = front_end_of(config->driver)->bounce_buffer;
}

static int pool_open(struct file_backend *file)
{
	set_pool_fds(file);
	return store_pool_new(file->name, &file->pool_fds, file->store.sync_count, file_lost, file,
			      &file->pool);
}

static int file_open(const struct device_config *config, unsigned int wait_ms, struct backend **out)
{
	struct file_backend *file;
	int err;

	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	err = store_threads_get();
	if (err)
		goto free_file;
	err = store_open(config, wait_ms, &file->store);
	if (err)
		goto put_threads;
	file_init(file, config);
	err = pool_open(file);
	if (err)
		goto close_store;
	*out = &file->base;
	return 0;

close_store:
	store_close(&file->store);
put_threads:
	store_threads_put();
free_file:
	free(file);
	return err;
}

static int file_examine(const struct device_config *config, bool try_lock, struct backend *out)
{
	struct store store;
	int err = store_examine(config, try_lock, &store);

	if (!err)
		set_base(out, &store);
	return err;
}

static int file_check_use(const struct device_config *config, bool shared)
{
	struct stat st;

	if (!stat(config->path, &st))
		store_access_warn(config, &st);
	return shared ? 0 : store_try_claim(config);
}

const struct store_type store_type_file = {
	.open = file_open,
	.examine = file_examine,
	.check_use = file_check_use,
	.identify = store_identify_path,
};
