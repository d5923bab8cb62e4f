/* ensemble_result.c - what the finished members come to: what each family counts, what the held-out rows say, the joined network. */
#include "server/worker/ensemble_private.h"

#include "schema/calibrate/calibrate.h"
#include "schema/training/stack.h"
#include "server/version.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The held-out rows and all predictions of them. */
struct held_out {
    struct schema_stack stack; /* families: of those that were trained */
    int32_t family[SCHEMA_FAMILIES_MAX];
    float *predictions[SCHEMA_FAMILIES_MAX], *y, *row_weights;
    double *weights;
    uint8_t *fold, *counts;
    double *rows;
    double family_weights[SCHEMA_FAMILIES_MAX]; /* of the stack's families */
    int32_t folds;
    bool weighted;
};

static bool is_finished(const struct ensemble *e, int32_t i) {
    return e->members[i].state == MEMBER_FINISHED;
}

static bool has_family(const struct ensemble *e, int32_t family) {
    for (int32_t i = 0; i < e->plan->members_count; i++)
        if (is_finished(e, i) && e->plan->members[i].family == family) return true;
    return false;
}

static int fold_of(const struct ensemble *e, int32_t member) {
    return e->plan->members[member].fold ? e->plan->members[member].fold : 1;
}

/* The mean of the repeats' predictions of each row; a row that a family did not predict does not count. */
static void gather(const struct ensemble *e, struct held_out *h, const int64_t *index) {
    const int32_t width = e->width;
    for (int64_t i = 0; i < h->stack.n; i++) h->fold[i] = 1;
    for (int32_t k = 0; k < h->stack.families; k++) {
        memset(h->counts, 0, (size_t)h->stack.n);
        for (int32_t m = 0; m < e->plan->members_count; m++) {
            const struct member *member = &e->members[m];
            if (!is_finished(e, m) || e->plan->members[m].family != h->family[k]) continue;
            for (int64_t r = 0; r < member->held; r++) {
                const int64_t at = index[(int64_t)member->rows[r]];
                for (int32_t j = 0; j < width; j++) h->predictions[k][at * width + j] += member->predictions[r * width + j];
                h->counts[at]++;
            }
        }
        for (int64_t i = 0; i < h->stack.n; i++) {
            if (h->counts[i] == 0) h->fold[i] = 0;
            for (int32_t j = 0; h->counts[i] > 1 && j < width; j++) h->predictions[k][i * width + j] /= (float)h->counts[i];
        }
    }
    for (int32_t m = 0; m < e->plan->members_count; m++) {
        if (!is_finished(e, m)) continue;
        for (int64_t r = 0; r < e->members[m].held; r++) {
            const int64_t at = index[(int64_t)e->members[m].rows[r]];
            if (h->fold[at]) h->fold[at] = (uint8_t)fold_of(e, m);
        }
        if (fold_of(e, m) > h->folds) h->folds = fold_of(e, m);
    }
}

/* Targets and sample weights of the rows. */
static int read_targets(const struct ensemble *e, struct held_out *h, struct bp_error *error) {
    enum { SOME = 512 };
    const struct schema_training *t = e->plan->families[0].training;
    const struct schema_preprocessing *p = t->preprocessing;
    const struct schema_dataset *dataset = e->options.other ? e->options.other : e->options.dataset;
    struct schema_view *view = schema_view_new(p, dataset, true, error);
    const int32_t targets = p->targets[0].classification ? 1 : e->width;
    for (int64_t first = 0; view && first < h->stack.n; first += SOME) {
        int64_t rows[SOME];
        double values[SOME];
        const int64_t n = h->stack.n - first < SOME ? h->stack.n - first : SOME;
        for (int64_t i = 0; i < n; i++) rows[i] = (int64_t)h->rows[first + i];
        for (int32_t k = 0; k < targets; k++) {
            schema_view_targets(view, k, rows, n, values);
            for (int64_t i = 0; i < n; i++) h->y[(first + i) * targets + k] = (float)values[i];
        }
        for (int64_t i = 0; i < n; i++) h->weights[first + i] = 1;
        if (p->sample_weight) schema_view_weights(view, rows, n, h->weights + first);
    }
    h->weighted = p->sample_weight != NULL;
    schema_view_free(view);
    return view ? 0 : -1;
}

static void held_out_free(struct held_out *h) {
    for (int32_t k = 0; k < SCHEMA_FAMILIES_MAX; k++) free(h->predictions[k]);
    free(h->y);
    free(h->row_weights);
    free(h->weights);
    free(h->fold);
    free(h->counts);
    free(h->rows);
}

