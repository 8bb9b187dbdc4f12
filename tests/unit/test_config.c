/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_config.c — the built-in default, exact words for wrong files, overrides, print, reload. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "app/config_table.h"
#include "platform/log.h"
#include "tests/unit/config_test.h"

static void test_built_in_default_runs(void **state)
{
    (void)state;
    const struct config *c = load_ok("");
    assert_int_equal(report.count, 0);
    assert_span(c->file, "built-in defaults");
    assert_int_equal(c->listen.api.count, 1);
    assert_span(c->listen.api.at[0], "127.0.0.1:8080");
    assert_span(c->listen.control, "./var/larder.sock");
    assert_int_equal(c->access.anonymous, ANONYMOUS_LOOPBACK);
    assert_int_equal(c->log_level, LOG_INFO);
    assert_int_equal(c->log_format, LOG_TEXT);
    assert_int_equal(c->limits.connections, 2048);
    assert_int_equal(c->limits.requests, 256);
    assert_true(c->limits.body == 32 << 20 && c->limits.idle_us == 120000000);
    assert_int_equal(c->storage.entries_max, 100000);
    assert_true(c->storage.bytes_max == UINT64_C(2) << 30 && c->storage.eviction == 0 && c->storage.sync_us == 5000000);
    assert_span(c->embedder, "minilm-int8");
    assert_int_equal(c->provider_count, 2);
    const struct config_provider *p = &c->providers[0];
    assert_span(p->name, "openai");
    assert_span(p->host, "api.openai.com");
    assert_span(p->base_path, "/v1");
    assert_span(p->key, "sk-from-environment");
    assert_true(p->tls && p->port == 443 && p->passthrough && p->stream_usage_add);
    assert_true(p->total_us == 600000000 && p->retry_attempts == 3 && p->breaker_ratio == 0.5);
    assert_int_equal(c->providers[1].dialect, DIALECT_ANTHROPIC);
    assert_span(c->providers[1].base_path, "");
    assert_span(c->providers[1].key, "");
    assert_int_equal(c->route_count, 2);
    const struct config_route *r = &c->routes[1];
    assert_false(r->any_dialect);
    assert_int_equal(r->dialect, DIALECT_ANTHROPIC);
    assert_span(r->model, "*");
    assert_int_equal(r->providers[0], 1);
    assert_int_equal(r->pack_count, 1);
    assert_true(r->exact && r->ttl_us == UINT64_C(604800000000) && !r->sampled_fresh && !r->share_box);
    assert_span(c->packs[0].file, "builtin");
    assert_true(c->finish_for_store_us == 30000000);
}

static void test_defaults_text_means_the_same(void **state)
{
    (void)state;
    struct text a = text_on(printed[0], PRINT_MAX), b = text_on(printed[1], PRINT_MAX);
    char text[4096];
    config_print(load_ok(""), &a);
    struct span defaults = config_defaults_text();
    memcpy(text, defaults.data, defaults.size);
    text[defaults.size] = 0;
    struct config *c;
    assert_int_equal(load(1, text, &c), RC_OK);
    config_print(c, &b);
    assert_string_equal(printed[0], printed[1]);
    assert_int_equal(load(1, "# only a comment\n", &c), RC_OK);
    b = text_on(printed[1], PRINT_MAX);
    config_print(c, &b);
    assert_string_equal(printed[0], printed[1]);
}

static const char full_file[] =
    "listen:\n  api: [\"[::]:8080\", 0.0.0.0:0]\n  tls: {cert: box.pem, key: box.key}\n"
    "access: {anonymous: none, hosts: [box.lan], cors: [\"https://a.example\"]}\n"
    "data: \"/var/lib/with blank\"\nlog: {level: debug, format: json}\n"
    "limits: {connections: 100, body: 1MiB, parse_max: 64KiB, timeouts: {idle: 1500ms}}\n"
    "storage: {eviction: lru, hot: 64KiB, entries_max: 16}\n"
    "packs: [{name: mine, file: /etc/larder/mine.jsonl}, {name: starter, file: builtin}]\n"
    "providers:\n"
    "  - {name: a-1, dialect: openai, base_url: \"http://192.168.0.2:11434/v1\", key: \"s$${x}\", ca: "
    "file:/etc/ca.pem,\n"
    "     pin: sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=, proxy: \"http://me:secret@proxy.lan:3128\",\n"
    "     headers: {X-Team: kitchen}, models: [m1, \"m:2\"], concurrent: 3, stream_usage: leave,\n"
    "     timeouts: {connect: 1s}, retry: {attempts: 1, base: 1s, max: 1s}, breaker: {probe: 2s}}\n"
    "routes:\n"
    "  - {match: {model: \"gpt-?*\"}, providers: [a-1], packs: [starter, mine], packs_with_system: true,\n"
    "     cache: {semantic: off, ttl: 0, sampled: fresh, share: box, mask: [\"$${today}\", \"#\"]}}\n"
    "  - {packs: [mine]}\n"
    "tenants: [{name: kiosk}]\nbudgets: {finish_for_store: 0}\n";

