/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/gateway_test.h — the gateway in this process: its API server, an upstream and clients on loopback, all on
 * one thread, so that a test decides what comes before what.
 *
 * Boot is the program's own (app/boot_private.h), from a configuration file in a folder of the test's own. The upstream is
 * a listener that nobody serves: the test takes each call, looks at it, and says what it likes, when it likes.
 */
#ifndef TESTS_SUPPORT_GATEWAY_TEST_H
#define TESTS_SUPPORT_GATEWAY_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/boot_private.h"
#include "app/gateway/gateway.h"

enum { GATEWAY_TEST_HEARD = 4 << 20 };

/* What gateway_test_hear has read, terminated; and how the connection is. */
extern char gateway_test_heard[GATEWAY_TEST_HEARD];
extern size_t gateway_test_heard_size;
enum gateway_test_end { STILL_OPEN, ENDED, WAS_RESET };
extern enum gateway_test_end gateway_test_end;

/* Once a process. `more`: lines of YAML besides listen, data and the two providers' names; the first %u is the upstream's
 * port, e.g. gateway_test_yaml. */
extern const char gateway_test_yaml[];
void gateway_test_boot(const char *more);
/* Writes another configuration and takes it into force; what boot_reload says. */
int gateway_test_reload(const char *more);
/* Folder and threads are given up; nothing may be in flight. */
void gateway_test_stop(void);

/* Lets everything that is due happen, cold reads too. */
void gateway_test_settle(void);
/* Runs `body` on a fiber and turns the loop until it has ended. */
void gateway_test_fiber(void (*body)(void *arg), void *arg);

/* ---- clients */
int gateway_test_dial(void);
int gateway_test_dial_slow(void); /* small buffers at both ends: the box waits for its socket soon */
void gateway_test_say(int fd, const char *text);
/* A chat request as bytes: `fields` are whole lines, or "". Static text, good until the next call. */
const char *gateway_test_chat(const char *fields, const char *body);
/* Reads until the text is there (whole replies end in known bytes), or the connection has ended; fails after 5 s. */
void gateway_test_hear(int fd, const char *until);
/* Reads what is there now. */
void gateway_test_hear_now(int fd);
void gateway_test_hear_more(int fd); /* likewise, behind what was heard before */
void gateway_test_expect(const char *part);
void gateway_test_expect_not(const char *part);
/* Closes; with unread bytes that is a reset. */
void gateway_test_leave(int fd);

/* ---- the upstream */
/* Takes the next call: its connection; what was asked is in `asked`. Fails after 5 s. A kept connection asks again on the
 * same descriptor: gateway_test_asked_again. */
extern char gateway_test_asked[1 << 20];
int gateway_test_call(void);
void gateway_test_asked_again(int fd);
int gateway_test_accept(void);                      /* the next call, whatever it has said */
void gateway_test_drink(int fd);                    /* takes what has come */
bool gateway_test_is_called(void);                  /* whether another connection waits, after settling */
void gateway_test_answer(int fd, const char *text); /* bytes on the wire */
void gateway_test_answer_bytes(int fd, const void *bytes, size_t size);
void gateway_test_cut(int fd); /* orderly end */
void gateway_test_reset(int fd);
/* Refuses connections from here on, and takes them again. */
void gateway_test_upstream_down(void);
void gateway_test_upstream_up(void);

/* ---- ready-made bytes */
#define GATEWAY_TEST_ASK "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]%s}"
/* A body that asks `question`; `more` like ",\"stream\":true". Static, four at a time. */
const char *gateway_test_body(const char *question, const char *more);
/* A whole object reply that says `answer`, Content-Length and all. */
const char *gateway_test_object(const char *answer);

#endif
