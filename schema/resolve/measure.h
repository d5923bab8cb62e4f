/* measure.h - the metrics of predictions that are at hand, as the trainer measures its own. */
#ifndef SCHEMA_MEASURE_H
#define SCHEMA_MEASURE_H

#include "schema/resolve/training.h"

/* Whether the predictions of a training can be measured and combined by rows: one output, with one class or number, or several numbers, a row, and
 * one number of the network for each. */
bool schema_measurable(const struct schema_training *training);

struct schema_measured {
    int64_t n;
    const float *predictions; /* (n, width): probabilities, scores, or standardised values */
    const float *y;           /* (n) class numbers, or (n, width) standardised values */
    const float *weights;     /* (n) or NULL */
};
/* {"accuracy":0.9,...}: the metrics of the training's output; of classes log_loss and of numbers rmse too. Undefined ones are null. The caller's;
 * NULL without memory. */
json_t *schema_measure(const struct schema_training *training, const struct schema_measured *rows);

#endif
