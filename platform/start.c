/* SPDX-License-Identifier: Apache-2.0 */
/* platform/start.c — first things first; last words. */
#include "platform/start.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/file.h"
#include "platform/rc.h"
#include "platform/text.h"

enum {
    NAME_MAX_SIZE = 32,
    FAULT_STACK = 64 * 1024, /* signal frames with wide vector state take 11 KiB alone */
    RECORD_MAX = 4096,       /* of the file of faults: only its end is read */
};

/* The linker's own symbol; absent in a program that is not position independent, which needs no base either. */
extern const char dynamic_section[] __asm__("_DYNAMIC") __attribute__((weak, visibility("hidden")));

/* PT_GNU_RELRO is what the dynamic loader protects where there is one. There is no PT_PHDR in our program: the load
 * address is that of _DYNAMIC less its address in the file. */
static int protect_relro(void)
{
    const ElfW(Phdr) *headers = (const void *)getauxval(AT_PHDR);
    const ElfW(Phdr) *relro = NULL;
    uintptr_t base = 0;
    for (size_t i = 0; headers && i < getauxval(AT_PHNUM); i++) {
        if (headers[i].p_type == PT_DYNAMIC && dynamic_section) base = (uintptr_t)dynamic_section - headers[i].p_vaddr;
        if (headers[i].p_type == PT_GNU_RELRO) relro = &headers[i];
    }
    if (!relro) return RC_OK;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = (base + relro->p_vaddr) & ~(page - 1);
    uintptr_t end = (base + relro->p_vaddr + relro->p_memsz) & ~(page - 1);
    if (end <= start) return RC_OK;
    return mprotect((void *)start, end - start, PROT_READ) == 0 ? RC_OK : RC_IO;
}

