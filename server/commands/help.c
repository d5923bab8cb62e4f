/* help.c - `backpropd help [topic]`. */
#include "server/commands/commands.h"

#include "schema/text/text.h"
#include "server/settings.h"

#include <stdio.h>
#include <string.h>

static const char *const topics[] = {"serve", "train",  "predict", "batch",   "evaluate", "calibrate", "drift",     "explain",
                                     "trace", "sweep",  "jobs",    "compare", "export",   "import",    "gradcheck", "doctor",
                                     "check", "backup", "restore", "keys",    "alias",    "audit",     NULL};

static void print_topics(FILE *out, const char *between) {
    for (const char *const *topic = topics; *topic; topic++) fprintf(out, "%s%s", topic == topics ? "" : between, *topic);
}

static void overview(void) {
    printf("backpropd trains and serves small neural networks.\n\n"
           "  backpropd serve                         the HTTP server\n"
           "  backpropd train --data rows.csv --target COLUMN\n"
           "                                          one training without a server\n"
           "  backpropd predict --model model.bpd --data rows.csv\n"
           "                                          predictions of a trained model, - for standard input\n"
           "  backpropd batch --model model.bpd --data rows.csv --out predictions.csv --failures failed.csv\n"
           "                                          any number of rows, of a file or of a dataset on a server\n"
           "  backpropd evaluate --model model.bpd --data rows.csv\n"
           "                                          metrics with intervals, curves and slices on rows with known targets\n"
           "  backpropd calibrate --model model.bpd --data rows.csv\n"
           "                                          probabilities that hold, sets and intervals with a coverage\n"
           "  backpropd drift --model MODEL --url URL\n"
           "                                          what a version predicts lately beside its training rows\n"
           "  backpropd explain --model model.bpd --data rows.csv\n"
           "                                          which columns the predictions depend on\n"
           "  backpropd trace --model model.bpd --data rows.csv\n"
           "                                          a mini-batch forward and backward, with every number\n"
           "  backpropd export --model model.bpd --format c\n"
           "                                          a trained model as bpd, safetensors, JSON or C source\n"
           "  backpropd import --file model.bpd --name MODEL --url URL\n"
           "                                          a trained model into a server\n"
           "  backpropd alias --model MODEL --url URL [--name ALIAS --version N]\n"
           "                                          which versions of a model its aliases name\n"
           "  backpropd sweep --data rows.csv --target COLUMN --definition net.json --space space.json\n"
           "                                          many trainings with different options, the best is written\n"
           "  backpropd jobs --url URL --sort -val_accuracy\n"
           "                                          the jobs of a server, sorted and filtered\n"
           "  backpropd compare --url URL --jobs JOB,JOB\n"
           "                                          jobs side by side: what differs, which is best\n"
           "  backpropd gradcheck model.json          a network's gradients against finite differences\n"
           "  backpropd doctor                        this machine, its kernels, its limits, the data folder\n"
           "  backpropd check                         verifies every byte of a data folder\n"
           "  backpropd backup FOLDER                 copies the data folder while the server runs\n"
           "  backpropd restore FOLDER --data-dir NEW makes a data folder of a backup\n"
           "  backpropd keys create|list|rotate|revoke\n"
           "                                          API keys, while the server runs\n"
           "  backpropd audit                         who changed what\n");
    printf("  backpropd help TOPIC: ");
    print_topics(stdout, ", ");
    printf("\n\n"
           "Examples\n"
           "  backpropd train --data penguins.csv --target species\n"
           "  backpropd serve --listen 127.0.0.1:8080 --data-dir ./backpropd-data &\n"
           "  curl -s http://127.0.0.1:8080/v1/catalog\n");
}

static void serve_help(void) {
    printf("backpropd serve [flags]\n\n"
           "Every flag is also an environment variable (--data-dir: BACKPROPD_DATA_DIR) and a line of the config file (data_dir = ...).\n"
           "A flag overrides the environment, and the environment overrides the file. On SIGTERM, running jobs write a checkpoint and resume at the "
           "next\n"
           "start. On SIGHUP the settings are read again.\n\n");
    server_settings_help(stdout);
    printf("  %-22s %s\n", "--check-config", "only check the settings; exit status 0 when they are valid");
    printf("\nExamples\n"
           "  backpropd serve\n"
           "  backpropd serve --listen 127.0.0.1:0 --data-dir /tmp/try --workers 1\n"
           "  backpropd serve --listen 0.0.0.0:8080 --allow-host models.example.org      # after `backpropd keys create`\n");
}

