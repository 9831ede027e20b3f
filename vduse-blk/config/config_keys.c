// SPDX-License-Identifier: GPL-2.0-or-later
#include "config_keys.h"

#include <strings.h>

#include "config.h"
#include "config_disk.h"

/* The maximum of offset + size: off_t is signed. Rounded down to a sector. */
#define DISK_MAX (INT64_MAX & ~511ull)

#define MIB (1024ull * 1024)

/* clang-format off */
static const struct config_word level_words[] = {
	{ "error", LOG_LEVEL_ERROR },
	{ "warning", LOG_LEVEL_WARNING },
	{ "info", LOG_LEVEL_INFO },
	{ "debug", LOG_LEVEL_DEBUG },
	{},
};

static const struct config_word driver_words[] = {
	{ "virtio-vdpa", DRIVER_VIRTIO_VDPA },
	{ "vhost-vdpa", DRIVER_VHOST_VDPA },
	{ "vhost-user", DRIVER_VHOST_USER },
	{},
};

static const struct config_word config_cache_words[] = {
	{ "auto", CACHE_AUTO },
	{ "none", CACHE_NONE },
	{ "writeback", CACHE_WRITEBACK },
	{ "writethrough", CACHE_WRITETHROUGH },
	{ "unsafe", CACHE_UNSAFE },
	{},
};

static const struct config_word bool_words[] = {
	{ "yes", true }, { "no", false },
	{ "on", true }, { "off", false },
	{ "true", true }, { "false", false },
	{ "1", true }, { "0", false },
	{},
};

static const struct config_word yes_no_words[] = {
	{ "auto", SWITCH_AUTO },
	{ "yes", SWITCH_YES }, { "no", SWITCH_NO },
	{ "on", SWITCH_YES }, { "off", SWITCH_NO },
	{ "true", SWITCH_YES }, { "false", SWITCH_NO },
	{ "1", SWITCH_YES }, { "0", SWITCH_NO },
	{},
};

static const struct config_word on_off_words[] = {
	{ "auto", SWITCH_AUTO },
	{ "on", SWITCH_YES }, { "off", SWITCH_NO },
	{ "yes", SWITCH_YES }, { "no", SWITCH_NO },
	{ "true", SWITCH_YES }, { "false", SWITCH_NO },
	{ "1", SWITCH_YES }, { "0", SWITCH_NO },
	{},
};

static const struct config_word auto_words[] = { { "auto", CONFIG_AUTO }, {} };
static const struct config_word report_words[] = { { "report", 0 }, {} };
static const struct config_word poll_words[] = { { "auto", CONFIG_POLL_AUTO }, {} };
/* clang-format on */

#define MEMBER(object, member)                                                                     \
	.offset = offsetof(object, member), .width = sizeof(((object *)NULL)->member)

static const struct config_key global_keys[] = {
	{ .name = "log_level",
	  .type = &config_type_word,
	  MEMBER(struct config, log_level),
	  .words = level_words,
	  .default_text = "info",
	  .accepts = "error, warning, info or debug",
	  .help = "which lines are logged: this level and the more severe ones" },
	{ .name = "runtime_dir",
	  .type = &config_type_directory,
	  MEMBER(struct config, runtime_dir),
	  .default_text = CONFIG_RUNTIME_DIR,
	  .accepts = "an absolute path",
	  .help = "directory of inflight logs and control sockets, for the next server" },
	{ .name = "workers",
	  .type = &config_type_count,
	  MEMBER(struct config, workers),
	  .words = auto_words,
	  .min = 1,
	  .max = 256,
	  .default_text = "auto",
	  .accepts = "auto, or 1 to 256",
	  .help = "threads that serve queues; auto: one per CPU, at most one per queue" },
};

