// SPDX-License-Identifier: GPL-2.0-or-later
#include "adopt.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store/identity.h"
#include "log.h"

/* The text of all differences, separated by "; ". */
struct differences {
	char text[512];
	size_t len;
};

static void __printf(2, 3) differs(struct differences *d, const char *fmt, ...)
{
	size_t room = sizeof(d->text) - d->len;
	va_list args;
	int len;

	if (d->len)
		len = snprintf(d->text + d->len, room, "; ");
	else
		len = 0;
	d->len += MIN((size_t)len, room - 1);
	room = sizeof(d->text) - d->len;
	va_start(args, fmt);
	len = vsnprintf(d->text + d->len, room, fmt, args);
	va_end(args);
	d->len += MIN((size_t)MAX(len, 0), room - 1);
}

/* Features that depend on one key. A version of vduse-blk may also change one that is not here. */
static const struct {
	unsigned int bit;
	const char *key, *without, *with;
} features[] = {
	{ VIRTIO_BLK_F_RO, "readonly", "no", "yes" },
	{ VIRTIO_BLK_F_FLUSH, "cache", "writethrough", "not writethrough" },
	{ VIRTIO_BLK_F_DISCARD, "discard", "not offered", "offered" },
	{ VIRTIO_BLK_F_WRITE_ZEROES, "write_zeroes", "not offered", "offered" },
	{ VIRTIO_RING_F_INDIRECT_DESC, "indirect_descriptors", "not offered", "offered" },
};

static void compare_features(struct differences *d, uint64_t was, uint64_t is)
{
	uint64_t differing = was ^ is;

	differing &= ~(1ull << VIRTIO_BLK_F_MQ); /* compare() compares the number of queues */
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		uint64_t bit = 1ull << features[i].bit;

		if (differing & bit)
			differs(d, "%s was %s and is %s", features[i].key,
				was & bit ? features[i].with : features[i].without,
				is & bit ? features[i].with : features[i].without);
		differing &= ~bit;
	}
	for (unsigned int bit = 0; bit < 64; bit++)
		if (differing & 1ull << bit)
			differs(d, "virtio feature %u was %s and is %s", bit,
				was & 1ull << bit ? "offered" : "not offered",
				is & 1ull << bit ? "offered" : "not offered");
}

static void compare_size(struct differences *d, const struct device *device, uint64_t was)
{
	const struct device_config *config = device->config;

	if (was <= device->limits.size)
		return;
	if (config->size)
		differs(d, "size was %" PRIu64 " and is %" PRIu64, was, device->limits.size);
	else
		differs(d,
			"%s has shrunk: the disk has %" PRIu64
			" bytes, and the store has only %" PRIu64 " for it",
			config->path, was, device->limits.size);
}

/* Version 0.1.0 made the serial of a long name from the name's first bytes. */
static bool is_old_serial(const struct device_config *config, const char *serial)
{
	return !config->serial[0] && strlen(serial) == VIRTIO_BLK_ID_BYTES &&
	       !strncmp(config->name, serial, VIRTIO_BLK_ID_BYTES);
}

static void compare_identity(struct differences *d, const struct device *device,
			     const struct disk_identity *was, const struct disk_identity *is)
{
	const struct device_config *config = device->config;

	if (strcmp(was->store, is->store)) {
		differs(d, "%s is another file or block device than the backing store of the disk",
			config->path);
		return; /* the sizes of different stores are not comparable */
	}
	if (was->offset != is->offset)
		differs(d, "offset was %" PRIu64 " and is %" PRIu64, was->offset, is->offset);
	else
		compare_size(d, device, was->size);
	if (was->block != is->block)
		differs(d, "logical_block_size was %" PRIu32 " and is %" PRIu32, was->block,
			is->block);
	if (strcmp(was->serial, is->serial) && !is_old_serial(config, was->serial))
		differs(d, "serial was \"%s\" and is \"%s\"", was->serial, is->serial);
}

/* Sets the size and the serial number that the driver has read. */
static void keep(struct device *device, const struct disk_identity *was, bool log_growth)
{
	const struct device_config *config = device->config;

	if (log_growth && was->size < device->limits.size)
		log_info("%s: %s %s from %" PRIu64 " to %" PRIu64 " bytes; the disk keeps %" PRIu64
			 " until it is detached and attached again",
			 config->name,
			 config->size ? "its size in the configuration" : config->path,
			 config->size ? "was changed" : "has grown", was->size, device->limits.size,
			 was->size);
	device->limits.size = was->size;
	memset(device->limits.serial, 0, sizeof(device->limits.serial));
	memcpy(device->limits.serial, was->serial, strlen(was->serial));
}

static int compare(struct device *device, const struct inflight_params *was,
		   struct inflight_params *is, bool log_growth)
{
	struct differences d = { .len = 0 };
	struct disk_identity old, new;

	if (!identity_parse(was->identity, &old) || !identity_parse(is->identity, &new)) {
		differs(&d,
			"this version of vduse-blk cannot read the identity in its inflight log");
	} else {
		compare_identity(&d, device, &old, &new);
		if (was->vq_num != is->vq_num)
			differs(&d, "queues was %u and is %u", was->vq_num, is->vq_num);
		if (was->vq_size != is->vq_size)
			differs(&d, "queue_size was %u and is %u", was->vq_size, is->vq_size);
		compare_features(&d, was->features, is->features);
	}
	if (!d.len) {
		keep(device, &old, log_growth);
		return 0;
	}
	log_err("%s: is attached already, and cannot be adopted: %s; restore the old value until "
		"the disk is detached",
		is->name, d.text);
	return -EINVAL;
}

static void log_unusable(const struct inflight_params *params, int err, const char *why)
{
	log_err("%s: is attached already, and cannot be adopted: %s/%s.inflight: %s%s%s",
		params->name, params->directory, params->name,
		err == -EINVAL ? why : strerror(-err),
		err == -ENOENT ? "; to end the requests that wait for it: vduse-blk rescue " : "",
		err == -ENOENT ? params->name : "");
}

int adopt_inflight(struct device *device, const char *runtime_dir, bool log_growth,
		   struct inflight **out)
{
	char identity[INFLIGHT_IDENTITY_MAX], was_identity[INFLIGHT_IDENTITY_MAX];
	char why[INFLIGHT_WHY_MAX] = "";
	struct inflight_params params, was;
	int err;

	device_inflight_params(device, runtime_dir, identity, &params);
	was = params;
	err = inflight_peek(&was, was_identity, why);
	if (!err) {
		err = compare(device, &was, &params, log_growth);
		if (err)
			return err;
		device_inflight_params(device, runtime_dir, identity, &params);
		err = inflight_open(&params, out, why);
	}
	if (err)
		log_unusable(&params, err, why);
	return err;
}