static int allocate(const struct ensemble *e, struct held_out *h, int64_t n) {
    const size_t numbers = (size_t)n * (size_t)e->width + 1;
    bool good = true;
    for (int32_t f = 0; f < e->plan->families_count; f++)
        if (has_family(e, f)) h->family[h->stack.families++] = f;
    for (int32_t k = 0; k < h->stack.families; k++) good = (h->predictions[k] = calloc(numbers, sizeof(float))) && good;
    good = (h->y = calloc(numbers, sizeof *h->y)) && good;
    good = (h->row_weights = calloc((size_t)n + 1, sizeof *h->row_weights)) && good;
    good = (h->weights = calloc((size_t)n + 1, sizeof *h->weights)) && good;
    good = (h->fold = calloc((size_t)n + 1, 1)) && good;
    good = (h->counts = calloc((size_t)n + 1, 1)) && good;
    good = (h->rows = calloc((size_t)n + 1, sizeof *h->rows)) && good;
    return good ? 0 : -1;
}

static int held_out_open(const struct ensemble *e, struct held_out *h, struct bp_error *error) {
    const struct schema_dataset *dataset = e->options.other ? e->options.other : e->options.dataset;
    int64_t *index = malloc(((size_t)dataset->rows + 1) * sizeof *index), n = 0;
    *h = (struct held_out){.folds = 0};
    if (!index) return bp_error_memory(error, "no memory for %lld rows", (long long)dataset->rows);
    memset(index, 0xff, ((size_t)dataset->rows + 1) * sizeof *index);
    for (int32_t m = 0; m < e->plan->members_count; m++)
        for (int64_t r = 0; is_finished(e, m) && r < e->members[m].held; r++) index[(int64_t)e->members[m].rows[r]] = 0;
    for (int64_t row = 0; row < dataset->rows; row++)
        if (index[row] == 0) index[row] = n++;
    int failed = allocate(e, h, n) != 0 ? bp_error_memory(error, "no memory for the predictions of %lld rows", (long long)n) : 0;
    for (int64_t row = 0; !failed && row < dataset->rows; row++)
        if (index[row] >= 0) h->rows[index[row]] = (double)row;
    if (!failed) {
        const struct schema_target *target = &e->plan->families[0].training->preprocessing->targets[0];
        h->stack.width = e->width;
        h->stack.n = n;
        h->stack.classes = target->classification;
        h->stack.y = h->y;
        h->stack.weights = h->weights;
        h->stack.fold = h->fold;
        for (int32_t k = 0; k < h->stack.families; k++) h->stack.predictions[k] = h->predictions[k];
        gather(e, h, index);
        failed = read_targets(e, h, error);
    }
    free(index);
    if (!failed) schema_stack_weights(&h->stack, 0, h->family_weights);
    return failed;
}

/* ---- metrics ------------------------------------------------------------------------------------------------------------------------------ */

/* Rows of one fold (0: of all), predicted by one family, or (-1) by all with weights that the other folds decide. */
static json_t *measure(const struct ensemble *e, struct held_out *h, int32_t family, uint8_t fold) {
    const int32_t width = e->width, targets = h->stack.classes ? 1 : width;
    float *predictions = malloc(((size_t)h->stack.n * (size_t)width + 1) * sizeof *predictions),
          *y = malloc(((size_t)h->stack.n * (size_t)targets + 1) * sizeof *y);
    double weights[SCHEMA_FAMILIES_MAX] = {0};
    uint8_t of = 0;
    int64_t n = 0;
    for (int32_t f = 1; predictions && y && f <= h->folds; f++) {
        if (fold && f != fold) continue;
        if (family >= 0) weights[family] = 1;
        else if (of != f) schema_stack_weights(&h->stack, h->folds > 1 ? (uint8_t)f : 0, weights);
        of = (uint8_t)f;
        for (int64_t i = 0; i < h->stack.n; i++) {
            if (h->fold[i] != f) continue;
            schema_stack_combine(&h->stack, weights, i, predictions + n * width);
            memcpy(y + n * targets, h->y + i * targets, (size_t)targets * sizeof *y);
            h->row_weights[n++] = (float)h->weights[i];
        }
    }
    json_t *json = predictions && y ? schema_measure(e->plan->families[0].training,
                                                     &(const struct schema_measured){n, predictions, y, h->weighted ? h->row_weights : NULL})
                                    : NULL;
    free(predictions);
    free(y);
    return json;
}

