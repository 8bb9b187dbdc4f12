/* SPDX-License-Identifier: Apache-2.0 */
/* storage/kv_inspect.c — looks at an environment's file before LMDB maps it and trusts it.
 *
 * Format: LMDB 0.9 data version 1: two meta pages, 16-byte page headers, B+trees of branch and leaf pages, values on runs
 *         of pages (mdb.c: MDB_page, MDB_node, MDB_db, MDB_meta). Sizes of page numbers are the machine's.
 * Besides: where the map lies, which LMDB does not tell: read from /proc/self/maps.
 * Why:    a page behind the end of the file is a SIGBUS when it is touched, so a cut file must be known beforehand.
 */
#include "storage/kv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/rc.h"
#include "storage/layout.h"

enum {
    META_MAGIC = (int)0xBEEFC0DE,
    META_VERSION = 1,
    FLAG_BRANCH = 0x01,
    FLAG_LEAF = 0x02,
    FLAG_META = 0x08,
    FLAG_FIXED_LEAF = 0x20,
    NODE_BIG = 0x01,
    NODE_TREE = 0x02,
    DEPTH_SHALLOW = 2,
    DEPTH_MAX = 32,
    TREE_FREE = 0,
    TREE_MAIN = 1,
};

struct page_head {
    size_t number;
    uint16_t pad, flags, lower, upper;
};

struct tree {
    uint32_t pad; /* page size in the first tree of a meta page */
    uint16_t flags, depth;
    size_t branches, leaves, runs, entries, root;
};

struct meta {
    struct page_head head;
    uint32_t magic, version;
    void *address;
    size_t map_size;
    struct tree trees[2];
    size_t last_page, transaction;
};

struct inspection {
    int fd;
    size_t page_size, pages; /* whole pages in the file */
    char *reason;
    struct {
        size_t page;
        unsigned next;
    } stack[DEPTH_MAX];
    unsigned depth;
    bool shallow; /* no deeper than the tables' roots: LMDB writes beyond its memory when those are noise */
};

/* Boot only, one at a time. */
static _Alignas(16) unsigned char page[LAYOUT_PAGE_MAX];

static int damaged(const struct inspection *in, const char *what)
{
    snprintf(in->reason, KV_REASON_MAX, "%s", what);
    return RC_CORRUPT;
}

static bool page_size_fits(size_t size)
{
    return size >= LAYOUT_PAGE_MIN && size <= LAYOUT_PAGE_MAX && (size & (size - 1)) == 0;
}

static bool root_fits(const struct tree *tree, size_t last)
{
    if (tree->root == SIZE_MAX) return true; /* empty */
    return tree->root <= last && tree->depth > 0 && tree->depth <= DEPTH_MAX;
}

static int meta_read(struct inspection *in, off_t offset, struct meta *meta)
{
    ssize_t got = pread(in->fd, meta, sizeof *meta, offset);
    if (got < 0) return RC_IO;
    if (got == 0 && offset == 0) return RC_NOT_FOUND; /* LMDB takes an empty file for a new one */
    if ((size_t)got < sizeof *meta) return damaged(in, "the file is too short for its meta pages");
    if (!(meta->head.flags & FLAG_META) || meta->magic != (uint32_t)META_MAGIC) return damaged(in, "not an LMDB file");
    if (meta->version != META_VERSION) return damaged(in, "an LMDB format that is not known here");
    if (!page_size_fits(meta->trees[TREE_FREE].pad)) return damaged(in, "an impossible page size");
    if (!root_fits(&meta->trees[TREE_FREE], meta->last_page) || !root_fits(&meta->trees[TREE_MAIN], meta->last_page))
        return damaged(in, "a tree's root lies outside of the file");
    return RC_OK;
}

static int push(struct inspection *in, size_t number)
{
    if (number >= in->pages) return damaged(in, "the file was cut: pages in use are missing");
    if (in->shallow && in->depth == DEPTH_SHALLOW) return RC_OK;
    if (in->depth == DEPTH_MAX) return damaged(in, "a tree without end");
    in->stack[in->depth].page = number;
    in->stack[in->depth++].next = 0;
    return RC_OK;
}

/* The pages that a leaf's node refers to: a run, or the root of a tree. */
static int follow_leaf_node(struct inspection *in, const unsigned char *node, const unsigned char *end)
{
    uint16_t field[4];
    size_t number;
    memcpy(field, node, sizeof field);
    size_t size = field[0] | (size_t)field[1] << 16;
    const unsigned char *data = node + LAYOUT_NODE_HEADER + field[3];
    if (field[2] & NODE_BIG) {
        if (data + sizeof number > end) return damaged(in, "a node outside of its page");
        memcpy(&number, data, sizeof number);
        size_t run = (LAYOUT_PAGE_HEADER - 1 + size) / in->page_size + 1;
        if (number >= in->pages || run > in->pages - number)
            return damaged(in, "the file was cut: a value's pages are missing");
    } else if (field[2] & NODE_TREE) {
        struct tree tree;
        if (data + sizeof tree > end) return damaged(in, "a node outside of its page");
        memcpy(&tree, data, sizeof tree);
        if (tree.root != SIZE_MAX) return push(in, tree.root);
    }
    return RC_OK;
}

