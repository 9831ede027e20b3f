// SPDX-License-Identifier: GPL-2.0-or-later
/* Checks of a configuration that need more than one key. Device i is section i of the scan. */
#include <inttypes.h>
#include <string.h>

#include "config.h"
#include "config_keys.h"
#include "config_path.h"
#include "config_scan.h"
#include "fault_options.h"
#include "front_end.h"

/* Return: the line of the key, or that of its section if the file does not have the key */
static unsigned int key_line(const struct config_section *section, const char *key)
{
	unsigned int line = section->key_line[config_key_find(&config_device_keys, key)];

	return line ? line : section->line;
}

/* A store without bytes has no size, and no offset. */
static void check_empty_store(struct config_scan *scan, const struct config_section *section,
			      const struct device_config *device)
{
	if (config_path_file(device->path))
		return;
	if (device->size == CONFIG_AUTO)
		config_error(scan, key_line(section, "size"),
			     "[%s] path = %s has no size of its own: size is required",
			     device->name, device->path);
	if (device->offset)
		config_error(scan, key_line(section, "offset"),
			     "[%s] offset, but path = %s keeps no bytes; accepted: 0", device->name,
			     device->path);
	if (device->iopoll)
		config_error(scan, key_line(section, "iopoll"),
			     "[%s] iopoll = yes, but path = %s is no disk; accepted: no",
			     device->name, device->path);
}

static void check_faults(struct config_scan *scan, const struct config_section *section,
			 const struct device_config *device)
{
	struct fault_options options;
	char why[FAULT_WHY_MAX];

	if (config_path_scheme(device->path) == SCHEME_FAULT &&
	    fault_options_parse(device->path, &options, why))
		config_error(scan, key_line(section, "path"), "[%s] path: %s", device->name, why);
}

static void check_front_end(struct config_scan *scan, const struct config_section *section,
			    const struct device_config *device)
{
	const struct front_end *front_end = front_end_of(device->driver);

	if (!front_end->bounce_buffer && device->umem == SWITCH_YES)
		config_error(
			scan, key_line(section, "umem"),
			"[%s] umem = on, but driver = %s has no bounce buffer; accepted: auto or off",
			device->name, front_end->name);
	if (front_end->vdpa && device->socket[0])
		config_error(scan, key_line(section, "socket"),
			     "[%s] socket, but driver = %s has none; accepted: auto", device->name,
			     front_end->name);
	if (front_end->vdpa && device->socket_group[0])
		config_error(scan, key_line(section, "socket_group"),
			     "[%s] socket_group, but driver = %s has no socket; accepted: auto",
			     device->name, front_end->name);
	if (!front_end->guest_memory && device->pin_guest_memory)
		config_error(
			scan, key_line(section, "pin_guest_memory"),
			"[%s] pin_guest_memory = yes, but driver = %s has no guest; accepted: no",
			device->name, front_end->name);
	if (!front_end->bounce_buffer && device->bounce_size != CONFIG_AUTO)
		config_error(
			scan, key_line(section, "bounce_size"),
			"[%s] bounce_size, but driver = %s has no bounce buffer; accepted: auto",
			device->name, front_end->name);
}

static void check_device(struct config_scan *scan, const struct config_section *section,
			 const struct device_config *device)
{
	uint32_t block = device->logical_block_size;

	check_empty_store(scan, section, device);
	check_faults(scan, section, device);
	check_front_end(scan, section, device);
	if (device->iopoll && device->cache != CACHE_AUTO && device->cache != CACHE_NONE)
		config_error(scan, key_line(section, "iopoll"),
			     "[%s] iopoll = yes, but cache is neither none nor auto: only O_DIRECT "
			     "can be polled for; accepted: no",
			     device->name);
	if (device->readonly && device->discard == SWITCH_YES)
		config_error(scan, key_line(section, "discard"),
			     "[%s] discard = yes with readonly = yes; accepted: auto or no",
			     device->name);
	if (device->readonly && device->write_zeroes == SWITCH_YES)
		config_error(scan, key_line(section, "write_zeroes"),
			     "[%s] write_zeroes = yes with readonly = yes; accepted: auto or no",
			     device->name);
	if (device->queue_size == 2 && device->indirect == SWITCH_NO)
		config_error(
			scan, key_line(section, "indirect_descriptors"),
			"[%s] indirect_descriptors = no, but a request takes three descriptors "
			"and queue_size = 2; accepted: auto or yes",
			device->name);
	if (block && (device->offset % block || device->size % block))
		config_error(scan, key_line(section, "logical_block_size"),
			     "[%s] logical_block_size = %" PRIu32
			     " does not divide offset and size",
			     device->name, block);
	if (device->size > INT64_MAX - device->offset)
		config_error(scan, key_line(section, "size"),
			     "[%s] offset + size is above 8388608T", device->name);
}

static uint64_t device_end(const struct device_config *device)
{
	return device->size == CONFIG_AUTO ? UINT64_MAX : device->offset + device->size;
}

bool config_extents_conflict(const struct device_config *a, const struct device_config *b)
{
	return !(a->readonly && b->readonly) && a->offset < device_end(b) &&
	       b->offset < device_end(a);
}

static void check_stores(struct config_scan *scan, const struct config *config, size_t index)
{
	const struct device_config *device = &config->devices[index];
	const char *file = config_path_file(device->path), *other;
	size_t i;

	for (i = 0; i < index; i++) {
		other = config_path_file(config->devices[i].path);
		if (file && other && !strcmp(other, file) &&
		    config_extents_conflict(&config->devices[i], device))
			config_error(scan, key_line(&scan->devices[index], "path"),
				     "[%s] would write to the same part of \"%.200s\" as [%s] in "
				     "line %u; accepted: readonly = yes in both, or extents "
				     "(offset, size) that do not overlap",
				     device->name, device->path, config->devices[i].name,
				     key_line(&scan->devices[i], "path"));
	}
}

static void check_serials(struct config_scan *scan, const struct config *config, size_t index)
{
	const struct device_config *device = &config->devices[index];
	char serial[VIRTIO_BLK_ID_BYTES + 1];

	for (size_t i = 0; i < index; i++) {
		if (!config_serials_conflict(&config->devices[i], device))
			continue;
		config_serial(device, serial);
		config_error(scan, key_line(&scan->devices[index], "serial"),
			     "[%s] the serial number \"%s\" is also that of [%s] in line %u, so "
			     "both disks would have the same link in /dev/disk/by-id; accepted: "
			     "another serial in one of them",
			     device->name, serial, config->devices[i].name,
			     key_line(&scan->devices[i], "serial"));
		return;
	}
}

static void check_sockets(struct config_scan *scan, const struct config *config, size_t index)
{
	const struct device_config *device = &config->devices[index];

	for (size_t i = 0; i < index && device->socket[0]; i++)
		if (!strcmp(config->devices[i].socket, device->socket))
			config_error(scan, key_line(&scan->devices[index], "socket"),
				     "[%s] the socket \"%s\" is also that of [%s] in line %u; "
				     "accepted: another path in one of them",
				     device->name, device->socket, config->devices[i].name,
				     key_line(&scan->devices[i], "socket"));
}

void config_check(struct config_scan *scan, const struct config *config)
{
	size_t i;

	if (!config->device_count)
		config_error(scan, 0, "no device section");
	for (i = 0; i < config->device_count; i++) {
		check_device(scan, &scan->devices[i], &config->devices[i]);
		check_stores(scan, config, i);
		check_serials(scan, config, i);
		check_sockets(scan, config, i);
	}
}
