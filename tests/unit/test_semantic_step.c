/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_semantic_step.c — which requests are looked up in other words, under which namespace, and what is served.
 *
 * Link: -Wl,--wrap=semantic_lookup,--wrap=semantic_lookup_next,--wrap=embed_current,--wrap=embed_text_pieces,--wrap=embed_text
 */
#include "app/gateway/negative.h"
#include "tests/unit/semantic_test.h"

#include <time.h>

int __wrap_embed_text_pieces(struct span text, bool truncate, float *vector, uint16_t *ids, unsigned *count);
int __wrap_embed_text(struct span text, float *vector);

/* There is no model: answers are compared by their words alone, and packs found by them. */
int __wrap_embed_text_pieces(struct span text, bool truncate, float *vector, uint16_t *ids, unsigned *count)
{
    (void)text;
    (void)truncate;
    (void)vector;
    (void)ids;
    (void)count;
    return RC_EMPTY;
}

int __wrap_embed_text(struct span text, float *vector)
{
    return __wrap_embed_text_pieces(text, false, vector, NULL, NULL);
}

static void expect_miss(int fd, const char *answer)
{
    (void)answer_from_upstream(fd, answer);
}

static void test_a_hit_in_both_forms(void **state)
{
    (void)state;
    uint64_t id = store(KEY, "preset", "how do I reset it", "press the button");
    find_next(id, 0.9412F, 0);
    for (unsigned warm = 0; warm < 2; warm++) {
        expect_hit(ask(KEY, "preset", "how can I reset it", ""), "press the button", "\"total_tokens\":2}}");
        gateway_test_expect("x-larder-similarity: 0.9412\r\n");
        gateway_test_expect("Cache-Status: larder; hit; ttl=604");
        gateway_test_expect("; detail=semantic\r\n");
        gateway_test_expect("\r\nAge: ");
        gateway_test_expect("Content-Type: application/json\r\n");
        assert_int_equal(field_number("x-larder-entry"), id);
        expect_hit(ask(KEY, "preset", "how can I reset it", ",\"stream\":true"), "press the button",
                   "data: [DONE]\n\n");
        gateway_test_expect("Content-Type: text/event-stream");
        gateway_test_expect_not("\"usage\":{");
    }
    assert_int_equal(lookup.calls, 5);
    assert_string_equal(lookup.text, "how can I reset it");
    assert_false(lookup.asked.shared);
    assert_false(lookup.asked.strict);
    lookup.calls = 0; /* the same words are exact: nothing is looked up */
    int fd = ask(KEY, "preset", "how do I reset it", "");
    gateway_test_hear(fd, "\"total_tokens\":2}}");
    gateway_test_expect("x-larder-hit: exact\r\n");
    assert_int_equal(lookup.calls, 0);
    gateway_test_leave(fd);
}

static void test_below_the_threshold_and_vetoed(void **state)
{
    (void)state;
    uint64_t id = store(KEY, "preset", "below", "stored answer");
    find_next(id, 0.9299F, 0);
    expect_miss(ask(KEY, "preset", "below one", ""), "fresh one");
    find_next(id, 0.99F, 1 << GUARD_NEG);
    expect_miss(ask(KEY, "preset", "below two", ""), "fresh two");
    find_next(id, 0.93F, 0);
    expect_hit(ask(KEY, "preset", "below three", ""), "stored answer", "\"total_tokens\":2}}");
    uint64_t strict = store(KEY, "strict", "below", "stored answer");
    find_next(strict, 0.94F, 0);
    expect_miss(ask(KEY, "strict", "below four", ""), "fresh four");
    assert_true(lookup.asked.strict);
    find_next(strict, 0.95F, 0);
    expect_hit(ask(KEY, "strict", "below five", ""), "stored answer", "\"total_tokens\":2}}");
}

