// SPDX-License-Identifier: GPL-2.0-or-later
#include "config_fixture.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "temp_dir.h"
#include "test_log.h"

int cfg_source_fd;
struct config cfg;

void cfg_begin(void)
{
	cfg_source_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	temp_dir_make();
}

void cfg_end(void)
{
	close(cfg_source_fd);
	temp_dir_remove();
}

void cfg_setup(void)
{
	ck_assert_int_eq(chdir(temp_dir), 0);
	test_log_begin();
}

void cfg_teardown(void)
{
	config_exit(&cfg);
	test_log_end();
}

void cfg_write_bytes(const void *bytes, size_t len)
{
	FILE *f = fopen("t.conf", "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

int cfg_load(const char *text)
{
	config_exit(&cfg);
	cfg_write_bytes(text, strlen(text));
	return config_load("t.conf", &cfg);
}

/* Exactly this line, and no other, must come of @text. */
void cfg_refused(const char *text, const char *line)
{
	test_log_expect(LOG_LEVEL_ERROR, line);
	ck_assert_int_eq(cfg_load(text), -EINVAL);
}

void cfg_load_key(const char *section, const char *key, const char *value, int result)
{
	char text[1024];

	if (!strcmp(section, "global"))
		snprintf(text, sizeof(text), "[global]\n%s = %s\n" CFG_DEVICE, key, value);
	else if (!strcmp(key, "path"))
		snprintf(text, sizeof(text), "[vdb]\npath = %s\n", value);
	else
		snprintf(text, sizeof(text), CFG_DEVICE "%s = %s\n", key, value);
	ck_assert_msg(cfg_load(text) == result, "%s = %s", key, value);
}

/* The text that a config_dump*() or config_help() writes; free() it. */
char *cfg_dumped(void (*dump)(const struct config *, FILE *))
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	if (dump)
		dump(&cfg, f);
	else
		config_help(f);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

void cfg_defaults_check(const struct device_config *d)
{
	ck_assert_int_eq(d->driver, DRIVER_VIRTIO_VDPA);
	ck_assert(!d->readonly);
	ck_assert_int_eq(d->cache, CACHE_AUTO);
	ck_assert_uint_eq(d->queues, CONFIG_AUTO);
	ck_assert_uint_eq(d->queue_size, CONFIG_AUTO);
	ck_assert_uint_eq(d->logical_block_size, CONFIG_AUTO);
	ck_assert_int_eq(d->discard, SWITCH_AUTO);
	ck_assert_int_eq(d->write_zeroes, SWITCH_AUTO);
	ck_assert_uint_eq(d->on_error, 0);
	ck_assert_str_eq(d->serial, "");
	ck_assert_uint_eq(d->poll_us, CONFIG_POLL_AUTO);
	ck_assert(!d->iopoll);
	ck_assert_int_eq(d->umem, SWITCH_AUTO);
	ck_assert(!d->pin_guest_memory);
	ck_assert_uint_eq(d->bounce_size, CONFIG_AUTO);
	ck_assert_uint_eq(d->offset, 0);
	ck_assert_uint_eq(d->size, CONFIG_AUTO);
}

static void device_eq(const struct device_config *a, const struct device_config *b)
{
	ck_assert_str_eq(a->name, b->name);
	ck_assert_str_eq(a->path, b->path);
	ck_assert_int_eq(a->driver, b->driver);
	ck_assert_int_eq(a->readonly, b->readonly);
	ck_assert_int_eq(a->cache, b->cache);
	ck_assert_uint_eq(a->queues, b->queues);
	ck_assert_uint_eq(a->queue_size, b->queue_size);
	ck_assert_uint_eq(a->logical_block_size, b->logical_block_size);
	ck_assert_int_eq(a->discard, b->discard);
	ck_assert_int_eq(a->write_zeroes, b->write_zeroes);
	ck_assert_uint_eq(a->on_error, b->on_error);
	ck_assert_str_eq(a->serial, b->serial);
	ck_assert_uint_eq(a->poll_us, b->poll_us);
	ck_assert_int_eq(a->iopoll, b->iopoll);
	ck_assert_int_eq(a->umem, b->umem);
	ck_assert_int_eq(a->pin_guest_memory, b->pin_guest_memory);
	ck_assert_uint_eq(a->bounce_size, b->bounce_size);
	ck_assert_uint_eq(a->offset, b->offset);
	ck_assert_uint_eq(a->size, b->size);
}

/* What is dumped must be read back to the same. */
void cfg_round_trip(void)
{
	char *text = cfg_dumped(config_dump);
	struct config again;
	size_t i;
	int err;

	cfg_write_bytes(text, strlen(text));
	err = config_load("t.conf", &again);
	ck_assert_msg(!err, "refused its own dump:\n%s", text);
	ck_assert_int_eq(again.log_level, cfg.log_level);
	ck_assert_str_eq(again.runtime_dir, cfg.runtime_dir);
	ck_assert_uint_eq(again.workers, cfg.workers);
	ck_assert_uint_eq(again.device_count, cfg.device_count);
	for (i = 0; i < cfg.device_count; i++)
		device_eq(&again.devices[i], &cfg.devices[i]);
	config_exit(&again);
	free(text);
}

#define GLOBAL(member, text, value)                                                                \
	{                                                                                          \
		"global", #member, text, value, offsetof(struct config, member),                   \
			sizeof(cfg.member)                                                         \
	}
#define DISK(member, text, value)                                                                  \
	{                                                                                          \
		"vdb", #member, text, value, offsetof(struct device_config, member),               \
			sizeof(cfg.devices->member)                                                \
	}
#define SWITCH(member)                                                                             \
	DISK(member, "auto", SWITCH_AUTO), DISK(member, "yes", SWITCH_YES),                        \
		DISK(member, "no", SWITCH_NO), DISK(member, "on", SWITCH_YES),                     \
		DISK(member, "off", SWITCH_NO), DISK(member, "true", SWITCH_YES),                  \
		DISK(member, "false", SWITCH_NO), DISK(member, "1", SWITCH_YES),                   \
		DISK(member, "0", SWITCH_NO)

const struct cfg_good cfg_good_values[] = {
	GLOBAL(log_level, "error", LOG_LEVEL_ERROR),
	GLOBAL(log_level, "warning", LOG_LEVEL_WARNING),
	GLOBAL(log_level, "info", LOG_LEVEL_INFO),
	GLOBAL(log_level, "debug", LOG_LEVEL_DEBUG),
	GLOBAL(workers, "auto", CONFIG_AUTO),
	GLOBAL(workers, "1", 1),
	GLOBAL(workers, "256", 256),
	DISK(driver, "virtio-vdpa", DRIVER_VIRTIO_VDPA),
	DISK(driver, "vhost-vdpa", DRIVER_VHOST_VDPA),
	DISK(readonly, "yes", true),
	DISK(readonly, "no", false),
	DISK(readonly, "on", true),
	DISK(readonly, "off", false),
	DISK(readonly, "true", true),
	DISK(readonly, "false", false),
	DISK(readonly, "1", true),
	DISK(readonly, "0", false),
	DISK(cache, "auto", CACHE_AUTO),
	DISK(cache, "none", CACHE_NONE),
	DISK(cache, "writeback", CACHE_WRITEBACK),
	DISK(cache, "writethrough", CACHE_WRITETHROUGH),
	DISK(cache, "unsafe", CACHE_UNSAFE),
	DISK(queues, "auto", CONFIG_AUTO),
	DISK(queues, "1", 1),
	DISK(queues, "0016", 16),
	DISK(queues, "256", 256),
	DISK(queue_size, "2", 2),
	DISK(queue_size, "1024", 1024),
	DISK(logical_block_size, "auto", CONFIG_AUTO),
	DISK(logical_block_size, "512", 512),
	DISK(logical_block_size, "4096", 4096),
	SWITCH(discard),
	SWITCH(write_zeroes),
	DISK(on_error, "report", 0),
	DISK(on_error, "retry:1", 1),
	DISK(on_error, "retry:86400", 86400),
	DISK(poll_us, "auto", CONFIG_POLL_AUTO),
	DISK(poll_us, "0", 0),
	DISK(poll_us, "1000000", 1000000),
	DISK(iopoll, "yes", true),
	DISK(iopoll, "no", false),
	DISK(iopoll, "1", true),
	SWITCH(umem),
	DISK(bounce_size, "auto", CONFIG_AUTO),
	DISK(bounce_size, "1M", CFG_MIB),
	DISK(bounce_size, "1g", 1024 * CFG_MIB),
	DISK(bounce_size, "1028K", 1028 * 1024),
	DISK(offset, "0", 0),
	DISK(offset, "512", 512),
	DISK(offset, "9223372036854775296", 9223372036854775296ull),
	DISK(size, "auto", CONFIG_AUTO),
	DISK(size, "512", 512),
	DISK(size, "3k", 3072),
	DISK(size, "10G", 10240 * CFG_MIB),
	DISK(size, "8388607t", 8388607 * CFG_MIB * CFG_MIB),
	/* as a writer may write it */
	DISK(queues, "4 # four", 4),
	DISK(queues, "4\t; four", 4),
	DISK(queues, "\"4\"", 4),
	DISK(queues, "'4' # four", 4),
};

const int cfg_good_count = ARRAY_SIZE(cfg_good_values);

uint64_t cfg_member_value(const struct cfg_good *good)
{
	const char *object = strcmp(good->section, "global") ? (const char *)cfg.devices
							     : (const char *)&cfg;
	uint64_t value = 0;

	memcpy(&value, object + good->offset, good->width); /* little-endian hosts only */
	return value;
}

const struct cfg_path cfg_paths[] = {
	{ "/srv/a.img", "/srv/a.img" },
	{ "a.img", "a.img" },
	{ "../a b.img", "../a b.img" },
	{ "/a # b", "/a" },
	{ "/a ;b", "/a" },
	{ "/a = b", "/a = b" },
	{ "/A\\b", "/A\\b" },
	{ "/a[1]", "/a[1]" },
	{ "/a\"b'c", "/a\"b'c" },
	{ "\"/a;#b\"", "/a;#b" },
	{ "\" /a \"", " /a " },
	{ "'/a\"b'", "/a\"b" },
	{ "\"/a'b\"  # \"c\"", "/a'b" },
	{ "'\"a'", "\"a" },
	{ "file:/srv/a.img", "/srv/a.img" },
	{ "file:a.img", "a.img" },
	{ "file:a:b", "./a:b" },
	{ "file::b", "./:b" },
	{ "file:./a:b", "./a:b" },
	{ "file:file:a", "./file:a" },
	{ "/a:b", "/a:b" },
	{ "./a:b", "./a:b" },
	{ "../a:b", "../a:b" },
	{ ".a:b", ".a:b" },
	{ "images/a:b", "images/a:b" },
	{ "null", "null" },
	{ "fault:fail_read=1:/a", "fault:fail_read=1:/a" },
	{ "fault:delay_ms=3600000,lose_write=4294967295:a:b",
	  "fault:delay_ms=3600000,lose_write=4294967295:a:b" },
	{ "'fault:hold_while=/x y,fail_while=z#,fail_flush=1,fail_write=2: /a'",
	  "fault:hold_while=/x y,fail_while=z#,fail_flush=1,fail_write=2: /a" },
	{ "/\xe2\x82\xac\xf0\x9f\x92\xbe", "/\xe2\x82\xac\xf0\x9f\x92\xbe" },
};

const int cfg_path_count = ARRAY_SIZE(cfg_paths);
