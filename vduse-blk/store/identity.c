// SPDX-License-Identifier: GPL-2.0-or-later
#include "identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void identity_print(const struct disk_identity *identity, char text[INFLIGHT_IDENTITY_MAX])
{
	snprintf(text, INFLIGHT_IDENTITY_MAX,
		 "%s at %" PRIu64 ", %" PRIu64 " bytes in blocks of %" PRIu32 ", serial %s",
		 identity->store, identity->offset, identity->size, identity->block,
		 identity->serial);
}

bool identity_parse(const char *text, struct disk_identity *out)
{
	const char *at = strstr(text, " at ");
	struct disk_identity found = { 0 };
	int len = 0;

	if (!at || (size_t)(at - text) >= sizeof(found.store))
		return false;
	memcpy(found.store, text, (size_t)(at - text));
	if (sscanf(at, " at %" SCNu64 ", %" SCNu64 " bytes in blocks of %" SCNu32 ", serial%n",
		   &found.offset, &found.size, &found.block, &len) != 3 ||
	    !len || at[len] != ' ' || strlen(at + len + 1) >= sizeof(found.serial))
		return false;
	strcpy(found.serial, at + len + 1);
	*out = found;
	return true;
}

bool identity_overlaps(const struct disk_identity *a, const struct disk_identity *b)
{
	return a->store[0] && !strcmp(a->store, b->store) && a->offset < b->offset + b->size &&
	       b->offset < a->offset + a->size;
}