static void test_a_client_can_only_tighten(void **state)
{
    (void)state;
    uint64_t id = store(KEY, "preset", "wishes", "stored wish");
    find_next(id, 0.95F, 0);
    expect_hit(ask(KEY "x-larder-similarity-min: 0.95\r\n", "preset", "wishes 0", ""), "stored wish", "tokens\":2}}");
    expect_hit(ask(KEY "x-larder-similarity-min: 0.5\r\n", "preset", "wishes 0", ""), "stored wish", "tokens\":2}}");
    expect_miss(ask(KEY "x-larder-similarity-min: 0.96\r\n", "preset", "wishes 1", ""), "fresh 1");
    expect_miss(ask(KEY "x-larder-similarity-min: much\r\n", "preset", "wishes 2", ""), "fresh 2");
    find_next(id, 0.90F, 0);
    expect_miss(ask(KEY "x-larder-similarity-min: 0.1\r\n", "preset", "wishes 3", ""), "fresh 3");
}

/* Each row is a request that must not be looked up, and the reason that is counted for it. */
struct never {
    const char *fields, *model, *messages, *more;
    enum semantic_skip skip;
};

#define USER "{\"role\":\"user\",\"content\":\"may I\"}"
#define TOOL ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}]"

static const struct never nevers[] = {
    {KEY, "off", USER, "", SKIP_ROUTE},
    {KEY, "preset", USER, TOOL, SKIP_TOOLS},
    {KEY, "preset",
     USER ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{"
          "\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"5\"}",
     "", SKIP_TOOLS},
    {KEY, "preset",
     "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"what is "
     "it\"},{\"type\":\"image_url\",\"image_url\":{"
     "\"url\":\"data:,\"}}]}",
     "", SKIP_MEDIA},
    {KEY, "preset",
     "{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"\",\"format\":\"wav\"}}]}",
     "", SKIP_MEDIA},
    {KEY, "preset", USER, ",\"n\":2", SKIP_MANY},
    {KEY, "preset", USER,
     ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a\",\"schema\":{}}}", SKIP_SCHEMA},
    {KEY, "preset", USER, ",\"response_format\":{\"type\":\"json_object\"}", SKIP_SCHEMA},
    {KEY, "preset", USER ",{\"role\":\"assistant\",\"content\":\"yes\"},{\"role\":\"user\",\"content\":\"and then\"}",
     "", SKIP_HISTORY},
    {KEY, "preset", "{\"role\":\"system\",\"content\":\"only this\"}", "", SKIP_EMPTY},
    {KEY "x-larder-cache: no-cache\r\n", "preset", USER, ",\"seed\":1", SKIP_WISH},
    {KEY "Cache-Control: no-cache\r\n", "preset", USER, ",\"seed\":2", SKIP_WISH},
    {KEY "Cache-Control: no-store\r\n", "preset", USER, ",\"seed\":3", SKIP_BYPASS},
    {KEY "x-larder-cache: no-store\r\n", "preset", USER, ",\"seed\":4", SKIP_BYPASS},
    {KEY, "preset", USER, ",\"seed\":5,\"seed\":6", SKIP_BYPASS},
    {KEY, "preset", USER, ",\"store\":true", SKIP_BYPASS},
    {KEY, "fresh", USER, ",\"temperature\":0.7", SKIP_SAMPLED},
};

static void test_what_is_never_looked_up(void **state)
{
    static char body[8192];
    (void)state;
    uint64_t id = store(KEY, "preset", "never stored", "never served");
    for (unsigned i = 0; i < sizeof nevers / sizeof nevers[0]; i++) {
        const struct never *n = &nevers[i];
        uint64_t before = semantic_skipped(n->skip);
        find_next(id, 1.0F, 0);
        lookup.calls = 0;
        snprintf(body, sizeof body, "{\"model\":\"%s\",\"messages\":[%s]%s}", n->model, n->messages, n->more);
        int fd = send_body(n->fields, body), up = gateway_test_call();
        gateway_test_answer(up, gateway_test_object("asked upstream"));
        gateway_test_hear(fd, "\"total_tokens\":2}}");
        gateway_test_expect("asked upstream");
        gateway_test_leave(fd);
        close(up);
        if (lookup.calls != 0 || semantic_skipped(n->skip) != before + 1)
            fail_msg("row %u: %u lookups, %s counted %lu times", i, lookup.calls, semantic_skip_name(n->skip),
                     (unsigned long)(semantic_skipped(n->skip) - before));
    }
}

static void test_text_that_was_cut_is_never_looked_up(void **state)
{
    static char question[ENTRY_QUERY_MAX + 2];
    (void)state;
    uint64_t id = store(KEY, "preset", "short", "of the short one"), before = semantic_skipped(SKIP_LONG);
    memset(question, 'x', ENTRY_QUERY_MAX + 1);
    find_next(id, 1.0F, 0);
    expect_miss(ask(KEY, "preset", question, ""), "fresh");
    assert_int_equal(lookup.calls, 1); /* of the store above */
    assert_int_equal(semantic_skipped(SKIP_LONG), before + 1);
    question[ENTRY_QUERY_MAX] = 0;
    expect_hit(ask(KEY, "preset", question, ""), "of the short one", "\"total_tokens\":2}}");
}

static void test_a_route_may_opt_in(void **state)
{
    (void)state;
    const char *follow_up = "{\"model\":\"open\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"},{\"role\":"
                            "\"assistant\",\"content\":\"yes\"},{\"role\":\"user\",\"content\":\"and then\"}]}";
    char body[400];
    uint64_t id = store(KEY, "open", "opt in", "opted in");
    find_next(id, 0.99F, 0);
    expect_hit(ask(KEY, "open", "opting in", ",\"response_format\":{\"type\":\"json_object\"}"), "opted in", "s\":2}}");
    snprintf(body, sizeof body, follow_up, "may I");
    expect_hit(send_body(KEY, body), "opted in", "\"total_tokens\":2}}");
    assert_string_equal(lookup.text, "and then");
    uint64_t space = lookup.asked.space;
    snprintf(body, sizeof body, follow_up, "may we"); /* another history is another namespace */
    expect_hit(send_body(KEY, body), "opted in", "\"total_tokens\":2}}");
    assert_true(lookup.asked.space != space);
}

static uint64_t space_of(const char *fields, const char *body)
{
    static uint64_t none;
    lookup.asked.space = 0;
    int fd = send_body(fields, body);
    gateway_test_hear(fd, "\r\n\r\n");
    gateway_test_leave(fd);
    gateway_test_settle();
    return lookup.asked.space ? lookup.asked.space : ++none; /* not looked up: in nobody's */
}

#define BODY(model, system, content, more)                                                                        \
    "{\"model\":\"" model "\",\"messages\":[{\"role\":\"system\",\"content\":\"" system "\"},{\"role\":\"user\"," \
    "\"content\":" content "}]" more "}"
#define ONLY "Cache-Control: only-if-cached\r\n"

/* Everything but the query's text is in the namespace; the text is not. */
static void test_what_a_namespace_is(void **state)
{
    static const struct {
        const char *fields, *body;
    } others[] = {
        {OTHER_KEY ONLY, BODY("preset", "be kind", "\"one\"", "")},
        {KEY ONLY "x-larder-namespace: b\r\n", BODY("preset", "be kind", "\"one\"", "")},
        {KEY ONLY "OpenAI-Organization: o\r\n", BODY("preset", "be kind", "\"one\"", "")},
        {KEY ONLY, BODY("preset-2", "be kind", "\"one\"", "")},
        {KEY ONLY, BODY("preset", "be brief", "\"one\"", "")},
        {KEY ONLY, BODY("preset", "be kind", "\"one\"", ",\"temperature\":0")},
        {KEY ONLY, BODY("preset", "be kind", "\"one\"", ",\"unknown\":{\"a\":1}")},
        {KEY ONLY, BODY("preset", "be kind", "[{\"type\":\"text\",\"text\":\"one\"}]", "")},
        {KEY ONLY, BODY("preset", "be kind", "[{\"type\":\"text\",\"text\":\"one\",\"odd\":\"x\"}]", "")},
        {KEY ONLY, BODY("preset", "be kind", "[{\"type\":\"text\",\"text\":\"one\"},\"x\"]", "")},
        {KEY ONLY,
         BODY("preset", "be kind", "[{\"type\":\"text\",\"text\":\"one\"},{\"type\":\"text\",\"text\":[\"x\"]}]", "")},
        {KEY ONLY,
         BODY("preset", "be kind", "[{\"type\":\"text\",\"text\":\"one\",\"content\":[{\"text\":\"x\"}]}]", "")},
        {KEY ONLY,
         BODY("preset", "be kind", "[{\"type\":\"text\",\"text\":\"one\",\"content\":[{\"text\":\"y\"}]}]", "")},
        {KEY ONLY,
         BODY("preset", "be kind", "[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]", "")},
        {KEY ONLY, "{\"model\":\"preset\",\"messages\":[{\"role\":\"user\",\"content\":\"one\"}]}"},
        {KEY ONLY, "{\"model\":\"preset\",\"messages\":[{\"role\":\"user\",\"content\":\"one\"},{\"role\":\"system\","
                   "\"content\":\"be kind\"}]}"},
        {KEY ONLY,
         "{\"model\":\"preset\",\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},{\"role\":\"user\","
         "\"content\":\"zero\"},{\"role\":\"user\",\"content\":\"one\"}]}"},
        {KEY ONLY,
         "{\"model\":\"preset\",\"messages\":[{\"role\":\"system\",\"content\":\"be kind\"},{\"role\":\"user\","
         "\"content\":\"one\",\"name\":\"bob\"}]}"},
    };
    enum { COUNT = sizeof others / sizeof others[0] };
    uint64_t spaces[COUNT + 1];
    (void)state;
    spaces[COUNT] = space_of(KEY ONLY, BODY("preset", "be kind", "\"one\"", ""));
    for (unsigned i = 0; i < COUNT; i++) spaces[i] = space_of(others[i].fields, others[i].body);
    assert_true(spaces[COUNT] > COUNT);
    for (unsigned i = 0; i <= COUNT; i++)
        for (unsigned k = 0; k < i; k++)
            if (spaces[i] == spaces[k]) fail_msg("rows %u and %u share a namespace", k, i);
    assert_true(space_of(KEY ONLY, BODY("preset", "be kind", "\"two\"", "")) == spaces[COUNT]);
    assert_true(space_of(KEY ONLY, BODY("preset", "be kind", "\"one\"", ",\"stream\":true")) == spaces[COUNT]);
    assert_true(space_of(KEY ONLY, BODY("preset", "be kind", "\"one\"", ",\"user\":\"u\"")) == spaces[COUNT]);
    assert_true(space_of(KEY ONLY, BODY("preset", "be kind", "[{\"type\":\"text\",\"text\":\"two\"}]", "")) ==
                spaces[7]);
}

static void test_only_if_cached_is_answered(void **state)
{
    (void)state;
    uint64_t id = store(KEY, "preset", "cached only", "from the box");
    find_next(id, 0.97F, 0);
    expect_hit(ask(KEY ONLY, "preset", "only cached", ""), "from the box", "\"total_tokens\":2}}");
    find_next(id, 0.5F, 0);
    int fd = ask(KEY ONLY, "preset", "nothing like it", "");
    gateway_test_hear(fd, "only-if-cached forbids");
    gateway_test_expect("HTTP/1.1 504 ");
    gateway_test_leave(fd);
}

/* Were the lookup wrong about whose an entry is, nothing would come of it. */
static void test_no_foreign_entry_is_served(void **state)
{
    (void)state;
    uint64_t id = store(OTHER_KEY, "preset", "private", "of another tenant");
    find_next(id, 1.0F, 0);
    expect_miss(ask(KEY, "preset", "private too", ""), "own answer");
    find_next(987654321, 1.0F, 0); /* an entry that left */
    expect_miss(ask(KEY, "preset", "private three", ""), "own answer");
}

static void test_a_shared_route(void **state)
{
    (void)state;
    struct virtual_key ann = virtual_key("ann"), bob = virtual_key("bob");
    uint64_t id = store(ann.fields, "shared", "for all", "shared answer"), space = lookup.asked.space;
    find_next(id, 0.96F, 0);
    expect_hit(ask(bob.fields, "shared", "for everyone", ""), "shared answer", "\"total_tokens\":2}}");
    assert_true(lookup.asked.shared);
    assert_true(lookup.asked.space == space);
}

/* Later than the next probe. */
static void upstream_back(void)
{
    struct timespec pause = {0, 30000000};
    gateway_test_upstream_up();
    nanosleep(&pause, NULL);
}

/* The first answer proves the credential: what it was asked as stays, what it asks next is shared. */
static void test_a_tenant_is_proven_meanwhile(void **state)
{
    static const char fields[] = "Authorization: Bearer sk-unproven\r\n";
    (void)state;
    (void)store(fields, "common", "before the proof", "own answer");
    assert_false(lookup.asked.shared);
    uint64_t space = lookup.asked.space;
    (void)store(fields, "common", "after the proof", "shared answer");
    assert_true(lookup.asked.shared);
    assert_true(lookup.asked.space != space);
}

struct negation {
    uint64_t entry;
    const uint8_t *tenant;
    int rc;
};

static void negate(void *arg)
{
    struct negation *n = arg;
    n->rc = negative_add(n->entry, 0, n->tenant, NEGATIVE_ALWAYS);
}

static void test_past_its_time(void **state)
{
    (void)state;
    uint64_t id = store(KEY, "brief", "for a moment", "gone soon");
    struct timespec second = {1, 100000000};
    nanosleep(&second, NULL);
    find_next(id, 0.99F, 0);
    expect_miss(ask(KEY, "brief", "for another moment", ""), "fresh again");
    gateway_test_upstream_down();
    expect_hit(ask(KEY, "brief", "for a third moment", ""), "gone soon", "\"total_tokens\":2}}");
    gateway_test_expect("ttl=-1; detail=semantic-offline\r\n");
    upstream_back();
}

/* What is past its time, or was reported, does not hide the next one that is near enough. */
static void test_the_next_best(void **state)
{
    static const uint8_t nobody[ENTRY_TENANT_SIZE];
    (void)state;
    uint64_t old = store(KEY, "preset", "old one", "old answer");
    struct timespec second = {1, 100000000};
    nanosleep(&second, NULL);
    uint64_t fresh = store(KEY, "preset", "fresh one", "fresh answer");
    find_next(old, 0.99F, 0);
    find_after(0, fresh, 0.94F, 0);
    expect_hit(ask(KEY "Cache-Control: max-age=0\r\n", "preset", "which one", ""), "fresh answer", "s\":2}}");
    assert_int_equal(field_number("x-larder-entry"), fresh);
    gateway_test_expect("x-larder-similarity: 0.9400\r\n");
    assert_int_equal(lookup.next_calls, 1);
    expect_hit(ask(KEY, "preset", "which of them", ""), "old answer", "s\":2}}"); /* the best, where it may answer */
    assert_int_equal(lookup.next_calls, 1);
    struct negation n = {old, nobody, RC_EXISTS};
    gateway_test_fiber(negate, &n);
    assert_int_equal(n.rc, RC_OK);
    expect_hit(ask(KEY, "preset", "which is it", ""), "fresh answer", "s\":2}}");
    assert_int_equal(lookup.next_calls, 2);
}

static void test_where_the_next_best_ends(void **state)
{
    (void)state;
    uint64_t old = store(KEY, "brief", "past", "past answer");
    struct timespec second = {1, 100000000};
    nanosleep(&second, NULL);
    uint64_t fresh = store(KEY, "preset", "present", "present answer");
    find_next(old, 0.99F, 0);
    find_after(0, fresh, 0.92F, 0); /* below the threshold */
    expect_miss(ask(KEY, "brief", "past one", ""), "asked one");
    assert_int_equal(lookup.next_calls, 1);
    find_after(0, fresh, 0.98F, 1u << GUARD_NUM);
    find_after(1, fresh, 0.97F, 0); /* behind a veto */
    find_next(old, 0.99F, 0);
    expect_miss(ask(KEY, "brief", "past two", ""), "asked two");
    assert_int_equal(lookup.next_calls, 2);
    for (unsigned i = 0; i < SEMANTIC_NEXT_MAX; i++) find_after(i, old, 0.98F, 0);
    expect_miss(ask(KEY, "brief", "past three", ""), "asked three");
    assert_int_equal(lookup.next_calls, 2 + SEMANTIC_NEXT_MAX + 1);
    find_next(old, 0.99F, 1u << GUARD_NUM); /* a veto on the best */
    expect_miss(ask(KEY, "brief", "past four", ""), "asked four");
    find_next(old, 0.92F, 0);
    expect_miss(ask(KEY, "brief", "past five", ""), "asked five");
    assert_int_equal(lookup.next_calls, 2 + SEMANTIC_NEXT_MAX + 1);
    find_next(old, 0.99F, 0);
    find_after(0, fresh, 0.92F, 0);
    gateway_test_upstream_down(); /* the first still stands in */
    expect_hit(ask(KEY, "brief", "past six", ""), "past answer", "\"total_tokens\":2}}");
    upstream_back();
}

static void test_max_age_holds_for_other_words_too(void **state)
{
    (void)state;
    uint64_t id = store(KEY, "preset", "aging", "aged answer");
    struct timespec second = {1, 100000000};
    nanosleep(&second, NULL);
    find_next(id, 0.99F, 0);
    expect_miss(ask(KEY "Cache-Control: max-age=0\r\n", "preset", "how old", ""), "new answer");
    expect_hit(ask(KEY "Cache-Control: max-age=60\r\n", "preset", "how old is it", ""), "aged answer", "s\":2}}");
}

static void test_offline_may_be_looser(void **state)
{
    (void)state;
    uint64_t id = store(KEY, "away", "line is up", "known answer"),
             strict = store(KEY, "preset", "up", "strict answer");
    find_next(id, 0.86F, 0);
    expect_miss(ask(KEY, "away", "line may be up", ""), "asked while online");
    gateway_test_upstream_down();
    expect_hit(ask(KEY, "away", "is the line down", ""), "known answer", "\"total_tokens\":2}}");
    gateway_test_expect("; detail=semantic-offline\r\n");
    gateway_test_expect("x-larder-similarity: 0.8600\r\n");
    assert_int_equal(field_number("x-larder-entry"), id);
    expect_hit(ask(KEY, "away", "is the line down", ",\"stream\":true"), "known answer", "data: [DONE]\n\n");
    static const struct {
        const char *fields, *model;
        float score;
        uint32_t vetoes;
    } refused[] = {{KEY, "away", 0.84F, 0},
                   {KEY, "away", 0.99F, 1 << GUARD_NUM},
                   {KEY "x-larder-similarity-min: 0.9\r\n", "away", 0.86F, 0},
                   {KEY, "preset", 0.86F, 0}};
    for (unsigned i = 0; i < 4; i++) {
        find_next(i == 3 ? strict : id, refused[i].score, refused[i].vetoes);
        int fd = ask(refused[i].fields, refused[i].model, "anything else", "");
        gateway_test_hear(fd, "x-should-retry: false\r\n");
        gateway_test_expect("HTTP/1.1 503 ");
        gateway_test_leave(fd);
    }
    upstream_back();
}

static void test_a_lookup_that_cannot_be_made(void **state)
{
    static const struct {
        int rc;
        enum semantic_skip skip;
    } rows[] = {{RC_FULL, SKIP_BUSY},      {RC_AGAIN, SKIP_NOT_READY}, {RC_EMPTY, SKIP_EMBEDDER},
                {RC_TOO_LARGE, SKIP_LONG}, {RC_TIMEOUT, SKIP_TIMEOUT}, {RC_CORRUPT, SKIP_FAILED}};
    char question[40];
    (void)state;
    uint64_t id = store(KEY, "preset", "cannot", "stored");
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t before = semantic_skipped(rows[i].skip);
        find_next(id, 1.0F, 0);
        lookup.rc = rows[i].rc;
        snprintf(question, sizeof question, "cannot %u", i);
        expect_miss(ask(KEY, "preset", question, ""), "fresh");
        assert_int_equal(semantic_skipped(rows[i].skip), before + 1);
        lookup.rc = RC_OK;
    }
}

