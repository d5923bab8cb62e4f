/* progress.c - see progress.h. */
#include "server/jobs/progress.h"

#include "engine/train/train.h"

#include <math.h>

json_t *progress_json(const struct progress *p) {
    const double rate = p->samples_per_second, eta = p->eta_seconds > 0 ? p->eta_seconds : rate > 0 ? (double)(p->total - p->samples) / rate : -1;
    json_t *json =
        json_pack("{s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "epoch", (json_int_t)p->epoch, "epochs", (json_int_t)p->epochs, "step",
                  (json_int_t)bp_steps(p->position, p->batch_size), "steps_per_epoch", (json_int_t)bp_steps(p->rows, p->batch_size), "fraction",
                  json_real(p->total ? (double)p->samples / (double)p->total : 0), "samples_per_second",
                  rate > 0 ? json_real(round(rate)) : json_null(), "eta_seconds", eta >= 0 ? json_real(ceil(eta * 100) / 100) : json_null());
    if (p->members) {
        json_object_set_new(json, "members", json_integer(p->members));
        json_object_set_new(json, "members_finished", json_integer(p->members_finished));
    }
    if (!p->folds) return json;
    json_object_set_new(json, "folds", json_integer(p->folds));
    if (!p->members) json_object_set_new(json, "fold", p->fold ? json_integer(p->fold) : json_null());
    return json;
}
