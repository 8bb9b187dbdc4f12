/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/tenants.c — see tenants.h. */
#include "app/gateway/tenants.h"

#include <stdio.h>

#include "app/gateway/limits.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/offload.h"

enum { HASH_SIZE = 16, LINE_MAX_SIZE = 240, FILE_MAX = TENANTS_MAX * LINE_MAX_SIZE, SEEN_MAX = 4 };

struct row {
    char name[TENANT_NAME_MAX + 1]; /* empty: free */
    uint8_t id[ENTRY_TENANT_SIZE];
    uint8_t hash[HASH_SIZE]; /* of its key under the box secret */
    uint64_t created_s;
    bool revoked;
    uint64_t expires_s;          /* 0: never */
    uint8_t old_hash[HASH_SIZE]; /* of the key before this one, taken … */
    uint64_t old_until_s;        /* … until then; 0: no longer */
    uint64_t seen[SEEN_MAX];     /* RAM only: addresses from which its key came, newest first */
};

static struct row rows[TENANTS_MAX];
static unsigned row_count;
static char tenants_path[FILE_PATH_MAX];
static char file_text[FILE_MAX];
static bool saving;

enum { KEY_WRONG, KEY_WAITS, KEY_OUTCOMES };
static struct metric wrong_keys[KEY_OUTCOMES] = {
    {.name = "larder_wrong_keys_total",
     .labels = "outcome=\"refused\"",
     .help = "Unknown, expired or revoked virtual keys, and keys not looked at after too many of those",
     .kind = METRIC_COUNTER},
    {.name = "larder_wrong_keys_total", .labels = "outcome=\"waits\"", .kind = METRIC_COUNTER},
};

enum purpose { VIRTUAL_KEY, PASSTHROUGH, SEMANTIC_SPACE, PURPOSES };
static unsigned char purpose_keys[PURPOSES][SHA256_SIZE];

static void derive_keys(void)
{
    static const struct span purposes[] = {SPAN_ROW("larder virtual key"), SPAN_ROW("larder passthrough tenant"),
                                           SPAN_ROW("larder semantic space")};
    for (unsigned i = 0; i < PURPOSES; i++)
        hmac_sha256(gateway.box_secret, sizeof gateway.box_secret, purposes[i].data, purposes[i].size, purpose_keys[i]);
    memcpy(&gateway.space_key, purpose_keys[SEMANTIC_SPACE], sizeof gateway.space_key);
}

static void keyed(enum purpose purpose, struct span secret, uint8_t out[HASH_SIZE])
{
    unsigned char mac[SHA256_SIZE];
    hmac_sha256(purpose_keys[purpose], SHA256_SIZE, secret.data, secret.size, mac);
    memcpy(out, mac, HASH_SIZE);
}

/* '-', or nothing in a file of an older Larder: none. */
static int read_number(struct span word, uint64_t *value)
{
    *value = 0;
    return word.size == 0 || span_equal(word, SPAN("-")) ? RC_OK : span_to_u64(word, UINT32_MAX, value);
}

static int read_row(struct span line)
{
    struct span word[8];
    struct row row = {0};
    for (unsigned i = 0; i < 8; i++) line = span_cut(line, ' ', &word[i]);
    if (word[0].size == 0 || word[0].size > TENANT_NAME_MAX || row_count == TENANTS_MAX) return RC_INVALID;
    memcpy(row.name, word[0].data, word[0].size);
    if (hex_decode(word[1], row.id, sizeof row.id) != RC_OK ||
        hex_decode(word[2], row.hash, sizeof row.hash) != RC_OK ||
        span_to_u64(word[3], UINT32_MAX, &row.created_s) != RC_OK || read_number(word[5], &row.expires_s) != RC_OK ||
        read_number(word[7], &row.old_until_s) != RC_OK)
        return RC_INVALID;
    if (row.old_until_s && hex_decode(word[6], row.old_hash, sizeof row.old_hash) != RC_OK) return RC_INVALID;
    row.revoked = span_equal(word[4], SPAN("revoked"));
    rows[row_count++] = row;
    return RC_OK;
}

