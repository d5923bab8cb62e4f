/* measure.c - see measure.h. */
#include "schema/resolve/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096 };

bool schema_measurable(const struct schema_training *t) {
    const struct bp_output *output = &t->network->outputs[0];
    const struct schema_target *target = &t->preprocessing->targets[0];
    return t->preprocessing->outputs_count == 1 && target->shape.rank <= 0 && !schema_output_multilabel(t->preprocessing, 0) &&
           (t->preprocessing->outputs[0].count == 1 || !target->classification) && !target->shares && !output->steps &&
           bp_loss_outputs_per_target(output->loss, output->values) == 1;
}

static int add(json_t *json, const struct bp_metric_ops *metric, const double *numbers, struct bp_metric_call call, const float *weights) {
    const int64_t size = metric->state_size(call.classes, call.width, call.samples);
    double *state = calloc((size_t)size + 1, sizeof *state);
    if (!state) return -1;
    const bp_real *predictions = call.predictions, *y = call.y;
    const int64_t each = call.classes ? 1 : call.width;
    call.numbers = numbers;
    for (int64_t first = 0; first < call.samples; first += BLOCK) {
        call.batch = (int32_t)(call.samples - first < BLOCK ? call.samples - first : BLOCK);
        call.predictions = predictions + first * call.width;
        call.y = y + first * each;
        call.weights = weights ? weights + first : NULL;
        metric->update(state, &call);
    }
    const double value = metric->result(state, call.classes, call.width);
    json_object_set_new(json, metric->entry.name, isfinite(value) ? json_real((double)(float)value) : json_null());
    free(state);
    return 0;
}

/* Numbers as the task measures them: a transformed or clamped target. The caller's; NULL: no memory. */
static bp_real *measured(const struct bp_task *task, const bp_real *numbers, int64_t n, int32_t width, bool predicted) {
    bp_real *out = malloc(((size_t)n * (size_t)width + 1) * sizeof *out);
    for (int64_t i = 0; out && i < n * width; i++)
        out[i] = (bp_real)task->measured(task->measured_by, (int32_t)(i % width), (double)numbers[i], predicted);
    return out;
}

json_t *schema_measure(const struct schema_training *t, const struct schema_measured *rows) {
    const struct bp_train_options options = schema_training_options(t);
    const struct bp_task *task = &options.tasks[0];
    const struct bp_metric_ops *usual = (const struct bp_metric_ops *)bp_family_find(&bp_metrics, task->classes ? "log_loss" : "rmse");
    struct bp_metric_call call = {.width = (int32_t)bp_shape_size(&t->network->outputs[0].shape),
                                  .classes = task->classes,
                                  .scores = task->scores,
                                  .threshold = task->thresholds ? task->thresholds[0] : 0,
                                  .predictions = rows->predictions,
                                  .y = rows->y,
                                  .samples = rows->n,
                                  .unit = task->unit,
                                  .origin = task->origin,
                                  .units = task->units,
                                  .origins = task->origins};
    bp_real *predictions = task->measured ? measured(task, rows->predictions, rows->n, call.width, true) : NULL;
    bp_real *y = task->measured ? measured(task, rows->y, rows->n, call.width, false) : NULL;
    json_t *json = json_object();
    int failed = task->measured && (!predictions || !y);
    if (task->measured) call.predictions = predictions, call.y = y;
    for (int32_t m = 0; m < task->metrics_count && !failed; m++) failed = add(json, task->metrics[m], task->metric_numbers[m], call, rows->weights);
    if (!failed && !json_object_get(json, usual->entry.name) && !(usual->probabilities && task->scores)) {
        struct bp_value values[BP_VALUES_MAX];
        double numbers[BP_METRIC_NUMBERS_MAX] = {0};
        bp_values_preset(&usual->entry, values);
        for (int32_t i = 0; i < usual->entry.params_count; i++) numbers[i] = values[i].number;
        failed = add(json, usual, numbers, call, rows->weights);
    }
    free(predictions);
    free(y);
    if (!failed) return json;
    json_decref(json);
    return NULL;
}
