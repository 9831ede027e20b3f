// SPDX-License-Identifier: GPL-2.0-or-later
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <iniparser.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config_keys.h"
#include "config_path.h"
#include "config_scan.h"
#include "fault_options.h"
#include "front_end.h"

/* ---- reading ---- */

/* iniparser prints to stderr by itself. Its lines have newlines inside. */
static __printf(1, 2) int ini_error(const char *fmt, ...)
{
	char text[512];
	va_list args;
	int len;
	char *c;

	va_start(args, fmt);
	len = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (c = text; (c = strchr(c, '\n'));)
		*c = ' ';
	log_err("%s", text);
	return len;
}

/*
 * iniparser 4.1 takes a path only, so what was scanned goes through a memory file: the file itself
 * may change meanwhile, or be a pipe.
 */
static int ini_load(const struct config_scan *scan, dictionary **out)
{
	char path[64];
	int fd, err = 0;

	fd = memfd_create("vduse-blk-config", MFD_CLOEXEC);
	if (fd < 0 || write(fd, scan->text, scan->text_len) != (ssize_t)scan->text_len) {
		err = fd < 0 ? -errno : -ENOMEM;
		log_err("%s: no memory file for it: %s", scan->file, strerror(-err));
		goto close_fd;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	iniparser_set_error_callback(ini_error);
	*out = iniparser_load(path);
	iniparser_set_error_callback(NULL);
	if (!*out) {
		err = -ENOMEM; /* the scan left nothing else that iniparser could refuse */
		log_err("%s: iniparser cannot read it through %s", scan->file, path);
	}

close_fd:
	if (fd >= 0)
		close(fd);
	return err;
}

static int key_load(struct config_scan *scan, const struct config_section *section,
		    const struct config_key *key, unsigned int line, const dictionary *ini,
		    void *member)
{
	char lookup[512];
	const char *text;
	int err;

	snprintf(lookup, sizeof(lookup), "%s:%s", section->name, key->name);
	text = iniparser_getstring(ini, lookup, NULL);
	if (!text) { /* the scan has taken its line out and said why */
		if (!scan->errors)
			config_error(scan, line, "[%s] %s: iniparser does not find it",
				     section->name, key->name);
		return 0;
	}
	err = key->type->parse(key, text, member);
	if (err == -EINVAL) {
		config_error(scan, line, "[%s] %s: \"%.80s\" is not understood; accepted: %s%s",
			     section->name, key->name, text, key->accepts,
			     key->type->suffixes ? "; K, M, G or T may follow the number" : "");
		return 0;
	}
	return err;
}

/* Return: 0, also where errors were found and counted; -ENOMEM */
static int section_load(struct config_scan *scan, const struct config_section *section,
			const struct config_table *table, const dictionary *ini, void *object)
{
	const struct config_key *key;
	unsigned int line;
	void *member;
	size_t i;
	int err;

	for (i = 0; i < table->count; i++) {
		key = &table->keys[i];
		line = section->key_line[i];
		member = config_key_member(key, object);
		err = 0;
		if (line)
			err = key_load(scan, section, key, line, ini, member);
		else if (key->default_text)
			err = key->type->parse(key, key->default_text, member);
		if (err)
			return err;
	}
	return 0;
}

static int device_load(struct config_scan *scan, const struct config_section *section,
		       const dictionary *ini, struct device_config *device)
{
	char serial[VIRTIO_BLK_ID_BYTES + 1];
	int err;

	device->name = strdup(section->name);
	if (!device->name)
		return -ENOMEM;
	err = section_load(scan, section, &config_device_keys, ini, device);
	if (err)
		return err;

	if (!section->key_line[config_key_find(&config_device_keys, "path")] && !section->unclear)
		config_error(scan, section->line,
			     "[%s] has no path, the file or block device to serve", section->name);
	config_default_serial(device->name, serial);
	if (!strcmp(device->serial, serial))
		device->serial[0] = '\0';
	return 0;
}

static int file_load(struct config_scan *scan, const dictionary *ini, struct config *config)
{
	int err;
	size_t i;

	err = section_load(scan, &scan->global, &config_global_keys, ini, config);
	if (err)
		return err;
	config->devices = calloc(scan->device_count, sizeof(*config->devices));
	if (!config->devices && scan->device_count)
		return -ENOMEM;
	for (i = 0; i < scan->device_count && !err; i++) {
		config->device_count++;
		err = device_load(scan, &scan->devices[i], ini, &config->devices[i]);
	}
	return err;
}

/* ---- checking: what no single key can tell. Device i is section i of the scan. ---- */

/* Where an error of this key stands: its line, or that of its section. */
static unsigned int key_line(const struct config_section *section, const char *key)
{
	unsigned int line = section->key_line[config_key_find(&config_device_keys, key)];

	return line ? line : section->line;
}

/* A store without bytes has no end that the disk could go to, and is no disk itself. */
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
			     "[%s] offset and size together pass 8388608T", device->name);
}

