// SPDX-License-Identifier: GPL-2.0-or-later
/* The serial number of a disk: from the configuration, or made from its name. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "config_keys.h"

#define HASH_DIGITS 8
#define PREFIX_LEN  (VIRTIO_BLK_ID_BYTES - 1 - HASH_DIGITS)

/* FNV-1a. The hash of a name must never change: /etc/fstab refers to serial numbers. */
static uint32_t name_hash(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619u;
	return hash;
}

void config_default_serial(const char *name, char serial[VIRTIO_BLK_ID_BYTES + 1])
{
	if (strlen(name) <= VIRTIO_BLK_ID_BYTES)
		snprintf(serial, VIRTIO_BLK_ID_BYTES + 1, "%s", name);
	else
		snprintf(serial, VIRTIO_BLK_ID_BYTES + 1, "%.*s-%0*" PRIx32, PREFIX_LEN, name,
			 HASH_DIGITS, name_hash(name));
}

void config_serial(const struct device_config *device, char serial[VIRTIO_BLK_ID_BYTES + 1])
{
	if (device->serial[0])
		memcpy(serial, device->serial, VIRTIO_BLK_ID_BYTES + 1);
	else
		config_default_serial(device->name, serial);
}

/*
 * The serial as udev writes it into the name of a link: a character that is neither a letter, a
 * digit nor in @kept becomes '_', several blanks become one, and blanks at both ends are left out.
 */
static void link_name(const struct device_config *device, char link[VIRTIO_BLK_ID_BYTES + 1])
{
	static const char kept[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ#+-.:=@_/";
	char serial[VIRTIO_BLK_ID_BYTES + 1];
	char *to = link;

	config_serial(device, serial);
	for (const char *c = serial + strspn(serial, " "); *c; c++) {
		if (*c == ' ' && (c[1] == ' ' || !c[1]))
			continue;
		*to++ = strchr(kept, *c) ? *c : '_';
	}
	*to = '\0';
}

bool config_serials_conflict(const struct device_config *a, const struct device_config *b)
{
	char links[2][VIRTIO_BLK_ID_BYTES + 1];

	link_name(a, links[0]);
	link_name(b, links[1]);
	return !strcmp(links[0], links[1]);
}
