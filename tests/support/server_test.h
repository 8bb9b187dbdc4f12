/* SPDX-License-Identifier: Apache-2.0 */
/* tests/support/server_test.h — a server and its clients on loopback in one thread, under a clock that stands still.
 *
 * Handlers by path: /echo the body; /wait parks until server_test_wake; /ignore the same, not caring whether the client
 * goes; /stream reads in pieces of 7 and answers with the count; /small allows 10 bytes at once; /nobody leaves the body;
 * /abort; /silent returns without a reply; /flood sends 12 MiB; /detach;
 * /keep detaches and keeps pipelined bytes; /who answers with the client's address.
 */
#ifndef TESTS_SUPPORT_SERVER_TEST_H
#define TESTS_SUPPORT_SERVER_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <sys/socket.h>

#include "net/server.h"
#include "net/server_private.h"
#include "platform/clock.h"
#include "platform/loop.h"
#include "platform/text.h"

enum { SERVER_TEST_HEADER_MAX = 1024, SERVER_TEST_BODY_MAX = 200000 };

#define SECOND CLOCK_SECOND

extern struct server server_test_server;
extern struct server_limits server_test_limits; /* at boot; each test starts with them */
extern struct arena_budget server_test_budget;
extern unsigned server_test_port;

extern struct text server_test_ran; /* "POST /echo;GET /wait;" */
extern struct fiber *server_test_parked;
extern int server_test_rc; /* what the handler's last call said */
extern struct connection *server_test_detached;
extern unsigned server_test_writable_calls, server_test_gone_calls;
extern char server_test_flood[12 << 20];

/* Answered with client_expect_ok(fd, "hello"). */
static const char server_test_echo[] = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

int server_test_run(const char *name, const struct CMUnitTest *tests, size_t count);
int server_test_setup(void **state);
int server_test_teardown(void **state); /* fails when anything was not given back */
#define SERVER_TEST(name) cmocka_unit_test_setup_teardown(name, server_test_setup, server_test_teardown)

void server_test_turns(unsigned count);
void server_test_pass(uint64_t us); /* time goes by, and the server notices */
void server_test_wake(void);
void server_test_expect_ran(const char *text); /* and forgets them */
uint64_t server_test_counted(enum server_count which);
void server_test_listen_again(void);

int client_dial(void);
void client_say(int fd, const char *text);
void client_say_bytes(int fd, const char *bytes, size_t size);
/* One read: bytes, 0 at the end, -1 when reset, -2 when nothing comes. */
long client_hear(int fd, char *buffer, size_t capacity);
size_t client_drink(int fd); /* all that comes */
void client_expect(int fd, const char *text);
void client_expect_ok(int fd, const char *body);
void client_expect_end(int fd, long how); /* what client_hear says */
void client_expect_silence(int fd);
void client_expect_closed(int fd);
void client_expect_refused(int fd, unsigned status);
void client_hang_up(int fd);

#endif