/* Both wait for their lookup; the second joins the first one's call all the same. */
static void test_equal_requests_at_once_are_one_call(void **state)
{
    (void)state;
    lookup.waits = true;
    int first = ask(KEY, "preset", "at once", ""), second = ask(KEY, "preset", "at once", "");
    int up = gateway_test_call();
    assert_int_equal(lookup.calls, 2);
    gateway_test_settle();
    gateway_test_settle();
    assert_false(gateway_test_is_called());
    gateway_test_answer(up, gateway_test_object("one for both"));
    gateway_test_hear(first, "\"total_tokens\":2}}");
    gateway_test_expect("x-larder-hit: none\r\n");
    gateway_test_hear(second, "\"total_tokens\":2}}");
    gateway_test_expect("x-larder-hit: coalesced\r\n");
    gateway_test_leave(first);
    gateway_test_leave(second);
    close(up);
}

static void test_too_many_lookups_are_skipped(void **state)
{
    enum { ASKERS = 14 };
    int fds[ASKERS];
    char question[40];
    (void)state;
    assert_true((int)SEMANTIC_LOOKUPS_MAX > (int)ASKERS); /* the bound itself is above what this box takes */
    lookup.waits = true;
    for (unsigned i = 0; i < ASKERS; i++) {
        snprintf(question, sizeof question, "many %u", i);
        fds[i] = ask(KEY ONLY, "preset", question, "");
    }
    for (unsigned i = 0; i < ASKERS; i++) {
        gateway_test_hear(fds[i], "only-if-cached forbids");
        gateway_test_leave(fds[i]);
    }
    assert_int_equal(lookup.calls, ASKERS);
}

