/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_dns.c — names asked for at a tiny name server on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/dns.h"
#include "platform/file.h"
#include "platform/rc.h"
#include "tests/support/net_test.h"

/* ---- the name server: what it knows is a table */

struct record {
    const char *name;
    unsigned type; /* 1 A, 28 AAAA */
    const char *address;
    unsigned ttl;
};

static struct {
    int fd;
    unsigned port;
    pthread_t thread;
    _Atomic(const struct record *) records;
    atomic_uint asked_a, asked_aaaa, rcode, delay_ms;
    atomic_bool silent, stopping;
} server;

/* The question's name in dots; the offset behind the question, 0 when it is malformed. */
static size_t question_read(const unsigned char *packet, size_t size, char *name, unsigned *type)
{
    size_t at = 12, out = 0;
    while (at < size && packet[at] != 0) {
        size_t label = packet[at++];
        if (label > 63 || at + label >= size || out + label + 1 >= 256) return 0;
        if (out > 0) name[out++] = '.';
        for (size_t i = 0; i < label; i++)
            name[out++] = (char)(packet[at + i] | (packet[at + i] >= 'A' && packet[at + i] <= 'Z' ? 32 : 0));
        at += label;
    }
    name[out] = 0;
    if (at + 5 > size) return 0;
    *type = (unsigned)packet[at + 1] << 8 | packet[at + 2];
    return at + 5;
}

static size_t answer_put(unsigned char *packet, size_t at, const struct record *r)
{
    const unsigned char head[] = {0xc0,
                                  12,
                                  0,
                                  (unsigned char)r->type,
                                  0,
                                  1,
                                  (unsigned char)(r->ttl >> 24),
                                  (unsigned char)(r->ttl >> 16),
                                  (unsigned char)(r->ttl >> 8),
                                  (unsigned char)r->ttl,
                                  0,
                                  r->type == 1 ? 4 : 16};
    memcpy(packet + at, head, sizeof head);
    if (inet_pton(r->type == 1 ? AF_INET : AF_INET6, r->address, packet + at + sizeof head) != 1) abort();
    return at + sizeof head + (r->type == 1 ? 4u : 16u);
}

static size_t reply_write(unsigned char *packet, size_t size)
{
    char name[256];
    unsigned type = 0, answers = 0;
    bool known = false;
    size_t at = question_read(packet, size, name, &type);
    if (at == 0) return 0;
    atomic_fetch_add(type == 28 ? &server.asked_aaaa : &server.asked_a, 1);
    for (const struct record *r = atomic_load(&server.records); r->name; r++) {
        if (strcmp(r->name, name) != 0) continue;
        known = true;
        if (r->type != type) continue;
        at = answer_put(packet, at, r);
        answers++;
    }
    unsigned rcode = atomic_load(&server.rcode);
    packet[2] = 0x81;
    packet[3] = (unsigned char)(0x80 | (rcode ? rcode : known ? 0 : 3));
    memset(packet + 4, 0, 8);
    packet[5] = 1;
    packet[7] = rcode ? 0 : (unsigned char)answers;
    return at;
}

static void *serve(void *unused)
{
    while (!atomic_load(&server.stopping)) {
        unsigned char packet[2048];
        struct sockaddr_in from;
        socklen_t from_size = sizeof from;
        ssize_t got = recvfrom(server.fd, packet, 512, 0, (struct sockaddr *)&from, &from_size);
        if (got < 12 || atomic_load(&server.stopping)) continue;
        if (atomic_load(&server.silent)) continue;
        net_peer_pause_ms(atomic_load(&server.delay_ms));
        size_t size = reply_write(packet, (size_t)got);
        if (size > 0) (void)sendto(server.fd, packet, size, 0, (struct sockaddr *)&from, from_size);
    }
    return unused;
}

static void server_start(const struct record *records)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    char csv[32];
    memset(&server, 0, sizeof server);
    server.records = records;
    server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server.fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(server.fd, (struct sockaddr *)&address, &size), 0);
    server.port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
    snprintf(csv, sizeof csv, "127.0.0.1:%u", server.port);
    assert_int_equal(dns_servers_set(csv), RC_OK);
}

