/* help.c - `backpropd help [topic]` and --version. */
#include "server/commands/commands.h"

#include "engine/kernels/kernels.h"
#include "schema/text/text.h"
#include "server/settings.h"
#include "server/version.h"

#include <jansson.h>
#include <microhttpd.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

static void overview(void) {
    printf("backpropd trains and serves small neural networks.\n\n"
           "  backpropd serve                         the HTTP server\n"
           "  backpropd train --data rows.csv --target COLUMN\n"
           "                                          one training without a server\n"
           "  backpropd predict --model model.bpd --data rows.csv\n"
           "                                          predictions of a trained model, - for standard input\n"
           "  backpropd gradcheck model.json          a network's gradients against finite differences\n"
           "  backpropd doctor                        this machine, its kernels, its limits, the data folder\n"
           "  backpropd help TOPIC                    serve, train, predict, gradcheck, doctor\n\n"
           "Examples\n"
           "  backpropd train --data penguins.csv --target species\n"
           "  backpropd serve --listen 127.0.0.1:8080 --data-dir ./backpropd-data &\n"
           "  curl -s http://127.0.0.1:8080/v1/catalog\n");
}

static void serve_help(void) {
    printf("backpropd serve [flags]\n\n"
           "Every flag is also an environment variable (--data-dir: BACKPROPD_DATA_DIR) and a line of the config file (data_dir = ...).\n"
           "A flag overrides the environment, and the environment overrides the file. On SIGTERM, running jobs write a checkpoint and resume at the "
           "next "
           "start.\n\n");
    server_settings_help(stdout);
    printf("\nExamples\n"
           "  backpropd serve\n"
           "  backpropd serve --listen 127.0.0.1:0 --data-dir /tmp/try --workers 1\n"
           "  backpropd serve --listen 0.0.0.0:8080 --api-key-file /etc/backpropd.key --allow-host models.example.org\n");
}

static void train_help(void) {
    printf("backpropd train --data FILE.csv --target COLUMN [flags]\n\n"
           "  --data FILE             CSV with a header line, or any format that the server accepts (TSV, JSON, JSON lines, NPY, NPZ, IDX; gzip, "
           "zstd); - for\n"
           "                          standard input\n"
           "  --target COLUMN         the column to predict\n"
           "  --definition FILE       a model definition as JSON; by default a network is selected and shown\n"
           "  --options FILE          training options as JSON, as in POST /v1/jobs\n"
           "  --out FILE              the trained model [model.bpd]\n"
           "  --types LIST            col:categorical,col2:numeric\n"
           "  --epochs, --batch-size, --seed, --threads, --learning-rate, --validation, --patience N\n"
           "                          the usual options [epochs 200, stopping early after 20 without improvement]\n"
           "  --task KIND             classification or regression; inferred by default\n"
           "  --quiet                 no progress bar\n\n"
           "Examples\n"
           "  backpropd train --data penguins.csv --target species\n"
           "  backpropd train --data houses.csv --target price --epochs 500 --out houses.bpd\n");
}

static void other_help(const char *topic) {
    if (strcmp(topic, "predict") == 0)
        printf("backpropd predict --model FILE.bpd --data FILE.csv|- [--format csv|json] [--thresholds X]\n\n"
               "One line per row: the label and its probability, or the value; of several labels a row a JSON list, and the probability of each;\n"
               "with --format json one object per row. --thresholds 0.3, or '{\"red\":0.3}', is used instead of the model's.\n"
               "Columns that are not features are ignored, and missing columns count as missing values, each with a warning. A file without any "
               "feature is an error.\n\n"
               "Examples\n  backpropd predict --model model.bpd --data new.csv\n  tail -n +2 rows.csv | cat head.csv - | backpropd predict --model "
               "model.bpd --data -\n");
    else if (strcmp(topic, "gradcheck") == 0)
        printf("backpropd gradcheck model.json [--input N | --input H,W,C] [--classes N] [--batch N] [--seed N] [--tolerance X]\n\n"
               "Compares every gradient of the network with central differences, in double precision, away from non-differentiable points.\n"
               "The definition needs \"inputs\", or give --input with the shape of its input. Exit status 0 when all agree.\n\n"
               "Example\n  backpropd gradcheck model.json --input 4 --classes 3\n");
    else
        printf("backpropd doctor [--data-dir DIR] [--url URL [--api-key-file FILE]]\n\n"
               "Reports this machine, the kernels in use and the limits, and checks what `serve` checks: settings, key, address, data folder.\n"
               "With --url it checks whether a running server is ready: exit status 0 if it is.\n\n"
               "Examples\n  backpropd doctor\n  backpropd doctor --url http://127.0.0.1:8080\n");
}

int command_help(int argc, char **argv) {
    static const char *const topics[] = {"serve", "train", "predict", "gradcheck", "doctor", NULL};
    if (argc < 2) {
        overview();
        return 0;
    }
    for (int i = 0; topics[i]; i++) {
        if (strcmp(topics[i], argv[1]) != 0) continue;
        if (i == 0) serve_help();
        else if (i == 1) train_help();
        else other_help(topics[i]);
        return 0;
    }
    char hint[80];
    fprintf(stderr, "backpropd help: unknown topic \"%s\"%s; topics: serve train predict gradcheck doctor\n", argv[1],
            schema_did_you_mean(schema_nearest_in(argv[1], topics), hint, sizeof hint));
    return 2;
}

int command_version(int argc, char **argv) {
    (void)argc;
    (void)argv;
    printf("backpropd %s (libmicrohttpd %s, SQLite %s, jansson %s, %s)\n", BACKPROPD_VERSION, MHD_get_version(), sqlite3_libversion(),
           jansson_version_str(), bp_blas_name());
    return 0;
}