static int read_tenants(char *message, size_t message_size)
{
    size_t size;
    int rc = file_read(tenants_path, file_text, sizeof file_text, &size);
    if (rc == RC_NOT_FOUND) return RC_OK;
    struct span rest = span_of(file_text, size);
    for (unsigned number = 1; rc == RC_OK && rest.size; number++) {
        struct span line;
        rest = span_cut(rest, '\n', &line);
        if (line.size && line.data[0] != '#' && read_row(line) != RC_OK) {
            snprintf(message, message_size, "%s line %u is not a tenant: restore the file or remove the line",
                     tenants_path, number);
            return RC_INVALID;
        }
    }
    if (rc != RC_OK) snprintf(message, message_size, "cannot read %s: %s", tenants_path, rc_name(rc));
    return rc;
}

static int read_secret(const char *path, char *message, size_t message_size)
{
    size_t size;
    int rc = file_read(path, gateway.box_secret, sizeof gateway.box_secret, &size);
    if (rc == RC_OK && size == sizeof gateway.box_secret) return RC_OK;
    if (rc != RC_NOT_FOUND) {
        snprintf(message, message_size, "%s should hold %zu bytes: restore it, or remove it to start with new tenants",
                 path, sizeof gateway.box_secret);
        return RC_INVALID;
    }
    crypto_random(gateway.box_secret, sizeof gateway.box_secret);
    rc = file_replace(path, gateway.box_secret, sizeof gateway.box_secret, 0600);
    if (rc == RC_OK || rc == RC_READ_ONLY || rc == RC_NO_SPACE || rc == RC_DENIED) {
        if (rc != RC_OK)
            log_warn("gateway", "cannot keep the box secret in %s (%s): tenants start anew at the next boot", path,
                     rc_name(rc));
        return RC_OK;
    }
    snprintf(message, message_size, "cannot write %s: %s", path, rc_name(rc));
    return rc;
}

int tenants_reserve(void)
{
    for (unsigned i = 0; i < KEY_OUTCOMES; i++) metric_register(&wrong_keys[i]);
    return tenants_proofs_reserve();
}

int tenants_open(const char *data_folder, char *message, size_t message_size)
{
    char folder[FILE_PATH_MAX], secret[FILE_PATH_MAX];
    if (file_join(folder, data_folder, "keys") != RC_OK || file_join(secret, folder, "box") != RC_OK ||
        file_join(tenants_path, folder, "tenants") != RC_OK) {
        snprintf(message, message_size, "the path of `data` is too long");
        return RC_TOO_LARGE;
    }
    (void)file_make_folder(folder, 0700);
    int rc = read_secret(secret, message, message_size);
    derive_keys();
    if (rc == RC_OK) rc = read_tenants(message, message_size);
    return rc == RC_OK ? tenants_proofs_open(data_folder, message, message_size) : rc;
}

static uint64_t now_s(void)
{
    return clock_wall_us() / CLOCK_SECOND;
}

static bool has_ended(const struct row *row)
{
    return row->revoked || (row->expires_s && now_s() >= row->expires_s);
}

/* Goes over all rows whatever matches, so that time tells nothing about which. *expires_s: of this key. */
static struct row *find_key(struct span key, uint64_t *expires_s)
{
    uint8_t hash[HASH_SIZE];
    struct row *found = NULL;
    uint64_t now = now_s();
    keyed(VIRTUAL_KEY, key, hash);
    for (unsigned i = 0; i < row_count; i++) {
        bool is_new = crypto_equal(rows[i].hash, hash, HASH_SIZE);
        bool is_old = crypto_equal(rows[i].old_hash, hash, HASH_SIZE) && now < rows[i].old_until_s;
        if (!(is_new | is_old) || has_ended(&rows[i])) continue;
        found = &rows[i];
        *expires_s = is_new ? rows[i].expires_s : rows[i].old_until_s;
        if (rows[i].expires_s && rows[i].expires_s < *expires_s) *expires_s = rows[i].expires_s;
    }
    return found;
}

static struct tenant_address address_of(const struct request *r)
{
    return tenant_address_of(r->x ? exchange_address(r->x) : (struct span){0});
}

static bool was_seen(const struct row *row, struct tenant_address address)
{
    for (unsigned i = 0; i < SEEN_MAX; i++)
        if (row->seen[i] == address.prefix) return true;
    return false;
}

