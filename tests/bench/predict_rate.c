/* predict_rate.c MODEL.bpd [SECONDS] - the engine's own rate of predictions: the network of a model file on rows that lie in memory as it reads them,
 * 256 at a time, one thread. No rows are read, nothing is written. Prints {"rows_per_second":...,"by_the_clock":...}, the first by processor time.
 * Run by predict_rows.py. */
#include "engine/kernels/kernels.h"
#include "engine/network/network.h"
#include "schema/predict/predict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static char *read_all(const char *path, size_t *size) {
    FILE *in = fopen(path, "rb");
    char *bytes = NULL;
    if (in && fseek(in, 0, SEEK_END) == 0) {
        *size = (size_t)ftell(in);
        rewind(in);
        bytes = malloc(*size + 1);
        if (bytes && fread(bytes, 1, *size, in) != *size) *size = 0;
    }
    if (in) fclose(in);
    return bytes;
}

int main(int argc, char **argv) {
    struct bp_error error = {0};
    struct bp_workspace *workspace = NULL;
    size_t size = 0;
    bp_engine_start();
    bp_flush_denormals();
    char *bytes = argc > 1 ? read_all(argv[1], &size) : NULL;
    struct schema_model *model = bytes ? schema_model_read(bytes, size, &error) : NULL;
    if (!model || bp_workspace_new(model->training->network, SCHEMA_PREDICT_BATCH, false, &workspace, &error) != 0) {
        fprintf(stderr, "predict_rate: %s\n", error.message[0] ? error.message : "MODEL.bpd cannot be read");
        return 1;
    }
    const struct schema_preprocessing *p = model->training->preprocessing;
    for (int32_t i = 0; i < p->inputs_count; i++) {
        float *x = bp_workspace_input(workspace, i);
        const int64_t n = SCHEMA_PREDICT_BATCH * bp_shape_size(&p->inputs[i].shape);
        for (int64_t j = 0; j < n; j++) x[j] = (float)(j * 7919 % 2001 - 1000) / 1000;
    }
    const double seconds = argc > 2 ? strtod(argv[2], NULL) : 1;
    double rows = 0;
    bp_predict(model->training->network, model->weights, workspace, SCHEMA_PREDICT_BATCH);
    const double clock = now(CLOCK_MONOTONIC);
    for (const double begun = now(CLOCK_PROCESS_CPUTIME_ID);;) {
        bp_predict(model->training->network, model->weights, workspace, SCHEMA_PREDICT_BATCH);
        rows += SCHEMA_PREDICT_BATCH;
        const double spent = now(CLOCK_PROCESS_CPUTIME_ID) - begun;
        if (spent < seconds) continue;
        printf("{\"rows_per_second\":%.0f,\"by_the_clock\":%.0f}\n", rows / spent, rows / (now(CLOCK_MONOTONIC) - clock));
        break;
    }
    bp_workspace_free(workspace);
    schema_model_free(model);
    free(bytes);
    return 0;
}
