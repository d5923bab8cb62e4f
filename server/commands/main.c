/* main.c - the program: finds the subcommand and runs it. Nothing else. */
#include "server/commands/commands.h"

#include "engine/kernels/kernels.h"
#include "schema/dataset/map_guard.h"
#include "schema/memory.h"
#include "schema/text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    bool computes;
    bool hidden; /* not for people: `serve` starts it */
} commands[] = {
    {"alias", command_alias, .computes = false},
    {"audit", command_audit, .computes = false},
    {"backup", command_backup, .computes = false},
    {"batch", command_batch, .computes = true},
    {"bfloat16", command_bfloat16, .computes = true, .hidden = true},
    {"calibrate", command_calibrate, .computes = true},
    {"confinement", command_confinement, .computes = true, .hidden = true},
    {"check", command_check, .computes = true},
    {"compare", command_compare, .computes = false},
    {"doctor", command_doctor, .computes = true},
    {"drift", command_drift, .computes = false},
    {"evaluate", command_evaluate, .computes = true},
    {"explain", command_explain, .computes = true},
    {"export", command_export, .computes = true},
    {"gradcheck", command_gradcheck, .computes = true},
    {"help", command_help, .computes = false},
    {"import", command_import, .computes = true},
    {"job", command_job, .computes = true, .hidden = true},
    {"jobs", command_jobs, .computes = false},
    {"keys", command_keys, .computes = false},
    {"predict", command_predict, .computes = true},
    {"relay", command_relay, .computes = false, .hidden = true},
    {"restore", command_restore, .computes = true},
    {"serve", command_serve, .computes = true},
    {"sweep", command_sweep, .computes = false},
    {"trace", command_trace, .computes = true},
    {"train", command_train, .computes = true},
    {"version", command_version, .computes = false},
};
enum { COUNT = sizeof commands / sizeof *commands };

static const char *name_at(const void *context, int32_t i) {
    (void)context;
    return commands[i].hidden ? "" : commands[i].name;
}

/* Starts this program again with one more variable in the environment. Returns only when that fails. */
static void restart_with(char **argv, const char *name, const char *value) {
    setenv(name, value, 1);
    execv("/proc/self/exe", argv);
}

static const char *plain_core(void) {
#ifdef __x86_64__
    return __builtin_cpu_supports("avx2") ? "Haswell" : "Prescott";
#else
    return "ARMV8";
#endif
}

/* OpenBLAS reads its environment when it is loaded, before main. When the kernels it chose compute wrongly (0.3.21 does on some processors that are
 * newer than itself), only a new start can change them: once, with plain ones. */
static int prepare_blas(char **argv) {
    struct bp_error error = {0};
    setenv("OPENBLAS_NUM_THREADS", "1", 1); /* for the job processes; this process sets it through the interface */
    bool restarted = getenv("BACKPROPD_BLAS_RESTARTED") != NULL;
    bp_blas_selftest_fault(getenv("BACKPROPD_FAULT_BLAS") != NULL && !restarted);
    if (bp_blas_selftest(&error) == 0) return 0;
    if (!restarted) {
        fprintf(stderr, "backpropd: %s; restarting with OpenBLAS's safe kernels\n", error.message);
        setenv("BACKPROPD_BLAS_RESTARTED", "1", 1);
        restart_with(argv, "OPENBLAS_CORETYPE", plain_core());
    }
    fprintf(stderr, "backpropd: %s, also with OPENBLAS_CORETYPE=%s; this machine's OpenBLAS computes wrong results\n", error.message,
            getenv("OPENBLAS_CORETYPE"));
    return -1;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "help";
    schema_memory_watch();
    map_guard_install();
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) name = "version";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) name = "help";
    for (int i = 0; i < COUNT; i++) {
        if (strcmp(commands[i].name, name) != 0) continue;
        if (argc > 2 && strcmp(name, "help") != 0 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
            char *help[] = {argv[0], argv[1], NULL};
            return command_help(2, help);
        }
        if (commands[i].computes && prepare_blas(argv) != 0) return 1;
        return commands[i].run(argc - 1, argv + 1);
    }
    char hint[80];
    fprintf(stderr, "backpropd: unknown command \"%s\"%s; see `backpropd help`\n", name,
            schema_did_you_mean(schema_nearest(name, name_at, NULL, COUNT), hint, sizeof hint));
    return 2;
}
