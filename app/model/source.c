/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/source.c — see source.h. */
#include "app/model/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/model/zip.h"
#include "platform/file.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum { FILES = 3, NAME_MAX_SIZE = 256, UNPACKED_MAX = 512 << 20, HEX_SIZE = 2 * SHA256_SIZE };

static const char *const names[FILES] = {"model.safetensors", "vocab.txt", "config.json"};

#define KNOWN_WEIGHTS "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
#define KNOWN_VOCABULARY "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"

static struct span *file_of(struct model_source *source, unsigned index)
{
    struct span *files[FILES] = {&source->weights, &source->vocabulary, &source->config};
    return files[index];
}

static int complain(const char *path, const char *what, int rc)
{
    fprintf(stderr, "larder model: error: %s: %s (%s)\n", path, what, rc_name(rc));
    return rc;
}

static int map_file(const char *path, struct span *bytes)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return complain(path, "cannot be opened", file_from_errno(errno));
    int rc = fstat(fd, &status) == 0 ? RC_OK : file_from_errno(errno);
    if (rc == RC_OK && (!S_ISREG(status.st_mode) || status.st_size == 0 || (uint64_t)status.st_size > SIZE_MAX / 2))
        rc = RC_INVALID;
    void *map = rc == RC_OK ? mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (rc == RC_OK && map == MAP_FAILED) rc = file_from_errno(errno);
    close(fd);
    if (rc != RC_OK) return complain(path, "cannot be read", rc);
    *bytes = span_of(map, (size_t)status.st_size);
    return RC_OK;
}

static int open_folder(const char *path, struct model_source *source)
{
    char name[FILE_PATH_MAX];
    int rc = RC_OK;
    for (unsigned i = 0; rc == RC_OK && i < FILES; i++) {
        rc = file_join(name, path, names[i]);
        if (rc == RC_OK) rc = map_file(name, file_of(source, i));
    }
    return rc;
}

/* ---- a package */

/* The three files lie side by side: the weights' folder is theirs. */
static int find_files(const char *path, const struct zip *zip, struct zip_file files[FILES])
{
    char name[NAME_MAX_SIZE];
    int rc = zip_find(zip, SPAN("model.safetensors"), &files[0]);
    if (rc != RC_OK) return complain(path, "holds no model.safetensors", rc);
    size_t folder = files[0].name.size - strlen(names[0]);
    for (unsigned i = 1; i < FILES; i++) {
        int size = snprintf(name, sizeof name, "%.*s%s", (int)folder, files[0].name.data, names[i]);
        if (size < 0 || size >= (int)sizeof name) return complain(path, "has a name that is too long", RC_TOO_LARGE);
        rc = zip_find(zip, span_text(name), &files[i]);
        if (rc != RC_OK) return complain(path, "lacks vocab.txt or config.json beside model.safetensors", rc);
    }
    return RC_OK;
}

static int unpack(const char *path, const struct zip *zip, struct model_source *source)
{
    struct zip_file files[FILES];
    void *region;
    size_t size = 0;
    int rc = find_files(path, zip, files);
    if (rc != RC_OK) return rc;
    for (unsigned i = 0; i < FILES; i++) size += ((size_t)files[i].size + 63) & ~(size_t)63;
    if (size > UNPACKED_MAX) return complain(path, "unpacks to more than 512 MiB", RC_TOO_LARGE);
    rc = plan_take("model package", 1, size, PLAN_LAZY, 0, NULL, &region);
    if (rc != RC_OK) return complain(path, "there is not enough memory to unpack it", rc);
    char *at = region;
    for (unsigned i = 0; i < FILES; i++) {
        rc = zip_read(zip, &files[i], at);
        if (rc != RC_OK) return complain(path, "is damaged, or packed in a way that is not supported", rc);
        *file_of(source, i) = span_of(at, files[i].size);
        at += ((size_t)files[i].size + 63) & ~(size_t)63;
    }
    return RC_OK;
}

static int open_package(const char *path, struct model_source *source)
{
    struct span archive;
    struct zip zip;
    int rc = map_file(path, &archive);
    if (rc != RC_OK) return rc;
    rc = zip_open(archive, &zip);
    if (rc != RC_OK) return complain(path, "is neither a folder nor a package (zip)", rc);
    fprintf(stderr, "larder model: unpacking %s\n", path);
    return unpack(path, &zip, source);
}

int model_source_open(const char *path, struct model_source *source)
{
    struct stat status;
    *source = (struct model_source){0};
    if (stat(path, &status) != 0) return complain(path, "cannot be opened", file_from_errno(errno));
    return S_ISDIR(status.st_mode) ? open_folder(path, source) : open_package(path, source);
}

/* ---- what is known */

void model_source_digests(const struct model_source *source, struct model_digests *digests)
{
    sha256_of(source->weights.data, source->weights.size, digests->weights);
    sha256_of(source->vocabulary.data, source->vocabulary.size, digests->vocabulary);
}

static bool is_known(const char *name, const unsigned char digest[SHA256_SIZE], const char *known, bool say)
{
    char hex[HEX_SIZE];
    hex_encode(digest, SHA256_SIZE, hex);
    if (memcmp(hex, known, HEX_SIZE) == 0) return true;
    if (say)
        fprintf(stderr, "larder model: error: %s has SHA-256 %.*s, all-MiniLM-L6-v2 has %s\n", name, HEX_SIZE, hex,
                known);
    return false;
}

bool model_source_known(const struct model_digests *digests, bool say)
{
    bool weights = is_known(names[0], digests->weights, KNOWN_WEIGHTS, say);
    return is_known(names[1], digests->vocabulary, KNOWN_VOCABULARY, say) && weights;
}
