// SPDX-License-Identifier: GPL-2.0-or-later
#include "inflight_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

size_t inflight_stride(uint16_t vq_size)
{
	size_t size = sizeof(struct inflight_vq) + vq_size * sizeof(uint64_t);

	return (size + 63) & ~(size_t)63; /* queues are written by different threads */
}

size_t inflight_size(uint16_t vq_num, uint16_t vq_size)
{
	return ((sizeof(struct inflight_header) + 63) & ~(size_t)63) +
	       vq_num * inflight_stride(vq_size);
}

/* FNV-1a, against damage. The mode of the directory prevents forgery. */
static uint32_t header_checksum(const struct inflight_header *header)
{
	const uint8_t *byte = (const uint8_t *)&header->features;
	const uint8_t *end = (const uint8_t *)(header + 1);
	uint32_t hash = 2166136261u;

	for (; byte < end; byte++)
		hash = (hash ^ *byte) * 16777619u;
	return hash;
}

void inflight_header_fill(struct inflight_header *header, const struct inflight_params *p)
{
	memset(header, 0, sizeof(*header));
	header->magic = INFLIGHT_MAGIC;
	header->version = INFLIGHT_VERSION;
	header->features = p->features;
	header->vq_num = p->vq_num;
	header->vq_size = p->vq_size;
	strncpy(header->identity, p->identity, sizeof(header->identity) - 1);
	header->checksum = header_checksum(header);
}

/* Opens the directory. Return: a descriptor; -EPERM: other users may write to it; other -errno */
static int open_directory(const char *path, bool make)
{
	struct stat st;
	int fd;

	if (make && mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH))) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

static int inflight_new(const struct inflight_params *p, struct inflight **out)
{
	struct inflight *inflight = calloc(1, sizeof(*inflight));

	if (!inflight)
		return -ENOMEM;
	inflight->dir_fd = open_directory(p->directory, true);
	if (inflight->dir_fd < 0) {
		int err = inflight->dir_fd;

		free(inflight);
		return err;
	}
	snprintf(inflight->name, sizeof(inflight->name), "%s.inflight", p->name);
	inflight->vq_stride = inflight_stride(p->vq_size);
	inflight->size = inflight_size(p->vq_num, p->vq_size);
	*out = inflight;
	return 0;
}

static void inflight_free(struct inflight *inflight)
{
	if (inflight->header)
		munmap(inflight->header, inflight->size);
	if (inflight->dir_fd >= 0)
		close(inflight->dir_fd);
	free(inflight);
}

