/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_admin.c — the admin port: who may read, what it answers. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/admin/admin.h"
#include "cache/cache.h"
#include "platform/file.h"
#include "platform/rc.h"
#include "tests/support/gateway_test.h"

static unsigned admin_port;

static void ask(const char *request)
{
    unsigned api = boot.api_port;
    boot.api_port = admin_port;
    int fd = gateway_test_dial();
    boot.api_port = api;
    gateway_test_say(fd, request);
    gateway_test_hear(fd, "");
    gateway_test_leave(fd);
}

static void expect(const char *lines, const char *path, const char *method, unsigned status, const char *body)
{
    char request[500], wanted[30];
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nConnection: close\r\n%s\r\n", method, path, lines);
    ask(request);
    snprintf(wanted, sizeof wanted, "HTTP/1.1 %u ", status);
    if (strncmp(gateway_test_heard, wanted, strlen(wanted)) != 0) fail_msg("%s: %s", request, gateway_test_heard);
    gateway_test_expect(body);
    gateway_test_expect("Connection: close\r\n");
}

static void test_paths(void **state)
{
    (void)state;
    expect("Host: localhost\r\n", "/healthz", "GET", 200, "ok\n");
    expect("Host: localhost\r\n", "/readyz", "GET", 503, "not ready\n");
    boot.ready = true;
    while (!cache_is_settled()) usleep(1000); /* the disk's answer for the first ids */
    expect("Host: localhost\r\n", "/readyz", "GET", 200, "ready\n");
    expect("Host: localhost\r\n", "/metrics", "GET", 200, "\nlarder_requests_total ");
    gateway_test_expect("Content-Type: text/plain; version=0.0.4");
    expect("Host: localhost\r\n", "/nothing", "GET", 404, "/metrics");
    expect("Host: localhost\r\n", "/healthz", "POST", 405, "GET");
    expect("Host: localhost\r\n", "/healthz", "HEAD", 200, "Content-Length: 3\r\n");
    gateway_test_expect_not("ok\n");
}

static void test_foreign(void **state)
{
    (void)state;
    expect("Host: evil.example\r\n", "/healthz", "GET", 403, "access.hosts");
    expect("Host: localhost\r\nOrigin: http://evil.example\r\n", "/metrics", "GET", 403, "access.hosts");
    expect("Host: localhost\r\nOrigin: http://localhost\r\n", "/healthz", "GET", 200, "ok\n");
}

static void test_token(void **state)
{
    char path[FILE_PATH_MAX], token[100], lines[300];
    size_t size;
    (void)state;
    assert_int_equal(file_join(path, boot.data, "keys/admin-token"), RC_OK);
    assert_int_equal(file_read(path, token, sizeof token - 1, &size), RC_OK);
    assert_int_equal(size, 40);
    token[size] = 0;
    gateway.current->config->admin_read_loopback = false;
    expect("Host: localhost\r\n", "/metrics", "GET", 401, "admin-token");
    expect("Host: localhost\r\n", "/healthz", "GET", 200, "ok\n");
    expect("Host: localhost\r\nAuthorization: Bearer x\r\n", "/metrics", "GET", 401, "admin-token");
    snprintf(lines, sizeof lines, "Host: localhost\r\nAuthorization: Bearer %.39s\r\n", token);
    expect(lines, "/metrics", "GET", 401, "admin-token");
    snprintf(lines, sizeof lines, "Host: localhost\r\nAuthorization: Bearer %s\r\n", token);
    expect(lines, "/metrics", "GET", 200, "larder_");
    assert_int_equal(admin_open(boot.data, SPAN("from-the-file")), RC_OK);
    expect(lines, "/metrics", "GET", 401, "admin-token");
    expect("Host: localhost\r\nAuthorization: Bearer from-the-file\r\n", "/metrics", "GET", 200, "larder_");
    gateway.current->config->admin_read_loopback = true;
}

static void test_refusal(void **state)
{
    (void)state;
    ask("GET / HTTP/1.1\nHost: a\n\n");
    gateway_test_expect("HTTP/1.1 400 ");
    gateway_test_expect("Content-Type: text/plain\r\n");
}

static int start(void **state)
{
    (void)state;
    gateway_test_boot(gateway_test_yaml);
    assert_int_equal(admin_open(boot.data, SPAN("")), RC_OK);
    return server_listen(&boot.admin, SPAN("127.0.0.1:0"), NULL, &admin_port);
}

static int stop(void **state)
{
    (void)state;
    server_stop(&boot.admin);
    gateway_test_stop();
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_refusal),
    };
    return cmocka_run_group_tests_name("admin", tests, start, stop);
}
