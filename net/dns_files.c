/* SPDX-License-Identifier: Apache-2.0 */
/* net/dns_files.c — resolv.conf(5) and hosts(5), read by ourselves: the resolver library would use stdio and the heap. */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/stat.h>

#include "net/dns_private.h"
#include "platform/file.h"
#include "platform/log.h"
#include "platform/plan.h"
#include "platform/rc.h"

enum {
    RESOLV_MAX = 8 * 1024,
    HOSTS_MAX = 64 * 1024, /* blocking lists are larger; they have no business on a gateway */
};

struct watched_file {
    const char *path;
    bool read;
    struct stat seen;
    char *text;
    size_t size, capacity;
};

static struct watched_file resolv = {.path = "/etc/resolv.conf", .capacity = RESOLV_MAX};
static struct watched_file hosts = {.path = "/etc/hosts", .capacity = HOSTS_MAX};

int dns_files_reserve(void)
{
    void *region = NULL;
    int rc = plan_take("dns files", 1, RESOLV_MAX + HOSTS_MAX, PLAN_LAZY, 0, NULL, &region);
    if (rc != RC_OK) return rc;
    resolv.text = region;
    hosts.text = resolv.text + RESOLV_MAX;
    return RC_OK;
}

void dns_files_set(const char *resolv_conf, const char *hosts_path)
{
    resolv.path = resolv_conf;
    hosts.path = hosts_path;
    resolv.read = hosts.read = false;
}

static bool changed(const struct watched_file *file)
{
    struct stat now = {0};
    if (stat(file->path, &now) != 0) now = (struct stat){0};
    return !file->read || now.st_ino != file->seen.st_ino || now.st_size != file->seen.st_size ||
           now.st_mtim.tv_sec != file->seen.st_mtim.tv_sec || now.st_mtim.tv_nsec != file->seen.st_mtim.tv_nsec;
}

static void read_again(struct watched_file *file)
{
    if (stat(file->path, &file->seen) != 0) file->seen = (struct stat){0};
    file->read = true;
    int rc = file_read(file->path, file->text, file->capacity, &file->size);
    if (rc == RC_OK) return;
    file->size = 0;
    if (rc != RC_NOT_FOUND) log_warn("dns", "%s cannot be used: %s", file->path, rc_name(rc));
}

static struct span word_cut(struct span *line)
{
    size_t start = 0;
    while (start < line->size && (line->data[start] == ' ' || line->data[start] == '\t' || line->data[start] == '\r'))
        start++;
    size_t end = start;
    while (end < line->size && line->data[end] != ' ' && line->data[end] != '\t' && line->data[end] != '\r') end++;
    struct span word = span_of(line->data + start, end - start);
    *line = span_of(line->data + end, line->size - end);
    return word;
}

/* The next line without its comment. */
static struct span line_cut(struct span *text)
{
    struct span line, plain;
    *text = span_cut(*text, '\n', &line);
    for (size_t i = 0; i < line.size; i++) {
        if (line.data[i] == '#' || line.data[i] == ';') return span_of(line.data, i);
    }
    plain = line;
    return plain;
}

bool dns_settings_changed(void)
{
    return changed(&resolv);
}

static void server_add(struct text *servers, struct span address)
{
    struct dns_raw raw;
    char plain[64];
    struct span scope, bare;
    scope = span_cut(address, '%', &bare);
    if (!dns_raw_parse(bare, &raw) || address.size >= sizeof plain) return;
    text_format(servers, "%s%s%.*s%s%.*s%s", servers->size > 0 ? "," : "", raw.family == 6 ? "[" : "", SPAN_ARG(bare),
                scope.size > 0 ? "%" : "", SPAN_ARG(scope), raw.family == 6 ? "]" : "");
}

static void domain_add(struct dns_settings *s, struct span domain)
{
    if (domain.size == 0 || domain.size >= DNS_NAME_MAX || s->domain_count == DNS_DOMAINS_MAX) return;
    memcpy(s->domains[s->domain_count], domain.data, domain.size);
    s->domains[s->domain_count++][domain.size] = 0;
}

static void option_add(struct dns_settings *s, struct span option)
{
    struct span value, name;
    uint64_t number = 0;
    value = span_cut(option, ':', &name);
    if (span_equal(name, SPAN("ndots")) && span_to_u64(value, 15, &number) == RC_OK) s->ndots = (int)number;
}

void dns_settings_read(struct dns_settings *s)
{
    read_again(&resolv);
    *s = (struct dns_settings){.ndots = 1};
    struct text servers = text_on(s->servers, sizeof s->servers);
    struct span text = span_of(resolv.text, resolv.size);
    while (text.size > 0) {
        struct span line = line_cut(&text);
        struct span key = word_cut(&line);
        if (span_equal(key, SPAN("search")) || span_equal(key, SPAN("domain")))
            s->domain_count = 0; /* the last one counts */
        for (struct span word = word_cut(&line); word.size > 0; word = word_cut(&line)) {
            if (span_equal(key, SPAN("nameserver"))) server_add(&servers, word);
            if (span_equal(key, SPAN("search")) || span_equal(key, SPAN("domain"))) domain_add(s, word);
            if (span_equal(key, SPAN("options"))) option_add(s, word);
        }
    }
}

bool dns_hosts_find(struct span name, struct dns_answer *answer)
{
    if (changed(&hosts)) read_again(&hosts);
    struct span text = span_of(hosts.text, hosts.size);
    while (text.size > 0) {
        struct dns_raw raw;
        struct span line = line_cut(&text);
        if (!dns_raw_parse(word_cut(&line), &raw)) continue;
        for (struct span word = word_cut(&line); word.size > 0; word = word_cut(&line)) {
            if (span_equal_nocase(word, name)) dns_answer_add(answer, &raw);
        }
    }
    return answer->count > 0;
}