static int map_file(struct inflight *inflight, int fd)
{
	void *addr = mmap(NULL, inflight->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (addr == MAP_FAILED)
		return -errno;
	inflight->header = addr;
	return 0;
}

/* Allocates all blocks of the file: with a full file system, a later write would raise SIGBUS. */
static int create_file(struct inflight *inflight)
{
	int fd, err;

	unlinkat(inflight->dir_fd, inflight->name, 0);
	fd = openat(inflight->dir_fd, inflight->name,
		    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = -posix_fallocate(fd, 0, (off_t)inflight->size);
	if (!err)
		err = map_file(inflight, fd);
	if (err)
		unlinkat(inflight->dir_fd, inflight->name, 0);
	close(fd);
	return err;
}

static const char *directory_error(int err)
{
	return err == -EPERM ? "it belongs to another user, or other users may write to it"
			     : strerror(-err);
}

int inflight_make_directory(const char *path)
{
	int fd = open_directory(path, true);

	if (fd < 0) {
		log_err("cannot use directory %s: %s", path, directory_error(fd));
		return fd;
	}
	close(fd);
	return 0;
}

int inflight_create(const struct inflight_params *params, struct inflight **out)
{
	struct inflight *inflight;
	int err;

	err = inflight_new(params, &inflight);
	if (err) {
		log_err("%s: cannot use directory %s: %s", params->name, params->directory,
			directory_error(err));
		return err;
	}
	err = create_file(inflight);
	if (err) {
		log_err("%s: cannot create %s/%s: %s", params->name, params->directory,
			inflight->name, strerror(-err));
		inflight_free(inflight);
		return err;
	}
	inflight_header_fill(inflight->header, params);
	*out = inflight;
	return 0;
}

static int check_damage(const struct inflight_header *h, char why[INFLIGHT_WHY_MAX])
{
	if (h->magic != INFLIGHT_MAGIC || h->checksum != header_checksum(h))
		snprintf(why, INFLIGHT_WHY_MAX, "it is damaged");
	else if (h->version != INFLIGHT_VERSION)
		snprintf(why, INFLIGHT_WHY_MAX, "it is of version %u, not %u", h->version,
			 INFLIGHT_VERSION);
	else
		return 0;
	return -EINVAL;
}

int inflight_header_check(const struct inflight_header *h, const struct inflight_params *p,
			  char why[INFLIGHT_WHY_MAX])
{
	int err = check_damage(h, why);

	if (err)
		return err;
	if (h->features != p->features)
		snprintf(why, INFLIGHT_WHY_MAX, "features were 0x%llx and are 0x%llx",
			 (unsigned long long)h->features, (unsigned long long)p->features);
	else if (p->identity && strncmp(h->identity, p->identity, sizeof(h->identity)))
		snprintf(why, INFLIGHT_WHY_MAX, "the disk was \"%.*s\" and is \"%s\"",
			 INFLIGHT_IDENTITY_MAX, h->identity, p->identity);
	else
		return 0;
	return -EINVAL;
}

/* Checks the size of the file, and the fields that determine it, before the file is mapped. */
static int check_size(int fd, const struct inflight_params *p, char why[INFLIGHT_WHY_MAX])
{
	struct inflight_header h;
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) ||
	    pread(fd, &h, sizeof(h), 0) != (ssize_t)sizeof(h) || h.magic != INFLIGHT_MAGIC)
		snprintf(why, INFLIGHT_WHY_MAX, "it is damaged");
	else if (h.vq_num != p->vq_num)
		snprintf(why, INFLIGHT_WHY_MAX, "queues were %u and are %u", h.vq_num, p->vq_num);
	else if (h.vq_size != p->vq_size)
		snprintf(why, INFLIGHT_WHY_MAX, "queue_size was %u and is %u", h.vq_size,
			 p->vq_size);
	else if ((size_t)st.st_size != inflight_size(p->vq_num, p->vq_size))
		snprintf(why, INFLIGHT_WHY_MAX, "it is damaged");
	else
		return 0;
	return -EINVAL;
}

