/* SPDX-License-Identifier: Apache-2.0 */
/* app/command.h — the one table of administrator's commands: its faces are `larder ctl` over the control socket today,
 * the serial console and HTTP later.
 *
 * Owner:   arguments and output belong to the face that calls.
 * Threads: lane; a command runs on a fiber and may wait.
 * Fails:   a command returns RC_OK, RC_INVALID (usage), or why it could not be done; what it wrote to `out` says it in
 *          words either way.
 */
#ifndef APP_COMMAND_H
#define APP_COMMAND_H

#include "platform/arena.h"
#include "platform/text.h"

enum { COMMAND_WORDS_MAX = 12 };

enum command_privilege { PRIVILEGE_READ, PRIVILEGE_CHANGE };

struct command_call {
    struct span words[COMMAND_WORDS_MAX]; /* arguments after the command's own name */
    unsigned count;
    struct arena *arena; /* for the length of the call */
    struct text *out;
};

struct command {
    const char *name;      /* one or two words: "cache show" */
    const char *arguments; /* "ID" … or "" */
    const char *help;      /* one line */
    enum command_privilege privilege;
    unsigned least, most; /* words of arguments */
    int (*run)(struct command_call *call);
};

/* Finds and runs the command that `words` begin with. */
int command_run(const struct span *words, unsigned count, struct arena *arena, struct text *out);
size_t command_count(void);
const struct command *command_at(size_t index);

#endif