static void server_stop(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)server.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    atomic_store(&server.stopping, true);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    (void)sendto(fd, "", 1, 0, (struct sockaddr *)&address, sizeof address);
    close(fd);
    pthread_join(server.thread, NULL);
    close(server.fd);
}

/* ---- one look-up */

struct lookup {
    const char *name;
    unsigned ms;
    int rc;
    unsigned count;
    bool stale, done;
    struct dns_address addresses[DNS_ADDRESSES_MAX];
};

static void lookup_run(void *arg)
{
    struct lookup *l = arg;
    l->rc = dns_resolve(span_text(l->name), net_test_in_ms(l->ms ? l->ms : 8000), l->addresses, &l->count, &l->stale);
    l->done = true;
}

static struct lookup look_up(const char *name)
{
    struct lookup l = {.name = name};
    net_test_run(lookup_run, &l);
    return l;
}

static const char *text_of(const struct dns_address *address)
{
    static char text[INET6_ADDRSTRLEN];
    const void *bytes = address->address.ss_family == AF_INET
                            ? (const void *)&((const struct sockaddr_in *)(const void *)&address->address)->sin_addr
                            : (const void *)&((const struct sockaddr_in6 *)(const void *)&address->address)->sin6_addr;
    return inet_ntop(address->address.ss_family, bytes, text, sizeof text);
}

static bool has(const struct lookup *l, const char *address)
{
    for (unsigned i = 0; i < l->count; i++) {
        if (strcmp(text_of(&l->addresses[i]), address) == 0) return true;
    }
    return false;
}

static void still_time(uint64_t ahead_us)
{
    clock_fake(clock_monotonic_us() + ahead_us, clock_wall_us());
    assert_int_equal(loop_turn(0), RC_OK); /* the lane looks at the clock once a turn */
}

static void real_time(void)
{
    clock_fake_off();
    assert_int_equal(loop_turn(0), RC_OK);
}

static unsigned asked(void)
{
    return atomic_load(&server.asked_a);
}

static void test_literals_and_this_machine(void **state)
{
    (void)state;
    struct lookup l = look_up("192.0.2.7");
    assert_int_equal(l.rc, RC_OK);
    assert_int_equal(l.count, 1);
    assert_int_equal(l.addresses[0].size, sizeof(struct sockaddr_in));
    assert_string_equal(text_of(&l.addresses[0]), "192.0.2.7");
    l = look_up("[2001:db8::7]");
    assert_int_equal(l.rc, RC_OK);
    assert_string_equal(text_of(&l.addresses[0]), "2001:db8::7");
    assert_int_equal(l.addresses[0].size, sizeof(struct sockaddr_in6));
    l = look_up("LocalHost");
    assert_int_equal(l.count, 2);
    assert_true(has(&l, "127.0.0.1"));
    assert_true(has(&l, "::1"));
    l = look_up("x.localhost.");
    assert_int_equal(l.count, 2);
    assert_int_equal(look_up("").rc, RC_INVALID);
}

static void test_both_families_interleaved(void **state)
{
    static const struct record records[] = {
        {"both.test", 1, "192.0.2.1", 60},
        {"both.test", 1, "192.0.2.2", 60},
        {"both.test", 28, "2001:db8::1", 60},
        {"both.test", 28, "2001:db8::2", 60},
        {"four.test", 1, "192.0.2.4", 60},
        {"six.test", 28, "2001:db8::6", 60},
        {NULL, 0, NULL, 0},
    };
    (void)state;
    server_start(records);
    struct lookup l = look_up("both.test");
    assert_int_equal(l.rc, RC_OK);
    assert_int_equal(l.count, 4);
    assert_false(l.stale);
    for (unsigned i = 0; i + 1 < 4; i++)
        assert_int_not_equal(l.addresses[i].address.ss_family, l.addresses[i + 1].address.ss_family);
    l = look_up("four.test");
    assert_int_equal(l.count, 1);
    assert_true(has(&l, "192.0.2.4"));
    l = look_up("six.test");
    assert_int_equal(l.count, 1);
    assert_true(has(&l, "2001:db8::6"));
    server_stop();
}

