/* SPDX-License-Identifier: Apache-2.0 */
/* app/main.c — the command line: serve, check, plan, ctl, model, embed-serve, eval-serve, bench, version. Exit codes: 0 done, 1 failed, 2 usage or configuration. */
#include <stdio.h>
#include <string.h>

#include "app/bench/bench.h"
#include "app/boot.h"
#include "app/command.h"
#include "app/control.h"
#include "app/embed_serve.h"
#include "app/eval/eval.h"
#include "app/model/command.h"
#include "version.h"

enum { OVERRIDES_MAX = 32, BOARD_TEXT_MAX = 80, EXIT_USAGE = 2 };

static const char usage[] =
    "larder — answers LLM requests from a local store when it can, from the cloud when it must\n\n"
    "  larder serve [OPTION]...        run the box\n"
    "  larder check [OPTION]...        read the configuration, print its resolved form\n"
    "  larder plan [OPTION]...         print the memory plan\n"
    "  larder ctl [-c FILE] COMMAND... tell a running box (larder ctl help lists the commands)\n"
    "  larder reference                print every key of the configuration and every board, as Markdown\n"
    "  larder model import|show...     make the local model's file (larder model says how)\n"
    "  larder bench [STAGE [OPTION]...] measure this machine (larder bench lists the stages)\n"
    "  larder embed-serve [OPTION]...  texts in, vectors out, one JSON object a line\n"
    "  larder eval-serve [OPTION]...   the semantic tier driven a JSON object a line, for judging it\n"
    "  larder version\n\n"
    "  -c FILE                         the configuration (else ./larder.yaml, else built-in defaults)\n"
    "  --override PATH=VALUE           one value of it; may stand more than once\n"
    "  --board NAME                    the same as --override board=NAME\n";

struct line {
    struct boot_options options;
    const char *overrides[OVERRIDES_MAX];
    char board[BOARD_TEXT_MAX]; /* "board=NAME" */
    const char *const *words;   /* what follows the options */
    unsigned word_count;
};

static int complain(const char *what, const char *which)
{
    fprintf(stderr, "larder: error: %s%s%s\n\n%s", what, which ? ": " : "", which ? which : "", usage);
    return EXIT_USAGE;
}

static int add_override(struct line *line, const char *text)
{
    if (line->options.override_count == OVERRIDES_MAX)
        return complain("too many overrides: put them into the file", NULL);
    line->overrides[line->options.override_count++] = text;
    return 0;
}

static int set_board(struct line *line, const char *name)
{
    int size = snprintf(line->board, sizeof line->board, "board=%s", name);
    if (size >= BOARD_TEXT_MAX) return complain("no board has so long a name", NULL);
    line->options.named_board = true;
    return add_override(line, line->board);
}

/* Options come first; the rest are words of the command. */
static int read_line(int argc, char **argv, struct line *line)
{
    int i = 2;
    for (; i < argc && argv[i][0] == '-'; i += 2) {
        bool config = strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0;
        bool board = strcmp(argv[i], "--board") == 0;
        int code = 0;
        if (!config && !board && strcmp(argv[i], "--override") != 0) return complain("unknown option", argv[i]);
        if (i + 1 == argc) return complain("this option needs a value", argv[i]);
        if (config)
            line->options.config_path = argv[i + 1];
        else
            code = board ? set_board(line, argv[i + 1]) : add_override(line, argv[i + 1]);
        if (code != 0) return code;
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

static int run_serve(const struct line *line)
{
    return boot_serve(&line->options);
}

static int run_check(const struct line *line)
{
    return boot_check(&line->options);
}

static int run_plan(const struct line *line)
{
    return boot_plan(&line->options);
}

static int run_reference(const struct line *line)
{
    (void)line;
    return boot_reference();
}

/* `words`: takes words behind its options. */
static const struct verb {
    const char *name;
    bool words;
    int (*run)(const struct line *line);
} verbs[] = {
    {"serve", false, run_serve}, {"check", false, run_check},         {"plan", false, run_plan},
    {"ctl", true, run_ctl},      {"reference", false, run_reference},
};

static int run_bench(int argc, char **argv)
{
    return bench_run((const char *const *)argv, (unsigned)argc);
}

/* These read their own words. */
static const struct tool {
    const char *name;
    int (*run)(int argc, char **argv);
} tools[] = {
    {"model", model_command},
    {"embed-serve", embed_serve},
    {"eval-serve", eval_serve},
    {"bench", run_bench},
};

static int run(const char *name, const struct line *line)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(name, verbs[i].name) != 0) continue;
        if (!verbs[i].words && line->word_count) return complain("unexpected word", line->words[0]);
        return verbs[i].run(line);
    }
    return complain("unknown command", name);
}

int main(int argc, char **argv)
{
    struct line line = {0};
    if (argc < 2) return complain("say what to do", NULL);
    if (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0) return puts("larder " LARDER_VERSION) < 0;
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return fputs(usage, stdout) < 0;
    for (size_t i = 0; i < sizeof tools / sizeof tools[0]; i++)
        if (strcmp(argv[1], tools[i].name) == 0) return tools[i].run(argc - 2, argv + 2);
    int code = read_line(argc, argv, &line);
    return code != 0 ? code : run(argv[1], &line);
}
