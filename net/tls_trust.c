/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls_trust.c — who is believed: pins, and CA files by a compact index.
 *
 * A bundle of 140 certificates would take 1 MiB when parsed. Here 12 bytes a certificate are kept: a hash of its subject
 * and its place in the file. The candidates for one issuer are read and parsed when a chain asks for them.
 * The index is made on the worker that first needs it and again when the file has changed.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mbedtls/asn1.h"
#include "mbedtls/base64.h"
#include "mbedtls/platform.h"
#include "mbedtls/psa_util.h"
#include "net/tls_private.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/cpu.h"
#include "platform/crypto.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/metric.h"
#include "platform/plan.h"
#include "platform/pool.h"
#include "platform/rc.h"

enum {
    STORES_MAX = TLS_TRUSTS_MAX / 4,
    CERTIFICATES_MAX = 1024,  /* in one file; system bundles hold about 140 */
    PEM_BYTES_MAX = 16 * 1024, /* one certificate */
    CANDIDATES_MAX = 8,       /* of one subject: roots that were issued again */
};

struct place {
    uint32_t subject; /* hash */
    uint32_t offset;  /* of the base64 text */
    uint32_t size;
};

struct trust_store {
    char path[FILE_PATH_MAX]; /* empty: the machine's bundle */
    unsigned users;
    bool loaded;
    struct stat seen; /* of the file as indexed */
    unsigned count, skipped;
    struct place *places; /* CERTIFICATES_MAX */
};

static const char *const system_paths[] = {
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
};

