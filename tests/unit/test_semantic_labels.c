/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_semantic_labels.c — labels from misses, checks of hits, feedback; what outlives a restart.
 *
 * Link: -Wl,--wrap=semantic_lookup,--wrap=semantic_lookup_next,--wrap=embed_current,--wrap=embed_text_pieces,--wrap=embed_text,--wrap=threshold_decide,--wrap=fsync
 */
#include "app/gateway/feedback.h"
#include "app/gateway/negative.h"
#include "app/gateway/shadow.h"
#include "tests/unit/semantic_test.h"

/* The rule as the test wants it. */
static float ruled = THRESHOLD_NEVER;
static unsigned embedded;

void __wrap_threshold_decide(const struct threshold_unit *unit, double delta, bool partial,
                             struct threshold_decision *decision);
int __wrap_embed_text_pieces(struct span text, bool truncate, float *vector, uint16_t *ids, unsigned *count);

void __wrap_threshold_decide(const struct threshold_unit *unit, double delta, bool partial,
                             struct threshold_decision *decision)
{
    (void)delta;
    (void)partial;
    *decision = (struct threshold_decision){.threshold = ruled, .labels = unit->labels};
}

int __wrap_embed_text(struct span text, float *vector);
int __wrap_fsync(int fd);

int __wrap_embed_text(struct span text, float *vector) /* of packs */
{
    (void)text;
    (void)vector;
    return RC_EMPTY;
}

/* Thousands of records are written one by one. */
int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}

/* Texts about the same thing have the same vector: the thing is their first word. */
int __wrap_embed_text_pieces(struct span text, bool truncate, float *vector, uint16_t *ids, unsigned *count)
{
    (void)truncate;
    (void)ids;
    *count = 1;
    memset(vector, 0, TEST_DIM * sizeof *vector);
    vector[(unsigned char)text.data[0] % TEST_DIM] = 1;
    embedded++;
    return RC_OK;
}

static const char shadow_yaml[] = SEMANTIC_TEST_START
    "semantic: {shadow: {rate: 1.0, per_hour_max: 4}}\n" SEMANTIC_TEST_PROVIDERS
    "routes:\n" SEMANTIC_TEST_ROUTE("preset*", "box", "semantic: preset")
        SEMANTIC_TEST_ROUTE("passed*", "up", "semantic: preset") SEMANTIC_TEST_ROUTE("*", "up", "semantic: learn");

static const struct learn_unit *unit_now(void)
{
    const struct learn_unit *unit, *newest = NULL;
    for (unsigned i = 0; (unit = learn_at(i)); i++)
        if (unit->key && (!newest || unit->used_s >= newest->used_s)) newest = unit;
    assert_non_null(newest);
    return newest;
}

/* The one unit of a tenant; tests use a tenant of their own. */
static const struct learn_unit *unit_of(const char *fields)
{
    struct request r = {0};
    const struct learn_unit *unit;
    char credential[100];
    snprintf(credential, sizeof credential, "%s", strstr(fields, "Bearer ") + 7);
    credential[strcspn(credential, "\r")] = 0;
    r.credential = span_text(credential);
    assert_int_equal(tenant_identify(&r), RC_OK);
    for (unsigned i = 0; (unit = learn_at(i)); i++)
        if (unit->key && memcmp(unit->tenant, r.tenant.id, sizeof unit->tenant) == 0) return unit;
    return NULL;
}

/* ---- from misses */

static void test_a_miss_brings_a_label(void **state)
{
    static const char fields[] = "Authorization: Bearer sk-miss\r\n";
    (void)state;
    uint64_t id = store(fields, "learns", "label me", "Press the button, twice.");
    const struct learn_unit *unit = unit_of(fields);
    assert_int_equal(unit->asked, 1);
    assert_int_equal(unit->labels.labels, 0); /* no candidate */
    find_next(id, 0.9F, 0);
    (void)answer_from_upstream(ask(fields, "learns", "label me 1", ""), "press the button twice");
    assert_int_equal(unit->labels.labels, 1);
    assert_int_equal(embedded, 0); /* equal after normalising */
    (void)answer_from_upstream(ask(fields, "learns", "label me 2", ""), "Pull the lever.");
    assert_int_equal(unit->labels.labels, 2);
    assert_int_equal(embedded, 2);
    find_next(id, 0.69F, 0);
    (void)answer_from_upstream(ask(fields, "learns", "label me 3", ""), "too far to count");
    find_next(id, 0.9F, 1 << GUARD_NEG);
    (void)answer_from_upstream(ask(fields, "learns", "label me 4", ""), "a veto does not count");
    assert_int_equal(unit->labels.labels, 2);
    assert_int_equal(unit->asked, 5);
    assert_int_equal(unit->hits, 0);
    assert_string_equal(unit->route, "openai:*");
    assert_string_equal(unit->tag, "test/1");
}