static void test_time_to_live(void **state)
{
    static const struct record moved[] = {{"ttl.test", 1, "192.0.2.2", 60},
                                          {"short.test", 1, "192.0.2.9", 0},
                                          {"long.test", 1, "192.0.2.8", 900000},
                                          {NULL, 0, NULL, 0}};
    static const struct record records[] = {{"ttl.test", 1, "192.0.2.1", 60},
                                            {"short.test", 1, "192.0.2.9", 0},
                                            {"long.test", 1, "192.0.2.8", 900000},
                                            {NULL, 0, NULL, 0}};
    (void)state;
    server_start(records);
    still_time(0);
    assert_int_equal(look_up("ttl.test").rc, RC_OK);
    assert_int_equal(look_up("TTL.test.").rc, RC_OK);
    assert_int_equal(asked(), 1);
    clock_fake_advance(59 * CLOCK_SECOND);
    assert_int_equal(look_up("ttl.test").rc, RC_OK);
    assert_int_equal(asked(), 1);
    atomic_store(&server.records, moved);
    clock_fake_advance(2 * CLOCK_SECOND);
    struct lookup l = look_up("ttl.test");
    assert_int_equal(asked(), 2);
    assert_true(has(&l, "192.0.2.2"));
    assert_int_equal(l.count, 1);
    assert_int_equal(look_up("short.test").rc, RC_OK); /* at least 5 s */
    clock_fake_advance(4 * CLOCK_SECOND);
    assert_int_equal(look_up("short.test").rc, RC_OK);
    assert_int_equal(asked(), 3);
    clock_fake_advance(2 * CLOCK_SECOND);
    assert_int_equal(look_up("short.test").rc, RC_OK);
    assert_int_equal(asked(), 4);
    assert_int_equal(look_up("long.test").rc, RC_OK); /* at most an hour */
    assert_int_equal(asked(), 5);
    clock_fake_advance(3601 * CLOCK_SECOND);
    assert_int_equal(look_up("long.test").rc, RC_OK);
    assert_int_equal(asked(), 6);
    real_time();
    server_stop();
}

static void test_names_that_do_not_exist(void **state)
{
    static const struct record records[] = {{NULL, 0, NULL, 0}};
    (void)state;
    server_start(records);
    still_time(0);
    assert_int_equal(look_up("none.test").rc, RC_NOT_FOUND);
    unsigned before = asked();
    assert_int_equal(look_up("none.test").rc, RC_NOT_FOUND);
    assert_int_equal(asked(), before);
    clock_fake_advance(6 * CLOCK_SECOND);
    assert_int_equal(look_up("none.test").rc, RC_NOT_FOUND);
    assert_true(asked() > before);
    real_time();
    server_stop();
}

static void together_run(void *arg)
{
    struct lookup *l = arg;
    for (unsigned i = 0; i < 5; i++) net_test_beside(lookup_run, &l[i]);
    for (unsigned i = 0; i < 5; i++) {
        while (!l[i].done) fiber_sleep_until(net_test_in_ms(2));
    }
}

static void test_one_question_for_many_askers(void **state)
{
    static const struct record records[] = {{"many.test", 1, "192.0.2.1", 60}, {NULL, 0, NULL, 0}};
    struct lookup l[5];
    (void)state;
    server_start(records);
    atomic_store(&server.delay_ms, 60);
    memset(l, 0, sizeof l);
    for (unsigned i = 0; i < 5; i++) l[i].name = "many.test";
    l[4].ms = 20; /* does not wait that long */
    net_test_run(together_run, l);
    for (unsigned i = 0; i < 4; i++) assert_int_equal(l[i].rc, RC_OK);
    assert_int_equal(l[4].rc, RC_TIMEOUT);
    assert_int_equal(asked(), 1);
    server_stop();
}

