// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Any bytes as a configuration file. What is accepted is written out, read back, and must be the
 * same; what is refused is explained, and nothing that the file says reaches a terminal raw.
 */
#include <errno.h>
#include <locale.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/config.h"
#include "fuzz.h"

static char path[64];
static int file = -1;
static unsigned int lines;

/* Terminals and journals: UTF-8 and no control characters, but for those that make lines. */
static void check_printable(const char *text, const char *controls)
{
	must(mbstowcs(NULL, text, 0) != (size_t)-1);
	for (; *text; text++)
		must((unsigned char)*text >= ' ' || strchr(controls, *text));
}

/* As main.c would print it: a line of its own, which begins with the file's name. */
static void check_line(enum log_level level, const char *text)
{
	must(level == LOG_LEVEL_ERROR);
	must(!strncmp(text, path, strlen(path)) && text[strlen(path)] == ':');
	check_printable(text, "\t");
	lines++;
}

static void set_up(void)
{
	if (file >= 0)
		return;
	file = memfd_create("fuzz-config", MFD_CLOEXEC);
	must(file >= 0 && setlocale(LC_CTYPE, "C.UTF-8"));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	log_init(check_line, LOG_LEVEL_DEBUG);
}

static void write_file(const void *text, size_t len)
{
	must(ftruncate(file, 0) == 0);
	must(pwrite(file, text, len, 0) == (ssize_t)len);
}

static int load(const void *text, size_t len, struct config *config)
{
	int err;

	write_file(text, len);
	lines = 0;
	err = config_load(path, config);
	must(err == 0 || err == -EINVAL);
	must(err ? lines > 0 : lines == 0);
	return err;
}

/* Return: text the caller frees */
static char *dump(const struct config *config, void (*dumper)(const struct config *, FILE *),
		  size_t *len)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, len);

	must(to);
	dumper(config, to);
	must(fclose(to) == 0);
	return text;
}

static void check_equal(const struct config *a, const struct config *b,
			void (*dumper)(const struct config *, FILE *))
{
	size_t a_len, b_len;
	char *a_text = dump(a, dumper, &a_len);
	char *b_text = dump(b, dumper, &b_len);

	must(a_len == b_len && !memcmp(a_text, b_text, a_len));
	check_printable(a_text, "\n\t");
	free(a_text);
	free(b_text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config, again;
	size_t len;
	char *text;

	set_up();
	if (load(data, size, &config))
		return 0;
	must(config.device_count > 0);
	text = dump(&config, config_dump, &len);
	must(load(text, len, &again) == 0);
	must(again.device_count == config.device_count);
	check_equal(&config, &again, config_dump);
	check_equal(&config, &again, config_dump_json);
	free(text);
	config_exit(&config);
	config_exit(&again);
	return 0;
}
