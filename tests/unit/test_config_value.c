/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_config_value.c — the forms of values, there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "app/config_table.h"
#include "platform/rc.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
        uint64_t us;
    } good[] = {{"0", "0", 0},
                {"0s", "0", 0},
                {"500ms", "500ms", 500000},
                {"5s", "5s", 5000000},
                {"60s", "1m", 60000000},
                {"10m", "10m", 600000000},
                {"12h", "12h", 43200000000},
                {"7d", "7d", 604800000000},
                {"1500ms", "1500ms", 1500000},
                {"24h", "1d", 86400000000}};
    static const char *const bad[] = {
        "",   "5",  "s", "5 s", "-5s", "5S", "1.5s", "1h30m", "5us", "99999999999999999999s", "999999999999999d",
        "0x", "5s "};
    char buffer[32];
    for (size_t i = 0; i < COUNT(good); i++) {
        uint64_t us = 1;
        struct text out = text_on(buffer, sizeof buffer);
        assert_int_equal(config_value_duration(span_text(good[i].text), &us), RC_OK);
        assert_true(us == good[i].us);
        config_put_duration(&out, us);
        assert_string_equal(buffer, good[i].printed);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t us;
        assert_int_equal(config_value_duration(span_text(bad[i]), &us), RC_INVALID);
    }
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *printed;
        uint64_t bytes;
    } good[] = {{"0", "0", 0},
                {"1B", "1B", 1},
                {"64KiB", "64KiB", 65536},
                {"32MiB", "32MiB", 33554432},
                {"2GiB", "2GiB", UINT64_C(1) << 31},
                {"1TiB", "1TiB", UINT64_C(1) << 40},
                {"1024KiB", "1MiB", 1048576},
                {"1025B", "1025B", 1025}};
    static const char *const bad[] = {"64", "64KB", "64kib", "64K", "KiB", "-1B", "1.5GiB", "99999999TiB"};
    char buffer[32];
    for (size_t i = 0; i < COUNT(good); i++) {
        uint64_t bytes = 1;
        struct text out = text_on(buffer, sizeof buffer);
        assert_int_equal(config_value_size(span_text(good[i].text), &bytes), RC_OK);
        assert_true(bytes == good[i].bytes);
        config_put_size(&out, bytes);
        assert_string_equal(buffer, good[i].printed);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        uint64_t bytes;
        assert_int_equal(config_value_size(span_text(bad[i]), &bytes), RC_INVALID);
    }
}

static void test_ratios_and_booleans(void **state)
{
    (void)state;
    double value;
    bool truth;
    assert_int_equal(config_value_ratio(SPAN("0.93"), &value), RC_OK);
    assert_true(value == 0.93);
    assert_int_equal(config_value_ratio(SPAN("12"), &value), RC_OK);
    assert_true(value == 12);
    assert_int_equal(config_value_ratio(SPAN(".5"), &value), RC_OK);
    assert_true(value == 0.5);
    static const char *const bad[] = {"", ".", "1.2.3", "1e3", "-1", "0x1", "nan", "1,5", "1234567890123456"};
    for (size_t i = 0; i < COUNT(bad); i++) assert_int_equal(config_value_ratio(span_text(bad[i]), &value), RC_INVALID);
    assert_int_equal(config_value_bool(SPAN("true"), &truth), RC_OK);
    assert_true(truth);
    assert_int_equal(config_value_bool(SPAN("false"), &truth), RC_OK);
    assert_false(truth);
    assert_int_equal(config_value_bool(SPAN("yes"), &truth), RC_INVALID);
    assert_int_equal(config_value_bool(SPAN(""), &truth), RC_INVALID);
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"127.0.0.1:8080", "0.0.0.0:0", "[::]:8080", "[::1]:65535", "[fe80::1]:80"};
    static const char *const bad[] = {"",
                                      ":8080",
                                      "8080",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "[::1]",
                                      "[::1:80",
                                      "::1:80",
                                      "localhost:80",
                                      "1.2.3:80",
                                      "[1.2.3.4]:80",
                                      "127.0.0.1:80x",
                                      "[::1]80",
                                      "[]:80",
                                      "127.0.0.1:-1",
                                      "[fe80::1%eth0]:80"};
    for (size_t i = 0; i < COUNT(good); i++) assert_int_equal(config_value_address(span_text(good[i])), RC_OK);
    for (size_t i = 0; i < COUNT(bad); i++) assert_int_equal(config_value_address(span_text(bad[i])), RC_INVALID);
}