static void test_learn_serves_what_it_learnt(void **state)
{
    static const char fields[] = "Authorization: Bearer sk-learnt\r\n";
    (void)state;
    uint64_t id = store(fields, "learns", "learnt", "learnt answer");
    find_next(id, 0.99F, 0);
    (void)answer_from_upstream(ask(fields, "learns", "learnt 1", ""), "learnt answer"); /* nothing yet */
    ruled = 0.88F;
    find_next(id, 0.88F, 0); /* the label of the last one let it decide again */
    expect_hit(ask(fields, "learns", "learnt 3", ""), "learnt answer", "\"total_tokens\":2}}");
    find_next(id, 0.8799F, 0);
    (void)answer_from_upstream(ask(fields, "learns", "learnt 4", ""), "learnt answer");
    const struct learn_unit *unit = unit_of(fields);
    assert_int_equal(unit->hits, 1);
    assert_int_equal(unit->asked, 4);
    ruled = THRESHOLD_NEVER;
}

static void test_another_tenant_learns_apart(void **state)
{
    static const char fields[] = "Authorization: Bearer sk-apart\r\n";
    (void)state;
    (void)store(fields, "learns", "apart", "answer");
    assert_int_equal(unit_of(fields)->asked, 1);
    assert_ptr_equal(unit_of(fields), unit_now());
}

/* ---- checks of hits */

static void test_shares(void **state)
{
    (void)state;
    assert_true(shadow_share(true, 1, 0.02) == 0.5);
    assert_true(shadow_share(true, SHADOW_FIRST, 0.02) == 0.5);
    assert_true(shadow_share(true, SHADOW_FIRST + 1, 0.02) == 0.1);
    assert_true(shadow_share(true, SHADOW_THEN, 0.02) == 0.1);
    assert_true(shadow_share(true, SHADOW_THEN + 1, 0.02) == 0.02);
    assert_true(shadow_share(true, 5000, 0.3) == 0.3);
    assert_true(shadow_share(true, 1, 0) == 0);
    assert_true(shadow_share(false, 1, 0.02) == 0.02);
}

/* The client has its hit at once and asks on, on the same connection, while the box asks upstream. */
static void test_a_hit_is_checked(void **state)
{
    (void)state;
    struct virtual_key ann = virtual_key("ann");
    uint64_t id = store(ann.fields, "preset", "check", "checked answer"), before = unit_of(ann.fields)->labels.labels;
    assert_int_equal(gateway_test_reload(shadow_yaml), RC_OK);
    find_next(id, 0.95F, 0);
    int fd = ask(ann.fields, "preset", "check it", ",\"stream\":true");
    gateway_test_hear(fd, "data: [DONE]\n\n");
    gateway_test_expect("x-larder-hit: semantic\r\n");
    int up = gateway_test_call();
    assert_non_null(strstr(gateway_test_asked, "check it"));
    assert_non_null(strstr(gateway_test_asked, "Bearer sk-box"));
    gateway_test_say(fd,
                     gateway_test_chat(ann.fields, "{\"model\":\"preset\",\"messages\":[{\"role\":\"user\",\"content\":"
                                                   "\"check\"}]}"));
    gateway_test_hear(fd, "\"total_tokens\":2}}");
    gateway_test_expect("x-larder-hit: exact\r\n");
    gateway_test_answer(up, gateway_test_object("Anything else."));
    gateway_test_settle();
    gateway_test_leave(fd);
    close(up);
    const struct learn_unit *unit = unit_of(ann.fields);
    assert_int_equal(unit->hits, 1);
    assert_int_equal(unit->checked, 1);
    assert_int_equal(unit->wrong, 1);
    assert_int_equal(unit->labels.labels, before + 1);
    lookup.calls = 0; /* the fresh answer is stored: the same words are exact now, and right */
    fd = ask(ann.fields, "preset", "check it", "");
    gateway_test_hear(fd, "\"total_tokens\":2}}");
    gateway_test_expect("x-larder-hit: exact\r\n");
    gateway_test_expect("Anything else.");
    gateway_test_leave(fd);
}

