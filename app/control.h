/* SPDX-License-Identifier: Apache-2.0 */
/* app/control.h — the control socket: one command a connection.
 *
 * Wire:    the client sends a JSON array of words and a line feed, at most CONTROL_LINE_MAX bytes; the box answers with one
 *          line `ok` or `error NAME` (platform/rc.h), then the command's text, then closes.
 * Owner:   this module owns the socket file (mode 0600: who may open it may do everything).
 * Threads: lane; each client on a fiber of its own small reserve, so that commands work when requests are at their bound.
 */
#ifndef APP_CONTROL_H
#define APP_CONTROL_H

#include "platform/json.h"

enum {
    CONTROL_LINE_MAX = 4096,
    CONTROL_CLIENTS_MAX = 4,
    CONTROL_ARENA = 4 << 20,  /* address space of one command: an entry of parse_max and its text */
    CONTROL_OUTPUT = 1 << 20, /* longer answers are cut */
    CONTROL_MEMORY = 4 << 20, /* of all commands at once */
};

int control_reserve(void);
/* Listens at `path`; an old socket file that nobody answers on is replaced. RC_EXISTS: another box answers there. */
int control_listen(const char *path);
void control_close(void);

/* Splits a request line into words. RC_INVALID unless a JSON array of 1 … COMMAND_WORDS_MAX strings. */
int control_parse(struct span line, struct json_scratch *scratch, struct span *words, unsigned *count);

/* `larder ctl`: connects, sends, prints; returns the process's exit code. */
int control_client(const char *path, const char *const *words, unsigned count);

#endif