static int follow_branch_node(struct inspection *in, const unsigned char *node)
{
    uint16_t field[4];
    memcpy(field, node, sizeof field);
    uint64_t number = field[0] | (uint64_t)field[1] << 16;
    if (sizeof(size_t) == 8) number |= (uint64_t)field[2] << 32;
    return push(in, (size_t)number);
}

/* One step of the walk: the next node of the page on top, or up. */
static int step(struct inspection *in)
{
    struct page_head head;
    unsigned top = in->depth - 1;
    unsigned index = in->stack[top].next++;
    if (pread(in->fd, page, in->page_size, (off_t)(in->stack[top].page * in->page_size)) != (ssize_t)in->page_size)
        return RC_IO;
    memcpy(&head, page, sizeof head);
    bool tree_page = (head.flags & (FLAG_BRANCH | FLAG_LEAF)) != 0 && !(head.flags & FLAG_FIXED_LEAF);
    if (!tree_page || head.lower < LAYOUT_PAGE_HEADER || head.lower > head.upper || head.upper > in->page_size)
        return damaged(in, "a page that belongs to no tree");
    unsigned count = ((unsigned)head.lower - LAYOUT_PAGE_HEADER) / LAYOUT_NODE_PLACE;
    for (; index < count; index++) {
        uint16_t place;
        memcpy(&place, page + LAYOUT_PAGE_HEADER + index * LAYOUT_NODE_PLACE, sizeof place);
        if (place < head.lower || place + (size_t)LAYOUT_NODE_HEADER > in->page_size)
            return damaged(in, "a node outside of its page");
        in->stack[top].next = index + 1;
        int rc = head.flags & FLAG_BRANCH ? follow_branch_node(in, page + place)
                                          : follow_leaf_node(in, page + place, page + in->page_size);
        if (rc != RC_OK || in->depth > top + 1) return rc;
    }
    in->depth--;
    return RC_OK;
}

static int walk(struct inspection *in, const struct tree *tree)
{
    if (tree->root == SIZE_MAX) return RC_OK;
    int rc = push(in, tree->root);
    while (rc == RC_OK && in->depth > 0) rc = step(in);
    return rc;
}

static int inspect_file(struct inspection *in)
{
    struct meta first, second;
    struct stat st;
    int rc = meta_read(in, 0, &first);
    if (rc == RC_OK) rc = meta_read(in, (off_t)first.trees[TREE_FREE].pad, &second);
    if (rc != RC_OK) return rc;
    if (fstat(in->fd, &st) != 0) return RC_IO;
    const struct meta *meta = second.transaction > first.transaction ? &second : &first;
    in->page_size = meta->trees[TREE_FREE].pad;
    in->pages = (size_t)st.st_size / in->page_size;
    in->shallow = in->pages > meta->last_page;
    rc = walk(in, &meta->trees[TREE_FREE]);
    return rc == RC_OK ? walk(in, &meta->trees[TREE_MAIN]) : rc;
}

int kv_inspect(const char *folder, char reason[KV_REASON_MAX])
{
    char path[FILE_PATH_MAX];
    reason[0] = '\0';
    int rc = file_join(path, folder, "data.mdb");
    if (rc != RC_OK) return rc;
    struct inspection in = {.reason = reason, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (in.fd < 0) return file_from_errno(errno);
    rc = inspect_file(&in);
    close(in.fd);
    return rc;
}

/* ---- the map */

/* "from-to rwxp offset device inode path": takes numbers in base 16, or 10 for the inode, apart. */
static const char *number_at(const char *text, unsigned base, uint64_t *value)
{
    *value = 0;
    for (;; text++) {
        unsigned digit = *text >= '0' && *text <= '9'   ? (unsigned)(*text - '0')
                         : *text >= 'a' && *text <= 'f' ? (unsigned)(*text - 'a') + 10
                                                        : 99;
        if (digit >= base) return text;
        *value = *value * base + digit;
    }
}

static bool map_line(const char *line, uint64_t inode, uint64_t *from, uint64_t *to)
{
    uint64_t offset, found;
    line = number_at(line, 16, from);
    if (*line != '-') return false;
    line = number_at(line + 1, 16, to);
    if (strlen(line) < 7) return false;
    line = number_at(line + 6, 16, &offset);
    for (; *line == ' '; line++) {}
    while (*line && *line != ' ') line++; /* device */
    for (; *line == ' '; line++) {}
    (void)number_at(line, 10, &found);
    return offset == 0 && found == inode;
}

void kv_map_of(int file, const void **base, size_t *size)
{
    struct stat st;
    char *buffer = (char *)page; /* boot only, as above */
    size_t held = 0;
    ssize_t got;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    *size = 0;
    if (fd < 0 || fstat(file, &st) != 0) return;
    while (*size == 0 && (got = read(fd, buffer + held, sizeof page - 1 - held)) > 0) {
        char *line = buffer, *end;
        uint64_t from, to;
        buffer[held += (size_t)got] = '\0';
        for (; *size == 0 && (end = strchr(line, '\n')); line = end + 1) {
            *end = '\0';
            if (!map_line(line, st.st_ino, &from, &to)) continue;
            *base = (const void *)(uintptr_t)from;
            *size = (size_t)(to - from);
        }
        held = strlen(line);
        memmove(buffer, line, held);
    }
    close(fd);
}