static void test_dead_server_and_the_last_good_answer(void **state)
{
    static const struct record records[] = {
        {"good.test", 1, "192.0.2.1", 5}, {"other.test", 1, "192.0.2.3", 5}, {NULL, 0, NULL, 0}};
    (void)state;
    server_start(records);
    assert_int_equal(look_up("good.test").rc, RC_OK);
    atomic_store(&server.rcode, 2); /* SERVFAIL */
    still_time(10 * CLOCK_SECOND);
    struct lookup l = look_up("good.test");
    assert_int_equal(l.rc, RC_OK);
    assert_true(l.stale);
    assert_true(has(&l, "192.0.2.1"));
    assert_int_equal(look_up("other.test").rc, RC_UNREACHABLE);
    unsigned before = asked();
    l = look_up("good.test"); /* for some seconds nobody is asked again */
    assert_true(l.stale);
    assert_int_equal(asked(), before);
    real_time();
    server_stop();
}

static void test_silent_server_costs_a_second_when_an_answer_is_known(void **state)
{
    static const struct record records[] = {{"quiet.test", 1, "192.0.2.1", 5}, {NULL, 0, NULL, 0}};
    (void)state;
    server_start(records);
    assert_int_equal(look_up("quiet.test").rc, RC_OK);
    atomic_store(&server.silent, true);
    net_test_run(lookup_run, &(struct lookup){.name = "unknown.test", .ms = 50});
    struct lookup l = {.name = "unknown2.test", .ms = 50};
    net_test_run(lookup_run, &l);
    assert_int_equal(l.rc, RC_TIMEOUT);
    /* six seconds on, by a clock that goes on ticking: the entry is past its time */
    uint64_t before = clock_monotonic_us();
    while (clock_monotonic_us() - before < 5200000) assert_int_equal(loop_turn(100000), RC_OK);
    before = clock_monotonic_us();
    l = look_up("quiet.test");
    assert_int_equal(l.rc, RC_OK);
    assert_true(l.stale);
    assert_true(clock_monotonic_us() - before < 1500000);
    server_stop();
}

static void write_file(const char *path, const char *text)
{
    assert_int_equal(file_replace(path, text, strlen(text), 0600), RC_OK);
}

static char hosts_path[64], resolv_path[64];

static void test_hosts_file(void **state)
{
    static const struct record records[] = {{NULL, 0, NULL, 0}};
    (void)state;
    server_start(records);
    write_file(hosts_path, "# comment\n192.0.2.50  box.lan box # mine\n2001:db8::50\tbox.lan\nnonsense box.lan\n");
    struct lookup l = look_up("BOX.lan");
    assert_int_equal(l.rc, RC_OK);
    assert_int_equal(l.count, 2);
    assert_true(has(&l, "192.0.2.50"));
    assert_true(has(&l, "2001:db8::50"));
    l = look_up("box");
    assert_int_equal(l.count, 1);
    assert_int_equal(asked(), 0);
    assert_int_equal(look_up("mine").rc, RC_NOT_FOUND);
    write_file(hosts_path, "192.0.2.51 box.lan\n"); /* changes are seen */
    l = look_up("box.lan");
    assert_int_equal(l.count, 1);
    assert_true(has(&l, "192.0.2.51"));
    server_stop();
}

static void test_resolv_conf(void **state)
{
    static const struct record records[] = {{"model.lan.test", 1, "192.0.2.60", 60}, {NULL, 0, NULL, 0}};
    (void)state;
    server_start(records);
    /* without a port it would be 53: the servers stay given, the search list comes from the file */
    write_file(
        resolv_path,
        "; comment\nnameserver 192.0.2.53\nsearch wrong.test\nsearch lan.test other.test\noptions ndots:1 rotate\n");
    char csv[32];
    snprintf(csv, sizeof csv, "127.0.0.1:%u", server.port);
    assert_int_equal(dns_servers_set(csv), RC_OK);
    struct lookup l = look_up("model");
    assert_int_equal(l.rc, RC_OK);
    assert_true(has(&l, "192.0.2.60"));
    write_file(resolv_path, "");
    assert_int_equal(dns_servers_set(csv), RC_OK);
    assert_int_equal(look_up("model2").rc, RC_NOT_FOUND);
    server_stop();
}

