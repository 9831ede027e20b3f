// SPDX-License-Identifier: GPL-2.0-or-later
#include "file_limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "log.h"
#include "store_format.h"

#define SECTOR_SIZE 512u
#define BLOCK_MAX   4096u

/*
 * One discard or zeroing of an image file is one fallocate(), whose time grows with its size: a
 * reset has to wait for it. Blocks of 4 KiB suit any granularity.
 */
#define FILE_RANGE_MAX (2u << 30)

/*
 * The limit of one operation on any store: a read from the page cache or from a hole is copied on
 * the worker, while its other queues wait.
 */
#define PART_MAX (1ull << 20)

/* Return: a number in sysfs of the disk that the block device belongs to; without one, @fallback */
static uint64_t queue_limit(dev_t rdev, const char *name, uint64_t fallback)
{
	const char *const dirs[] = { "", "../" }; /* a disk, a partition */
	uint64_t value = fallback;
	char path[128];
	FILE *f;

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/%s", major(rdev),
			 minor(rdev), dirs[i], name);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%" SCNu64, &value) != 1)
			value = fallback;
		fclose(f);
		break;
	}
	return value;
}

static void set_parts(struct host_file *file, dev_t rdev)
{
	uint64_t bytes = queue_limit(rdev, "max_sectors_kb", 0) * 1024 / BLOCK_MAX * BLOCK_MAX;
	uint32_t pieces = (uint32_t)queue_limit(rdev, "max_segments", 0);

	if (!bytes || !pieces) /* sysfs has no limits of this device */
		return;
	file->part_max = MIN(bytes, PART_MAX);
	file->part_pieces = pieces;
}

static int examine_block_device(struct host_file *file, const struct stat *st, uint64_t *size)
{
	struct backend_limits *l = &file->limits;
	unsigned int physical = 0, io_min = 0, io_opt = 0;
	int logical = 0, alignment = 0;
	uint64_t discard_max;

	if (ioctl(file->fd, BLKGETSIZE64, size) || ioctl(file->fd, BLKSSZGET, &logical))
		return -errno;
	ioctl(file->fd, BLKPBSZGET, &physical);
	ioctl(file->fd, BLKIOMIN, &io_min);
	ioctl(file->fd, BLKIOOPT, &io_opt);
	ioctl(file->fd, BLKALIGNOFF, &alignment);

	l->logical_block = (uint32_t)logical;
	l->physical_block = MAX(physical, l->logical_block);
	l->alignment_offset = alignment > 0 ? (uint32_t)alignment : 0;
	l->io_min = io_min;
	l->io_opt = io_opt;
	l->discard_granularity =
		(uint32_t)queue_limit(st->st_rdev, "discard_granularity", l->logical_block);
	discard_max = queue_limit(st->st_rdev, "discard_max_bytes", 0);
	l->discard_max = (uint32_t)MIN(discard_max, FILE_RANGE_MAX);
	l->zeroes_max = FILE_RANGE_MAX;
	if (file->direct)
		set_parts(file, st->st_rdev);
	return 0;
}

static void examine_file(struct host_file *file, const struct stat *st)
{
	struct backend_limits *l = &file->limits;
	uint32_t block = (uint32_t)st->st_blksize;

	/* The physical block is the block of the file system, if that is a valid block size here. */
	if (block < SECTOR_SIZE || block > 4096 || (block & (block - 1)))
		block = 4096;
	l->logical_block = SECTOR_SIZE;
	l->physical_block = block;
	l->io_min = block;
	l->discard_granularity = block;
	l->discard_max = FILE_RANGE_MAX;
	l->zeroes_max = FILE_RANGE_MAX;
}

/* Finds the alignment for O_DIRECT by reading, for kernels and file systems that do not report it. */
static uint32_t probe_direct_align(int fd)
{
	uint32_t align = SECTOR_SIZE;
	void *buf;

	if (posix_memalign(&buf, 4096, 4096))
		return 4096;
	while (align < 4096 && pread(fd, buf, align, 0) < 0 && errno == EINVAL)
		align *= 2;
	free(buf);
	return align;
}

