// SPDX-License-Identifier: GPL-2.0-or-later
#include "config.h"

#include <errno.h>
#include <iniparser.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config_keys.h"
#include "config_scan.h"
#include "front_end.h"

/* ---- reading ---- */

/* Without this, iniparser prints to standard error. Its messages contain newlines. */
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
 * iniparser 4.1 reads only from a path. It reads the scanned text from a memory file, since the file
 * itself may change meanwhile, or be a pipe.
 */
static int ini_load(const struct config_scan *scan, dictionary **out)
{
	char path[64];
	int fd, err = 0;

	fd = memfd_create("vduse-blk-config", MFD_CLOEXEC);
	if (fd < 0 || write(fd, scan->text, scan->text_len) != (ssize_t)scan->text_len) {
		err = fd < 0 ? -errno : -ENOMEM;
		log_err("%s: cannot create a memory file for its text: %s", scan->file,
			strerror(-err));
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
	if (!text) { /* the scan has removed its line and reported the error */
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

/* RUNTIME_DIR/NAME.sock where the file has none. */
static void default_sockets(struct config_scan *scan, struct config *config)
{
	for (size_t i = 0; i < config->device_count; i++) {
		struct device_config *device = &config->devices[i];
		size_t room = sizeof(device->socket);

		if (front_end_of(device->driver)->vdpa || device->socket[0])
			continue;
		if ((size_t)snprintf(device->socket, room, "%s/%s.sock", config->runtime_dir,
				     device->name) < room)
			continue;
		config_error(scan, scan->devices[i].line,
			     "[%s] runtime_dir and the name make a path of its socket that is too "
			     "long; accepted: socket = PATH of at most %zu bytes",
			     device->name, room - 1);
	}
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
	if (!err)
		default_sockets(scan, config);
	return err;
}

static int load(const char *path, FILE *from, struct config *out)
{
	struct config config = { 0 };
	struct config_scan scan;
	dictionary *ini = NULL;
	int err;

	err = config_scan(path, from, &scan);
	if (err)
		return err;
	err = ini_load(&scan, &ini);
	if (err)
		goto exit_scan;

	err = file_load(&scan, ini, &config);
	if (err)
		log_err("%s: %s", path, strerror(-err));
	else if (!scan.errors)
		config_check(&scan, &config);
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

int config_load(const char *path, struct config *out)
{
	FILE *from = fopen(path, "re");
	int err;

	if (!from) {
		err = -errno;
		log_err("%s: %s", path, strerror(-err));
		return err;
	}
	err = load(path, from, out);
	fclose(from);
	return err;
}

int config_load_text(const char *name, const char *text, struct config *out)
{
	FILE *from = fmemopen((void *)text, strlen(text), "r");
	int err;

	if (!from)
		return -ENOMEM;
	err = load(name, from, out);
	fclose(from);
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

/* May be called at any point of file_load(): members that are not set yet are zero. */
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
