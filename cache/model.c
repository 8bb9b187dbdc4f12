/* SPDX-License-Identifier: Apache-2.0 */
/* cache/model.c — mapping an `.lmodel` and believing nothing in it. See model.h and model_layout.h. */
#include "cache/model.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/model_layout.h"
#include "platform/check.h"
#include "platform/file.h"
#include "platform/hash.h"
#include "platform/rc.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is little endian and used in place");
static_assert(sizeof(struct model_header) == 216, "the header has no holes");
static_assert(sizeof(struct model_header) <= MODEL_TABLE_AT, "the table follows the header");
static_assert(sizeof(struct model_section) == 24, "a row of the table has no holes");

/* ---- layout */

struct place {
    const unsigned char *base;
    struct model_sections *sections;
};

static const void *next(struct place *p, uint64_t count, uint64_t each)
{
    struct model_sections *s = p->sections;
    CHECK(s->count < MODEL_SECTIONS_MAX);
    uint64_t offset = (s->file_size + MODEL_ALIGN - 1) & ~(uint64_t)(MODEL_ALIGN - 1);
    s->at[s->count++] = (struct model_section){.offset = offset, .size = count * each};
    s->file_size = offset + count * each;
    return (const void *)((uintptr_t)p->base + (uintptr_t)offset);
}

static void place_linear(struct place *p, struct model_linear *linear, unsigned in, unsigned out)
{
    linear->in = in;
    linear->out = out;
    linear->panels = next(p, (uint64_t)in * out, 1);
    linear->scale = next(p, out, sizeof(float));
    linear->row_sum = next(p, out, sizeof(int32_t));
    linear->bias = next(p, out, sizeof(float));
}

static void place_norm(struct place *p, struct model_norm *norm, unsigned dim)
{
    norm->gain = next(p, dim, sizeof(float));
    norm->bias = next(p, dim, sizeof(float));
}

static void place_layer(struct place *p, const struct model *m, struct model_layer *layer)
{
    place_linear(p, &layer->attention_in, m->dim, 3 * m->dim);
    place_linear(p, &layer->attention_out, m->dim, m->dim);
    place_norm(p, &layer->attention_norm, m->dim);
    place_linear(p, &layer->up, m->dim, m->hidden);
    place_linear(p, &layer->down, m->hidden, m->dim);
    place_norm(p, &layer->down_norm, m->dim);
}

static bool size_fits(unsigned value, unsigned max)
{
    return value > 0 && value <= max && value % 16 == 0; /* whole panels */
}

static bool shape_fits(const struct model *m)
{
    if (!size_fits(m->dim, MODEL_DIM_MAX) || !size_fits(m->hidden, MODEL_HIDDEN_MAX)) return false;
    if (m->heads == 0 || m->dim % m->heads != 0 || m->dim / m->heads % 16 != 0) return false;
    if (m->layer_count == 0 || m->layer_count > MODEL_LAYERS_MAX) return false;
    if (m->positions < MODEL_PIECES_MAX || m->positions > MODEL_POSITIONS_MAX) return false;
    return isfinite(m->norm_epsilon) && m->norm_epsilon > 0;
}

static bool vocabulary_fits(const struct model *m)
{
    if (m->vocabulary == 0 || m->vocabulary > MODEL_VOCABULARY_MAX) return false;
    if (m->vocabulary_text.size == 0 || m->vocabulary_text.size > MODEL_VOCABULARY_TEXT_MAX) return false;
    if (m->piece_size_max == 0 || m->piece_size_max > MODEL_PIECE_SIZE_MAX) return false;
    if (m->vocabulary_hash_bits == 0 || m->vocabulary_hash_bits > MODEL_HASH_BITS_MAX) return false;
    if (m->vocabulary > 3u << m->vocabulary_hash_bits >> 2) return false; /* a search ends at an empty slot */
    return m->id_cls < m->vocabulary && m->id_sep < m->vocabulary && m->id_unk < m->vocabulary;
}

int model_lay_out(struct model *model, const unsigned char *base, struct model_sections *sections)
{
    struct place p = {base, sections};
    sections->count = 0;
    if (!shape_fits(model) || !vocabulary_fits(model)) return RC_INVALID;
    unsigned count = 8 + model->layer_count * MODEL_SECTIONS_EACH;
    sections->file_size = MODEL_TABLE_AT + (uint64_t)count * sizeof(struct model_section);
    model->word = next(&p, (uint64_t)model->vocabulary * model->dim, 1);
    model->word_scale = next(&p, model->vocabulary, sizeof(float));
    model->position = next(&p, (uint64_t)model->positions * model->dim, sizeof(float));
    place_norm(&p, &model->word_norm, model->dim);
    for (unsigned i = 0; i < model->layer_count; i++) place_layer(&p, model, &model->layers[i]);
    model->centre = next(&p, model->dim, sizeof(float));
    model->vocabulary_text.data = next(&p, model->vocabulary_text.size, 1);
    model->vocabulary_hash = next(&p, (uint64_t)2 << model->vocabulary_hash_bits, sizeof(uint32_t));
    CHECK(sections->count == count);
    return RC_OK;
}

/* ---- opening */

