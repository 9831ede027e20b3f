// SPDX-License-Identifier: GPL-2.0-or-later
#include "modules.h"

#include <errno.h>
#include <libkmod.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "log.h"

/* By default libkmod prints to standard error. */
static void modules_log(void *ctx, int priority, const char *file, int line, const char *fn,
			const char *format, va_list args)
{
	char text[512];

	(void)ctx, (void)priority, (void)file, (void)line, (void)fn;
	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	log_debug("libkmod: %s", text);
}

/* Looks up the name only, which works without /lib/modules (in a container). */
static bool module_running(struct kmod_ctx *ctx, const char *name)
{
	struct kmod_module *mod;
	int state;

	if (kmod_module_new_from_name(ctx, name, &mod) < 0)
		return false;
	state = kmod_module_get_initstate(mod);
	kmod_module_unref(mod);
	return state == KMOD_MODULE_LIVE || state == KMOD_MODULE_BUILTIN;
}

static int module_insert(struct kmod_module *mod, const char *name)
{
	int ret = kmod_module_probe_insert_module(mod, KMOD_PROBE_APPLY_BLACKLIST, NULL, NULL, NULL,
						  NULL);

	if (ret == KMOD_PROBE_APPLY_BLACKLIST) {
		log_err("kernel module %s: blacklisted in modprobe.d", name);
		return -EPERM;
	}
	if (ret < 0)
		log_err("kernel module %s: cannot load: %s", name, strerror(-ret));
	return ret < 0 ? ret : 0;
}

static int module_not_found(const char *name)
{
	struct utsname uts;

	uname(&uts);
	log_err("kernel module %s: not found for kernel %s (install a kernel that has it)", name,
		uts.release);
	return -ENOENT;
}

/* A name may be an alias of several modules; modprobe loads them all. */
static int module_probe(struct kmod_ctx *ctx, const char *name)
{
	struct kmod_list *entry, *list = NULL;
	struct kmod_module *mod;
	int err = 0;

	if (kmod_module_new_from_lookup(ctx, name, &list) < 0 || !list)
		return module_not_found(name);

	for (entry = list; entry; entry = kmod_list_next(list, entry)) {
		mod = kmod_module_get_module(entry);
		if (!err)
			err = module_insert(mod, name);
		kmod_module_unref(mod);
	}
	kmod_module_unref_list(list);
	return err;
}

int module_load(const char *name)
{
	struct kmod_ctx *ctx = kmod_new(NULL, NULL);
	int err = 0;

	if (!ctx) {
		log_err("kernel module %s: cannot initialise libkmod", name);
		return -ENOMEM;
	}
	kmod_set_log_fn(ctx, modules_log, NULL);
	if (!module_running(ctx, name))
		err = module_probe(ctx, name);
	kmod_unref(ctx);
	return err;
}
