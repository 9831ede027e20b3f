// SPDX-License-Identifier: GPL-2.0-or-later
#include "chain_model.h"

#include <endian.h>

/* A table to walk: the ring's, or an indirect one. */
struct table {
	uint64_t iova;
	uint32_t entries;
};

static bool read_desc(const struct memory *memory, const struct table *table, uint16_t index,
		      struct vring_desc *desc)
{
	return index < table->entries &&
	       memory_read(memory, table->iova + index * sizeof(*desc), desc, sizeof(*desc));
}

/* Return: false where it cannot be a table; otherwise the walk goes on in it */
static bool enter_table(const struct virtq_layout *layout, const struct vring_desc *desc,
			struct table *table)
{
	uint32_t len = le32toh(desc->len);

	if (!layout->indirect || !len || len % sizeof(*desc) ||
	    le16toh(desc->flags) & VRING_DESC_F_NEXT)
		return false;
	*table = (struct table){ .iova = le64toh(desc->addr), .entries = len / sizeof(*desc) };
	return table->iova + (len - 1) >= table->iova;
}

struct chain_model chain_model(const struct memory *memory, const struct virtq_layout *layout,
			       uint16_t head)
{
	struct table table = { .iova = layout->desc, .entries = layout->num };
	struct chain_model model = { .well_formed = false };
	uint16_t index = head, flags = VRING_DESC_F_NEXT;
	bool in_table = false;
	struct vring_desc desc;

	for (uint32_t steps = 0; flags & VRING_DESC_F_NEXT; steps++) {
		/* as many steps as there are entries, or it is a loop */
		if (steps == MIN(table.entries, VIRTQ_MAX_SIZE) ||
		    !read_desc(memory, &table, index, &desc))
			return model;
		flags = le16toh(desc.flags);
		index = le16toh(desc.next);
		if (flags & VRING_DESC_F_INDIRECT) {
			if (in_table || !enter_table(layout, &desc, &table))
				return model;
			in_table = true;
			index = 0;
			flags = VRING_DESC_F_NEXT;
			steps = UINT32_MAX; /* begins anew */
		} else if (flags & VRING_DESC_F_WRITE) {
			model.in_bytes += le32toh(desc.len);
		} else {
			model.out_bytes += le32toh(desc.len);
		}
	}
	model.well_formed = true;
	return model;
}
