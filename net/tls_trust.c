/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls_trust.c — who is believed: pins and CA files, and the verdict on a chain. */
#include <arpa/inet.h>
#include <stdio.h>

#include "mbedtls/asn1.h"
#include "mbedtls/platform.h"
#include "mbedtls/psa_util.h"
#include "net/tls_private.h"
#include "platform/check.h"
#include "platform/clock.h"
#include "platform/cpu.h"
#include "platform/crypto.h"
#include "platform/file.h"
#include "platform/plan.h"
#include "platform/pool.h"
#include "platform/rc.h"

enum { CANDIDATES_MAX = 8 }; /* of one subject: roots that were issued again */

static struct pool trusts;
static unsigned numbers;

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

/* PKCS #1 before PSS: a TLS 1.2 server with an RSA key takes the first that it knows, and 1.2 was made for PKCS #1. In 1.3
 * that one is for certificates only. */
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

int tls_trust_reserve(void)
{
    void *region = NULL;
    int rc =
        plan_take("tls trusts", TLS_TRUSTS_MAX, pool_stride(sizeof(struct tls_trust)), PLAN_LAZY, 0, NULL, &region);
    if (rc != RC_OK) return rc;
    pool_init(&trusts, region, sizeof(struct tls_trust), TLS_TRUSTS_MAX);
    return tls_store_reserve();
}

/* ---- candidates for a chain */

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
        tls_store_skipped();
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
    if (trust->store) tls_store_walk(trust->store, &child->issuer_raw, candidate_add, &found);
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
static bool stands_in_store(struct tls_store *store, const mbedtls_x509_crt *certificate)
{
    struct same same = {.raw = &certificate->raw};
    if (store) tls_store_walk(store, &certificate->subject_raw, same_check, &same);
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
    t->no_authorities = tls_store_refresh(t->trust->store) == 0;
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
        bool none = t->no_authorities;
        snprintf(message, TLS_MESSAGE_MAX, "certificate of %.50s refused: %.28s%.50s", t->host,
                 none ? "no CA certificates at hand" : "unknown issuer ", none ? "" : t->issuer);
        return;
    }
    snprintf(message, TLS_MESSAGE_MAX, "certificate of %.60s refused: %s", t->host, words);
}

/* ---- trusts */

static int pin_set(struct tls_trust *trust, struct span pin, char message[TLS_MESSAGE_MAX])
{
    struct span prefix = SPAN("sha256/");
    size_t size = 0;
    unsigned char decoded[TLS_PIN_SIZE + 3];
    if (pin.size == 0) return RC_OK;
    bool good = span_starts_with(pin, prefix);
    if (good)
        good = base64_decode(span_of(pin.data + prefix.size, pin.size - prefix.size), decoded, sizeof decoded, &size) ==
               RC_OK;
    if (!good || size != TLS_PIN_SIZE) {
        snprintf(message, TLS_MESSAGE_MAX, "pin \"%.*s\": not sha256/ and 44 characters of base64",
                 pin.size > 60 ? 60 : (int)pin.size, pin.data);
        return RC_INVALID;
    }
    memcpy(trust->pin, decoded, TLS_PIN_SIZE);
    trust->has_pin = true;
    return RC_OK;
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
    trust->store = tls_store_get(path);
    if (!trust->store) {
        snprintf(message, TLS_MESSAGE_MAX, "too many different CA files");
        return RC_FULL;
    }
    return tls_store_check(trust->store, message);
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
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(config,
                                                             MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
    return mbedtls_ssl_conf_alpn_protocols(config, protocols) == 0 ? RC_OK : RC_FULL;
}

int tls_trust_load(struct span source, struct span pin, struct tls_trust **trust, char message[TLS_MESSAGE_MAX])
{
    message[0] = 0;
    struct tls_trust *new = pool_take(&trusts);
    if (!new) {
        snprintf(message, TLS_MESSAGE_MAX, "more than %d providers with TLS", TLS_TRUSTS_MAX);
        return RC_FULL;
    }
    *new = (struct tls_trust){.users = 1, .number = ++numbers};
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
    if (trust->store) tls_store_release(trust->store);
    pool_put(&trusts, trust);
}
