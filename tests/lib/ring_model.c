// SPDX-License-Identifier: GPL-2.0-or-later
#include "ring_model.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "compiler.h"

/* ---- a chain ---- */

/* A table to walk: the ring's, or an indirect one. */
struct table {
	uint64_t addr;
	uint32_t entries;
	uint32_t limit; /* as many steps, or it is a loop */
	bool indirect;
};

static void add_part(struct chain_model *chain, const struct vring_desc *desc)
{
	struct chain_part part = {
		.in = le16toh(desc->flags) & VRING_DESC_F_WRITE,
		.len = le32toh(desc->len),
		.addr = le64toh(desc->addr),
	};

	if (!part.len)
		return;
	chain->in_before_out |= !part.in && chain->in_bytes;
	*(part.in ? &chain->in_bytes : &chain->out_bytes) += part.len;
	chain->parts[chain->count++] = part;
}

/* Return: 0; -EPROTO, -EFAULT: it cannot be a table */
static int enter_table(const struct virtq_layout *layout, const struct vring_desc *desc,
		       struct table *table)
{
	uint32_t len = le32toh(desc->len);

	if (table->indirect || !layout->indirect || !len || len % sizeof(*desc) ||
	    le16toh(desc->flags) & VRING_DESC_F_NEXT)
		return -EPROTO;
	*table = (struct table){
		.addr = le64toh(desc->addr),
		.entries = len / (uint32_t)sizeof(*desc),
		.limit = MIN(len / (uint32_t)sizeof(*desc), VIRTQ_MAX_SIZE),
		.indirect = true,
	};
	return table->addr + (len - 1) < table->addr ? -EFAULT : 0;
}

static int read_desc(const struct model_memory *memory, const struct table *table, uint16_t index,
		     struct vring_desc *desc)
{
	if (index >= table->entries)
		return -EPROTO;
	if (!memory->read(memory->ctx, table->addr + index * sizeof(*desc), desc, sizeof(*desc)))
		return -EFAULT;
	return 0;
}

static int walk(struct chain_model *chain, const struct model_memory *memory,
		const struct virtq_layout *layout, uint16_t index)
{
	struct table table = { layout->desc, layout->num, layout->num, false };
	struct vring_desc desc;

	for (uint32_t steps = 0; steps < table.limit; steps++) {
		int err = read_desc(memory, &table, index, &desc);
		uint16_t flags = err ? 0 : le16toh(desc.flags);

		if (flags & VRING_DESC_F_INDIRECT) {
			err = enter_table(layout, &desc, &table);
			index = 0;
			steps = UINT32_MAX; /* begins anew */
		}
		if (err)
			return err;
		if (flags & VRING_DESC_F_INDIRECT)
			continue;
		add_part(chain, &desc);
		if (!(flags & VRING_DESC_F_NEXT))
			return 0;
		index = le16toh(desc.next);
	}
	return -EPROTO;
}

void chain_model(struct chain_model *chain, const struct model_memory *memory,
		 const struct virtq_layout *layout, uint16_t head)
{
	chain->in_before_out = false;
	chain->out_bytes = chain->in_bytes = 0;
	chain->count = 0;
	chain->fault = walk(chain, memory, layout, head);
}

/* ---- heads ---- */

void heads_reset(struct heads_model *heads, uint16_t num)
{
	memset(heads->state, 0, sizeof(heads->state));
	heads->num = num;
	heads->next_order = 1;
	heads->taken = heads->pushed = 0;
}

void heads_take(struct heads_model *heads, uint16_t head)
{
	if (heads->state[head] == HEAD_FREE)
		heads->order[head] = heads->next_order++;
	heads->state[head] = HEAD_TAKEN;
	heads->taken++;
}

void heads_put_back(struct heads_model *heads, uint16_t head)
{
	heads->state[head] = HEAD_REPLAY;
	heads->taken--;
}

void heads_push(struct heads_model *heads, uint16_t head)
{
	heads->state[head] = HEAD_PUSHED;
	heads->taken--;
	heads->pushed++;
}

uint32_t heads_publish(struct heads_model *heads, uint16_t *published)
{
	uint32_t count = 0;

	for (uint32_t head = 0; head < heads->num; head++) {
		if (heads->state[head] != HEAD_PUSHED)
			continue;
		heads->state[head] = HEAD_FREE;
		if (published)
			published[count] = (uint16_t)head;
		count++;
	}
	heads->pushed = 0;
	return count;
}

int heads_crash(struct heads_model *heads, bool published)
{
	int count = 0;

	if (published)
		heads_publish(heads, NULL);
	for (uint32_t head = 0; head < heads->num; head++) {
		if (heads->state[head] == HEAD_FREE)
			continue;
		heads->state[head] = HEAD_REPLAY;
		count++;
	}
	heads->taken = heads->pushed = 0;
	return count;
}

bool heads_check_replay(const struct heads_model *heads, const uint16_t *replay, int count)
{
	for (int i = 0; i < count; i++)
		if (heads->state[replay[i]] != HEAD_REPLAY ||
		    (i && heads->order[replay[i - 1]] >= heads->order[replay[i]]))
			return false;
	return true;
}