static void test_tool_calls_are_never_served(void **state)
{
    static const char calls[] =
        "{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,"
        "\"message\":{"
        "\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"t\",\"type\":\"function\",\"function\":{"
        "\"name\":"
        "\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":1,"
        "\"completion_tokens\":1,\"total_tokens\":2}}";
    char reply[900];
    (void)state;
    snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
             sizeof calls - 1, calls);
    int fd = ask(KEY, "preset", "call a tool", ""), up = gateway_test_call();
    gateway_test_answer(up, reply);
    gateway_test_hear(fd, "\"total_tokens\":2}}");
    uint64_t id = field_number("x-larder-entry");
    gateway_test_leave(fd);
    close(up);
    find_next(id, 1.0F, 0);
    expect_miss(ask(KEY, "preset", "call the tool", ""), "said in words");
}

static void test_a_rejected_credential(void **state)
{
    (void)state;
    uint64_t id = store("Authorization: Bearer sk-bad\r\n", "preset", "rejected", "not for you any more");
    int fd = ask("Authorization: Bearer sk-bad\r\n", "preset", "something else", ""), up = gateway_test_call();
    gateway_test_answer(up, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}");
    gateway_test_hear(fd, "\r\n\r\n{}");
    gateway_test_leave(fd);
    close(up);
    find_next(id, 1.0F, 0);
    lookup.calls = 0;
    fd = ask("Authorization: Bearer sk-bad\r\n", "preset", "rejected too", "");
    up = gateway_test_call();
    gateway_test_answer(up, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}");
    gateway_test_hear(fd, "\r\n\r\n{}");
    gateway_test_expect("HTTP/1.1 401 ");
    assert_int_equal(lookup.calls, 0);
    gateway_test_leave(fd);
    close(up);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_a_hit_in_both_forms),
        T(test_below_the_threshold_and_vetoed),
        T(test_a_client_can_only_tighten),
        T(test_what_is_never_looked_up),
        T(test_text_that_was_cut_is_never_looked_up),
        T(test_a_route_may_opt_in),
        T(test_what_a_namespace_is),
        T(test_only_if_cached_is_answered),
        T(test_no_foreign_entry_is_served),
        T(test_a_shared_route),
        T(test_a_tenant_is_proven_meanwhile),
        T(test_past_its_time),
        T(test_the_next_best),
        T(test_where_the_next_best_ends),
        T(test_max_age_holds_for_other_words_too),
        T(test_offline_may_be_looser),
        T(test_a_lookup_that_cannot_be_made),
        T(test_equal_requests_at_once_are_one_call),
        T(test_too_many_lookups_are_skipped),
        T(test_tool_calls_are_never_served),
        T(test_a_rejected_credential),
    };
    return cmocka_run_group_tests_name("semantic step", tests, start, stop);
}