static void test_every_key_reaches_its_field(void **state)
{
    (void)state;
    const struct config *c = load_ok(full_file);
    assert_int_equal(report.count, 0);
    assert_int_equal(c->listen.api.count, 2);
    assert_span(c->listen.api.at[0], "[::]:8080");
    assert_span(c->listen.tls_key, "box.key");
    assert_int_equal(c->access.anonymous, ANONYMOUS_NONE);
    assert_span(c->access.cors.at[0], "https://a.example");
    assert_int_equal(c->log_level, LOG_DEBUG);
    assert_int_equal(c->log_format, LOG_JSON);
    assert_int_equal(c->limits.connections_per_address, 100); /* follows connections */
    assert_true(c->limits.idle_us == 1500000 && c->limits.parse_max == 65536 && c->storage.eviction == 1);
    const struct config_provider *p = &c->providers[0];
    assert_span(p->key, "s${x}");
    assert_span(p->proxy_host, "proxy.lan");
    assert_span(p->proxy_authorization, "Basic bWU6c2VjcmV0");
    assert_int_equal(p->proxy_port, 3128);
    assert_int_equal(p->port, 11434);
    assert_span(p->headers[0].name, "X-Team");
    assert_span(p->headers[0].value, "kitchen");
    assert_span(p->models[1], "m:2");
    assert_true(!p->tls && !p->passthrough && !p->stream_usage_add && p->concurrent == 3 &&
                p->breaker_probe_us == 2000000);
    const struct config_route *r = &c->routes[0];
    assert_int_equal(r->dialect, DIALECT_OPENAI); /* of its provider */
    assert_int_equal(r->packs[0], 1);
    assert_int_equal(r->packs[1], 0);
    assert_true(r->packs_with_system && r->ttl_us == 0 && r->sampled_fresh && r->share_box && !r->any_dialect);
    assert_int_equal(r->semantic, SEMANTIC_OFF);
    assert_span(r->masks[0], "${today}");
    assert_true(c->routes[1].any_dialect && c->routes[1].provider_count == 0);
    assert_span(c->tenants[0].name, "kiosk");
    assert_true(c->finish_for_store_us == 0);
}

static void test_resolved_form_reads_back_alike(void **state)
{
    (void)state;
    struct text first = text_on(printed[0], PRINT_MAX);
    config_print(load_ok(full_file), &first);
    assert_null(strstr(printed[0], "secret@"));
    assert_null(strstr(printed[0], "kitchen"));
    assert_null(strstr(printed[0], "s${x}"));
    assert_non_null(strstr(printed[0], "    key: \"***\"\n"));
    assert_non_null(strstr(printed[0], "      mask: [\"$${today}\", \"#\"]\n"));
    assert_non_null(strstr(printed[0], "data: \"/var/lib/with blank\"\n"));
    static char copy[PRINT_MAX];
    /* A masked proxy is no URL: give one. */
    char *proxy = strstr(printed[0], "    proxy: \"***\"\n");
    assert_non_null(proxy);
    (void)snprintf(copy, sizeof copy, "%.*s    proxy: http://x:1\n%s", (int)(proxy - printed[0]), printed[0],
                   proxy + strlen("    proxy: \"***\"\n"));
    struct config *c;
    int rc = load(1, copy, &c);
    print_report();
    if (rc != RC_OK) print_error("%s", printed[1]);
    assert_int_equal(rc, RC_OK);
    static char again[PRINT_MAX];
    struct text second = text_on(again, PRINT_MAX);
    config_print(c, &second);
    assert_string_equal(again, printed[0]);
}