static struct {
    pthread_mutex_t lock; /* stores' indexes and the two buffers below */
    struct trust_store stores[STORES_MAX];
    struct pool trusts;
    unsigned numbers;
    unsigned char *pem; /* PEM_BYTES_MAX × 2: a sliding window of a file */
    unsigned char *der; /* PEM_BYTES_MAX */
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct metric skipped_total = {
    .name = "larder_upstream_tls_ca_skipped_total",
    .help = "Certificates of CA files that could not be read and were left out.",
};

int tls_rng(void *context, unsigned char *out, size_t size)
{
    (void)context;
    return mbedtls_psa_get_random(MBEDTLS_PSA_RANDOM_STATE, out, size);
}

const int *tls_ciphersuites(void)
{
    static const int aes_first[] = {
        MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
        MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
        MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        0,
    };
    static const int chacha_first[] = {
        MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256,
        MBEDTLS_TLS1_3_AES_128_GCM_SHA256,
        MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        0,
    };
    return cpu_features()->aes ? aes_first : chacha_first;
}

/* PKCS #1 before PSS: a TLS 1.2 server with an RSA key takes the first that it knows, and the library (3.6.6, its pull
 * request 10672) refuses PSS in 1.2 although it has to offer it for 1.3. In 1.3 PKCS #1 is for certificates only. */
static const uint16_t *signatures(void)
{
    static const uint16_t list[] = {
        MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256, MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384,
        MBEDTLS_TLS1_3_SIG_ECDSA_SECP521R1_SHA512, MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,
        MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA384,       MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA512,
        MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256,    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA384,
        MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA512,    MBEDTLS_TLS1_3_SIG_NONE,
    };
    return list;
}

int tls_trust_start(void)
{
    void *region = NULL;
    size_t each = pool_stride(sizeof(struct tls_trust));
    int rc = plan_take("tls trusts", TLS_TRUSTS_MAX, each, PLAN_LAZY, 0, NULL, &region);
    if (rc != RC_OK) return rc;
    pool_init(&all.trusts, region, sizeof(struct tls_trust), TLS_TRUSTS_MAX);
    size_t index = CERTIFICATES_MAX * sizeof(struct place);
    rc = plan_take("tls CA indexes", STORES_MAX, index, PLAN_LAZY, 0, NULL, &region);
    if (rc != RC_OK) return rc;
    for (unsigned i = 0; i < STORES_MAX; i++) all.stores[i].places = (struct place *)((char *)region + i * index);
    rc = plan_take("tls CA reading", 3, PEM_BYTES_MAX, PLAN_LAZY, 0, NULL, &region);
    all.pem = region;
    all.der = all.pem + (rc == RC_OK ? 2 * PEM_BYTES_MAX : 0);
    metric_register(&skipped_total);
    return rc;
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

static void index_add(struct trust_store *store, size_t offset, const unsigned char *text, size_t size)
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
static size_t index_window(struct trust_store *store, size_t offset, const unsigned char *window, size_t size, bool last)
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

static void index_file(struct trust_store *store, int fd)
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

static int store_open(const struct trust_store *store)
{
    if (store->path[0]) return open(store->path, O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof system_paths / sizeof system_paths[0]; i++) {
        int fd = open(system_paths[i], O_RDONLY | O_CLOEXEC);
        if (fd >= 0) return fd;
    }
    return -1;
}

static const char *store_name(const struct trust_store *store)
{
    return store->path[0] ? store->path : "the system's CA bundle";
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* With the lock held: the file open and the index as the file is now, or -1. */
static int store_refresh(struct trust_store *store)
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

void tls_trust_refresh(struct tls_trust *trust)
{
    if (!trust->store) return;
    pthread_mutex_lock(&all.lock);
    int fd = store_refresh(trust->store);
    pthread_mutex_unlock(&all.lock);
    if (fd >= 0) close(fd);
}

/* ---- candidates for a chain */

static size_t place_read(const struct place *place, int fd)
{
    size_t der_size = 0;
    if (pread(fd, all.pem, place->size, (off_t)place->offset) != (ssize_t)place->size) return 0;
    if (mbedtls_base64_decode(all.der, PEM_BYTES_MAX, &der_size, all.pem, place->size) != 0) return 0;
    return der_size;
}

/* Calls `each` with the DER of every certificate whose subject hashes like `name`, until it says stop. */
static void store_walk(struct trust_store *store, const mbedtls_x509_buf *name,
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

static void now_set(mbedtls_x509_time *now)
{
    mbedtls_x509_time_gmtime((mbedtls_time_t)(clock_wall_us() / CLOCK_SECOND), now);
}

static bool in_date(const mbedtls_x509_crt *certificate)
{
    mbedtls_x509_time now;
    now_set(&now);
    return mbedtls_x509_time_cmp(&certificate->valid_to, &now) >= 0 &&
           mbedtls_x509_time_cmp(&certificate->valid_from, &now) <= 0;
}

struct candidates {
    mbedtls_x509_crt *first, *last;
    unsigned count;
};

/* Those in date come first: the library takes the first whose signature fits. */
static bool candidate_add(void *context, const unsigned char *der, size_t size)
{
    struct candidates *c = context;
    mbedtls_x509_crt *one = mbedtls_calloc(1, sizeof *one);
    if (!one) return false;
    mbedtls_x509_crt_init(one);
    if (mbedtls_x509_crt_parse_der(one, der, size) != 0) {
        mbedtls_x509_crt_free(one);
        mbedtls_free(one);
        metric_add(&skipped_total, 1);
        return true;
    }
    if (!c->first) {
        c->first = c->last = one;
    } else if (in_date(one)) {
        one->next = c->first;
        c->first = one;
    } else {
        c->last->next = one;
        c->last = one;
    }
    return ++c->count < CANDIDATES_MAX;
}

static int candidates_find(void *context, const mbedtls_x509_crt *child, mbedtls_x509_crt **candidates)
{
    struct tls_trust *trust = context;
    struct candidates found = {0};
    if (trust->store) store_walk(trust->store, &child->issuer_raw, candidate_add, &found);
    *candidates = found.first;
    return 0;
}

struct same {
    const mbedtls_x509_buf *raw;
    bool found;
};

static bool same_check(void *context, const unsigned char *der, size_t size)
{
    struct same *s = context;
    s->found = size == s->raw->len && memcmp(der, s->raw->p, size) == 0;
    return !s->found;
}

/* A server's own certificate may stand in the file by itself. */
static bool stands_in_store(struct trust_store *store, const mbedtls_x509_crt *certificate)
{
    struct same same = {.raw = &certificate->raw};
    if (store) store_walk(store, &certificate->subject_raw, same_check, &same);
    return same.found;
}

/* ---- the verdict on one certificate of a chain; depth 0 is the server's own, and comes last */

static bool names_address(const mbedtls_x509_crt *certificate, const char *host)
{
    unsigned char address[16];
    size_t size = inet_pton(AF_INET, host, address) == 1 ? 4 : inet_pton(AF_INET6, host, address) == 1 ? 16 : 0;
    for (const mbedtls_x509_sequence *name = &certificate->subject_alt_names; name && size > 0; name = name->next) {
        if ((name->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) != MBEDTLS_X509_SAN_IP_ADDRESS) continue;
        if (name->buf.len == size && memcmp(name->buf.p, address, size) == 0) return true;
    }
    return false;
}

static bool pin_fits(const struct tls_trust *trust, const mbedtls_x509_crt *certificate)
{
    unsigned char digest[SHA256_SIZE];
    sha256_of(certificate->pk_raw.p, certificate->pk_raw.len, digest);
    return crypto_equal(digest, trust->pin, sizeof digest);
}

/* The library asked the system's clock; ours knows more (platform/clock.h). */
static void check_dates(const mbedtls_x509_crt *certificate, uint32_t *flags)
{
    mbedtls_x509_time now;
    now_set(&now);
    *flags &= ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
    if (mbedtls_x509_time_cmp(&certificate->valid_to, &now) < 0) *flags |= MBEDTLS_X509_BADCERT_EXPIRED;
    if (clock_trust() != CLOCK_UNSET && mbedtls_x509_time_cmp(&certificate->valid_from, &now) > 0)
        *flags |= MBEDTLS_X509_BADCERT_FUTURE;
}

static void issuer_note(struct tls_session *t, const mbedtls_x509_crt *certificate)
{
    char name[sizeof t->issuer * 2];
    if (mbedtls_x509_dn_gets(name, sizeof name, &certificate->issuer) < 0) name[0] = 0;
    snprintf(t->issuer, sizeof t->issuer, "%.*s", (int)sizeof t->issuer - 1, name);
}

int tls_verify(void *session, mbedtls_x509_crt *certificate, int depth, uint32_t *flags)
{
    struct tls_session *t = session;
    const struct tls_trust *trust = t->trust;
    t->verified = true;
    if (!trust->store) {
        *flags = 0;
    } else {
        check_dates(certificate, flags);
        if (depth == 0 && (*flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) && stands_in_store(trust->store, certificate))
            *flags &= ~(uint32_t)MBEDTLS_X509_BADCERT_NOT_TRUSTED;
        if (depth == 0 && t->is_ip && !names_address(certificate, t->host)) *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
        if (*flags & MBEDTLS_X509_BADCERT_NOT_TRUSTED) issuer_note(t, certificate);
    }
    if (depth == 0 && trust->has_pin && !pin_fits(trust, certificate)) *flags |= MBEDTLS_X509_BADCERT_OTHER;
    t->faults |= *flags;
    return 0;
}

void tls_verify_explain(const struct tls_session *t, char message[TLS_MESSAGE_MAX])
{
    static const struct {
        uint32_t fault;
        const char *words;
    } table[] = {
        {MBEDTLS_X509_BADCERT_OTHER, "its key is not the pinned one"},
        {MBEDTLS_X509_BADCERT_EXPIRED, "it has expired"},
        {MBEDTLS_X509_BADCERT_FUTURE, "it is not valid yet (is the clock right?)"},
        {MBEDTLS_X509_BADCERT_CN_MISMATCH, "it is for another name"},
        {MBEDTLS_X509_BADCERT_BAD_MD | MBEDTLS_X509_BADCERT_BAD_PK | MBEDTLS_X509_BADCERT_BAD_KEY,
         "its key or signature is too weak"},
        {MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE, "it is not meant for servers"},
    };
    const char *words = "it does not verify";
    for (size_t i = sizeof table / sizeof table[0]; i-- > 0;) {
        if (t->faults & table[i].fault) words = table[i].words;
    }
    if ((t->faults & MBEDTLS_X509_BADCERT_NOT_TRUSTED) && !(t->faults & MBEDTLS_X509_BADCERT_OTHER)) {
        bool none = t->trust->store && t->trust->store->count == 0;
        snprintf(message, TLS_MESSAGE_MAX, "certificate of %.50s refused: %.28s%.50s", t->host,
                 none ? "no CA certificates at hand" : "unknown issuer ", none ? "" : t->issuer);
        return;
    }
    snprintf(message, TLS_MESSAGE_MAX, "certificate of %.60s refused: %s", t->host, words);
}

/* ---- trusts */

static struct trust_store *store_get(struct span path)
{
    struct trust_store *spare = NULL;
    for (unsigned i = 0; i < STORES_MAX; i++) {
        struct trust_store *store = &all.stores[i];
        if (store->users > 0 && span_equal(span_text(store->path), path)) {
            store->users++;
            return store;
        }
        if (store->users == 0 && !spare) spare = store;
    }
    if (!spare) return NULL;
    struct place *places = spare->places;
    *spare = (struct trust_store){.users = 1, .places = places};
    memcpy(spare->path, path.data, path.size);
    return spare;
}

static int pin_set(struct tls_trust *trust, struct span pin, char message[TLS_MESSAGE_MAX])
{
    struct span prefix = SPAN("sha256/");
    size_t size = 0;
    unsigned char decoded[TLS_PIN_SIZE + 3];
    if (pin.size == 0) return RC_OK;
    bool good = span_starts_with(pin, prefix);
    if (good) good = base64_decode(span_of(pin.data + prefix.size, pin.size - prefix.size), decoded, sizeof decoded, &size) == RC_OK;
    if (!good || size != TLS_PIN_SIZE) {
        snprintf(message, TLS_MESSAGE_MAX, "pin \"%.*s\": not sha256/ and 44 characters of base64",
                 pin.size > 60 ? 60 : (int)pin.size, pin.data);
        return RC_INVALID;
    }
    memcpy(trust->pin, decoded, TLS_PIN_SIZE);
    trust->has_pin = true;
    return RC_OK;
}

/* A named file is read at once, so that a wrong one is told when the configuration is. */
static int store_check(struct trust_store *store, char message[TLS_MESSAGE_MAX])
{
    if (!store->path[0]) return RC_OK;
    pthread_mutex_lock(&all.lock);
    int fd = store_refresh(store);
    unsigned count = store->count;
    pthread_mutex_unlock(&all.lock);
    if (fd >= 0) close(fd);
    if (fd >= 0 && count > 0) return RC_OK;
    snprintf(message, TLS_MESSAGE_MAX, "%.100s: %s", store->path, fd < 0 ? "cannot be read" : "no certificate in it");
    return fd < 0 ? RC_NOT_FOUND : RC_INVALID;
}

static int store_set(struct tls_trust *trust, struct span source, char message[TLS_MESSAGE_MAX])
{
    struct span prefix = SPAN("file:");
    struct span path = SPAN("");
    if (source.size == 0 && trust->has_pin) return RC_OK;
    if (span_starts_with(source, prefix)) path = span_of(source.data + prefix.size, source.size - prefix.size);
    bool named = path.size > 0 && path.size < FILE_PATH_MAX && !memchr(path.data, 0, path.size);
    if (!named && source.size > 0 && !span_equal(source, SPAN("system"))) {
        snprintf(message, TLS_MESSAGE_MAX, "ca \"%.*s\": not system or file:PATH",
                 source.size > 80 ? 80 : (int)source.size, source.data);
        return RC_INVALID;
    }
    trust->store = store_get(path);
    if (!trust->store) {
        snprintf(message, TLS_MESSAGE_MAX, "more than %d CA files", STORES_MAX);
        return RC_FULL;
    }
    return store_check(trust->store, message);
}

static int config_set(struct tls_trust *trust)
{
    static const char *protocols[] = {"http/1.1", NULL};
    mbedtls_ssl_config *config = &trust->config;
    mbedtls_ssl_config_init(config);
    if (mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return RC_FULL;
    mbedtls_ssl_conf_rng(config, tls_rng, NULL);
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_cb(config, candidates_find, trust);
    mbedtls_ssl_conf_ciphersuites(config, tls_ciphersuites());
    mbedtls_ssl_conf_sig_algs(config, signatures());
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(config, MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
    return mbedtls_ssl_conf_alpn_protocols(config, protocols) == 0 ? RC_OK : RC_FULL;
}

int tls_trust_load(struct span source, struct span pin, struct tls_trust **trust, char message[TLS_MESSAGE_MAX])
{
    message[0] = 0;
    struct tls_trust *new = pool_take(&all.trusts);
    if (!new) {
        snprintf(message, TLS_MESSAGE_MAX, "more than %d providers with TLS", TLS_TRUSTS_MAX);
        return RC_FULL;
    }
    *new = (struct tls_trust){.users = 1, .number = ++all.numbers};
    int rc = config_set(new);
    if (rc == RC_OK) rc = pin_set(new, pin, message);
    if (rc == RC_OK) rc = store_set(new, source, message);
    if (rc == RC_OK)
        *trust = new;
    else
        tls_trust_release(new);
    return rc;
}

void tls_trust_hold(struct tls_trust *trust)
{
    CHECK(trust->users > 0);
    trust->users++;
}

void tls_trust_release(struct tls_trust *trust)
{
    CHECK(trust->users > 0);
    if (--trust->users > 0) return;
    mbedtls_ssl_config_free(&trust->config);
    if (trust->store) trust->store->users--;
    pool_put(&all.trusts, trust);
}
