// SPDX-License-Identifier: GPL-2.0-or-later
#include "orphans.h"

#include <dirent.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <string.h>

#include "store/identity.h"
#include "inflight.h"
#include "log.h"
#include "vduse_dev.h"

#define LOG_SUFFIX ".inflight"

/* "NAME.inflight" -> NAME. Return: false: another kind of file */
static bool log_name(const char *file, char name[VDUSE_NAME_MAX])
{
	size_t len = strlen(file), suffix = strlen(LOG_SUFFIX);

	if (len <= suffix || len - suffix >= VDUSE_NAME_MAX ||
	    strcmp(file + len - suffix, LOG_SUFFIX))
		return false;
	memcpy(name, file, len - suffix);
	name[len - suffix] = '\0';
	return true;
}

/* Is disk @name in the kernel, does it share bytes with @ours, and is one of the two writable? */
static bool shares_bytes(const char *name, const char *runtime_dir,
			 const struct disk_identity *ours, bool readonly)
{
	char text[INFLIGHT_IDENTITY_MAX], why[INFLIGHT_WHY_MAX];
	struct inflight_params params = { .directory = runtime_dir, .name = name };
	struct disk_identity theirs;

	if (inflight_peek(&params, text, why) || !identity_parse(text, &theirs) ||
	    !identity_overlaps(ours, &theirs))
		return false;
	if (readonly && (params.features & (1ull << VIRTIO_BLK_F_RO)))
		return false;
	return vduse_dev_is_served(name) != -ENOENT;
}

static int refuse(const struct device_config *config, const char *name)
{
	if (vduse_dev_is_served(name) == 1)
		log_err("%s: %s shares bytes with disk %s, which is served; detach disk %s first",
			config->name, config->path, name, name);
	else
		log_err("%s: %s shares bytes with disk %s, which a former server left in the "
			"kernel and which may be in use; to adopt it, rename the section to [%s]; "
			"to end its requests: vduse-blk rescue %s",
			config->name, config->path, name, name, name);
	return -EBUSY;
}

int orphans_check(const struct device *device, const char *runtime_dir)
{
	const struct device_config *config = device->config;
	struct disk_identity ours;
	char name[VDUSE_NAME_MAX];
	struct dirent *entry;
	int err = 0;
	DIR *dir;

	dir = opendir(runtime_dir);
	if (!dir)
		return 0; /* no server has created the directory */
	device_identity(device, &ours);
	while (!err && (entry = readdir(dir)))
		if (log_name(entry->d_name, name) && strcmp(name, config->name) &&
		    shares_bytes(name, runtime_dir, &ours, config->readonly))
			err = refuse(config, name);
	closedir(dir);
	return err;
}