static uint64_t device_end(const struct device_config *device)
{
	return device->size == CONFIG_AUTO ? UINT64_MAX : device->offset + device->size;
}

bool config_slices_collide(const struct device_config *a, const struct device_config *b)
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
		    config_slices_collide(&config->devices[i], device))
			config_error(scan, key_line(&scan->devices[index], "path"),
				     "[%s] would write to the same part of \"%.200s\" as [%s] in "
				     "line %u; accepted: readonly = yes in both, or slices "
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
		if (!config_serials_collide(&config->devices[i], device))
			continue;
		config_serial(device, serial);
		config_error(scan, key_line(&scan->devices[index], "serial"),
			     "[%s] the serial number \"%s\" is also that of [%s] in line %u, so "
			     "one link in /dev/disk/by-id would stand for both disks; accepted: "
			     "another serial in one of them",
			     device->name, serial, config->devices[i].name,
			     key_line(&scan->devices[i], "serial"));
		return;
	}
}

static void check(struct config_scan *scan, const struct config *config)
{
	size_t i;

	if (!config->device_count)
		config_error(scan, 0, "no device section");
	for (i = 0; i < config->device_count; i++) {
		check_device(scan, &scan->devices[i], &config->devices[i]);
		check_stores(scan, config, i);
		check_serials(scan, config, i);
	}
}

int config_load(const char *path, struct config *out)
{
	struct config config = { 0 };
	struct config_scan scan;
	dictionary *ini = NULL;
	int err;

	err = config_scan(path, &scan);
	if (err)
		return err;
	err = ini_load(&scan, &ini);
	if (err)
		goto exit_scan;

	err = file_load(&scan, ini, &config);
	if (err)
		log_err("%s: %s", path, strerror(-err));
	else if (!scan.errors)
		check(&scan, &config);
	if (!err && scan.errors)
		err = -EINVAL;
	config_errors_log(&scan);

	if (err)
		config_exit(&config);
	else
		*out = config;
	iniparser_freedict(ini);
exit_scan:
	config_scan_exit(&scan);
	return err;
}

struct device_config *config_device_new(const struct device_config *device)
{
	struct device_config *copy = malloc(sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = *device;
	copy->name = strdup(device->name);
	copy->path = strdup(device->path);
	if (copy->name && copy->path)
		return copy;
	config_device_free(copy);
	return NULL;
}

void config_device_free(struct device_config *device)
{
	if (!device)
		return;
	free(device->name);
	free(device->path);
	free(device);
}

/* Good at every stage of file_load(): what is not there yet is zero. */
void config_exit(struct config *config)
{
	size_t i;

	for (i = 0; i < config->device_count; i++) {
		free(config->devices[i].name);
		free(config->devices[i].path);
	}
	free(config->devices);
	free(config->runtime_dir);
	*config = (struct config){ 0 };
}