static const struct config_key device_keys[] = {
	{ .name = "path",
	  .type = &config_type_path,
	  MEMBER(struct device_config, path),
	  .accepts = "the path of a regular file or a block device, with / or ./ at its beginning "
		     "where it has a colon; file:PATH; null:, error: or fault:FAULTS:PATH",
	  .help = "file or block device that holds the disk; required" },
	{ .name = "driver",
	  .type = &config_type_word,
	  MEMBER(struct device_config, driver),
	  .words = driver_words,
	  .default_text = "virtio-vdpa",
	  .accepts = "virtio-vdpa, vhost-vdpa or vhost-user",
	  .help = "virtio-vdpa: a disk of this host; vhost-vdpa, vhost-user: one for a virtual machine" },
	{ .name = "readonly",
	  .type = &config_type_bool,
	  MEMBER(struct device_config, readonly),
	  .words = bool_words,
	  .default_text = "no",
	  .accepts = "yes or no",
	  .help = "open the store for reading only, and offer a read-only disk" },
	{ .name = "cache",
	  .type = &config_type_word,
	  MEMBER(struct device_config, cache),
	  .words = config_cache_words,
	  .default_text = "auto",
	  .accepts = "auto, none, writeback, writethrough or unsafe",
	  .help = "page cache and durability; auto: none where the store can, else writeback" },
	{ .name = "queues",
	  .type = &config_type_count,
	  MEMBER(struct device_config, queues),
	  .words = auto_words,
	  .min = 1,
	  .max = 256,
	  .default_text = "auto",
	  .accepts = "auto, or 1 to 256",
	  .help = "request queues; auto: one per CPU" },
	{ .name = "queue_size",
	  .type = &config_type_power,
	  MEMBER(struct device_config, queue_size),
	  .words = auto_words,
	  .min = 2,
	  .max = 1024,
	  .default_text = "auto",
	  .accepts = "auto, or a power of two, 2 to 1024",
	  .help = "descriptors of each queue; auto: 1024" },
	{ .name = "indirect_descriptors",
	  .type = &config_type_switch,
	  MEMBER(struct device_config, indirect),
	  .words = yes_no_words,
	  .default_text = "auto",
	  .accepts = "auto, yes or no",
	  .help = "offer descriptors in tables; auto: not to virtio-vdpa with a queue_size of 1024" },
	{ .name = "logical_block_size",
	  .type = &config_type_power,
	  MEMBER(struct device_config, logical_block_size),
	  .words = auto_words,
	  .min = 512,
	  .max = 4096,
	  .default_text = "auto",
	  .accepts = "auto, 512, 1024, 2048 or 4096",
	  .help = "smallest unit of a request, bytes; auto: that of the store" },
	{ .name = "discard",
	  .type = &config_type_switch,
	  MEMBER(struct device_config, discard),
	  .words = yes_no_words,
	  .default_text = "auto",
	  .accepts = "auto, yes or no",
	  .help = "offer discard; auto: where the store can" },
	{ .name = "write_zeroes",
	  .type = &config_type_switch,
	  MEMBER(struct device_config, write_zeroes),
	  .words = yes_no_words,
	  .default_text = "auto",
	  .accepts = "auto, yes or no",
	  .help = "offer write-zeroes; auto: where the store can" },
	{ .name = "on_error",
	  .type = &config_type_retry,
	  MEMBER(struct device_config, on_error),
	  .words = report_words,
	  .min = 1,
	  .max = 86400,
	  .default_text = "report",
	  .accepts = "report, or retry:SECONDS with 1 to 86400",
	  .help = "when the store fails: report it to the driver, or first try again for that time" },
	{ .name = "serial",
	  .type = &config_type_serial,
	  MEMBER(struct device_config, serial),
	  .accepts = "1 to 20 printable ASCII characters",
	  .help = "serial number of the disk; without one, the section's name, shortened" },
	{ .name = "poll_us",
	  .type = &config_type_count,
	  MEMBER(struct device_config, poll_us),
	  .words = poll_words,
	  .min = 0,
	  .max = 1000000,
	  .default_text = "auto",
	  .accepts = "auto, or 0 to 1000000",
	  .help = "microseconds that a worker polls for requests before it sleeps; 0: never" },
	{ .name = "iopoll",
	  .type = &config_type_bool,
	  MEMBER(struct device_config, iopoll),
	  .words = bool_words,
	  .default_text = "no",
	  .accepts = "yes or no",
	  .help = "poll the store for completions instead of interrupts; a disk with poll queues" },
	{ .name = "umem",
	  .type = &config_type_switch,
	  MEMBER(struct device_config, umem),
	  .words = on_off_words,
	  .default_text = "auto",
	  .accepts = "auto, on or off",
	  .help = "use memory of the server as bounce buffer; virtio-vdpa only" },
	{ .name = "pin_guest_memory",
	  .type = &config_type_bool,
	  MEMBER(struct device_config, pin_guest_memory),
	  .words = bool_words,
	  .default_text = "no",
	  .accepts = "yes or no",
	  .help = "pin what the guest uses for I/O, which makes that cheaper; not for virtio-vdpa" },
	{ .name = "bounce_size",
	  .type = &config_type_size,
	  MEMBER(struct device_config, bounce_size),
	  .words = auto_words,
	  .min = MIB,
	  .max = 1024 * MIB,
	  .step = 4096,
	  .default_text = "auto",
	  .accepts = "auto, or 1M to 1G in steps of 4096 bytes",
	  .help = "size of the bounce buffer, bytes; auto: what small requests in all queues take, "
		  "at least 64M; virtio-vdpa only" },
	{ .name = "offset",
	  .type = &config_type_size,
	  MEMBER(struct device_config, offset),
	  .min = 0,
	  .max = DISK_MAX,
	  .step = 512,
	  .default_text = "0",
	  .accepts = "a multiple of 512 bytes, below 8388608T",
	  .help = "where in the store the disk begins, bytes" },
	{ .name = "size",
	  .type = &config_type_size,
	  MEMBER(struct device_config, size),
	  .words = auto_words,
	  .min = 512,
	  .max = DISK_MAX,
	  .step = 512,
	  .default_text = "auto",
	  .accepts = "auto, or a multiple of 512 bytes, above 0 and below 8388608T",
	  .help = "size of the disk, bytes; auto: from offset to the store's end" },
	{ .name = "socket",
	  .type = &config_type_socket,
	  MEMBER(struct device_config, socket),
	  .default_text = "auto",
	  .accepts = "auto, or an absolute path of at most 107 bytes without blanks",
	  .help = "socket that a VMM connects to; auto: NAME.sock in runtime_dir; vhost-user only" },
	{ .name = "socket_mode",
	  .type = &config_type_mode,
	  MEMBER(struct device_config, socket_mode),
	  .default_text = "0660",
	  .accepts = "0 to 0777, octal",
	  .help = "who may connect to the socket: its file mode; vhost-user only" },
	{ .name = "socket_group",
	  .type = &config_type_group,
	  MEMBER(struct device_config, socket_group),
	  .default_text = "auto",
	  .accepts = "auto, or a group of at most 63 bytes",
	  .help = "group of the socket, a name or a number; auto: that of the server; vhost-user only" },
};

_Static_assert(ARRAY_SIZE(global_keys) <= CONFIG_KEYS_MAX, "CONFIG_KEYS_MAX");
_Static_assert(ARRAY_SIZE(device_keys) <= CONFIG_KEYS_MAX, "CONFIG_KEYS_MAX");

const struct config_table config_global_keys = { "global", global_keys, ARRAY_SIZE(global_keys) };
const struct config_table config_device_keys = { "DEVICE", device_keys, ARRAY_SIZE(device_keys) };

int config_key_find(const struct config_table *table, const char *name)
{
	size_t i;

	for (i = 0; i < table->count; i++) {
		if (!strcasecmp(table->keys[i].name, name))
			return (int)i;
	}
	return -1;
}

void *config_key_member(const struct config_key *key, void *object)
{
	return (char *)object + key->offset;
}

const char *config_word_text(const struct config_word *words, uint64_t value)
{
	for (; words && words->text; words++) {
		if (words->value == value)
			return words->text;
	}
	return NULL;
}
