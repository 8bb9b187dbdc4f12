/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/command.h — `larder model`: import published files, show what is in an `.lmodel`.
 *
 * Owner:   a process of its own; takes its memory through the plan and ends.
 * Fails:   exit codes: 0 done, 1 failed, 2 usage; the reason is on stderr.
 */
#ifndef APP_MODEL_COMMAND_H
#define APP_MODEL_COMMAND_H

/* The words after `larder model`. */
int model_command(int argc, char **argv);

#endif