static void train_help(void) {
    printf("backpropd train --data FILE.csv --target COLUMN [flags]\n\n"
           "  --data FILE             CSV with a header line, or any format that the server accepts (TSV, JSON, JSON lines, NPY, NPZ, IDX; gzip, "
           "zstd); - for\n"
           "                          standard input\n"
           "  --target COLUMN         the column to predict\n"
           "  --definition FILE       a model definition as JSON; by default several families of networks are trained and averaged\n"
           "  --effort LEVEL          without a definition: fast, balanced or best [balanced]\n"
           "  --options FILE          training options as JSON, as in POST /v1/jobs\n"
           "  --out FILE              the trained model [model.bpd]\n"
           "  --calibrate COVERAGE    sets or intervals that have the truth in them so often, such as 0.9, and a temperature, by the rows held out\n"
           "  --types LIST            col:categorical,col2:numeric\n"
           "  --epochs, --batch-size, --seed, --threads, --learning-rate, --validation, --test, --patience, --max-seconds N\n"
           "                          the usual options [with a definition: at most 200 epochs, stopping early after 20 without improvement]\n"
           "  --task KIND             classification or regression; inferred by default\n"
           "  --init-from FILE.bpd    begins with the weights of a model: its network, or the layers of --definition with the same names and shapes; "
           "the\n"
           "                          options frozen, keep_preprocessing and keep_optimizer_state go into --options\n"
           "  --quiet                 no progress bar\n\n"
           "Examples\n"
           "  backpropd train --data penguins.csv --target species\n"
           "  backpropd train --data houses.csv --target price --effort best --out houses.bpd\n");
}

static void keys_help(void) {
    printf("backpropd keys create --name NAME --scope read|predict|train|admin [--expires 90d] [--data-dir DIR]\n"
           "backpropd keys list [--data-dir DIR]\n"
           "backpropd keys rotate NAME [--grace 1h] [--expires 90d] [--data-dir DIR]\n"
           "backpropd keys revoke NAME [--data-dir DIR]\n\n"
           "Keys of the data folder (DIR, BACKPROPD_DATA_DIR, or ./backpropd-data). A running server applies a change within a second. The key is\n"
           "printed once and stored as a hash. Requests send it as `Authorization: Bearer KEY`. A data folder that has had a key requires one for "
           "good,\n"
           "on the loopback interface, too.\n\n"
           "  read       get what is stored, follow events\n"
           "  predict    predict, and nothing else\n"
           "  train      read, predict, upload data, define models, run jobs\n"
           "  admin      everything, also delete\n\n"
           "rotate makes a new secret; with --grace the old one stays valid for that time.\n\n"
           "Example\n  backpropd keys create --name ci --scope train --expires 90d --data-dir /var/lib/backpropd\n");
}

static void export_help(void) {
    printf("backpropd export --model FILE.bpd [--format bpd|safetensors|json|c] [--out FILE] [--name NAME]\n"
           "backpropd export --model NAME[@VERSION] --url URL [--api-key-file FILE] [--ca-file FILE] [--format F] [--out FILE]\n"
           "backpropd export --model NAME[@VERSION] --data-dir DIR [--format F] [--out FILE]\n\n"
           "Writes a trained model in another form. The format follows from the ending of --out, else it is bpd; without --out the file is "
           "NAME.FORMAT,\n"
           "and --out - is standard output.\n\n"
           "  bpd          the model file of `backpropd train`\n"
           "  safetensors  tensors for other programs, with definition and preprocessing in the metadata\n"
           "  json         definition, preprocessing and weights as text\n"
           "  c            a C99 source without dependencies that predicts a row; --name is the prefix of its names\n\n"
           "Examples\n  backpropd export --model model.bpd --out model.c\n"
           "  backpropd export --model penguins@2 --url http://127.0.0.1:8080 --format safetensors\n");
}

