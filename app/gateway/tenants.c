/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/tenants.c — see tenants.h. */
#include "app/gateway/tenants.h"

#include <stdio.h>

#include "platform/clock.h"
#include "platform/crypto.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/offload.h"

enum { HASH_SIZE = 16, LINE_MAX_SIZE = 160, FILE_MAX = TENANTS_MAX * LINE_MAX_SIZE, PROVEN_MAX = 1024 };

struct row {
    char name[TENANT_NAME_MAX + 1]; /* empty: free */
    uint8_t id[ENTRY_TENANT_SIZE];
    uint8_t hash[HASH_SIZE]; /* of its key under the box secret */
    uint64_t created_s;
    bool revoked;
};

static struct row rows[TENANTS_MAX];
static unsigned row_count;
static uint64_t rejected[TENANTS_REJECTED]; /* ring of tenant ids' first bytes */
static unsigned rejected_count;
static uint64_t proven[PROVEN_MAX];
static char tenants_path[FILE_PATH_MAX];
static char file_text[FILE_MAX];
static bool saving;

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

static uint64_t first_bytes(const struct tenant *tenant)
{
    uint64_t first;
    memcpy(&first, tenant->id, sizeof first);
    return first;
}

static int read_row(struct span line)
{
    struct span word[5];
    struct row row = {0};
    for (unsigned i = 0; i < 5; i++) line = span_cut(line, ' ', &word[i]);
    if (word[0].size == 0 || word[0].size > TENANT_NAME_MAX || row_count == TENANTS_MAX) return RC_INVALID;
    memcpy(row.name, word[0].data, word[0].size);
    if (hex_decode(word[1], row.id, sizeof row.id) != RC_OK ||
        hex_decode(word[2], row.hash, sizeof row.hash) != RC_OK ||
        span_to_u64(word[3], UINT32_MAX, &row.created_s) != RC_OK)
        return RC_INVALID;
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
    return rc == RC_OK ? read_tenants(message, message_size) : rc;
}

/* Goes over all rows whatever matches, so that time tells nothing about which. */
static const struct row *find_key(struct span key)
{
    uint8_t hash[HASH_SIZE];
    const struct row *found = NULL;
    keyed(VIRTUAL_KEY, key, hash);
    for (unsigned i = 0; i < row_count; i++)
        if (crypto_equal(rows[i].hash, hash, HASH_SIZE) && !rows[i].revoked) found = &rows[i];
    return found;
}

int tenant_identify(struct request *r)
{
    memset(&r->tenant, 0, sizeof r->tenant);
    if (r->credential.size == 0) return RC_OK;
    if (span_starts_with(r->credential, SPAN("lk-"))) {
        const struct row *row = find_key(r->credential);
        if (!row) return RC_DENIED;
        r->tenant.kind = TENANT_VIRTUAL;
        memcpy(r->tenant.id, row->id, sizeof r->tenant.id);
        return RC_OK;
    }
    r->tenant.kind = TENANT_PASSTHROUGH;
    keyed(PASSTHROUGH, r->credential, r->tenant.id);
    return RC_OK;
}

void tenant_reject(const struct tenant *tenant)
{
    uint64_t first = first_bytes(tenant);
    if (tenant->kind != TENANT_PASSTHROUGH) return;
    if (proven[first % PROVEN_MAX] == first) proven[first % PROVEN_MAX] = 0;
    if (!tenant_is_rejected(first)) rejected[rejected_count++ % TENANTS_REJECTED] = first;
}

void tenant_accept(const struct tenant *tenant)
{
    uint64_t first = first_bytes(tenant);
    if (tenant->kind != TENANT_PASSTHROUGH) return;
    proven[first % PROVEN_MAX] = first;
    for (unsigned i = 0; i < TENANTS_REJECTED && i < rejected_count; i++)
        if (rejected[i] == first) rejected[i] = 0;
}

bool tenant_is_rejected(uint64_t first)
{
    for (unsigned i = 0; i < TENANTS_REJECTED && i < rejected_count; i++)
        if (rejected[i] == first && first) return true;
    return false;
}

bool tenant_was_rejected(const struct tenant *tenant)
{
    return tenant_is_rejected(first_bytes(tenant));
}

bool tenant_is_proven(const struct tenant *tenant)
{
    uint64_t first = first_bytes(tenant);
    return tenant->kind == TENANT_VIRTUAL ||
           (tenant->kind == TENANT_PASSTHROUGH && proven[first % PROVEN_MAX] == first);
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

static int save(void)
{
    struct text out = text_on(file_text, sizeof file_text);
    text_put_text(&out, "# name, id, hash of the key, created, state; written by larder\n");
    for (unsigned i = 0; i < row_count; i++) {
        text_format(&out, "%s ", rows[i].name);
        text_put_hex(&out, rows[i].id, sizeof rows[i].id);
        text_put_char(&out, ' ');
        text_put_hex(&out, rows[i].hash, sizeof rows[i].hash);
        text_format(&out, " %llu %s\n", (unsigned long long)rows[i].created_s, rows[i].revoked ? "revoked" : "active");
    }
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

int tenant_add(struct span name, char key[TENANT_KEY_SIZE + 1])
{
    if (!name_is_fine(name)) return RC_INVALID;
    if (saving) return RC_AGAIN;
    if (find_name(name)) return RC_EXISTS;
    if (row_count == TENANTS_MAX) return RC_FULL;
    struct row *row = &rows[row_count++];
    *row = (struct row){.created_s = clock_wall_us() / CLOCK_SECOND};
    memcpy(row->name, name.data, name.size);
    crypto_random(row->id, sizeof row->id);
    make_key(row, key);
    return commit(row, *row, true);
}

int tenant_rotate(struct span name, char key[TENANT_KEY_SIZE + 1])
{
    struct row *row = find_name(name);
    if (!row) return RC_NOT_FOUND;
    if (saving) return RC_AGAIN;
    struct row before = *row;
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
    return commit(row, before, false);
}

void tenant_list(struct text *out)
{
    for (unsigned i = 0; i < row_count; i++)
        text_format(out, "%-24s %s\n", rows[i].name, rows[i].revoked ? "revoked" : "active");
    if (row_count == 0) text_put_text(out, "no virtual keys yet: larder ctl tenant add NAME\n");
}

bool tenant_is_live(const struct tenant *tenant)
{
    for (unsigned i = 0; i < row_count; i++)
        if (memcmp(rows[i].id, tenant->id, sizeof tenant->id) == 0) return !rows[i].revoked;
    return tenant->kind != TENANT_VIRTUAL;
}
