/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls_store.c — CA files by a compact index.
 *
 * A bundle of 140 certificates would take 1 MiB when parsed. Here 12 bytes a certificate are kept: a hash of its subject
 * and its place in the file. What a chain asks for is read and handed out as DER.
 * The index is made on the worker that first needs it (2.5 ms for 144 certificates) and again when the file has changed.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mbedtls/asn1.h"
#include "mbedtls/base64.h"
#include "net/tls_private.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum {
    STORES_MAX = TLS_TRUSTS_MAX / 2,
    CERTIFICATES_MAX = 1024,   /* in one file; system bundles hold about 140 */
    PEM_BYTES_MAX = 16 * 1024, /* one certificate */
};

struct place {
    uint32_t subject; /* hash */
    uint32_t offset;  /* of the base64 text */
    uint32_t size;
};

struct tls_store {
    char path[FILE_PATH_MAX]; /* empty: the machine's bundle */
    unsigned users;
    bool loaded;
    struct stat seen; /* of the file as indexed */
    unsigned count, skipped;
    struct place *places; /* CERTIFICATES_MAX */
};

static const char *const system_paths[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

static struct {
    pthread_mutex_t lock; /* the stores' indexes and the two buffers below */
    struct tls_store stores[STORES_MAX];
    unsigned char *pem; /* PEM_BYTES_MAX × 2: a sliding window of a file */
    unsigned char *der; /* PEM_BYTES_MAX */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct metric skipped_total = {
    .name = "larder_upstream_tls_ca_skipped_total",
    .help = "Certificates of CA files that could not be read and were left out.",
};

int tls_store_reserve(void)
{
    void *region = NULL;
    size_t index = CERTIFICATES_MAX * sizeof(struct place);
    int rc = plan_take("tls CA indexes", STORES_MAX, index, PLAN_LAZY, 0, NULL, &region);
    if (rc != RC_OK) return rc;
    for (unsigned i = 0; i < STORES_MAX; i++) all.stores[i].places = (struct place *)((char *)region + i * index);
    rc = plan_take("tls CA reading", 3, PEM_BYTES_MAX, PLAN_LAZY, 0, NULL, &region);
    all.pem = region;
    all.der = all.pem + (rc == RC_OK ? 2 * PEM_BYTES_MAX : 0);
    metric_register(&skipped_total);
    return rc;
}

void tls_store_skipped(void)
{
    metric_add(&skipped_total, 1);
}

/* ---- the index */

static uint32_t hash_byte(uint32_t h, unsigned char c)
{
    return (h ^ c) * UINT32_C(16777619); /* FNV-1a */
}

/* Names that the library compares as equal hash alike: string types differ and ASCII case is folded. */
static uint32_t hash_value(uint32_t h, const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = data[i];
        h = hash_byte(h, c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c);
    }
    return h;
}

/* `name`: DER of a Name, its outer SEQUENCE with header. false when it is not one. */
static bool hash_name(const unsigned char *name, size_t size, uint32_t *hash)
{
    unsigned char *p = (unsigned char *)(uintptr_t)name;
    const unsigned char *end = p + size;
    size_t length = 0;
    uint32_t h = UINT32_C(2166136261);
    if (mbedtls_asn1_get_tag(&p, end, &length, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0) return false;
    end = p + length;
    while (p < end) { /* SET of SEQUENCE {OID, value}: headers of SET and SEQUENCE are stepped into */
        unsigned char tag = *p++;
        if (mbedtls_asn1_get_len(&p, end, &length) != 0) return false;
        if (tag & MBEDTLS_ASN1_CONSTRUCTED) continue;
        h = hash_value(h, p, length);
        p += length;
    }
    *hash = h;
    return true;
}

/* Steps over one element of any tag; *start and *size get it with its header. */
static bool step(unsigned char **p, const unsigned char *end, const unsigned char **start, size_t *size)
{
    size_t length = 0;
    *start = *p;
    if (*p >= end) return false;
    (*p)++;
    if (mbedtls_asn1_get_len(p, end, &length) != 0) return false;
    *p += length;
    *size = (size_t)(*p - *start);
    return true;
}

/* Certificate → TBSCertificate {[0] version?, serial, algorithm, issuer, validity, subject …}: RFC 5280 section 4.1. */
static bool hash_subject(unsigned char *der, size_t size, uint32_t *hash)
{
    unsigned char *p = der;
    const unsigned char *end = der + size, *start = NULL;
    const int sequence = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
    size_t length = 0;
    if (mbedtls_asn1_get_tag(&p, end, &length, sequence) != 0 || p + length != end) return false;
    if (mbedtls_asn1_get_tag(&p, end, &length, sequence) != 0) return false;
    end = p + length;
    unsigned before_subject = 4;
    if (p < end && *p == (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED)) before_subject++;
    for (unsigned i = 0; i <= before_subject; i++) {
        if (!step(&p, end, &start, &length)) return false;
    }
    return hash_name(start, length, hash);
}

static void index_add(struct tls_store *store, size_t offset, const unsigned char *text, size_t size)
{
    size_t der_size = 0;
    uint32_t subject = 0;
    bool good = size < PEM_BYTES_MAX && offset < UINT32_MAX && store->count < CERTIFICATES_MAX &&
                mbedtls_base64_decode(all.der, PEM_BYTES_MAX, &der_size, text, size) == 0 &&
                hash_subject(all.der, der_size, &subject);
    if (good)
        store->places[store->count++] = (struct place){subject, (uint32_t)offset, (uint32_t)size};
    else
        store->skipped++;
}

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----"
#define PEM_END "-----END CERTIFICATE-----"

/* How much of a window without a block to come can be let go: a marker may begin in its last bytes. */
static size_t window_rest(size_t size, size_t done)
{
    size_t marker = sizeof PEM_BEGIN - 1;
    return size > done + marker ? size - marker : done;
}

/* Indexes the whole blocks of the window; returns how many of its bytes are done with. */
static size_t index_window(struct tls_store *store, size_t offset, const unsigned char *window, size_t size, bool last)
{
    size_t done = 0;
    for (;;) {
        const unsigned char *begin = memmem(window + done, size - done, PEM_BEGIN, sizeof PEM_BEGIN - 1);
        if (!begin) return window_rest(size, done);
        size_t text = (size_t)(begin - window) + sizeof PEM_BEGIN - 1;
        const unsigned char *end = memmem(window + text, size - text, PEM_END, sizeof PEM_END - 1);
        if (end) {
            index_add(store, offset + text, window + text, (size_t)(end - window) - text);
            done = (size_t)(end - window) + sizeof PEM_END - 1;
        } else if (last || size - text > PEM_BYTES_MAX) {
            store->skipped++;
            done = text;
        } else {
            return text - (sizeof PEM_BEGIN - 1);
        }
    }
}

static void index_file(struct tls_store *store, int fd)
{
    size_t offset = 0, held = 0;
    for (;;) {
        ssize_t got = read(fd, all.pem + held, 2 * PEM_BYTES_MAX - held);
        if (got < 0) break;
        held += (size_t)got;
        size_t done = index_window(store, offset, all.pem, held, got == 0);
        if (got == 0) break;
        memmove(all.pem, all.pem + done, held - done);
        offset += done;
        held -= done;
    }
}

static int store_open(const struct tls_store *store)
{
    if (store->path[0]) return open(store->path, O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof system_paths / sizeof system_paths[0]; i++) {
        int fd = open(system_paths[i], O_RDONLY | O_CLOEXEC);
        if (fd >= 0) return fd;
    }
    return -1;
}

static const char *store_name(const struct tls_store *store)
{
    return store->path[0] ? store->path : "the system's CA bundle";
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* With the lock held: the file open and the index as the file is now, or -1. */
static int store_refresh(struct tls_store *store)
{
    struct stat now;
    int fd = store_open(store);
    if (fd < 0 || fstat(fd, &now) != 0) {
        store->count = 0;
        store->loaded = false;
        if (fd >= 0) close(fd);
        return -1;
    }
    if (store->loaded && same_file(&store->seen, &now)) return fd;
    store->count = store->skipped = 0;
    index_file(store, fd);
    store->seen = now;
    store->loaded = true;
    metric_add(&skipped_total, store->skipped);
    log_info("tls", "%s: %u certificates, %u left out", store_name(store), store->count, store->skipped);
    return fd;
}

/* As store_refresh, without keeping the file. */
static bool refresh(struct tls_store *store, unsigned *count)
{
    pthread_mutex_lock(&all.lock);
    int fd = store_refresh(store);
    *count = store->count;
    pthread_mutex_unlock(&all.lock);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

unsigned tls_store_refresh(struct tls_store *store)
{
    unsigned count = 0;
    (void)refresh(store, &count);
    return count;
}

/* ---- what a chain asks for */

static size_t place_read(const struct place *place, int fd)
{
    size_t der_size = 0;
    if (pread(fd, all.pem, place->size, (off_t)place->offset) != (ssize_t)place->size) return 0;
    if (mbedtls_base64_decode(all.der, PEM_BYTES_MAX, &der_size, all.pem, place->size) != 0) return 0;
    return der_size;
}

void tls_store_walk(struct tls_store *store, const mbedtls_x509_buf *name,
                    bool (*each)(void *context, const unsigned char *der, size_t size), void *context)
{
    uint32_t hash = 0;
    if (!hash_name(name->p, name->len, &hash)) return;
    pthread_mutex_lock(&all.lock);
    int fd = store_refresh(store);
    for (unsigned i = 0; fd >= 0 && i < store->count; i++) {
        if (store->places[i].subject != hash) continue;
        size_t size = place_read(&store->places[i], fd);
        if (size > 0 && !each(context, all.der, size)) break;
    }
    pthread_mutex_unlock(&all.lock);
    if (fd >= 0) close(fd);
}

/* ---- stores */

struct tls_store *tls_store_get(struct span path)
{
    struct tls_store *spare = NULL;
    for (unsigned i = 0; i < STORES_MAX; i++) {
        struct tls_store *store = &all.stores[i];
        if (store->users > 0 && span_equal(span_text(store->path), path)) {
            store->users++;
            return store;
        }
        if (store->users == 0 && !spare) spare = store;
    }
    if (!spare) return NULL;
    struct place *places = spare->places;
    *spare = (struct tls_store){.users = 1, .places = places};
    memcpy(spare->path, path.data, path.size);
    return spare;
}

void tls_store_release(struct tls_store *store)
{
    store->users--;
}

int tls_store_check(struct tls_store *store, char message[TLS_MESSAGE_MAX])
{
    unsigned count = 0;
    if (!store->path[0]) return RC_OK;
    bool readable = refresh(store, &count);
    if (readable && count > 0) return RC_OK;
    snprintf(message, TLS_MESSAGE_MAX, "%.100s: %s", store->path, readable ? "no certificate in it" : "cannot be read");
    return readable ? RC_INVALID : RC_NOT_FOUND;
}
