/* SPDX-License-Identifier: Apache-2.0 */
/* app/commands_tenants.h — rows of the command table (app/commands.c) that make, show and end virtual keys.
 *
 * Threads: lane, on a fiber.
 */
#ifndef APP_COMMANDS_TENANTS_H
#define APP_COMMANDS_TENANTS_H

#include "app/command.h"

int command_tenant_list(struct command_call *call);
int command_tenant_show(struct command_call *call);
int command_tenant_add(struct command_call *call);
int command_tenant_rotate(struct command_call *call);
int command_tenant_revoke(struct command_call *call);
int command_tenant_erase(struct command_call *call);

#endif