static void test_wrong_files_are_told_exactly(void **state)
{
    (void)state;
    load_says("listen:\n  appi: 127.0.0.1:1\n", RC_INVALID,
              "larder.yaml:2:3: error: listen.appi: unknown key; did you mean \"api\"?\n");
    load_says(
        "telemetry: on\n", RC_INVALID,
        "larder.yaml:1:1: error: telemetry: unknown key; known here: listen, access, data, board, log, admin, limits, "
        "storage, semantic, packs, providers, routes, tenants, budgets, prices\n");
    load_says("storage: {sync_every: fast}\n", RC_INVALID,
              "larder.yaml:1:23: error: storage.sync_every: \"fast\" is no duration, like 500ms, 5s, 10m, 12h or 7d\n");
    load_says("limits:\n  requests: 5000\n  body: 12\n  flights: -1\n", RC_INVALID,
              "larder.yaml:2:13: error: limits.requests: 5000 is more than 1024, the most there can be\n"
              "larder.yaml:4:12: error: limits.flights: \"-1\" is no whole number\n"
              "larder.yaml:3:9: error: limits.body: \"12\" is no size, like 64KiB, 32MiB or 2GiB\n");
    load_says("limits: {timeouts: {idle: 1ms}, connections: 7}\n", RC_INVALID,
              "larder.yaml:1:46: error: limits.connections: 7 is less than 8, the least there can be\n"
              "larder.yaml:1:27: error: limits.timeouts.idle: \"1ms\" is not within 10ms to 1d\n");
    load_says("limits: {connections: 100, connections_per_address: 101}\n", RC_INVALID,
              "larder.yaml:1:53: error: limits: connections_per_address is 101, more than connections, 100\n");
    load_says("log: {level: infos}\n", RC_INVALID,
              "larder.yaml:1:14: error: log.level: \"infos\" is not error, warn, info or debug\n");
    load_says("listen: 8080\n", RC_INVALID, "larder.yaml:1:9: error: listen: keys with values are expected\n");
    load_says("data: [a]\n", RC_INVALID, "larder.yaml:1:7: error: data: one value is expected, not a list\n");
    load_says("routes: {a: b}\n", RC_INVALID, "larder.yaml:1:9: error: routes: a list is expected\n");
    load_says("- a\n", RC_INVALID, "larder.yaml:1:1: error: keys with values are expected\n");
    load_says(
        "listen: {api: [::]:8080}\n", RC_INVALID,
        "larder.yaml:1:16: error: did not find expected node content while parsing a flow node; put an IPv6 address "
        "into quotes: \"[::]:8080\"\n");
    load_says("listen: {api: [127.0.0.1:80, \"127.0.0.1:80\"], admin: []}\n", RC_INVALID,
              "larder.yaml:1:30: error: listen.api: \"127.0.0.1:80\" stands there twice\n"
              "larder.yaml:1:54: error: listen.admin: an address is needed\n");
    load_says("listen: {tls: {cert: x}}\n", RC_INVALID,
              "larder.yaml:1:15: error: listen.tls: cert and key are needed both; key is missing\n");
    load_says("data: \"a\\nb\"\n", RC_INVALID,
              "larder.yaml:1:7: error: data: byte 2 is a control character (a line end?)\n");
}

