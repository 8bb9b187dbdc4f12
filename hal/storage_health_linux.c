/* SPDX-License-Identifier: Apache-2.0 */
/* hal/storage_health_linux.c — from the path to its disk in /sys/dev/block, and what that disk tells of itself. */
#include "hal/storage_health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "hal/small_file.h"
#include "platform/rc.h"

enum { BLOCK_PATH_MAX = 64, FILE_PATH = 128 };

/* The disk's folder ends with "/.." when the path lies on one of its partitions. */
static int find_disk(const char *path, char folder[BLOCK_PATH_MAX], char device[32])
{
    struct stat status;
    char file[FILE_PATH], full[SMALL_FILE_PATH_MAX], link[256], unused[16];
    if (stat(path, &status) != 0) return RC_NOT_FOUND;
    snprintf(folder, BLOCK_PATH_MAX, "/sys/dev/block/%u:%u", major(status.st_dev), minor(status.st_dev));
    if (small_file_path(full, folder) != RC_OK) return RC_NOT_FOUND;
    ssize_t size = readlink(full, link, sizeof link - 1);
    if (size <= 0) return RC_NOT_FOUND;
    link[size] = '\0';
    snprintf(file, sizeof file, "%s/partition", folder);
    if (small_file_read(file, unused, sizeof unused) == RC_OK) {
        memcpy(folder + strlen(folder), "/..", sizeof "/..");
        char *slash = strrchr(link, '/');
        if (slash) *slash = '\0';
    }
    const char *name = strrchr(link, '/');
    snprintf(device, 32, "%.31s", name ? name + 1 : link);
    return RC_OK;
}

static unsigned read_hex(const char **text)
{
    char *end;
    unsigned long value = strtoul(*text, &end, 16);
    *text = end;
    return value <= 0xFF ? (unsigned)value : 0;
}

int storage_health_read(const char *path, struct storage_health *out)
{
    char folder[BLOCK_PATH_MAX], file[FILE_PATH], text[32];
    memset(out, 0, sizeof *out);
    int rc = find_disk(path, folder, out->device);
    if (rc != RC_OK) return rc;
    snprintf(file, sizeof file, "%s/device/life_time", folder);
    if (small_file_read(file, text, sizeof text) != RC_OK) return RC_UNSUPPORTED;
    /* "0x01 0x02": one estimate for each kind of cell; the worse one counts. */
    const char *at = text;
    unsigned first = read_hex(&at), second = read_hex(&at);
    unsigned worse = first > second ? first : second;
    out->used_percent_max = worse <= 11 ? worse * 10 : 0;
    snprintf(file, sizeof file, "%s/device/pre_eol_info", folder);
    at = text;
    if (small_file_read(file, text, sizeof text) == RC_OK) {
        unsigned reserve = read_hex(&at);
        out->reserve = reserve <= STORAGE_RESERVE_URGENT ? (enum storage_reserve)reserve : STORAGE_RESERVE_UNKNOWN;
    }
    return RC_OK;
}