static void test_table_keeps_the_newest(void **state)
{
    static struct record records[102];
    static char names[101][24];
    (void)state;
    for (unsigned i = 0; i <= 100; i++) {
        snprintf(names[i], sizeof names[i], "n%u.test", i);
        records[i] = (struct record){names[i], 1, "192.0.2.1", 3000};
    }
    server_start(records);
    for (unsigned i = 0; i <= 100; i++) assert_int_equal(look_up(names[i]).rc, RC_OK);
    unsigned before = asked();
    assert_int_equal(look_up(names[100]).rc, RC_OK);
    assert_int_equal(look_up(names[60]).rc, RC_OK);
    assert_int_equal(asked(), before);
    assert_int_equal(look_up(names[0]).rc, RC_OK);
    assert_int_equal(asked(), before + 1);
    server_stop();
}

/* The file was loaded at start (see main): its answer is there although no server is. */
static void test_remembers_across_a_restart(void **state)
{
    static const struct record records[] = {{"saved.test", 1, "192.0.2.78", 60}, {NULL, 0, NULL, 0}};
    char text[8192];
    size_t size = 0;
    (void)state;
    server_start(records);
    atomic_store(&server.rcode, 2);
    struct lookup l = look_up("kept.test");
    assert_int_equal(l.rc, RC_OK);
    assert_true(l.stale);
    assert_int_equal(l.count, 2);
    assert_true(has(&l, "192.0.2.77"));
    assert_true(has(&l, "2001:db8::77"));
    assert_int_equal(look_up("alone").rc, RC_UNREACHABLE);
    atomic_store(&server.rcode, 0);
    assert_int_equal(look_up("saved.test").rc, RC_OK);
    uint64_t end = net_test_in_ms(4000); /* saved a second later */
    bool saved = false;
    while (!saved && clock_monotonic_us() < end) {
        assert_int_equal(loop_turn(50000), RC_OK);
        saved = file_read(getenv("NET_TEST_LAST_GOOD"), text, sizeof text - 1, &size) == RC_OK &&
                memmem(text, size, "saved.test 192.0.2.78\n", 22) != NULL;
    }
    assert_true(saved);
    assert_non_null(memmem(text, size, "kept.test 192.0.2.77 2001:db8::77\n", 34));
    server_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remembers_across_a_restart),
        cmocka_unit_test(test_literals_and_this_machine),
        cmocka_unit_test(test_both_families_interleaved),
        cmocka_unit_test(test_time_to_live),
        cmocka_unit_test(test_names_that_do_not_exist),
        cmocka_unit_test(test_one_question_for_many_askers),
        cmocka_unit_test(test_dead_server_and_the_last_good_answer),
        cmocka_unit_test(test_silent_server_costs_a_second_when_an_answer_is_known),
        cmocka_unit_test(test_hosts_file),
        cmocka_unit_test(test_resolv_conf),
        cmocka_unit_test(test_table_keeps_the_newest),
    };
    char folder[] = "/tmp/larder-test-dns-XXXXXX", kept[64];
    if (!mkdtemp(folder)) return 1;
    snprintf(kept, sizeof kept, "%s/names", folder);
    snprintf(hosts_path, sizeof hosts_path, "%s/hosts", folder);
    snprintf(resolv_path, sizeof resolv_path, "%s/resolv", folder);
    write_file(kept, "kept.test 192.0.2.77 2001:db8::77\nbad line\n\nalone\n");
    setenv("NET_TEST_LAST_GOOD", kept, 1);
    dns_files_set(resolv_path, hosts_path);
    int failed = cmocka_run_group_tests_name("dns", tests, net_test_start, NULL);
    unlink(kept);
    unlink(hosts_path);
    unlink(resolv_path);
    rmdir(folder);
    return failed;
}
