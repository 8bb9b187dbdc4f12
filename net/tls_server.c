/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls_server.c — certificate chain and key of a listener, and the tickets its clients come back with. */
#include <stdio.h>

#include "mbedtls/platform.h"
#include "mbedtls/platform_util.h"
#include "net/tls_private.h"
#include "platform/check.h"
#include "platform/file.h"
#include "platform/rc.h"

enum {
    PEM_FILE_MAX = 64 * 1024,
    TICKET_LIFETIME_S = 24 * 3600,
};

static struct tls_server servers[TLS_SERVERS_MAX];
static _Thread_local bool ticket_accepted;

bool tls_server_resumed_take(void)
{
    bool accepted = ticket_accepted;
    ticket_accepted = false;
    return accepted;
}

static int ticket_parse(void *context, mbedtls_ssl_session *session, unsigned char *ticket, size_t size)
{
    int error = mbedtls_ssl_ticket_parse(context, session, ticket, size);
    ticket_accepted = error == 0;
    return error;
}

/* The file in the library's region, terminated; NULL with a message. */
static unsigned char *pem_read(const char *path, size_t *size, char message[TLS_MESSAGE_MAX])
{
    unsigned char *text = mbedtls_calloc(1, PEM_FILE_MAX);
    int rc = text ? file_read(path, text, PEM_FILE_MAX - 1, size) : RC_FULL;
    if (rc == RC_OK) return text;
    snprintf(message, TLS_MESSAGE_MAX, "%.110s: cannot be read (%s)", path, rc_name(rc));
    mbedtls_free(text);
    return NULL;
}

static int chain_read(struct tls_server *s, const char *path, char message[TLS_MESSAGE_MAX])
{
    size_t size = 0;
    unsigned char *text = pem_read(path, &size, message);
    if (!text) return RC_NOT_FOUND;
    int error = mbedtls_x509_crt_parse(&s->chain, text, size + 1);
    mbedtls_free(text);
    if (error == 0) return RC_OK;
    snprintf(message, TLS_MESSAGE_MAX, "%.110s: not a PEM certificate chain (-0x%04x)", path, (unsigned)-error);
    return RC_INVALID;
}

static int key_read(struct tls_server *s, const char *path, char message[TLS_MESSAGE_MAX])
{
    size_t size = 0;
    unsigned char *text = pem_read(path, &size, message);
    if (!text) return RC_NOT_FOUND;
    int error = mbedtls_pk_parse_key(&s->key, text, size + 1, NULL, 0, tls_rng, NULL);
    mbedtls_platform_zeroize(text, size);
    mbedtls_free(text);
    if (error == 0) error = mbedtls_pk_check_pair(&s->chain.pk, &s->key, tls_rng, NULL);
    if (error == 0) return RC_OK;
    snprintf(message, TLS_MESSAGE_MAX, "%.100s: not the PEM key of that certificate (-0x%04x)", path, (unsigned)-error);
    return RC_INVALID;
}

static int config_set(struct tls_server *s)
{
    static const char *protocols[] = {"http/1.1", NULL};
    mbedtls_ssl_config *config = &s->config;
    int error = mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
                                            MBEDTLS_SSL_PRESET_DEFAULT);
    if (error != 0) return error;
    mbedtls_ssl_conf_rng(config, tls_rng, NULL);
    mbedtls_ssl_conf_ciphersuites(config, tls_ciphersuites());
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    error = mbedtls_ssl_conf_own_cert(config, &s->chain, &s->key);
    if (error == 0) error = mbedtls_ssl_conf_alpn_protocols(config, protocols);
    if (error == 0)
        error = mbedtls_ssl_ticket_setup(&s->tickets, tls_rng, NULL, MBEDTLS_CIPHER_AES_256_GCM, TICKET_LIFETIME_S);
    if (error == 0) mbedtls_ssl_conf_session_tickets_cb(config, mbedtls_ssl_ticket_write, ticket_parse, &s->tickets);
    return error;
}

static struct tls_server *server_take(void)
{
    for (unsigned i = 0; i < TLS_SERVERS_MAX; i++) {
        struct tls_server *s = &servers[i];
        if (s->taken) continue;
        *s = (struct tls_server){.users = 1, .taken = true};
        mbedtls_ssl_config_init(&s->config);
        mbedtls_x509_crt_init(&s->chain);
        mbedtls_pk_init(&s->key);
        mbedtls_ssl_ticket_init(&s->tickets);
        return s;
    }
    return NULL;
}

int tls_server_load(const char *certificate_path, const char *key_path, struct tls_server **server,
                    char message[TLS_MESSAGE_MAX])
{
    message[0] = 0;
    struct tls_server *s = server_take();
    if (!s) {
        snprintf(message, TLS_MESSAGE_MAX, "more than %d listeners with TLS", TLS_SERVERS_MAX);
        return RC_FULL;
    }
    int rc = chain_read(s, certificate_path, message);
    if (rc == RC_OK) rc = key_read(s, key_path, message);
    if (rc == RC_OK && config_set(s) != 0) {
        snprintf(message, TLS_MESSAGE_MAX, "TLS: out of memory for %.100s", certificate_path);
        rc = RC_FULL;
    }
    if (rc == RC_OK)
        *server = s;
    else
        tls_server_release(s);
    return rc;
}

void tls_server_release(struct tls_server *server)
{
    CHECK(server->users > 0);
    if (--server->users > 0) return;
    mbedtls_ssl_config_free(&server->config);
    mbedtls_x509_crt_free(&server->chain);
    mbedtls_pk_free(&server->key);
    mbedtls_ssl_ticket_free(&server->tickets);
    server->taken = false;
}