static void assert_span(struct span s, const char *want)
{
    assert_int_equal(s.size, strlen(want));
    if (s.size) assert_memory_equal(s.data, want, s.size);
}

static void test_urls(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *path, *user;
        unsigned port;
        bool tls;
    } good[] = {
        {"https://api.openai.com/v1", "api.openai.com", "/v1", "", 443, true},
        {"https://api.anthropic.com", "api.anthropic.com", "", "", 443, true},
        {"http://10.0.0.1:11434/v1/", "10.0.0.1", "/v1", "", 11434, false},
        {"http://[::1]:80//", "::1", "", "", 80, false},
        {"http://u:p%40@proxy:3128", "proxy", "", "u:p%40", 3128, false},
        {"http://u@v@host", "host", "", "u@v", 80, false},
    };
    static const char *const bad[] = {"",
                                      "api.openai.com",
                                      "ftp://x",
                                      "https://",
                                      "https:///v1",
                                      "https://x:0",
                                      "https://x:99999",
                                      "https://x:",
                                      "https://a b",
                                      "https://x/?q=1",
                                      "https://x#f",
                                      "https://[x]",
                                      "https://[::1",
                                      "https://.x",
                                      "https://x..y",
                                      "https://\xc3\xa4.de",
                                      "https://x/\n",
                                      "https://-x"};
    struct config_url url;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_null(config_value_url(span_text(good[i].text), &url));
        assert_span(url.host, good[i].host);
        assert_span(url.path, good[i].path);
        assert_span(url.user, good[i].user);
        assert_int_equal(url.port, good[i].port);
        assert_int_equal(url.tls, good[i].tls);
    }
    for (size_t i = 0; i < COUNT(bad); i++) assert_non_null(config_value_url(span_text(bad[i]), &url));
}

static void test_near_hosts(void **state)
{
    (void)state;
    static const char *const near[] = {"localhost",   "127.0.0.1",   "10.1.2.3",   "172.16.0.1", "172.31.255.255",
                                       "192.168.1.1", "169.254.1.1", "100.64.0.1", "::1",        "fd00::1",
                                       "fe80::1",     "nas",         "box.local",  "a.lan"};
    static const char *const far[] = {"api.openai.com", "8.8.8.8",     "172.32.0.1",        "172.15.0.1", "192.169.0.1",
                                      "11.0.0.1",       "2001:db8::1", "local.example.com", "100.128.0.1"};
    for (size_t i = 0; i < COUNT(near); i++) assert_true(config_host_is_near(span_text(near[i])));
    for (size_t i = 0; i < COUNT(far); i++) assert_false(config_host_is_near(span_text(far[i])));
}

static const char *word_at(const void *list, unsigned index)
{
    return ((const char *const *)list)[index];
}

static void test_nearest_names(void **state)
{
    (void)state;
    static const char *const words[] = {"api",         "admin", "control", "connections_per_address",
                                        "connections", "ca",    NULL};
    assert_string_equal(config_nearest(SPAN("appi"), word_at, words), "api");
    assert_string_equal(config_nearest(SPAN("ip"), word_at, words), "api");
    assert_string_equal(config_nearest(SPAN("conections"), word_at, words), "connections");
    assert_string_equal(config_nearest(SPAN("connections_pre_adress"), word_at, words), "connections_per_address");
    assert_string_equal(config_nearest(SPAN("admin"), word_at, words), "admin");
    assert_null(config_nearest(SPAN("xy"), word_at, words)); /* two letters off of two is nothing alike */
    assert_null(config_nearest(SPAN("telemetry"), word_at, words));
    assert_null(config_nearest(SPAN(""), word_at, words));
    assert_null(config_nearest(SPAN("connectionsconnectionsconnectionsconnections"), word_at, words));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),     cmocka_unit_test(test_sizes), cmocka_unit_test(test_ratios_and_booleans),
        cmocka_unit_test(test_addresses),     cmocka_unit_test(test_urls),  cmocka_unit_test(test_near_hosts),
        cmocka_unit_test(test_nearest_names),
    };
    return cmocka_run_group_tests_name("config_value", tests, NULL, NULL);
}
