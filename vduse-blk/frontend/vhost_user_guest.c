// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages about the memory of the guest, and about its live migration. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vhost_user_steps.h"

const char *vhost_user_get_max_mem_slots(struct vhost_user_device *vu,
					 struct vhost_user_message *message)
{
	(void)message;
	return vhost_user_reply_u64(vu, VHOST_USER_SLOTS_MAX);
}

static const char *add_region(struct vhost_user_device *vu, const struct vhost_user_region *region,
			      struct vhost_user_message *message, unsigned int i)
{
	const char *why;

	if (!vhost_user_memory_add(&vu->memory, region, message->fds[i], &why)) {
		(void)vhost_user_take_fd(message, i);
		return NULL;
	}
	snprintf(vu->error, sizeof(vu->error),
		 "the memory region at guest address 0x%llx of %llu bytes %s",
		 (unsigned long long)region->guest_addr, (unsigned long long)region->size, why);
	return vu->error;
}

const char *vhost_user_set_mem_table(struct vhost_user_device *vu,
				     struct vhost_user_message *message)
{
	const struct vhost_user_table *table = &message->payload.table;
	const char *why = NULL;

	if (table->count > VHOST_USER_TABLE_MAX ||
	    message->header.size < offsetof(struct vhost_user_table, regions) +
					   table->count * sizeof(table->regions[0]))
		return "its payload has a wrong size";
	if (message->fd_count != table->count)
		return "the guest's memory is not shared: each region needs a descriptor";
	vhost_user_memory_clear(&vu->memory);
	for (uint32_t i = 0; i < table->count && !why; i++)
		why = add_region(vu, &table->regions[i], message, i);
	return why;
}

const char *vhost_user_add_mem_reg(struct vhost_user_device *vu, struct vhost_user_message *message)
{
	if (message->fd_count != 1)
		return "the guest's memory is not shared: a region needs a descriptor";
	return add_region(vu, &message->payload.one_region.region, message, 0);
}

const char *vhost_user_rem_mem_reg(struct vhost_user_device *vu, struct vhost_user_message *message)
{
	if (vhost_user_memory_remove(&vu->memory, &message->payload.one_region.region))
		return "there is no such region";
	return NULL;
}

void vhost_user_drop_dirty_log(struct vhost_user_device *vu)
{
	if (vu->dirty.bits)
		vhost_user_memory_discard(&vu->memory, vu->dirty.bits);
	if (vu->dirty_fd >= 0)
		close(vu->dirty_fd);
	vu->dirty_fd = -1;
	vu->dirty = (struct dirty_log){ .bits = NULL };
}

/* Has a reply, also without NEED_REPLY (LOG_SHMFD). */
const char *vhost_user_set_log_base(struct vhost_user_device *vu,
				    struct vhost_user_message *message)
{
	const struct vhost_user_log *log = &message->payload.log;
	void *bits;
	int err;

	if (message->fd_count != 1 || fcntl(message->fds[0], F_GET_SEALS) < 0)
		return "its dirty log is not shared memory (memfd)";
	if (log->mmap_offset % sizeof(uint64_t))
		return "its dirty log is not aligned";
	vhost_user_drop_dirty_log(vu);
	err = driver_map(&vu->memory.maps, message->fds[0], log->mmap_offset, log->mmap_size,
			 PROT_READ | PROT_WRITE, &bits);
	if (err)
		return strerror(-err);
	vu->dirty = (struct dirty_log){ .bits = bits, .size = log->mmap_size };
	vu->dirty_offset = log->mmap_offset;
	vu->dirty_fd = vhost_user_take_fd(message, 0);
	return vhost_user_reply_u64(vu, 0);
}
