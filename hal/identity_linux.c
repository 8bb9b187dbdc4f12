/* SPDX-License-Identifier: Apache-2.0 */
/* hal/identity_linux.c — device tree first, then DMI; the machine id of systemd or D-Bus. */
#include "hal/identity.h"

#include <stdint.h>
#include <string.h>

#include "hal/small_file.h"
#include "platform/rc.h"

static int read_first(const char *const *paths, size_t count, char *text, size_t capacity)
{
    for (size_t i = 0; i < count; i++) {
        int rc = small_file_read(paths[i], text, capacity);
        if ((rc == RC_OK || rc == RC_TOO_LARGE) && text[0] != '\0') return rc;
    }
    text[0] = '\0';
    return RC_NOT_FOUND;
}

int identity_model(char *text, size_t capacity)
{
    static const char *const paths[] = {"/proc/device-tree/model", "/sys/class/dmi/id/product_name"};
    return read_first(paths, 2, text, capacity);
}

int identity_serial(char *text, size_t capacity)
{
    static const char *const paths[] = {"/proc/device-tree/serial-number", "/sys/class/dmi/id/product_serial"};
    return read_first(paths, 2, text, capacity);
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-2-4 (Aumasson, Bernstein 2012) of one 8-byte word. The machine id is the key: it cannot be had back. */
static uint64_t sip_hash_word(const uint64_t key[2], uint64_t word)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
                     key[1] ^ 0x7465646279746573};
    const uint64_t words[2] = {word, UINT64_C(8) << 56};
    for (unsigned i = 0; i < 2; i++) {
        v[3] ^= words[i];
        sip_round(v);
        sip_round(v);
        v[0] ^= words[i];
    }
    v[2] ^= 0xFF;
    for (unsigned i = 0; i < 4; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* 32 hex digits as two words; 0 when they are none. */
static int parse_id(const char *text, uint64_t id[2])
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != 32) return 0;
    for (unsigned i = 0; i < 32; i++) {
        const char *digit = strchr(digits, text[i]);
        if (!digit) return 0;
        id[i / 16] = (id[i / 16] << 4) | (uint64_t)(digit - digits);
    }
    return 1;
}

int identity_machine(char *text, size_t capacity)
{
    static const char *const paths[] = {"/etc/machine-id", "/var/lib/dbus/machine-id"};
    char raw[40];
    uint64_t id[2] = {0, 0};
    if (capacity < 33) return RC_TOO_LARGE;
    int rc = read_first(paths, 2, raw, sizeof raw);
    text[0] = '\0';
    if (rc != RC_OK || !parse_id(raw, id)) return RC_NOT_FOUND;
    for (unsigned i = 0; i < 32; i++) {
        uint64_t half = sip_hash_word(id, 0x6c6172646572 + i / 16); /* "larder" */
        text[i] = "0123456789abcdef"[half >> (60 - i % 16 * 4) & 15];
    }
    text[32] = '\0';
    return RC_OK;
}
