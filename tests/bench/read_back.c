/* read_back.c FILE - how fast a column file of numbers, which the system has in memory, is read for a training: its columns from the first row to the
 * last, and mini-batches of shuffled rows of a window, scaled, as the trainer gets them. One JSON line, in bytes of float64 a second. */
#include "schema/training/source.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { SOME = 8192, BATCH = 128, ROUNDS = 3 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double columns_seconds(const struct schema_dataset *data) {
    static double numbers[SOME];
    const double start = now();
    for (int32_t c = 0; c < data->columns_count; c++)
        for (int64_t row = 0; row < data->rows; row += SOME)
            schema_dataset_numbers(data, c, row, data->rows - row < SOME ? data->rows - row : SOME, numbers);
    return now() - start;
}

static double batches_seconds(const struct bp_source *source, const struct bp_batch *batch) {
    int64_t rows[SOME];
    const double start = now();
    for (int64_t first = 0; first + SOME <= source->rows; first += SOME) {
        for (int64_t i = 0; i < SOME; i++) rows[i] = first + i * 4093 % SOME; /* 4093 is prime: every row of the window once */
        for (int64_t i = 0; i < SOME; i += BATCH) source->fill(source->context, rows + i, BATCH, batch);
    }
    return now() - start;
}

int main(int argc, char **argv) {
    struct bp_error error = {0};
    struct schema_dataset *data = NULL;
    struct schema_source *source = NULL;
    const int fd = argc > 1 ? open(argv[1], O_RDONLY) : -1;
    if (fd < 0 || schema_dataset_open(fd, 0, &data, &error) != 0)
        return fprintf(stderr, "read_back: %s\n", fd < 0 ? "no such file" : error.message), 1;
    const int32_t features = data->columns_count - 1;
    const int64_t n = data->rows;
    int32_t *columns = calloc((size_t)features + 1, sizeof *columns);
    int64_t *rows = malloc((size_t)n * sizeof *rows);
    struct bp_batch batch = {.inputs[0] = bp_reals_new((size_t)BATCH * (size_t)(features + 1)), .targets[0] = bp_reals_new(BATCH)};
    if (!columns || !rows || !batch.inputs[0] || !batch.targets[0]) return 1;
    for (int32_t i = 0; i < features; i++) columns[i] = i;
    for (int64_t i = 0; i < n; i++) rows[i] = i;
    const struct schema_fit_target target = {.column = features};
    const struct schema_fit fit = {
        .dataset = data, .columns = columns, .columns_count = features, .targets = &target, .targets_count = 1, .rows = rows, .n = n};
    struct schema_preprocessing *p = schema_preprocessing_fit(&fit, &error);
    struct schema_view *view = p ? schema_view_new(p, data, true, &error) : NULL;
    const struct schema_source_options options = {.view = view, .rows = rows, .n = n};
    if (!view || schema_source_new(&options, &source, &error) != 0) return fprintf(stderr, "read_back: %s\n", error.message), 1;
    const struct bp_source batches = schema_source_batches(source);
    double whole = 1e9, shuffled = 1e9;
    for (int r = 0; r < ROUNDS; r++) {
        const double one = columns_seconds(data), other = batches_seconds(&batches, &batch);
        whole = one < whole ? one : whole;
        shuffled = other < shuffled ? other : shuffled;
    }
    const double bytes = (double)n * data->columns_count * sizeof(double);
    printf("{\"columns\": %.0f, \"batches\": %.0f}\n", bytes / whole, bytes / shuffled);
    schema_source_free(source);
    schema_view_free(view);
    schema_preprocessing_free(p);
    schema_dataset_free(data);
    free(batch.inputs[0]);
    free(batch.targets[0]);
    free(columns);
    free(rows);
    close(fd);
    return 0;
}