/* The sample standard deviation of each metric over the folds; null when it is undefined in one. */
static json_t *spread(const struct ensemble *e, struct held_out *h) {
    json_t *folds[SCHEMA_ENSEMBLE_FOLDS_MAX + 1] = {0}, *json = json_object(), *value;
    const char *name;
    for (int32_t f = 1; f <= h->folds; f++) folds[f] = measure(e, h, -1, (uint8_t)f);
    json_object_foreach(folds[1], name, value) {
        double sum = 0, squares = 0;
        bool defined = h->folds > 1;
        for (int32_t f = 1; f <= h->folds; f++) {
            const json_t *of = json_object_get(folds[f], name);
            defined = defined && json_is_number(of);
            sum += json_number_value(of);
        }
        for (int32_t f = 1; f <= h->folds; f++) {
            const double d = json_number_value(json_object_get(folds[f], name)) - sum / h->folds;
            squares += d * d;
        }
        json_object_set_new(json, name, defined ? run_number(sqrt(squares / (h->folds - 1))) : json_null());
    }
    for (int32_t f = 1; f <= h->folds; f++) json_decref(folds[f]);
    return json;
}

/* The finished members' entries, in their order. */
static json_t *entries(const struct ensemble *e) {
    json_t *list = json_array();
    for (int32_t i = 0; i < e->plan->members_count; i++)
        if (is_finished(e, i)) json_array_append(list, e->members[i].entry);
    return list;
}

static void add_results(const struct ensemble *e, struct held_out *h, json_t *json) {
    json_t *families = json_array();
    for (int32_t k = 0; k < h->stack.families; k++) {
        json_t *family = json_object();
        if (e->plan->families[h->family[k]].name[0]) json_object_set_new(family, "name", json_string(e->plan->families[h->family[k]].name));
        json_object_set_new(family, "weight", run_number(h->family_weights[k]));
        json_object_set_new(family, "metrics", measure(e, h, k, 0));
        json_array_append_new(families, family);
    }
    json_object_set_new(json, "families", families);
    json_object_set_new(json, "mean", measure(e, h, -1, 0));
    json_object_set_new(json, "std", spread(e, h));
}

/* When nothing is trained any more, once. NULL with the error. */
static struct held_out *held_out_of(struct ensemble *e, struct bp_error *error) {
    if (e->held_out) return e->held_out;
    struct held_out *h = malloc(sizeof *h);
    if (!h) return bp_error_memory(error, "no memory for held-out rows"), NULL;
    if (held_out_open(e, h, error) == 0) return e->held_out = h;
    held_out_free(h);
    free(h);
    return NULL;
}

void ensemble_result_free(struct ensemble *e) {
    if (e->held_out) held_out_free(e->held_out);
    free(e->held_out);
    json_decref(e->report);
}

json_t *ensemble_report(struct ensemble *e) {
    struct bp_error error = {0};
    if (e->report) return json_incref(e->report);
    pthread_mutex_lock(&e->lock);
    json_t *json = json_pack("{s:o, s:n, s:n}", "folds", entries(e), "mean", "std");
    const bool whole = e->started > 0 && e->threads_running == 0 && e->finished > 0 && e->measurable;
    pthread_mutex_unlock(&e->lock);
    struct held_out *h = whole ? held_out_of(e, &error) : NULL;
    if (h && h->stack.n > 0) add_results(e, h, json);
    if (h) e->report = json_incref(json);
    return json;
}

int ensemble_held(struct ensemble *e, struct schema_held_predictions *held, struct bp_error *error) {
    const struct schema_target *target = &e->plan->families[0].training->preprocessing->targets[0];
    *held = (struct schema_held_predictions){.width = e->width};
    if (!e->measurable || (!target->classification && e->width != 1))
        return bp_error_set(error, "", "the held-out predictions of this ensemble are not of one class or one number a row");
    struct held_out *h = held_out_of(e, error);
    if (!h) return -1;
    held->predictions = malloc(((size_t)h->stack.n * (size_t)e->width + 1) * sizeof *held->predictions);
    held->y = malloc(((size_t)h->stack.n + 1) * sizeof *held->y);
    for (int32_t f = 1; held->predictions && held->y && f <= h->folds; f++) {
        double weights[SCHEMA_FAMILIES_MAX] = {0};
        schema_stack_weights(&h->stack, h->folds > 1 ? (uint8_t)f : 0, weights);
        for (int64_t i = 0; i < h->stack.n; i++) {
            if (h->fold[i] != f || !(h->y[i] - h->y[i] == 0)) continue;
            schema_stack_combine(&h->stack, weights, i, held->predictions + held->n * e->width);
            held->y[held->n++] = h->y[i];
        }
    }
    if (held->predictions && held->y) return 0;
    free(held->predictions);
    free(held->y);
    return bp_error_memory(error, "no memory for the held-out predictions");
}