static void import_help(void) {
    printf("backpropd import --file FILE --name MODEL --url URL [--like MODEL[@VERSION]] [--publish false] [--api-key-file FILE]\n"
           "                 [--ca-file FILE]\n"
           "backpropd import --file FILE --name MODEL --data-dir DIR [--like FILE.bpd] [--publish false]\n"
           "backpropd import --file FILE --out FILE.bpd [--like FILE.bpd]\n\n"
           "Takes a .bpd file, a safetensors file with a definition in its metadata, or the JSON of an export. It becomes the next version of the "
           "model\n"
           "on a server, or in a data folder that no server is using; with --out it becomes a model file. --like: tensors without a definition take\n"
           "the definition and preprocessing of that version, or model file.\n\n"
           "Example\n  backpropd import --file model.bpd --name penguins --url http://127.0.0.1:8080\n");
}

static void jobs_help(void) {
    printf(
        "backpropd jobs --url URL [--sort NAMES] [--where CONDITIONS] [--status S] [--model M] [--dataset D] [--since TIME] [--until TIME]\n"
        "               [--fields NAMES] [--limit 50] [--json] [--api-key-file FILE] [--ca-file FILE]\n\n"
        "The jobs of a server, newest first. --sort: up to four names, as -val_accuracy,created_at. --where: NAME, one of = != < <= > >=, and a\n"
        "value; several with \" and \" between them. Names: a metric, metrics.NAME, final.NAME (of the last epoch), options.PATH, metadata.KEY, or\n"
        "created_at, duration, epochs, parameters and so on. --fields: the columns, as id,metrics.val_loss. --json prints the response.\n\n"
        "Example\n  backpropd jobs --url http://127.0.0.1:8080 --sort -val_accuracy --where 'val_loss<0.3 and options.optimizer=adam'\n");
}

static void sweep_help(void) {
    printf("backpropd sweep --data FILE.csv --target COLUMN --definition FILE --space FILE [--out model.bpd] [--parallel 1] [--types LIST] [flags]\n"
           "backpropd sweep --url URL --model NAME|--definition FILE --dataset NAME --target COLUMN --space FILE [--publish true|if_better]\n"
           "                [--parallel N] [--keep-versions] [--detach] [--api-key-file FILE] [--ca-file FILE] [flags]\n\n"
           "Trains a network with different options and prints a table of the trials, the best first. Over a file it writes the best model to --out; "
           "on a\n"
           "server --publish says whether the best version is served, and --detach prints the id of the sweep without waiting for its end.\n\n"
           "  --space FILE         {\"optimizer.learning_rate\":{\"log_range\":[1e-4,1e-1]}, \"model.layers.0.units\":{\"choice\":[16,32]},\n"
           "                       \"batch_size\":{\"range\":[16,128],\"step\":16}}\n");
    printf("  --method METHOD      grid, random or asha, which stops bad trials early [random]\n"
           "  --trials N           of random and asha [20]\n"
           "  --metric NAME        what makes a trial better [val_loss]; --goal minimize|maximize if it is not known\n"
           "  --min-epochs, --eta  of asha: the first rung, and the share that goes on [1, 3]\n"
           "  --options FILE       training options of all trials, as in POST /v1/jobs\n"
           "  --epochs, --seed, --max-seconds N\n"
           "  --json               prints the sweep and all trials as JSON\n\n"
           "Example\n  backpropd sweep --data penguins.csv --target species --definition net.json --space space.json --method asha --trials 50\n");
}

static void compare_help(void) {
    printf("backpropd compare --url URL --jobs JOB,JOB[,...] [--series METRIC] [--same] [--json] [--api-key-file FILE] [--ca-file FILE]\n\n"
           "Up to 20 jobs of a server side by side: the options and parts of the definition that differ (with --same all), the metrics of the epoch\n"
           "that each version keeps with the best marked, a metric by epoch (--series), and why numbers are not comparable. --json prints the "
           "response.\n\n"
           "Example\n  backpropd compare --url http://127.0.0.1:8080 --jobs job_a,job_b --series val_loss\n");
}