/* Four an hour in this configuration, one is spent. */
static void test_checks_have_a_budget(void **state)
{
    struct virtual_key bea = virtual_key("bea");
    char question[40];
    unsigned calls = 0;
    (void)state;
    uint64_t id = store(bea.fields, "preset", "budget", "same answer");
    for (unsigned i = 0; i < 6; i++) {
        snprintf(question, sizeof question, "budget %u", i);
        find_next(id, 0.95F, 0);
        int fd = ask(bea.fields, "preset", question, "");
        gateway_test_hear(fd, "\"total_tokens\":2}}");
        gateway_test_expect("x-larder-hit: semantic\r\n");
        if (gateway_test_is_called()) {
            int up = gateway_test_call();
            gateway_test_answer(up, gateway_test_object("same answer"));
            gateway_test_settle();
            close(up);
            calls++;
        }
        gateway_test_leave(fd);
    }
    assert_int_equal(calls, 3);
    assert_int_equal(unit_of(bea.fields)->checked, 3);
    assert_int_equal(unit_of(bea.fields)->wrong, 0);
}

static void test_a_clients_own_key_is_not_spent(void **state)
{
    static const char fields[] = "Authorization: Bearer sk-own\r\n";
    (void)state;
    uint64_t id = store(fields, "passed", "own money", "an answer");
    find_next(id, 0.95F, 0);
    expect_hit(ask(fields, "passed", "my own money", ""), "an answer", "\"total_tokens\":2}}");
    assert_false(gateway_test_is_called());
    assert_int_equal(unit_of(fields)->checked, 0);
}

/* ---- feedback */

static const char *sent_id(void)
{
    static char id[80];
    const char *at = strstr(gateway_test_heard, "x-request-id:");
    assert_non_null(at);
    at += 13 + strspn(at + 13, " ");
    snprintf(id, sizeof id, "%.*s", (int)strcspn(at, "\r"), at);
    return id;
}

static void tell(const char *fields, const char *id, const char *verdict, const char *reply)
{
    char body[300], text[800];
    snprintf(body, sizeof body, "{\"request\":\"%s\",\"verdict\":%s,\"note\":\"because\"}", id, verdict);
    snprintf(text, sizeof text,
             "POST /larder/v1/feedback HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s", fields,
             strlen(body), body);
    int fd = gateway_test_dial();
    gateway_test_say(fd, text);
    gateway_test_hear(fd, reply);
    gateway_test_leave(fd);
}

static void test_a_reported_hit_does_not_come_again(void **state)
{
    static const char fields[] = "Authorization: Bearer sk-report\r\n";
    char id_of_hit[80];
    (void)state;
    uint64_t id = store(fields, "passed", "report", "a wrong answer"), before = negative_count();
    find_next(id, 0.95F, 0);
    expect_hit(ask(fields, "passed", "report it", ""), "a wrong answer", "\"total_tokens\":2}}");
    snprintf(id_of_hit, sizeof id_of_hit, "%s", sent_id());
    tell(OTHER_KEY, id_of_hit, "\"wrong\"", "request_not_found");
    gateway_test_expect("HTTP/1.1 404 ");
    assert_int_equal(negative_count(), before);
    tell(fields, id_of_hit, "\"wrong\"", "\"removed\":true}");
    gateway_test_expect("HTTP/1.1 200 ");
    assert_int_equal(negative_count(), before + 1);
    assert_int_equal(unit_of(fields)->reported_wrong, 1);
    tell(fields, id_of_hit, "\"wrong\"", "\"removed\":true}"); /* twice is once */
    assert_int_equal(unit_of(fields)->reported_wrong, 1);
    assert_int_equal(negative_count(), before + 1);
    find_next(id, 0.99F, 0); /* the pair never, whatever the score */
    (void)answer_from_upstream(ask(fields, "passed", "report it", ""), "a right answer");
    find_next(id, 0.953F, 0); /* others of this entry only when nearer */
    (void)answer_from_upstream(ask(fields, "passed", "report this", ""), "another answer");
    find_next(id, 0.96F, 0);
    expect_hit(ask(fields, "passed", "report them", ""), "a wrong answer", "\"total_tokens\":2}}");
    tell(fields, sent_id(), "\"right\"", "\"removed\":false}");
    assert_int_equal(unit_of(fields)->reported_right, 1);
}

static void test_feedback_says_what_is_wrong_with_it(void **state)
{
    (void)state;
    tell(KEY, "req_none", "\"wrong\"", "request_not_found");
    gateway_test_expect("HTTP/1.1 404 ");
    tell(KEY, "req_none", "\"bad\"", "is \\\"wrong\\\" or \\\"right\\\"");
    gateway_test_expect("HTTP/1.1 400 ");
    tell(KEY, "", "\"wrong\"", "\\\"request\\\" is missing");
    tell("Authorization: Bearer lk-unknown\r\n", "req_none", "\"wrong\"", "invalid_api_key");
    gateway_test_expect("HTTP/1.1 401 ");
    int fd = gateway_test_dial();
    gateway_test_say(fd, "GET /larder/v1/feedback HTTP/1.1\r\nHost: localhost\r\n\r\n");
    gateway_test_hear(fd, "method_not_allowed");
    gateway_test_leave(fd);
    fd = gateway_test_dial();
    gateway_test_say(fd, "POST /larder/v1/feedback HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]");
    gateway_test_hear(fd, "is not a JSON object");
    gateway_test_leave(fd);
    fd = gateway_test_dial();
    gateway_test_say(fd, "POST /larder/v1/feedback HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n");
    gateway_test_hear(fd, "larger than 8 KiB");
    gateway_test_leave(fd);
}

