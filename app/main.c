/* SPDX-License-Identifier: Apache-2.0 */
/* app/main.c — the command line: serve, check, plan, ctl, version. Exit codes: 0 done, 1 failed, 2 usage or configuration. */
#include <stdio.h>
#include <string.h>

#include "app/boot.h"
#include "app/command.h"
#include "app/control.h"
#include "version.h"

enum { OVERRIDES_MAX = 32, EXIT_USAGE = 2 };

static const char usage[] =
    "larder — answers LLM requests from a local store when it can, from the cloud when it must\n\n"
    "  larder serve [-c FILE] [--override PATH=VALUE]...   run the box (without FILE: ./larder.yaml, else built-in "
    "defaults)\n"
    "  larder check [-c FILE] [--override PATH=VALUE]...   read the configuration, print its resolved form\n"
    "  larder plan  [-c FILE] [--override PATH=VALUE]...   print the memory plan\n"
    "  larder ctl   [-c FILE] COMMAND...                   tell a running box (larder ctl help lists the commands)\n"
    "  larder version\n";

struct line {
    struct boot_options options;
    const char *overrides[OVERRIDES_MAX];
    const char *const *words; /* what follows the options */
    unsigned word_count;
};

static int complain(const char *what, const char *which)
{
    fprintf(stderr, "larder: error: %s%s%s\n\n%s", what, which ? ": " : "", which ? which : "", usage);
    return EXIT_USAGE;
}

/* Options come first; the rest are words of the command. */
static int read_line(int argc, char **argv, struct line *line)
{
    int i = 2;
    for (; i < argc && argv[i][0] == '-'; i += 2) {
        bool config = strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0;
        if (!config && strcmp(argv[i], "--override") != 0) return complain("unknown option", argv[i]);
        if (i + 1 == argc) return complain("this option needs a value", argv[i]);
        if (config)
            line->options.config_path = argv[i + 1];
        else if (line->options.override_count == OVERRIDES_MAX)
            return complain("too many overrides: put them into the file", NULL);
        else
            line->overrides[line->options.override_count++] = argv[i + 1];
    }
    line->options.overrides = line->overrides;
    line->words = (const char *const *)&argv[i];
    line->word_count = (unsigned)(argc - i);
    return 0;
}

static int run_ctl(const struct line *line)
{
    char path[256];
    if (line->word_count == 0) return complain("ctl needs a command (larder ctl help lists them)", NULL);
    if (line->word_count > COMMAND_WORDS_MAX) return complain("too many words", NULL);
    int code = boot_control_path(&line->options, path, sizeof path);
    return code != 0 ? code : control_client(path, line->words, line->word_count);
}

static int run(const char *verb, const struct line *line)
{
    bool ctl = strcmp(verb, "ctl") == 0;
    if (!ctl && line->word_count) return complain("unexpected word", line->words[0]);
    if (ctl) return run_ctl(line);
    if (strcmp(verb, "serve") == 0) return boot_serve(&line->options);
    if (strcmp(verb, "check") == 0) return boot_check(&line->options);
    if (strcmp(verb, "plan") == 0) return boot_plan(&line->options);
    return complain("unknown command", verb);
}

int main(int argc, char **argv)
{
    struct line line = {0};
    if (argc < 2) return complain("say what to do", NULL);
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) return puts("larder " LARDER_VERSION) < 0;
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return fputs(usage, stdout) < 0;
    int code = read_line(argc, argv, &line);
    return code != 0 ? code : run(argv[1], &line);
}
