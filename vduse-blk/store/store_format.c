// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler.h"
#include "log.h"

#define HEAD_SIZE 4096u /* and its alignment: suits every O_DIRECT */

static const struct {
	const char *name, *magic;
	size_t at, len;
} formats[] = {
	{ "qcow2", "QFI\xfb", 0, 4 }, { "QED", "QED\0", 0, 4 },
	{ "VMDK", "KDMV", 0, 4 },     { "VHDX", "vhdxfile", 0, 8 },
	{ "VHD", "conectix", 0, 8 },  { "VDI", "\x7f\x10\xda\xbe", 64, 4 },
};

static const char *find_format(const char *head, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		if (len >= formats[i].at + formats[i].len &&
		    !memcmp(head + formats[i].at, formats[i].magic, formats[i].len))
			return formats[i].name;
	return NULL;
}

static const char *read_format(const struct host_file *file)
{
	const char *name = NULL;
	void *head;
	ssize_t len;

	if (file->block_device || posix_memalign(&head, HEAD_SIZE, HEAD_SIZE))
		return NULL;
	len = pread(file->fd, head, HEAD_SIZE, 0);
	if (len > 0)
		name = find_format(head, (size_t)len);
	free(head);
	return name;
}

bool store_format_advice(const struct host_file *file, char advice[STORE_FORMAT_ADVICE_MAX])
{
	const char *format = read_format(file);

	if (format)
		snprintf(advice, STORE_FORMAT_ADVICE_MAX,
			 "it looks like a %s image; convert it: qemu-img convert -O raw", format);
	return format;
}

/* A warning only: a guest may have written these bytes to its disk. */
void store_format_warn(const struct device_config *config, const struct host_file *file)
{
	char advice[STORE_FORMAT_ADVICE_MAX];

	if (store_format_advice(file, advice))
		log_warn("%s: %s is served byte for byte, but %s", config->name, config->path,
			 advice);
}