static void test_wrong_providers_and_routes_are_told_exactly(void **state)
{
    (void)state;
    load_says("providers:\n  - name: p\n", RC_INVALID,
              "larder.yaml:2:5: error: providers.0.dialect: required, and not there\n"
              "larder.yaml:2:5: error: providers.0.base_url: required, and not there\n");
    load_says(
        "routes:\n  - match: {model: x}\n    providers: [nobody, opnai]\n", RC_INVALID,
        "larder.yaml:3:17: error: routes.0.providers: no provider is called \"nobody\"\n"
        "larder.yaml:3:25: error: routes.0.providers: no provider is called \"opnai\"; did you mean \"openai\"?\n");
    load_says("routes:\n  - providers: [openai, anthropic]\n", RC_INVALID,
              "larder.yaml:2:16: error: routes.0: provider \"anthropic\" speaks anthropic, the first one openai: say "
              "match.dialect, and the others are bridged\n");
    load_says("providers:\n- {name: a, dialect: openai, base_url: \"https://a\", passthrough: true}\n"
              "routes:\n- match: {dialect: anthropic}\n  providers: [a]\n",
              RC_OK,
              "larder.yaml:5:14: warning: routes.0: provider \"a\" speaks openai, the route anthropic: no client's "
              "credential goes there, so without a key of the box it is never asked\n");
    load_says("providers:\n- {name: a, dialect: openai, base_url: \"https://a\"}\n"
              "routes:\n- match: {dialect: anthropic}\n  providers: [a]\n",
              RC_OK, "");
    load_says("providers:\n"
              "- {name: a, dialect: openai, base_url: \"https://a\", passthrough: true}\n"
              "- {name: b, dialect: openai, base_url: \"https://b\", passthrough: true}\n"
              "routes:\n- providers: [a, b]\n",
              RC_INVALID,
              "larder.yaml:5:14: error: routes.0: 2 providers with passthrough: a client's credential goes to one "
              "origin only\n");
    load_says("providers:\n"
              "- {name: a, dialect: openai, base_url: \"https://a\"}\n"
              "- {name: a, dialect: openai, base_url: \"https://b:0\"}\n",
              RC_INVALID,
              "larder.yaml:3:40: error: providers.1.base_url: no usable URL: its host or port is malformed\n"
              "larder.yaml:3:10: error: providers.1: another provider is called \"a\" too\n");
    load_says(
        "providers:\n- {name: a b, dialect: google, base_url: \"https://u:pw@a\"}\n", RC_INVALID,
        "larder.yaml:2:24: error: providers.0.dialect: \"google\" is not openai or anthropic\n"
        "larder.yaml:2:42: error: providers.0.base_url: no usable URL: it holds a user name or password (use key)\n"
        "larder.yaml:2:10: error: providers.0: \"a b\" is no name: letters, digits, - _ and . between them, at most "
        "64\n");
    load_says(
        "providers:\n- {name: a, dialect: openai, base_url: \"https://a\", pin: sha256/x, ca: bundled,\n"
        "   headers: {Host: y, X: 1, x: 2}, proxy: \"https://u:pw@p\", retry: {base: 9s}}\n",
        RC_INVALID,
        "larder.yaml:2:72: error: providers.0.ca: bundled is not built yet; use system or file:PATH\n"
        "larder.yaml:2:58: error: providers.0.pin: \"sha256/x\" is not sha256/ with 44 characters of base64\n"
        "larder.yaml:3:43: error: providers.0.proxy: no usable proxy: only http://[user:password@]host:port is taken\n"
        "larder.yaml:3:20: error: providers.0.headers: \"Host\" is no header that can be set here\n"
        "larder.yaml:3:32: error: providers.0.headers: \"x\" stands there twice\n"
        "larder.yaml:3:68: error: providers.0: retry.base is longer than retry.max\n");
    load_says("packs: [{name: p, file: x}, {name: p, file: y}]\ntenants: [{name: t}, {name: t}]\n", RC_INVALID,
              "larder.yaml:1:36: error: packs.1: another pack is called \"p\" too\n"
              "larder.yaml:2:29: error: tenants.1: another tenant is called \"t\" too\n");
}

static void test_plain_http_and_odd_urls_warn(void **state)
{
    (void)state;
    load_says(
        "providers:\n- {name: a, dialect: openai, base_url: \"http://api.example.com/v1\", key: k}\n", RC_OK,
        "larder.yaml:2:40: warning: providers.0: plain http to api.example.com: questions, answers and keys cross the "
        "network unprotected\n");
    load_says("providers:\n- {name: a, dialect: anthropic, base_url: \"https://a/v1\"}\n", RC_OK,
              "larder.yaml:2:43: warning: providers.0: ends with /v1, which requests of this dialect bring themselves; "
              "leave it out\n");
    load_says("providers:\n- {name: a, dialect: openai, base_url: \"http://localhost:1/v1\", key: k}\n", RC_OK, "");
    load_says("routes: [{match: {model: x}}]\n", RC_OK,
              "larder.yaml:1:10: warning: routes.0: it has neither providers nor packs, so nothing can answer\n");
}

