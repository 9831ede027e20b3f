// SPDX-License-Identifier: GPL-2.0-or-later
#include "store_type.h"

const struct store_type *store_type_of(const struct device_config *config)
{
	return config->rescue ? &store_type_error : &store_type_file;
}

void store_identify(const struct device_config *config, char identity[BACKEND_IDENTITY_MAX])
{
	const struct store_type *type = store_type_of(config);

	identity[0] = '\0';
	if (type->identify)
		type->identify(config, identity);
}