static void calibrate_help(void) {
    printf(
        "backpropd calibrate --model FILE.bpd --data FILE.csv|- [--out FILE.bpd] [--method lac|aps|absolute|normalized|cqr] [--coverage 0.9]\n"
        "                    [--class-conditional] [--randomized] [--allow-empty] [--no-temperature] [--no-conformal] [--holdout 0.5] [--no-refit]\n"
        "                    [--seed 0] [--rows N] [--json]\n"
        "backpropd calibrate --model FILE.bpd [--temperature T] [--thresholds 0.3] [--coverage 0.95] [--no-conformal] [--out FILE.bpd] [--json]\n"
        "backpropd calibrate --model FILE.bpd --remove\n"
        "backpropd calibrate --url URL --model MODEL[@VERSION] [--dataset NAME] [...] [--api-key-file FILE] [--ca-file FILE]\n\n"
        "Fits a temperature for probabilities, and sets of classes or intervals that have the truth in them with the given coverage, on rows that\n"
        "the model was not trained on; prints what both come to on rows that were held out. The model file gets the calibration, or --out does:\n"
        "predict and evaluate go by it. Without rows the calibration is changed by hand, or printed. With --url it is that of a version on a\n"
        "server, by default the one that is served; the rows are a dataset there.\n\n"
        "Example\n  backpropd calibrate --model model.bpd --data held_out.csv --coverage 0.95\n");
}

static void drift_help(void) {
    printf(
        "backpropd drift --url URL --model MODEL[@VERSION] [--window hour|day|week] [--json] [--api-key-file FILE] [--ca-file FILE]\n\n"
        "What a version on a server has predicted in the last 24 hours (--window), by default the one that is served, beside its training rows: the\n"
        "population stability index of each feature and output, the largest first, and what it would be by chance. --json prints the response.\n\n"
        "Example\n  backpropd drift --url http://127.0.0.1:8080 --model penguins --window week\n");
}