static void see(struct row *row, struct tenant_address address)
{
    if (was_seen(row, address)) return;
    memmove(row->seen + 1, row->seen, sizeof row->seen - sizeof row->seen[0]);
    row->seen[0] = address.prefix;
}

/* While an address has to wait, a right key is refused like a wrong one, or the reply would tell them apart. Clients whose
 * key came from there before go on: a neighbour behind the same proxy cannot lock them out. */
static int identify_virtual(struct request *r)
{
    struct tenant_address address = address_of(r);
    uint64_t expires_s = 0, now_us = clock_monotonic_us();
    struct row *row = find_key(r->credential, &expires_s);
    bool waits = tenant_guess_wait_us(address, now_us) > 0;
    if (waits && !(row && was_seen(row, address))) {
        metric_add(&wrong_keys[KEY_WAITS], 1);
        return RC_AGAIN;
    }
    if (!row) {
        metric_add(&wrong_keys[KEY_WRONG], 1);
        tenant_guess_wrong(address, now_us);
        return RC_DENIED;
    }
    if (address.prefix) see(row, address);
    r->tenant = (struct tenant){.kind = TENANT_VIRTUAL, .expires_s = (uint32_t)expires_s};
    memcpy(r->tenant.id, row->id, sizeof r->tenant.id);
    limits_find_rules(r, span_text(row->name));
    return RC_OK;
}

unsigned tenant_guess_wait_s(const struct request *r)
{
    uint64_t wait_us = tenant_guess_wait_us(address_of(r), clock_monotonic_us());
    return (unsigned)((wait_us + CLOCK_SECOND - 1) / CLOCK_SECOND);
}

int tenant_identify(struct request *r)
{
    memset(&r->tenant, 0, sizeof r->tenant);
    r->rules[0] = r->rules[1] = NULL;
    if (r->credential.size == 0) return RC_OK;
    if (span_starts_with(r->credential, SPAN("lk-"))) return identify_virtual(r);
    r->tenant.kind = TENANT_PASSTHROUGH;
    keyed(PASSTHROUGH, r->credential, r->tenant.id);
    return RC_OK;
}

struct save_job {
    size_t size;
    int rc;
};

static void save_run(void *arg)
{
    struct save_job *job = arg;
    job->rc = file_replace(tenants_path, file_text, job->size, 0600);
}

static void put_row(struct text *out, const struct row *row)
{
    text_format(out, "%s ", row->name);
    text_put_hex(out, row->id, sizeof row->id);
    text_put_char(out, ' ');
    text_put_hex(out, row->hash, sizeof row->hash);
    text_format(out, " %llu %s %llu ", (unsigned long long)row->created_s, row->revoked ? "revoked" : "active",
                (unsigned long long)row->expires_s);
    if (row->old_until_s)
        text_put_hex(out, row->old_hash, sizeof row->old_hash);
    else
        text_put_char(out, '-');
    text_format(out, " %llu\n", (unsigned long long)row->old_until_s);
}

static int save(void)
{
    struct text out = text_on(file_text, sizeof file_text);
    text_put_text(&out, "# name, id, hash of the key, created, state, expires, hash of the key before, taken until; "
                        "written by larder\n");
    for (unsigned i = 0; i < row_count; i++) put_row(&out, &rows[i]);
    CHECK(!out.truncated);
    struct save_job job = {.size = out.size};
    int rc = offload(save_run, &job);
    return rc == RC_OK ? job.rc : rc;
}

static struct row *find_name(struct span name)
{
    for (unsigned i = 0; i < row_count; i++)
        if (span_equal(name, span_text(rows[i].name))) return &rows[i];
    return NULL;
}

static bool name_is_fine(struct span name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                    c == '_' || c == '.';
        if (!fine) return false;
    }
    return name.size > 0 && name.size <= TENANT_NAME_MAX;
}

static void make_key(struct row *row, char key[TENANT_KEY_SIZE + 1])
{
    unsigned char random[20];
    crypto_random(random, sizeof random);
    memcpy(key, "lk-", 3);
    hex_encode(random, sizeof random, key + 3);
    key[TENANT_KEY_SIZE] = 0;
    keyed(VIRTUAL_KEY, span_of(key, TENANT_KEY_SIZE), row->hash);
}

