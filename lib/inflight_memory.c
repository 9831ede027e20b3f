// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inflight_priv.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static int map(int fd, size_t size, void **addr)
{
	*addr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return *addr == MAP_FAILED ? -errno : 0;
}

static int fill(int fd, const struct inflight_params *params, size_t size)
{
	void *addr;
	int err;

	if (ftruncate(fd, (off_t)size) || fcntl(fd, F_ADD_SEALS, SEALS | F_SEAL_SEAL))
		return -errno;
	err = map(fd, size, &addr);
	if (err)
		return err;
	inflight_header_fill(addr, params);
	munmap(addr, size);
	return 0;
}

int inflight_memory_new(const struct inflight_params *params, int *fd, size_t *size)
{
	int err;

	*size = inflight_size(params->vq_num, params->vq_size);
	*fd = memfd_create("inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0)
		return -errno;
	err = fill(*fd, params, *size);
	if (err)
		close(*fd);
	return err;
}

static int refuse_queues(char why[INFLIGHT_WHY_MAX])
{
	snprintf(why, INFLIGHT_WHY_MAX, "it was made for another number or size of queues");
	return -EINVAL;
}

/* A sealed size: the other process cannot truncate the file, so no access raises SIGBUS. */
static int check_file(int fd, size_t size, char why[INFLIGHT_WHY_MAX])
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & SEALS) != SEALS) {
		snprintf(why, INFLIGHT_WHY_MAX, "it was not made by vduse-blk");
		return -EINVAL;
	}
	return fstat(fd, &st) || (size_t)st.st_size != size ? refuse_queues(why) : 0;
}

/* It may quote the header, which the other process has written. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

void inflight_memory_identity(const struct inflight *inflight, char identity[INFLIGHT_IDENTITY_MAX])
{
	memcpy(identity, inflight->header->identity, INFLIGHT_IDENTITY_MAX);
	identity[INFLIGHT_IDENTITY_MAX - 1] = '\0';
	make_printable(identity);
}

static int check_header(const struct inflight_header *header, const struct inflight_params *params,
			char why[INFLIGHT_WHY_MAX])
{
	int err = inflight_header_check(header, params, why);

	/* Other numbers may need the same bytes. */
	if (!err && (header->vq_num != params->vq_num || header->vq_size != params->vq_size))
		err = refuse_queues(why);
	return err;
}

int inflight_memory_open(const struct inflight_params *params, int fd, struct inflight **out,
			 char why[INFLIGHT_WHY_MAX])
{
	size_t size = inflight_size(params->vq_num, params->vq_size);
	struct inflight *inflight;
	void *addr;
	int err;

	err = check_file(fd, size, why);
	if (!err)
		err = map(fd, size, &addr);
	if (err)
		return err;
	err = check_header(addr, params, why);
	if (err)
		make_printable(why);
	inflight = err ? NULL : calloc(1, sizeof(*inflight));
	if (!inflight) {
		munmap(addr, size);
		return err ? err : -ENOMEM;
	}
	*inflight = (struct inflight){
		.dir_fd = -1,
		.header = addr,
		.size = size,
		.vq_stride = inflight_stride(params->vq_size),
	};
	*out = inflight;
	return 0;
}