static int open_file(struct inflight *inflight, const struct inflight_params *p,
		     char why[INFLIGHT_WHY_MAX])
{
	int fd, err;

	fd = openat(inflight->dir_fd, inflight->name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	err = check_size(fd, p, why);
	if (!err)
		err = map_file(inflight, fd);
	if (!err)
		err = inflight_header_check(inflight->header, p, why);
	close(fd);
	return err;
}

int inflight_open(const struct inflight_params *params, struct inflight **out,
		  char why[INFLIGHT_WHY_MAX])
{
	struct inflight *inflight;
	int err;

	err = inflight_new(params, &inflight);
	if (err)
		return err;
	err = open_file(inflight, params, why);
	if (err) {
		inflight_free(inflight);
		return err;
	}
	*out = inflight;
	return 0;
}

/* Return: 0; -ENOENT: no file or no directory; other -errno */
static int read_header(const struct inflight_params *p, struct inflight_header *h)
{
	char name[300];
	int dir_fd, fd, err = 0;

	dir_fd = open_directory(p->directory, false);
	if (dir_fd < 0)
		return dir_fd;
	snprintf(name, sizeof(name), "%s.inflight", p->name);
	fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		err = -errno;
	close(dir_fd);
	if (err)
		return err;
	if (pread(fd, h, sizeof(*h), 0) != (ssize_t)sizeof(*h))
		h->magic = 0;
	close(fd);
	return 0;
}

int inflight_peek(struct inflight_params *params, char identity[INFLIGHT_IDENTITY_MAX],
		  char why[INFLIGHT_WHY_MAX])
{
	struct inflight_header h;
	int err = read_header(params, &h);

	if (!err)
		err = check_damage(&h, why);
	if (err)
		return err;
	memcpy(identity, h.identity, INFLIGHT_IDENTITY_MAX);
	identity[INFLIGHT_IDENTITY_MAX - 1] = '\0';
	params->features = h.features;
	params->vq_num = h.vq_num;
	params->vq_size = h.vq_size;
	params->identity = identity;
	return 0;
}

int inflight_open_any(struct inflight_params *params, struct inflight **out)
{
	char identity[INFLIGHT_IDENTITY_MAX], why[INFLIGHT_WHY_MAX];
	struct inflight_params found = *params;
	int err = inflight_peek(&found, identity, why);

	if (err)
		return err;
	found.vq_num = params->vq_num;
	err = inflight_open(&found, out, why);
	if (!err)
		params->vq_size = found.vq_size;
	return err;
}

void inflight_close(struct inflight *inflight, bool remove)
{
	if (remove && inflight->dir_fd >= 0)
		unlinkat(inflight->dir_fd, inflight->name, 0);
	inflight_free(inflight);
}

/* By its size, which another process cannot change as it can change the header. */
uint32_t inflight_vq_count(const struct inflight *inflight)
{
	return (uint32_t)((inflight->size - inflight_size(0, 0)) / inflight->vq_stride);
}

struct inflight_vq *inflight_vq(struct inflight *inflight, uint32_t index)
{
	uint8_t *vqs = (uint8_t *)inflight->header + inflight_size(0, 0);

	return (struct inflight_vq *)(vqs + index * inflight->vq_stride);
}

void inflight_vq_start(struct inflight_vq *log, uint16_t vq_size, uint16_t used_idx,
		       uint16_t next_avail)
{
	memset(log->entries, 0, vq_size * sizeof(log->entries[0]));
	log->next_order = 1;
	log->used_idx = used_idx;
	log->ahead = (uint16_t)(next_avail - used_idx);
	store_release(&log->active, 1);
}

void inflight_vq_stop(struct inflight_vq *log)
{
	store_release(&log->active, 0);
}

void inflight_vq_guess(struct inflight_vq *log, uint16_t vq_size, uint16_t used_idx,
		       const uint16_t *heads, uint16_t count)
{
	inflight_vq_start(log, vq_size, used_idx, used_idx);
	for (uint16_t i = 0; i < count; i++)
		inflight_vq_take(log, heads[i]);
	log->next_order++; /* for inflight_vq_is_active(), also if @count is 0 */
}

static void insert_by_order(const struct inflight_vq *log, uint16_t *heads, int count,
			    uint16_t head)
{
	int at = count;

	while (at > 0 && log->entries[heads[at - 1]] > log->entries[head]) {
		heads[at] = heads[at - 1];
		at--;
	}
	heads[at] = head;
}

int inflight_vq_recover(struct inflight_vq *log, uint16_t used_idx, uint16_t num, uint16_t *heads)
{
	bool published = used_idx != log->used_idx;
	int count = 0;

	if (!log->active || (uint16_t)(used_idx - log->used_idx) > num)
		return -EINVAL;
	for (uint16_t head = 0; head < num; head++) {
		if (log->entries[head] & 1)
			log->entries[head] = published ? 0 : log->entries[head] & ~1ull;
		if (log->entries[head])
			insert_by_order(log, heads, count++, head);
	}
	log->used_idx = used_idx;
	return count;
}
