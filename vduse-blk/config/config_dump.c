// SPDX-License-Identifier: GPL-2.0-or-later
/* Writes the configuration and its keys as a file, as JSON and as help. */
#include "config.h"

#include "config_keys.h"
#include "json.h"

/* Replaces an unset serial number by its default. */
static struct device_config device_effective(const struct device_config *device)
{
	struct device_config effective = *device;

	config_serial(device, effective.serial);
	return effective;
}

/* @object: a struct config or device_config, which is not changed */
static void section_dump(const struct config_table *table, void *object, FILE *to)
{
	const struct config_key *key;

	for (key = table->keys; key < table->keys + table->count; key++) {
		fprintf(to, "%s = ", key->name);
		key->type->print(key, config_key_member(key, object), to);
		fputc('\n', to);
	}
}

void config_dump(const struct config *config, FILE *to)
{
	struct config global = *config;
	struct device_config device;
	size_t i;

	fputs("[global]\n", to);
	section_dump(&config_global_keys, &global, to);
	for (i = 0; i < config->device_count; i++) {
		device = device_effective(&config->devices[i]);
		fprintf(to, "\n[%s]\n", device.name);
		section_dump(&config_device_keys, &device, to);
	}
}

static void section_dump_json(const struct config_table *table, void *object, const char *indent,
			      FILE *to)
{
	const struct config_key *key;

	for (key = table->keys; key < table->keys + table->count; key++) {
		fprintf(to, "%s%s\"%s\": ", key == table->keys ? "" : ",\n", indent, key->name);
		key->type->print_json(key, config_key_member(key, object), to);
	}
	fputc('\n', to);
}

void config_dump_json(const struct config *config, FILE *to)
{
	struct config global = *config;
	struct device_config device;
	size_t i;

	fputs("{\n  \"global\": {\n", to);
	section_dump_json(&config_global_keys, &global, "    ", to);
	fputs("  },\n  \"devices\": [", to);
	for (i = 0; i < config->device_count; i++) {
		device = device_effective(&config->devices[i]);
		fprintf(to, "%s\n    {\n      \"name\": ", i ? "," : "");
		json_string(device.name, to);
		fputs(",\n", to);
		section_dump_json(&config_device_keys, &device, "      ", to);
		fputs("    }", to);
	}
	fputs("\n  ]\n}\n", to);
}

static void table_help(const struct config_table *table, FILE *to)
{
	const struct config_key *key;

	for (key = table->keys; key < table->keys + table->count; key++)
		fprintf(to, "%s\t%s\t%s\t%s\t%s\n", table->section, key->name, key->accepts,
			key->default_text ? key->default_text : "-", key->help);
}

void config_help(FILE *to)
{
	table_help(&config_global_keys, to);
	table_help(&config_device_keys, to);
}