/* ---- the joined network -------------------------------------------------------------------------------------------------------------------- */

/* Of each member; those of a family are equal. */
static int shares(struct ensemble *e, struct schema_trained *trained, struct bp_error *error) {
    double weight[SCHEMA_FAMILIES_MAX] = {0};
    int32_t members[SCHEMA_FAMILIES_MAX] = {0}, families = 0;
    for (int32_t f = 0; f < e->plan->families_count; f++) families += has_family(e, f);
    for (int32_t f = 0; f < e->plan->families_count; f++) weight[f] = has_family(e, f) ? 1.0 / families : 0;
    if (e->measurable && families > 1) {
        const struct held_out *h = held_out_of(e, error);
        if (!h) return -1;
        for (int32_t k = 0; k < h->stack.families; k++) weight[h->family[k]] = h->family_weights[k];
    }
    for (int32_t i = 0; i < e->plan->members_count; i++) members[e->plan->members[i].family] += is_finished(e, i);
    for (int32_t i = 0; i < e->plan->members_count; i++) {
        const int32_t family = e->plan->members[i].family;
        const bool counts = is_finished(e, i) && weight[family] > 0; /* a family without weight is left out */
        trained[i] = (struct schema_trained){counts ? e->members[i].weights : NULL, counts ? weight[family] / members[family] : 0};
    }
    return 0;
}

/* Means over the members, of what cannot be measured together: "cross_validated_loss" of "val_loss". */
static void add_metrics(json_t *metrics, const json_t *report) {
    const char *name;
    json_t *value;
    char longer[BP_NAME_MAX + 32];
    json_object_foreach(json_object_get(report, "mean"), name, value) {
        snprintf(longer, sizeof longer, "cross_validated_%s", name);
        json_object_set(metrics, longer, value);
    }
    if (json_object_size(metrics)) return;
    const json_t *folds = json_object_get(report, "folds");
    json_object_foreach(json_object_get(json_array_get(folds, 0), "metrics"), name, value) {
        double sum = 0;
        size_t i;
        json_t *entry;
        if (strncmp(name, "val_", 4) != 0) continue;
        json_array_foreach(folds, i, entry) sum += json_number_value(json_object_get(json_object_get(entry, "metrics"), name));
        snprintf(longer, sizeof longer, "cross_validated_%s", name + 4);
        json_object_set_new(metrics, longer, run_number(sum / (double)json_array_size(folds)));
    }
}

int ensemble_join(struct ensemble *e, struct schema_training **training, bp_real **weights, json_t **document, struct bp_error *error) {
    struct schema_trained trained[SCHEMA_MEMBERS_MAX] = {{0}};
    int64_t epochs = 0, rows = 0, held = 0;
    if (shares(e, trained, error) != 0 || schema_ensemble_join(e->options.spec, e->plan, trained, training, weights, error) != 0) return -1;
    json_t *report = ensemble_report(e), *metrics = json_object();
    for (int32_t i = 0; i < e->plan->members_count; i++) {
        const json_t *entry = e->members[i].entry;
        const int64_t of = json_integer_value(json_object_get(entry, "train_rows"));
        epochs += json_integer_value(json_object_get(entry, "epochs"));
        if (of > rows) rows = of;
        if (json_integer_value(json_object_get(entry, "validation_rows")) > held)
            held = json_integer_value(json_object_get(entry, "validation_rows"));
    }
    add_metrics(metrics, report);
    *document = schema_training_encode(*training);
    json_object_set_new(*document, "metrics", metrics);
    json_object_set_new(*document, "epoch", json_integer(epochs));
    json_object_set_new(*document, "epochs_trained", json_integer(epochs));
    json_object_set_new(*document, "rows_trained", json_integer(e->plan->folds ? rows + held : rows));
    json_object_set_new(*document, "rows_validated", json_integer(e->plan->folds ? rows + held : held));
    json_object_set_new(*document, "cross_validation", report);
    if (ensemble_cut(e)) json_object_set_new(*document, "stop_reason", json_string("max_seconds"));
    json_object_set_new(*document, "program", json_string("backpropd " BACKPROPD_VERSION));
    return 0;
}
