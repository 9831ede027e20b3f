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

#define NAME_BYTES 64

/* The absolute path of the socket. Return: allocated; NULL: no memory */
static char *absolute(const char *path)
{
	char *directory, *text;
	size_t size;

	if (path[0] == '/')
		return strdup(path);
	directory = getcwd(NULL, 0);
	if (!directory)
		return NULL;
	size = strlen(directory) + strlen(path) + 2;
	text = malloc(size);
	if (text)
		snprintf(text, size, "%s/%s", directory, path);
	free(directory);
	return text;
}

/*
 * The path of the socket in characters that a name may have: "run-vm1-disk" for /run/vm1/disk.sock. Two
 * servers of one user must not have disks of one name.
 */
static void name_of_socket(const char *path, char name[NAME_BYTES])
{
	const char *file = strrchr(path, '/'), *from = path;
	size_t len = (size_t)(file - path) + strcspn(file, ".");

	if (len >= NAME_BYTES)
		from += len - (NAME_BYTES - 1);
	while (from < path + len && !isalnum((unsigned char)*from))
		from++;
	for (; from < path + len; from++)
		*name++ = isalnum((unsigned char)*from) ? (char)tolower((unsigned char)*from) : '-';
	*name = '\0';
}

static void disk_name(const struct config_disk *disk, const char *socket, char name[NAME_BYTES])
{
	name[0] = '\0';
	if (disk->socket)
		name_of_socket(socket, name);
	if (!name[0] || !strcmp(name, "global"))
		snprintf(name, NAME_BYTES, "disk-%d", (int)getpid());
}

const char *config_user_runtime_dir(char text[CONFIG_RUNTIME_DIR_MAX])
{
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0)
		strcpy(text, CONFIG_RUNTIME_DIR);
	else if (!run || run[0] != '/' ||
		 snprintf(text, CONFIG_RUNTIME_DIR_MAX, "%s/vduse-blk", run) >=
			 CONFIG_RUNTIME_DIR_MAX)
		snprintf(text, CONFIG_RUNTIME_DIR_MAX, "/tmp/vduse-blk-%u", geteuid());
	return text;
}

static void print_file(const struct config_disk *disk, const char *socket, FILE *to)
{
	char name[NAME_BYTES], directory[CONFIG_RUNTIME_DIR_MAX];

	disk_name(disk, socket, name);
	fputs("[global]\nruntime_dir = ", to);
	config_text_print(config_user_runtime_dir(directory), to);
	fprintf(to, "\n[%s]\ndriver = vhost-user\nreadonly = %s\npath = ", name,
		disk->readonly ? "yes" : "no");
	config_text_print(disk->path, to);
	if (disk->socket) {
		fputs("\nsocket = ", to);
		config_text_print(socket, to);
	}
	fputc('\n', to);
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

/* Return: the text of a configuration file, allocated; NULL: no memory */
static char *make_file(const struct config_disk *disk)
{
	char *socket = absolute(disk->socket ? disk->socket : "");
	char *text = NULL;
	size_t len;
	FILE *to = socket ? open_memstream(&text, &len) : NULL;

	if (to) {
		print_file(disk, socket, to);
		if (fclose(to)) {
			free(text);
			text = NULL;
		}
	}
	free(socket);
	return text;
}

int config_disk_load(const struct config_disk *disk, struct config *out)
{
	int err = check_pairs(disk);
	char *text;

	if (err)
		return err;
	text = make_file(disk);
	if (!text)
		return -ENOMEM;
	err = config_load_text("command line", text, out);
	free(text);
	if (!err && !disk->socket)
		out->devices[0].socket_fd = disk->socket_fd;
	return err;
}