static void other_help(const char *topic) {
    if (strcmp(topic, "jobs") == 0) jobs_help();
    else if (strcmp(topic, "compare") == 0) compare_help();
    else if (strcmp(topic, "sweep") == 0) sweep_help();
    else if (strcmp(topic, "keys") == 0) keys_help();
    else if (strcmp(topic, "export") == 0) export_help();
    else if (strcmp(topic, "import") == 0) import_help();
    else if (strcmp(topic, "calibrate") == 0) calibrate_help();
    else if (strcmp(topic, "drift") == 0) drift_help();
    else if (strcmp(topic, "alias") == 0)
        printf("backpropd alias --model MODEL [--name ALIAS [--version N | --rollback | --delete]] --url URL [--api-key-file FILE] [--ca-file FILE]\n"
               "backpropd alias --model MODEL [--name ALIAS [--version N | --rollback | --delete]] --data-dir DIR\n\n"
               "Prints the aliases of a model, or with --name the last changes of one: name, version, what changed it, when, who. --version lets it "
               "name\n"
               "that version (a number, another alias, or latest), --rollback the one that it named before. The alias default is what is served.\n"
               "--data-dir: in a data folder that no server is using.\n\n"
               "Example\n  backpropd alias --model penguins --name default --version 3 --url http://127.0.0.1:8080\n");
    else if (strcmp(topic, "audit") == 0)
        printf(
            "backpropd audit [--limit N] [--before ID] [--format text|json] [--data-dir DIR]\n\n"
            "Prints the newest entries of the audit log, newest first [100]: every change (who, from where, what, its status), requests that were\n"
            "denied, and commands that changed keys. --before continues after an id of the JSON form.\n\n"
            "Example\n  backpropd audit --format json --limit 1000 --data-dir /var/lib/backpropd\n");
    else if (strcmp(topic, "batch") == 0)
        printf("backpropd batch --model FILE.bpd --data FILE|- [--out FILE] [--failures FILE] [--format csv|ndjson|json] [flags]\n"
               "backpropd batch --url URL --model MODEL[@VERSION] --dataset NAME[@VERSION] [--out FILE] [--failures FILE] [--format csv|ndjson|npy] "
               "[flags]\n\n"
               "Any number of rows through a model. Rows of a CSV, TSV or JSON lines file (gzip, zstd) are predicted as they are read, in a few "
               "megabytes\n"
               "of memory; rows of a dataset on a server are predicted by a job of it, and the results are downloaded.\n\n"
               "  --out FILE              the predictions [standard output]\n"
               "  --failures FILE         rows without a prediction, with reasons; otherwise they are in their places, in a column error\n"
               "  --format FORM           csv, ndjson or json [that of the file; csv]\n"
               "  --keep COLUMNS          columns of the rows that are written, too: extra (not used by the model), all, none, or names [extra]\n"
               "  --thresholds X, --coverage X\n"
               "                          instead of the model's\n"
               "  --lenient               a column that the data lacks is a missing value\n"
               "  --json                  the counts (with --url: the job) as JSON; on standard error if the predictions are on standard output\n"
               "  --url URL, --api-key-file FILE, --ca-file FILE\n"
               "                          the server\n"
               "  --priority N            of the job\n"
               "  --detach                prints the id of the job, and does not wait\n\n"
               "Examples\n  backpropd batch --model model.bpd --data rows.csv.gz --out predictions.csv --failures failed.csv\n"
               "  backpropd batch --url http://127.0.0.1:8080 --model penguins --dataset penguins --out predictions.csv\n");
    else if (strcmp(topic, "evaluate") == 0)
        printf("backpropd evaluate --model FILE.bpd --data FILE.csv|- [--slices A,B] [--compare OTHER.bpd] [--positive-class LABEL]\n"
               "                   [--bootstrap 1000] [--seed 0] [--json]\n\n"
               "The loss and every metric of the task on rows whose targets are known, with 95 %% bootstrap intervals; what is confused with what,\n"
               "residuals; loss and metrics by the values of columns (--slices); the difference from another model on the same rows (--compare).\n"
               "--json prints everything, with ROC, precision-recall and calibration curves and a table of thresholds, as the server answers it.\n\n"
               "Examples\n  backpropd evaluate --model model.bpd --data held_out.csv --slices region,age\n");
    else if (strcmp(topic, "explain") == 0)
        printf("backpropd explain --model FILE.bpd --data FILE.csv|- [--method METHOD] [--columns A,B] [--class LABEL] [--target COLUMN] [--rows N]\n"
               "                  [--background FILE.csv] [--metric NAME] [--repeats 5] [--samples 64] [--steps 64] [--seed 0] [--json]\n\n"
               "Which columns the predictions depend on. Methods:\n"
               "  permutation_importance   how much worse a metric becomes with a column shuffled (the default; the data needs the targets)\n"
               "  partial_dependence       the mean prediction with a column set to each value of a grid\n"
               "  gradient_input           of single rows: the gradient times the distance from the mean of the background rows\n"
               "  integrated_gradients     the same, averaged over the way from there; adds up to the difference of the predictions\n"
               "  shapley                  of single rows: Shapley values, with the background rows in place of absent columns\n\n"
               "Examples\n  backpropd explain --model model.bpd --data rows.csv\n"
               "  backpropd explain --model model.bpd --data rows.csv --method shapley --rows 3\n");
    else if (strcmp(topic, "trace") == 0)
        printf("backpropd trace --model FILE.bpd --data FILE.csv|- [--rows 1] [--optimizer NAME|JSON] [--json]\n"
               "backpropd trace --definition FILE.json --batch FILE.json [--optimizer NAME|JSON] [--json]\n\n"
               "One mini-batch through the network, forward and backward, in double: z, a and delta of each layer, each gradient beside its central\n"
               "difference, and the first step of the optimizer. Networks of up to 10,000 parameters. With a model the first rows of the data are\n"
               "the batch; with a definition, which must name a loss, the batch file has {\"x\":[[..]],\"y\":[..]}, and may have \"weights\" and "
               "\"seed\".\n\n"
               "Examples\n  backpropd trace --model model.bpd --data rows.csv --rows 2\n"
               "  backpropd trace --definition net.json --batch batch.json --optimizer adam\n");
    else if (strcmp(topic, "predict") == 0)
        printf("backpropd predict --model FILE.bpd --data FILE.csv|- [--format csv|json] [--thresholds X] [--coverage X]\n\n"
               "One line per row: the label and its probability, or the value; of several labels a row a JSON list, and the probability of each;\n"
               "of a calibrated model also the set of labels, or the ends of the interval. With --format json one object per row.\n"
               "--thresholds 0.3, or '{\"red\":0.3}', is used instead of the model's, --coverage 0.95 instead of that of its sets and intervals.\n"
               "Columns that are not features are ignored, and missing columns count as missing values, each with a warning. A file without any "
               "feature is an error.\n\n"
               "Examples\n  backpropd predict --model model.bpd --data new.csv\n  tail -n +2 rows.csv | cat head.csv - | backpropd predict --model "
               "model.bpd --data -\n");
    else if (strcmp(topic, "gradcheck") == 0)
        printf("backpropd gradcheck model.json [--input N | --input H,W,C] [--classes N] [--batch N] [--seed N] [--tolerance X]\n\n"
               "Compares every gradient of the network with central differences, in double precision, away from non-differentiable points.\n"
               "The definition needs \"inputs\", or give --input with the shape of its input. Exit status 0 when all agree.\n\n"
               "Example\n  backpropd gradcheck model.json --input 4 --classes 3\n");
    else if (strcmp(topic, "check") == 0)
        printf(
            "backpropd check [--data-dir DIR]\n\n"
            "Reads everything in the data folder (DIR, BACKPROPD_DATA_DIR, or ./backpropd-data) and compares it with its checksums: the database,\n"
            "datasets, checkpoints, models. A server may be running. Reports each fault and what to do; exit status 1 when there is one.\n\n"
            "Example\n  backpropd check --data-dir /var/lib/backpropd\n");
    else if (strcmp(topic, "backup") == 0)
        printf("backpropd backup FOLDER [--data-dir DIR]\n\n"
               "Copies the data folder into FOLDER, while the server runs: one consistent state of everything. FOLDER is new, empty, or an earlier\n"
               "backup; then only what is new is copied. Running jobs are in it with their last checkpoint.\n\n"
               "Example\n  backpropd backup /mnt/backup/monday --data-dir /var/lib/backpropd && backpropd check --data-dir /mnt/backup/monday\n");
    else if (strcmp(topic, "restore") == 0)
        printf("backpropd restore FOLDER --data-dir NEW\n\n"
               "Checks the backup in FOLDER, then copies it into NEW, which does not exist or is empty. `serve --data-dir NEW` starts with it; jobs "
               "that\n"
               "were running resume from their last checkpoint.\n\n"
               "Example\n  backpropd restore /mnt/backup/monday --data-dir /var/lib/backpropd-restored\n");
    else
        printf(
            "backpropd doctor [--data-dir DIR] [--api-key-file FILE]\n"
            "backpropd doctor --url URL [--api-key-file FILE] [--ca-file FILE] [--origin ORIGIN] [--ready]\n\n"
            "Reports this machine, the kernels in use and the limits, and checks what `serve` checks: settings, key, address, data folder.\n"
            "With --url it checks a deployment as its clients see it, through proxies: address, certificate, key and what it may do, readiness,\n"
            "clock, version, latency, predictions, large requests, event streams; with --origin also calls of web pages. It changes nothing. A line\n"
            "per check: ok, warning or fault, and what to do; exit status 1 when there is a fault. --ready only asks whether the server is ready.\n\n"
            "Examples\n  backpropd doctor\n  backpropd doctor --url https://models.example.org --api-key-file key\n");
}

int command_help(int argc, char **argv) {
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
    fprintf(stderr, "backpropd help: unknown topic \"%s\"%s; topics: ", argv[1],
            schema_did_you_mean(schema_nearest_in(argv[1], topics), hint, sizeof hint));
    print_topics(stderr, " ");
    fputc('\n', stderr);
    return 2;
}
