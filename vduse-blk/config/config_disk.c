// SPDX-License-Identifier: GPL-2.0-or-later
#include "config_disk.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_keys.h"
#include "log.h"

#define NAME_MAX_BYTES 64

/* The file name of the socket without its suffix, in characters that a name may have. */
static void disk_name(const struct config_disk *disk, char name[NAME_MAX_BYTES])
{
	const char *file = disk->socket ? strrchr(disk->socket, '/') : NULL;
	size_t len = 0;

	if (!file)
		file = disk->socket ? disk->socket : "disk";
	else
		file++;
	for (; *file && *file != '.' && len < NAME_MAX_BYTES - 1; file++) {
		char c = (char)tolower((unsigned char)*file);

		name[len++] = isalnum((unsigned char)c) ? c : '-';
	}
	name[len] = '\0';
	if (!isalnum((unsigned char)name[0]) || !strcmp(name, "global"))
		strcpy(name, "disk");
}

static void print_runtime_dir(FILE *to)
{
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0)
		fputs("/run/vduse-blk\n", to);
	else if (run && run[0] == '/')
		fprintf(to, "%s/vduse-blk\n", run);
	else
		fprintf(to, "/tmp/vduse-blk-%u\n", geteuid());
}

/* The key socket needs an absolute path. */
static void print_socket(const struct config_disk *disk, FILE *to)
{
	char *directory = disk->socket[0] == '/' ? NULL : getcwd(NULL, 0);
	char *path = NULL;

	if (directory && asprintf(&path, "%s/%s", directory, disk->socket) < 0)
		path = NULL;
	fputs("socket = ", to);
	config_text_print(path ? path : disk->socket, to);
	fputc('\n', to);
	free(path);
	free(directory);
}

static void print_file(const struct config_disk *disk, FILE *to)
{
	char name[NAME_MAX_BYTES];

	disk_name(disk, name);
	fputs("[global]\nruntime_dir = ", to);
	print_runtime_dir(to);
	fprintf(to, "[%s]\ndriver = vhost-user\nreadonly = %s\npath = ", name,
		disk->readonly ? "yes" : "no");
	config_text_print(disk->path, to);
	fputc('\n', to);
	if (disk->socket)
		print_socket(disk, to);
	for (char **pair = disk->pairs; pair && *pair; pair++)
		fprintf(to, "%s\n", *pair);
}

static int check_pairs(const struct config_disk *disk)
{
	for (char **pair = disk->pairs; pair && *pair; pair++) {
		if (strchr(*pair, '=') && isalpha((unsigned char)**pair) && !strchr(*pair, '\n'))
			continue;
		log_err("unexpected argument '%s'; accepted: KEY=VALUE, with a key that vduse-blk "
			"--help-keys shows for DEVICE",
			*pair);
		return -EINVAL;
	}
	return 0;
}

int config_disk_load(const struct config_disk *disk, struct config *out)
{
	char *text = NULL;
	size_t len;
	int err = check_pairs(disk);
	FILE *to = err ? NULL : open_memstream(&text, &len);

	if (!to)
		return err ? err : -ENOMEM;
	print_file(disk, to);
	if (fclose(to)) {
		free(text);
		return -ENOMEM;
	}
	err = config_load_text("command line", text, out);
	free(text);
	if (!err && !disk->socket)
		out->devices[0].socket_fd = disk->socket_fd;
	return err;
}