static void examine_direct(struct host_file *file)
{
	struct statx stx = { 0 };

	file->memory_align = file->length_align = 0;
#ifdef STATX_DIOALIGN
	if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    (stx.stx_mask & STATX_DIOALIGN)) {
		file->memory_align = stx.stx_dio_mem_align;
		file->length_align = stx.stx_dio_offset_align;
	}
#endif
	if (!file->length_align)
		file->memory_align = file->length_align = probe_direct_align(file->fd);
	file->limits.logical_block = MAX(file->limits.logical_block, file->length_align);
	file->limits.physical_block = MAX(file->limits.physical_block, file->limits.logical_block);
}

int file_limits_examine(struct host_file *file, const struct stat *st, uint64_t *size)
{
	int err = 0;

	*size = (uint64_t)st->st_size;
	file->part_max = PART_MAX;
	file->part_pieces = UINT32_MAX;
	if (file->block_device)
		err = examine_block_device(file, st, size);
	else
		examine_file(file, st);
	if (!err && file->direct)
		examine_direct(file);
	return err;
}

static int set_block_size(const struct device_config *config, struct host_file *file)
{
	struct backend_limits *l = &file->limits;

	if (l->logical_block > BLOCK_MAX) {
		log_err("%s: %s needs blocks of %u bytes%s; at most %u can be served", config->name,
			config->path, l->logical_block, file->direct ? " with O_DIRECT" : "",
			BLOCK_MAX);
		return -EINVAL;
	}
	if (!config->logical_block_size)
		return 0;
	if (config->logical_block_size < l->logical_block) {
		log_err("%s: logical_block_size %u is too small for %s, which needs blocks of %u "
			"bytes%s",
			config->name, config->logical_block_size, config->path, l->logical_block,
			file->direct && !file->block_device ? " with O_DIRECT" : "");
		return -EINVAL;
	}
	l->logical_block = config->logical_block_size;
	l->physical_block = MAX(l->physical_block, l->logical_block);
	return 0;
}

static void log_odd_size(const struct device_config *config, const struct host_file *file,
			 uint64_t size)
{
	uint32_t block = file->limits.logical_block;
	char advice[STORE_FORMAT_ADVICE_MAX];

	if (!store_format_advice(file, advice))
		snprintf(advice, sizeof(advice), "pad the image (truncate -s %%%u), or set size",
			 block);
	log_err("%s: %s: size %" PRIu64 " and offset %" PRIu64 " must be multiples of the "
		"logical block of %u bytes: %s",
		config->name, config->path, size, config->offset, block, advice);
}

static int set_size(const struct device_config *config, struct host_file *file, uint64_t store_size)
{
	uint32_t block = file->limits.logical_block;
	uint64_t size;

	if (config->offset >= store_size) {
		log_err("%s: %s has %" PRIu64 " bytes: nothing to serve%s", config->name,
			config->path, store_size, config->offset ? " at that offset" : "");
		return -EINVAL;
	}
	size = store_size - config->offset;
	if (config->size > size) {
		log_err("%s: size %" PRIu64 " at offset %" PRIu64 " goes past the end of %s, which "
			"has %" PRIu64 " bytes",
			config->name, config->size, config->offset, config->path, store_size);
		return -EINVAL;
	}
	if (config->size)
		size = config->size;
	if (size % block || config->offset % block) {
		log_odd_size(config, file, size);
		return -EINVAL;
	}
	file->offset = config->offset;
	file->limits.size = size;
	return 0;
}

static int check_iopoll(const struct device_config *config, const struct host_file *file,
			dev_t rdev)
{
	const char *reason = NULL;

	if (!file->block_device)
		reason = "is a regular file";
	else if (!file->direct)
		reason = "is served without O_DIRECT";
	else if (!queue_limit(rdev, "io_poll", 0))
		reason = "has no poll queues (its queue/io_poll in sysfs is 0)";
	if (!config->iopoll || !reason)
		return 0;
	log_err("%s: iopoll = yes, but %s %s; accepted is no", config->name, config->path, reason);
	return -EINVAL;
}

int file_limits_apply(const struct device_config *config, struct host_file *file,
		      uint64_t store_size, dev_t rdev)
{
	int err = set_block_size(config, file);

	if (!err)
		err = set_size(config, file, store_size);
	if (!err)
		err = check_iopoll(config, file, rdev);
	return err;
}