/* One change at a time: the file's text is shared, and saving waits. */
static int commit(struct row *row, struct row before, bool added)
{
    saving = true;
    int rc = save();
    saving = false;
    if (rc != RC_OK && added)
        row_count--;
    else if (rc != RC_OK)
        *row = before;
    gateway.epoch++;
    return rc;
}

int tenant_issue(struct span name, const struct tenant_terms *terms, char key[TENANT_KEY_SIZE + 1])
{
    if (!name_is_fine(name)) return RC_INVALID;
    if (saving) return RC_AGAIN;
    if (find_name(name)) return RC_EXISTS;
    if (row_count == TENANTS_MAX) return RC_FULL;
    struct row *row = &rows[row_count++];
    *row = (struct row){.created_s = now_s()};
    if (terms->expires_s) row->expires_s = row->created_s + terms->expires_s;
    memcpy(row->name, name.data, name.size);
    crypto_random(row->id, sizeof row->id);
    make_key(row, key);
    return commit(row, *row, true);
}

int tenant_rotate(struct span name, const struct tenant_terms *terms, char key[TENANT_KEY_SIZE + 1])
{
    struct row *row = find_name(name);
    if (!row) return RC_NOT_FOUND;
    if (saving) return RC_AGAIN;
    struct row before = *row;
    bool grace = terms->grace_s && !has_ended(row);
    memcpy(row->old_hash, row->hash, sizeof row->old_hash);
    row->old_until_s = grace ? now_s() + terms->grace_s : 0;
    if (terms->expires_s)
        row->expires_s = now_s() + terms->expires_s;
    else if (has_ended(row))
        row->expires_s = 0;
    memset(row->seen, 0, sizeof row->seen);
    make_key(row, key);
    row->revoked = false;
    return commit(row, before, false);
}

int tenant_revoke(struct span name)
{
    struct row *row = find_name(name);
    if (!row) return RC_NOT_FOUND;
    if (saving) return RC_AGAIN;
    struct row before = *row;
    row->revoked = true;
    row->old_until_s = 0;
    return commit(row, before, false);
}

int tenant_forget(struct span name)
{
    struct row *row = find_name(name);
    if (!row) return RC_NOT_FOUND;
    if (saving) return RC_AGAIN;
    size_t behind = (size_t)(rows + row_count - (row + 1));
    struct row before = *row;
    memmove(row, row + 1, behind * sizeof *row);
    row_count--;
    saving = true;
    int rc = save();
    saving = false;
    gateway.epoch++;
    if (rc == RC_OK) return rc;
    memmove(row + 1, row, behind * sizeof *row);
    *row = before;
    row_count++;
    return rc;
}

static void view_of(const struct row *row, struct tenant_view *view)
{
    *view = (struct tenant_view){.name = span_text(row->name),
                                 .state = row->revoked     ? "revoked"
                                          : has_ended(row) ? "expired"
                                                           : "active",
                                 .created_s = row->created_s,
                                 .expires_s = row->expires_s,
                                 .tenant = {.kind = TENANT_VIRTUAL}};
    memcpy(view->tenant.id, row->id, sizeof view->tenant.id);
}

bool tenant_at(unsigned index, struct tenant_view *view)
{
    if (index >= row_count) return false;
    view_of(&rows[index], view);
    return true;
}

int tenant_find(struct span name, struct tenant_view *view)
{
    const struct row *row = find_name(name);
    if (!row) return RC_NOT_FOUND;
    view_of(row, view);
    return RC_OK;
}

static const struct row *find_id(const struct tenant *tenant)
{
    for (unsigned i = 0; i < row_count; i++)
        if (memcmp(rows[i].id, tenant->id, sizeof tenant->id) == 0) return &rows[i];
    return NULL;
}

bool tenant_is_live(const struct tenant *tenant)
{
    const struct row *row = tenant->kind == TENANT_VIRTUAL ? find_id(tenant) : NULL;
    return row ? !has_ended(row) : tenant->kind != TENANT_VIRTUAL;
}

void tenant_find_rules(struct request *r)
{
    const struct row *row = r->tenant.kind == TENANT_VIRTUAL ? find_id(&r->tenant) : NULL;
    r->rules[0] = r->rules[1] = NULL;
    if (row) limits_find_rules(r, span_text(row->name));
}
