// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_type.h"

#include "config/config_path.h"

static const struct store_type *const types[] = {
	[SCHEME_FILE] = &store_type_file,
	[SCHEME_NULL] = &store_type_null,
	[SCHEME_ERROR] = &store_type_error,
	[SCHEME_FAULT] = &store_type_fault,
};

const struct store_type *store_type_of(const struct device_config *config)
{
	return types[config_path_scheme(config->path)];
}

void store_identify(const struct device_config *config, char identity[BACKEND_IDENTITY_MAX])
{
	const struct store_type *type = store_type_of(config);

	identity[0] = '\0';
	if (type->identify)
		type->identify(config, identity);
}