static void test_what_is_not_built_yet(void **state)
{
    (void)state;
    load_says(
        "semantic: {embedder: none}\nstorage: {eviction: lru}\nroutes: [{packs: [starter], cache: {semantic: off}}]\n",
        RC_OK, "");
    load_says("semantic: {embedder: minilm-int8, delta: 0.05}\nstorage: {seal: false}\nprices: builtin\n", RC_OK,
              "larder.yaml:2:17: warning: storage.seal: not built yet; this is its default, so nothing changes\n");
    load_says("semantic: {embedder: remote}\nstorage: {seal: true, eviction: mmr}\n", RC_INVALID,
              "larder.yaml:2:17: error: storage.seal: not built yet, so only its default can be set: false\n"
              "larder.yaml:1:11: error: semantic: embedder remote needs remote.model\n"
              "larder.yaml:1:11: error: semantic: embedder remote needs remote.base_url; no usable URL: it does not "
              "begin with https:// or http://\n");
    load_says("providers: [{name: a, dialect: openai, base_url: \"https://a\", breaker: {calls: 9, window: 30s}}]\n",
              RC_OK, "");
}

static void test_environment_is_put_in(void **state)
{
    (void)state;
    const struct config *c =
        load_ok("data: /srv/${N_1}/${NOT_SET:-x}${EMPTY:-y}${EMPTY}\nbudgets: {finish_for_store: \"${WHILE}\"}\n");
    assert_span(c->data, "/srv/7/xy");
    assert_true(c->finish_for_store_us == 180000000);
    load_says("data: ${NO_SUCH}\n", RC_INVALID,
              "larder.yaml:1:7: error: data: the environment has no NO_SUCH; set it, or write ${NO_SUCH:-default}\n");
    static const char *const malformed[] = {"data: a${N_1\n", "data: ${1N}\n", "data: ${N_1:+x}\n", "data: ${}\n"};
    for (unsigned i = 0; i < 4; i++)
        load_says(malformed[i], RC_INVALID,
                  "larder.yaml:1:7: error: data: \"${\" must go on as ${NAME} or ${NAME:-default}; write $${ for a "
                  "plain ${\n");
    load_says("data: ${BAD}\n", RC_INVALID,
              "larder.yaml:1:7: error: data: byte 4 is a control character (a line end?)\n");
    assert_span(load_ok("data: a$b$$c$${N_1}\n")->data, "a$b$$c${N_1}");
}

static const char *const *with(const char *const *list, unsigned count)
{
    overrides = list;
    override_count = count;
    return list;
}

static void test_overrides_come_before_reading(void **state)
{
    (void)state;
    static const char *const good[] = {"routes.0.cache.ttl=1h",        "listen.api=[::]:8081",
                                       "access.hosts=[a, b]",          "log.level=warn",
                                       "providers.0.key=a=b",          "providers.0.headers.X-A=1",
                                       "routes.0.cache.ttl=2h",        "tenants.0.name=kiosk",
                                       "listen.tls={cert: c, key: k}", "data=${N_1}"};
    with(good, sizeof good / sizeof good[0]);
    const struct config *c = load_ok("log: {format: json}\n");
    assert_true(c->routes[0].ttl_us == UINT64_C(7200000000));
    assert_true(c->routes[1].ttl_us == UINT64_C(604800000000));
    assert_span(c->listen.api.at[0], "[::]:8081");
    assert_int_equal(c->access.hosts.count, 2);
    assert_int_equal(c->log_level, LOG_WARN);
    assert_int_equal(c->log_format, LOG_JSON);
    assert_span(c->providers[0].key, "a=b");
    assert_span(c->providers[0].headers[0].name, "X-A");
    assert_span(c->tenants[0].name, "kiosk");
    assert_span(c->listen.tls_key, "k");
    assert_span(c->data, "7");
    static const char *const bad[] = {
        "nothing.like.this=1",    "noequals", "routes.7.cache.ttl=1h", "routes.x=1", "data.a=1", "limits.requests=5000",
        "providers.0.pin=secret", "=1",       "log..level=info"};
    with(bad, sizeof bad / sizeof bad[0]);
    load_says("data: x\n", RC_INVALID,
              "larder.yaml: error: --override noequals: write it as path.to.key=value\n"
              "larder.yaml: error: --override routes.7.cache.ttl: the list has 2 elements, 7 is beyond its end\n"
              "larder.yaml: error: --override routes.x: \"x\" is no place in a list; they count from 0\n"
              "larder.yaml: error: --override data.a: \"a\" leads nowhere: write path.to.key=value\n"
              "larder.yaml: error: --override : write it as path.to.key=value\n"
              "larder.yaml: error: --override log..level: \"\" leads nowhere: write path.to.key=value\n"
              "larder.yaml: error: --override nothing.like.this: nothing: unknown key; known here: listen, access, "
              "data, board, log, "
              "admin, limits, storage, semantic, packs, providers, routes, tenants, budgets, prices\n"
              "larder.yaml: error: --override limits.requests: limits.requests: 5000 is more than 1024, the most there "
              "can be\n"
              "larder.yaml: error: --override providers.0.pin: providers.0.pin: \"secret\" is not sha256/ with 44 "
              "characters of "
              "base64\n");
    with(NULL, 0);
}