static void reset_signals(void)
{
    sigset_t none;
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* Only what was inherited as ignored: a sanitizer's own handlers stay. */
    for (int i = 1; i < NSIG; i++) {
        struct sigaction now;
        if (sigaction(i, NULL, &now) == 0 && now.sa_handler == SIG_IGN) sigaction(i, &action, NULL);
    }
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

static void raise_files_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int start_process(void)
{
    int rc = protect_relro();
    reset_signals();
    raise_files_limit();
    return rc;
}

size_t start_files_max(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
    return limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX : (size_t)limit.rlim_cur;
}

/* Read by the handler at any moment: `size` is written last and cleared first. */
struct range {
    char name[NAME_MAX_SIZE];
    char path[FILE_PATH_MAX];
    uintptr_t base;
    _Atomic size_t size;
};
static struct range ranges[START_RANGES_MAX];

static struct range *range_for_name(const char *name)
{
    struct range *unused = NULL;
    for (unsigned i = 0; i < START_RANGES_MAX; i++) {
        if (strcmp(ranges[i].name, name) == 0) return &ranges[i];
        if (ranges[i].name[0] == '\0' && !unused) unused = &ranges[i];
    }
    return unused;
}

int start_watch_range(const char *name, const void *base, size_t size, const char *path)
{
    size_t name_size = strlen(name) + 1, path_size = strlen(path) + 1;
    if (name_size > NAME_MAX_SIZE || path_size > FILE_PATH_MAX) return RC_TOO_LARGE;
    struct range *range = range_for_name(name);
    if (!range) return RC_FULL;
    atomic_store(&range->size, 0);
    memcpy(range->name, name, name_size);
    memcpy(range->path, path, path_size);
    range->base = (uintptr_t)base;
    atomic_store(&range->size, size);
    return RC_OK;
}

static const int fatal_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
enum { FATAL_SIGNALS = sizeof fatal_signals / sizeof fatal_signals[0] };
static const char *const fatal_names[FATAL_SIGNALS] = {"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"};
static struct sigaction former[FATAL_SIGNALS];

#if defined(__x86_64__)
static uintptr_t program_counter(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
}
#elif defined(__aarch64__)
static uintptr_t program_counter(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.pc;
}
#else
static uintptr_t program_counter(const ucontext_t *context)
{
    (void)context;
    return (uintptr_t)start_faults;
}
#endif

static void put_address(struct text *t, uintptr_t address)
{
    text_put_text(t, "0x");
    for (unsigned shift = sizeof address * 8; shift > 0; shift -= 8) {
        unsigned char byte = (unsigned char)(address >> (shift - 8));
        text_put_hex(t, &byte, 1);
    }
}

static void record(const struct range *range)
{
    char buffer[64];
    struct text line = text_on(buffer, sizeof buffer);
    text_put_text(&line, range->name);
    text_put_char(&line, ' ');
    text_put_u64(&line, clock_wall_us() / CLOCK_SECOND);
    text_put_char(&line, '\n');
    int fd = open(range->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) return;
    ssize_t written = write(fd, line.data, line.size);
    (void)written;
    fsync(fd);
    close(fd);
}

static const struct range *range_at(uintptr_t address)
{
    for (unsigned i = 0; i < START_RANGES_MAX; i++) {
        size_t size = atomic_load(&ranges[i].size);
        if (size > 0 && address - ranges[i].base < size) return &ranges[i];
    }
    return NULL;
}

/* Calls nothing that is not async-signal-safe. Returning runs the faulting instruction again, under whatever handled the
 * signal before: a sanitizer's report, or the default, so that the exit status tells the truth. */
static void fault_handler(int signal_number, siginfo_t *info, void *context)
{
    char buffer[256];
    struct text line = text_on(buffer, sizeof buffer);
    unsigned index = 0;
    while (index < FATAL_SIGNALS - 1 && fatal_signals[index] != signal_number) index++;
    bool has_address = (signal_number == SIGSEGV || signal_number == SIGBUS) && info->si_code > 0;
    const struct range *range = has_address ? range_at((uintptr_t)info->si_addr) : NULL;
    text_put_text(&line, "larder: fatal ");
    text_put_text(&line, fatal_names[index]);
    if (has_address) {
        text_put_text(&line, " at ");
        put_address(&line, (uintptr_t)info->si_addr);
    }
    if (range) {
        text_put_text(&line, " in the map of ");
        text_put_text(&line, range->name);
    }
    text_put_text(&line, ", code ");
    text_put_i64(&line, info->si_code);
    text_put_text(&line, ", program counter start_faults ");
    text_put_i64(&line, (int64_t)(program_counter(context) - (uintptr_t)start_faults));
    text_put_char(&line, '\n');
    ssize_t written = write(STDERR_FILENO, line.data, line.size);
    (void)written;
    if (range) record(range);
    sigaction(signal_number, &former[index], NULL);
    if (info->si_code <= 0) raise(signal_number); /* sent by somebody: nothing would fault again */
}

void start_thread_mask(sigset_t *set)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    sigfillset(set);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) sigdelset(set, faults[i]);
}

void start_faults(void)
{
    static _Alignas(16) unsigned char stack[FAULT_STACK];
    static bool started; /* a second time would take our own handler for the former one */
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    if (started) return;
    started = true;
    sigaltstack(&alternate, NULL);
    sigfillset(&action.sa_mask);
    for (unsigned i = 0; i < FATAL_SIGNALS; i++) sigaction(fatal_signals[i], &action, &former[i]);
}

static size_t read_end(const char *path, char *buffer, size_t capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    off_t size = lseek(fd, 0, SEEK_END);
    off_t from = size > (off_t)capacity ? size - (off_t)capacity : 0;
    ssize_t got = pread(fd, buffer, capacity, from);
    close(fd);
    return got > 0 ? (size_t)got : 0;
}

unsigned start_faults_recorded(const char *path, const char *name, uint64_t since_us)
{
    char buffer[RECORD_MAX];
    struct span rest = span_of(buffer, read_end(path, buffer, sizeof buffer));
    unsigned count = 0;
    while (rest.size > 0) {
        struct span line, word;
        uint64_t seconds;
        rest = span_cut(rest, '\n', &line);
        struct span number = span_cut(line, ' ', &word);
        if (span_equal(word, span_text(name)) && span_to_u64(number, UINT64_MAX / CLOCK_SECOND, &seconds) == RC_OK &&
            seconds * CLOCK_SECOND >= since_us)
            count++;
    }
    return count;
}