/* ---- what lasts */

static void save(void *arg)
{
    *(int *)arg = learn_save();
}

static void test_labels_and_pairs_outlive_the_process(void **state)
{
    char message[200] = "";
    struct learn_unit before;
    int rc = -100;
    (void)state;
    unsigned pairs = negative_count();
    gateway_test_fiber(save, &rc);
    assert_int_equal(rc, RC_OK);
    memcpy(&before, unit_now(), sizeof before);
    assert_true(pairs > 0);
    assert_int_equal(gateway_open(boot.data, message, sizeof message), RC_OK); /* as a new process would */
    assert_int_equal(negative_count(), pairs);
    assert_memory_equal(learn_find(before.key), &before, sizeof before);
}

static void damage(const char *name, long offset)
{
    char path[FILE_PATH_MAX];
    assert_int_equal(file_join(path, boot.data, name), RC_OK);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, offset, offset < 0 ? SEEK_END : SEEK_SET);
    int c = fgetc(file);
    fseek(file, offset, offset < 0 ? SEEK_END : SEEK_SET);
    fputc(c ^ 1, file);
    fclose(file);
}

static void test_damage_costs_what_it_hit(void **state)
{
    char message[200] = "", path[FILE_PATH_MAX];
    (void)state;
    unsigned pairs = negative_count();
    damage("negatives", 3);
    damage("labels", -5);
    assert_int_equal(gateway_open(boot.data, message, sizeof message), RC_OK);
    assert_int_equal(negative_count(), pairs - 1);
    assert_int_equal(learn_at(0)->key, 0);
    assert_int_equal(file_join(path, boot.data, "labels.damaged"), RC_OK);
    assert_true(file_exists(path));
}

static void add_many(void *arg)
{
    uint8_t tenant[ENTRY_TENANT_SIZE] = {9};
    (void)arg;
    for (unsigned i = 0; i < NEGATIVES_MAX + 10; i++)
        assert_int_equal(negative_add(1000000 + i, i, tenant, 0.9F), RC_OK);
}

static void erase_them(void *arg)
{
    uint8_t tenant[ENTRY_TENANT_SIZE] = {9};
    (void)arg;
    assert_int_equal(negative_erase(tenant), RC_OK);
    assert_int_equal(learn_erase(tenant), RC_OK);
}

static void test_the_oldest_pair_leaves(void **state)
{
    char message[200] = "";
    (void)state;
    gateway_test_fiber(add_many, NULL);
    for (unsigned again = 0; again < 2; again++) {
        assert_int_equal(negative_count(), NEGATIVES_MAX);
        assert_true(negative_allows(1000009, 9, 0.5F));
        assert_false(negative_allows(1000010, 10, 0.99F));
        assert_false(negative_allows(1000010, 11, 0.904F));
        assert_true(negative_allows(1000010, 11, 0.906F));
        assert_int_equal(gateway_open(boot.data, message, sizeof message), RC_OK);
    }
    gateway_test_fiber(erase_them, NULL);
    assert_int_equal(negative_count(), 0);
    assert_int_equal(gateway_open(boot.data, message, sizeof message), RC_OK);
    assert_int_equal(negative_count(), 0);
}

static int start_labels(void **state)
{
    (void)state;
    gateway_test_boot(SEMANTIC_TEST_START "semantic: {shadow: {rate: 0}}\n" SEMANTIC_TEST_PROVIDERS
                                          "routes:\n" SEMANTIC_TEST_ROUTE("preset*", "box", "semantic: preset")
                                              SEMANTIC_TEST_ROUTE("*", "up", "semantic: learn"));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_miss_brings_a_label),
        T(test_learn_serves_what_it_learnt),
        T(test_another_tenant_learns_apart),
        T(test_shares),
        T(test_a_hit_is_checked),
        T(test_checks_have_a_budget),
        T(test_a_clients_own_key_is_not_spent),
        T(test_a_reported_hit_does_not_come_again),
        T(test_feedback_says_what_is_wrong_with_it),
        T(test_labels_and_pairs_outlive_the_process),
        T(test_damage_costs_what_it_hit),
        T(test_the_oldest_pair_leaves),
    };
    return cmocka_run_group_tests_name("semantic labels", tests, start_labels, stop);
}