static int read_header(const void *bytes, size_t size, struct model_header *h)
{
    if (size < MODEL_TABLE_AT) return RC_CORRUPT;
    memcpy(h, bytes, sizeof *h);
    if (memcmp(h->magic, MODEL_MAGIC, MODEL_MAGIC_SIZE) != 0) return RC_CORRUPT;
    if (h->version > MODEL_VERSION) return RC_VERSION;
    if (h->version != MODEL_VERSION || h->crc != crc32c(0, h, sizeof *h - sizeof h->crc)) return RC_CORRUPT;
    bool ended = memchr(h->tag, '\0', sizeof h->tag) && memchr(h->licence, '\0', sizeof h->licence);
    return ended && h->file_size == size ? RC_OK : RC_CORRUPT;
}

static int take_header(const struct model_header *h, struct model *m)
{
    if (h->id_cls > UINT16_MAX || h->id_sep > UINT16_MAX || h->id_unk > UINT16_MAX) return RC_CORRUPT;
    *m = (struct model){.dim = h->dim,
                        .heads = h->heads,
                        .layer_count = h->layer_count,
                        .hidden = h->hidden,
                        .vocabulary = h->vocabulary,
                        .positions = h->positions,
                        .norm_epsilon = h->norm_epsilon,
                        .vocabulary_text = {.size = h->vocabulary_text_size},
                        .vocabulary_hash_bits = h->vocabulary_hash_bits,
                        .piece_size_max = h->piece_size_max,
                        .id_cls = (uint16_t)h->id_cls,
                        .id_sep = (uint16_t)h->id_sep,
                        .id_unk = (uint16_t)h->id_unk};
    memcpy(m->tag, h->tag, sizeof m->tag);
    memcpy(m->licence, h->licence, sizeof m->licence);
    return RC_OK;
}

static struct model_section section_at(const struct model *m, unsigned index)
{
    struct model_section s;
    memcpy(&s, m->map + MODEL_TABLE_AT + index * sizeof s, sizeof s);
    return s;
}

/* The file's table is the one its numbers make. */
static bool table_right(const struct model *m, const struct model_header *h, const struct model_sections *wanted)
{
    size_t size = wanted->count * sizeof(struct model_section);
    if (h->section_count != wanted->count || wanted->file_size != m->map_size) return false;
    if (crc32c(0, m->map + MODEL_TABLE_AT, size) != h->table_crc) return false;
    for (unsigned i = 0; i < wanted->count; i++) {
        struct model_section s = section_at(m, i);
        if (s.offset != wanted->at[i].offset || s.size != wanted->at[i].size) return false;
    }
    return true;
}

int model_open_bytes(const void *bytes, size_t size, struct model *model)
{
    struct model_header header;
    struct model_sections wanted;
    *model = (struct model){0};
    int rc = read_header(bytes, size, &header);
    if (rc == RC_OK) rc = take_header(&header, model);
    if (rc != RC_OK) return rc;
    model->map = bytes;
    model->map_size = size;
    if (model_lay_out(model, model->map, &wanted) != RC_OK || !table_right(model, &header, &wanted)) rc = RC_CORRUPT;
    if (rc != RC_OK) *model = (struct model){0};
    return rc;
}

static int map_file(int fd, const void **bytes, size_t *size)
{
    struct stat status;
    if (fstat(fd, &status) != 0) return file_from_errno(errno);
    if (!S_ISREG(status.st_mode) || status.st_size <= 0 || (uint64_t)status.st_size > SIZE_MAX) return RC_CORRUPT;
    *size = (size_t)status.st_size;
    void *map = mmap(NULL, *size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) return errno == ENOMEM ? RC_FULL : file_from_errno(errno);
    *bytes = map;
    return RC_OK;
}

int model_open(const char *path, struct model *model)
{
    const void *bytes = NULL;
    size_t size = 0;
    *model = (struct model){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return file_from_errno(errno);
    int rc = map_file(fd, &bytes, &size);
    close(fd);
    if (rc != RC_OK) return rc;
    rc = model_open_bytes(bytes, size, model);
    if (rc != RC_OK) munmap((void *)(uintptr_t)bytes, size);
    return rc;
}

int model_check(const struct model *model)
{
    unsigned count = 8 + model->layer_count * MODEL_SECTIONS_EACH;
    for (unsigned i = 0; i < count; i++) {
        struct model_section s = section_at(model, i);
        if (crc32c(0, model->map + s.offset, (size_t)s.size) != s.crc) return RC_CORRUPT;
    }
    return RC_OK;
}

void model_close(struct model *model)
{
    if (model->map) munmap((void *)(uintptr_t)model->map, model->map_size);
    *model = (struct model){0};
}

/* ---- vocabulary */

static bool piece_is(const struct model *m, uint32_t offset, struct span piece)
{
    struct span text = m->vocabulary_text;
    if (offset >= text.size || piece.size >= text.size - offset) return false;
    return text.data[offset + piece.size] == '\n' && memcmp(text.data + offset, piece.data, piece.size) == 0;
}

int model_piece_find(const struct model *model, struct span piece, uint32_t hash)
{
    uint32_t mask = ((uint32_t)1 << model->vocabulary_hash_bits) - 1, slot = hash & mask;
    for (uint32_t probes = 0; probes <= mask; probes++, slot = (slot + 1) & mask) {
        uint32_t place = model->vocabulary_hash[2 * slot], mark = model->vocabulary_hash[2 * slot + 1];
        if (place == 0) break;
        if ((mark & 0xffff) != hash >> 16 || mark >> 16 >= model->vocabulary) continue;
        if (piece_is(model, place - 1, piece)) return (int)(mark >> 16);
    }
    return -1;
}