static void test_secrets_stay_out_of_messages(void **state)
{
    (void)state;
    struct config *c;
    static const char *const secret[] = {"providers.0.key=[hush]", "providers.0.proxy=http://u:hush@:x"};
    with(secret, 2);
    assert_int_equal(
        load(0, "providers: [{name: a, dialect: openai, base_url: \"https://a\", headers: {A: \"hush\\n\"}}]\n", &c),
        RC_INVALID);
    assert_int_equal(report.errors, 3);
    print_report();
    assert_null(strstr(printed[1], "hush"));
    with(NULL, 0);
}

static void test_bounds_of_lists(void **state)
{
    (void)state;
    static char text[PRINT_MAX];
    struct text out = text_on(text, sizeof text);
    text_put_text(&out, "providers:\n");
    for (int i = 0; i <= CONFIG_PROVIDERS_MAX; i++)
        text_format(&out, "- {name: p%d, dialect: openai, base_url: \"https://a\"}\n", i);
    load_says(text, RC_INVALID, "larder.yaml:18:3: error: providers: more than 16 of them\n");
    out = text_on(text, sizeof text);
    text_put_text(&out, "access: {hosts: [h0");
    for (int i = 1; i <= CONFIG_NAMES_MAX; i++) text_format(&out, ", h%d", i);
    text_put_text(&out, "]}\n");
    load_says(text, RC_INVALID, "larder.yaml:1:88: error: access.hosts: more than 16 of them\n");
}

static void test_errors_push_warnings_out(void **state)
{
    (void)state;
    static char text[PRINT_MAX];
    struct config *c;
    struct text out = text_on(text, sizeof text);
    text_put_text(&out, "storage: {seal: false, seal_codes: false}\nroutes:\n");
    for (int i = 0; i < CONFIG_ISSUES_MAX - 1; i++) text_put_text(&out, "- {packs: [none], providers: []}\n");
    text_put_text(&out, "- {packs: [none], providers: []}\nlisten: {serial: none}\n");
    assert_int_equal(load(0, text, &c), RC_INVALID);
    assert_int_equal(report.count, CONFIG_ISSUES_MAX);
    assert_int_equal(report.errors, CONFIG_ISSUES_MAX);
    unsigned errors = 0;
    for (unsigned i = 0; i < report.count; i++) errors += report.issues[i].error;
    assert_int_equal(errors, CONFIG_ISSUES_MAX);
    assert_int_equal(report.left_out, 3);
}

static void test_restart_is_told(void **state)
{
    (void)state;
    char names[512];
    struct config *a, *b;
    struct text out = text_on(names, sizeof names);
    assert_int_equal(load(0, full_file, &a), RC_OK);
    assert_int_equal(load(1, full_file, &b), RC_OK);
    config_restart_needed(a, b, &out);
    assert_string_equal(names, "");
    /* Taken at a reload: routes, providers, packs, access, timeouts, limits downwards. */
    assert_int_equal(load(1,
                          "listen:\n  api: [\"[::]:8080\", 0.0.0.0:0]\n  tls: {cert: box.pem, key: box.key}\n"
                          "data: \"/var/lib/with blank\"\nlog: {level: debug, format: json}\n"
                          "limits: {connections: 50, body: 2MiB, parse_max: 32KiB, timeouts: {idle: 1s}}\n"
                          "storage: {eviction: lru, hot: 64KiB, entries_max: 16}\nbudgets: {finish_for_store: 0}\n",
                          &b),
                     RC_OK);
    config_restart_needed(a, b, &out);
    assert_string_equal(names, "");
    assert_int_equal(load(1,
                          "listen: {api: 127.0.0.1:1}\nlog: {level: debug}\nlimits: {connections: 101, requests: 50}\n"
                          "data: /elsewhere\nstorage: {hot: 1MiB}\n",
                          &b),
                     RC_OK);
    config_restart_needed(a, b, &out);
    assert_string_equal(names, "listen.api, listen.tls.cert, listen.tls.key, data, log.format, limits.connections, "
                               "limits.connections_per_address, limits.tls_connections, limits.parse_max, "
                               "storage.entries_max, storage.hot, storage.eviction");
}

