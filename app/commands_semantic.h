/* SPDX-License-Identifier: Apache-2.0 */
/* app/commands_semantic.h — rows of the command table (app/commands.c) that show and correct the semantic tier.
 *
 * Threads: lane, on a fiber.
 */
#ifndef APP_COMMANDS_SEMANTIC_H
#define APP_COMMANDS_SEMANTIC_H

#include "app/command.h"

int command_semantic_refresh(struct command_call *call);
/* A line of `status`. */
void command_semantic_status(struct text *out);
int command_semantic_show(struct command_call *call);
int command_cache_reject(struct command_call *call);

#endif