static void test_a_small_arena_is_said(void **state)
{
    (void)state;
    struct config_source source = source_of(true);
    struct config *c;
    int rc = RC_FULL;
    for (size_t room = 0; rc == RC_FULL && room < ARENA_SIZE; room += 512) {
        arena_init(&arenas[0], memory[0], ARENA_SIZE, NULL);
        assert_non_null(arena_take(&arenas[0], ARENA_SIZE - room, 1));
        rc = config_load(&arenas[0], span_text(full_file), &source, &c, &report);
        assert_true(rc == RC_OK || (rc == RC_FULL && c == NULL && report.errors > 0));
    }
    assert_int_equal(rc, RC_OK);
    arena_init(&arenas[0], memory[0], ARENA_SIZE, NULL);
}

static void *load_on_thread(void *done)
{
    struct config *c;
    *(int *)done = load(0, full_file, &c) == RC_OK && load(0, "a: [[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]\n", &c) == RC_INVALID;
    return NULL;
}

static void test_it_fits_a_small_stack(void **state)
{
    (void)state;
    enum { STACK = 64 * 1024 };
    static _Alignas(4096) unsigned char stack[STACK];
    pthread_attr_t attributes;
    pthread_t thread;
    int done = 0;
    size_t untouched = 0;
    memset(stack, 0xa5, STACK);
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstack(&attributes, stack, STACK), 0);
    assert_int_equal(pthread_create(&thread, &attributes, load_on_thread, &done), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(done, 1);
    while (untouched < STACK && stack[untouched] == 0xa5) untouched++;
    print_message("stack used: %zu bytes\n", (size_t)STACK - untouched);
    assert_true(untouched > 4096);
}

static void test_reference_names_every_key(void **state)
{
    (void)state;
    static char text[PRINT_MAX];
    struct text out = text_on(text, sizeof text);
    config_print_reference(&out);
    assert_false(out.truncated);
    assert_non_null(
        strstr(text, "| `listen.api` | address or list | `127.0.0.1:8080` | restart | where clients connect"));
    assert_non_null(strstr(text, "| `providers[].key` | secret text | `\"\"` | reload | the box's own key"));
    assert_non_null(strstr(text, "| `routes[].cache.ttl` | 0 to 3650d | `7d` | reload |"));
    assert_non_null(strstr(text, "| `limits.requests` | 4 to 1024 | `256` | reload, not above the boot's |"));
    assert_non_null(strstr(text, "sieve, lru, mmr, cluster"));
    out = text_on(text, sizeof text);
    config_print_assumed(load_ok(""), &out);
    assert_non_null(strstr(
        text, "provider openai at https://api.openai.com/v1: a client's own credential goes there; the box has a key"));
    assert_null(strstr(text, "sk-from"));
}

static int start(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) arena_init(&arenas[i], memory[i], ARENA_SIZE, NULL);
    return yaml_reserve();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in_default_runs),
        cmocka_unit_test(test_defaults_text_means_the_same),
        cmocka_unit_test(test_every_key_reaches_its_field),
        cmocka_unit_test(test_resolved_form_reads_back_alike),
        cmocka_unit_test(test_wrong_files_are_told_exactly),
        cmocka_unit_test(test_wrong_providers_and_routes_are_told_exactly),
        cmocka_unit_test(test_plain_http_and_odd_urls_warn),
        cmocka_unit_test(test_what_is_not_built_yet),
        cmocka_unit_test(test_environment_is_put_in),
        cmocka_unit_test(test_overrides_come_before_reading),
        cmocka_unit_test(test_secrets_stay_out_of_messages),
        cmocka_unit_test(test_bounds_of_lists),
        cmocka_unit_test(test_errors_push_warnings_out),
        cmocka_unit_test(test_restart_is_told),
        cmocka_unit_test(test_a_small_arena_is_said),
        cmocka_unit_test(test_it_fits_a_small_stack),
        cmocka_unit_test(test_reference_names_every_key),
    };
    return cmocka_run_group_tests_name("config", tests, start, NULL);
}
