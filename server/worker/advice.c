/* advice.c - see advice.h. No advice recommends what the job does already. Every rule needs its condition for several epochs in a row, so that a
 * single bad mini-batch has no effect. */
#include "server/worker/advice.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LASTING = 5, PATIENT = 10, SAMPLES_MIN = 16 };
#define DEAD      0.5   /* share of the units */
#define SATURATED 0.5   /* share of the activations */
#define VANISHING 1e-5  /* of the largest layer's gradient, by the size of its weights */
#define EXPLODING 100.0 /* gradient norm by weight norm */
#define RESTLESS  0.1   /* update norm by weight norm; about 0.001 is usual */
#define WORSE     1.1   /* val_loss by its best */
#define JUMP      1.5   /* loss by the one before */
#define GAP       2.0   /* best val_loss by the loss of that epoch: the best epoch, which early stopping keeps, is overfitted too */

struct advisor {
    void (*report)(void *context, const char *text);
    void *context;
};

__attribute__((format(printf, 2, 3))) static void say(const struct advisor *to, const char *format, ...) {
    char text[ADVICE_TEXT];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    to->report(to->context, text);
}

/* What to try, as "a, b or c": only what is not done already. Empty: nothing is left. */
struct remedies {
    const char *names[8];
    int count;
};

static void offer(struct remedies *r, bool helps, const char *name) {
    if (helps && r->count < (int)(sizeof r->names / sizeof *r->names)) r->names[r->count++] = name;
}

static const char *join(const struct remedies *r, char text[static ADVICE_TEXT]) {
    snprintf(text, ADVICE_TEXT, "%s", r->count ? "; try " : "");
    for (int i = 0; i < r->count; i++) {
        const size_t used = strlen(text);
        snprintf(text + used, ADVICE_TEXT - used, "%s%s", i == 0 ? "" : i + 1 < r->count ? ", " : " or ", r->names[i]);
    }
    return text;
}

/* ---- what the job does already --------------------------------------------------------------------------------------------- */

static const struct bp_node *node_of(const struct run *run, const char *layer) {
    const struct bp_network *net = run->training->network;
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++)
        if (strcmp(net->nodes[i].name, layer) == 0) return &net->nodes[i];
    return NULL;
}

/* A layer of a type whose name contains that. */
static bool has_layer(const struct run *run, const char *part) {
    const struct bp_network *net = run->training->network;
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++)
        if (strstr(net->nodes[i].ops->entry.name, part)) return true;
    return false;
}

static bool reads(const struct run *run, const struct bp_node *node, const char *type) {
    const struct bp_node *from = node && node->inputs_count > 0 ? &run->training->network->nodes[node->inputs[0]] : NULL;
    return from && from->ops && strcmp(from->ops->entry.name, type) == 0;
}

/* A hidden layer that is flat near its bounds, such as of sigmoid or tanh. */
static bool saturates(const struct run *run) {
    const struct bp_network *net = run->training->network;
    for (int32_t i = net->inputs_count; i < net->nodes_count; i++)
        if (net->nodes[i].activation && net->nodes[i].activation->saturates) return true;
    return false;
}

/* Whether the kernel of a node is initialised by a method of that family ("he", "glorot"). */
static bool initialised(const struct bp_node *node, const char *family) {
    for (int32_t i = 0; node && i < node->ops->entry.params_count; i++) {
        if (strcmp(node->ops->entry.params[i].name, "kernel_initializer") != 0) continue;
        const struct bp_entry *entry = node->values[i].entry;
        return entry && strncmp(entry->name, family, strlen(family)) == 0;
    }
    return false;
}

static bool has_unscaled_feature(const struct run *run) {
    const struct schema_preprocessing *p = run->training->preprocessing;
    for (int32_t i = 0; i < p->features_count; i++) {
        const struct schema_type_ops *type = schema_type_of(p->features[i].type);
        json_t *options = schema_column_options_encode(&p->features[i]);
        const char *scale = json_string_value(json_object_get(options, "scale"));
        const bool none = scale && strcmp(scale, "none") == 0 && !type->unscaled;
        json_decref(options);
        if (none) return true;
    }
    return false;
}

static bool has_rate(const struct run *run) {
    return !run->options.optimizer->search && !run->options.optimizer->signs;
}

static double weight_decay(const struct run *run) {
    const struct bp_entry *entry = &run->options.optimizer->entry;
    for (int32_t i = 0; i < entry->params_count; i++)
        if (strcmp(entry->params[i].name, "weight_decay") == 0) return run->options.optimizer_values[i].number;
    return 0;
}

/* ---- layers ------------------------------------------------------------------------------------------------------------------ */

/* Counts epochs in a row; true when it has just lasted. */
static bool lasts(uint8_t *count, bool now) {
    *count = now ? (uint8_t)(*count < 255 ? *count + 1 : 255) : 0;
    return *count == LASTING;
}

static void say_dead(const struct run *run, const struct bp_health *h, const struct advisor *to) {
    struct remedies r = {.count = 0};
    char text[ADVICE_TEXT];
    offer(&r, has_rate(run), "a smaller learning_rate");
    offer(&r, true, "leaky_relu or elu instead of relu");
    offer(&r, !reads(run, node_of(run, h->layer), "batch_norm"), "batch_norm before it");
    say(to, "dead units: %.0f%% of the units of layer \"%s\" give 0 for every sample%s", 100 * h->dead, h->layer, join(&r, text));
}

static void say_saturated(const struct run *run, const struct bp_health *h, const struct advisor *to) {
    const struct bp_node *node = node_of(run, h->layer);
    struct remedies r = {.count = 0};
    char text[ADVICE_TEXT];
    offer(&r, true, "relu");
    offer(&r, has_rate(run), "a smaller learning_rate");
    offer(&r, !initialised(node, "glorot") && !initialised(node, "auto"), "glorot initialisation");
    offer(&r, !reads(run, node, "batch_norm"), "batch_norm before it");
    say(to, "saturated units: %.0f%% of the activations of layer \"%s\" are at their bounds, where the gradient vanishes%s", 100 * h->saturated,
        h->layer, join(&r, text));
}

static void say_vanishing(const struct run *run, const struct bp_health *h, double share, const struct advisor *to) {
    const struct bp_node *node = node_of(run, h->layer);
    struct remedies r = {.count = 0};
    char text[ADVICE_TEXT];
    offer(&r, saturates(run), "relu instead of sigmoid or tanh");
    offer(&r, !initialised(node, "he"), "he_normal initialisation");
    offer(&r, !has_layer(run, "_norm"), "batch_norm");
    offer(&r, !has_layer(run, "add"), "shortcuts with add");
    say(to, "vanishing gradient: layer \"%s\" gets %.1g times the largest gradient of a layer and hardly trains%s", h->layer, share, join(&r, text));
}

static void say_exploding(const struct run *run, const struct bp_health *h, double drive, const struct advisor *to) {
    const struct bp_train_options *o = &run->options;
    struct remedies r = {.count = 0};
    char text[ADVICE_TEXT];
    offer(&r, has_rate(run) && !(o->gradient_clip_norm > 0) && !(o->gradient_clip_value > 0), "gradient_clip_norm 1");
    offer(&r, o->gradient_clip_norm > 1, "a smaller gradient_clip_norm");
    offer(&r, has_rate(run), "a smaller learning_rate");
    offer(&r, has_unscaled_feature(run), "scaled inputs");
    say(to, "exploding gradient: that of layer \"%s\" is %.1g times its weights%s", h->layer, drive, join(&r, text));
}

/* Remedies for a learning rate that is too high. */
static const char *slower(const struct run *run, bool schedule, char text[static ADVICE_TEXT]) {
    struct remedies r = {.count = 0};
    offer(&r, has_rate(run), "a tenth of the learning_rate");
    offer(&r, has_rate(run) && !run->training->options.find_rate, "\"auto\"");
    offer(&r, schedule && has_rate(run) && !run->options.schedule, "a schedule");
    return join(&r, text);
}

static void look_at_layer(struct advice *a, const struct run *run, int32_t i, double largest, const struct advisor *to) {
    const struct bp_health *h = bp_trainer_health(run->trainer, i);
    /* The health is measured on the last mini-batch, which may be small: one sample is not representative. */
    const int64_t rest = run->split.train_count % run->options.batch_size, last = rest ? rest : run->options.batch_size;
    const bool enough = last >= SAMPLES_MIN;
    const double drive = h->gradient_norm / h->weight_norm;
    char text[ADVICE_TEXT];
    if (lasts(&a->dead[i], enough && h->dead >= DEAD)) say_dead(run, h, to);
    if (lasts(&a->saturated[i], h->saturated >= SATURATED)) say_saturated(run, h, to);
    if (lasts(&a->vanishing[i], last > 1 && largest > 0 && drive < VANISHING * largest)) say_vanishing(run, h, drive / largest, to);
    if (lasts(&a->exploding[i], drive > EXPLODING)) say_exploding(run, h, drive, to);
    if (lasts(&a->restless[i], h->ratio > RESTLESS))
        say(to, "learning rate too high: each update changes layer \"%s\" by %.0f%% of its weights (about 0.1%% is usual)%s", h->layer,
            100 * h->ratio, slower(run, false, text));
}

/* ---- losses ------------------------------------------------------------------------------------------------------------------ */

static double metric(const struct run *run, const char *name) {
    for (int32_t i = 0; i < bp_trainer_metrics_count(run->trainer); i++)
        if (strcmp(bp_trainer_metric_name(run->trainer, i), name) == 0) return bp_trainer_metric_value(run->trainer, i);
    return NAN;
}

static void say_overfitting(const struct advice *a, const struct run *run, int64_t epoch, double loss, double val_loss, const struct advisor *to) {
    struct remedies r = {.count = 0};
    char text[ADVICE_TEXT];
    offer(&r, !run->options.stop_early, "early_stopping");
    offer(&r, !has_layer(run, "dropout"), "dropout");
    offer(&r, !(run->options.l2 > 0) && !(weight_decay(run) > 0), "l2");
    offer(&r, true, "fewer units");
    offer(&r, true, "more rows");
    say(to, "overfitting: in the %d epochs since %lld the loss fell from %.4g to %.4g while val_loss rose from %.4g to %.4g%s%s", PATIENT,
        (long long)(epoch - PATIENT), a->loss_at_best, loss, a->best_val_loss, val_loss,
        run->options.stop_early ? " (early stopping keeps the best epoch)" : "", join(&r, text));
}

static void look_at_losses(struct advice *a, const struct run *run, int64_t epoch, const struct advisor *to) {
    const double loss = metric(run, "loss"), val_loss = metric(run, "val_loss");
    char text[ADVICE_TEXT];
    if (!a->best_loss || loss < a->best_loss) a->best_loss = loss;
    a->jumps = loss > JUMP * a->last_loss && a->last_loss > 0 ? a->jumps + LASTING : a->jumps > 0 ? a->jumps - 1 : 0;
    a->last_loss = loss;
    if (a->jumps > 2 * LASTING)
        say(to, "learning rate too high: the loss rises repeatedly (%.4g now, %.4g at best)%s", loss, a->best_loss, slower(run, true, text));
    if (run->options.stop_early && isnan(metric(run, run->best_metric)))
        say(to,
            "early stopping watches %s, which is undefined in epoch %lld (such as with one class among the validation rows): early stopping has no "
            "effect; watch val_loss, or validate with other rows",
            run->best_metric, (long long)epoch);
    if (!isfinite(val_loss)) return;
    if (!a->best_val_loss || val_loss < a->best_val_loss) {
        a->best_val_loss = val_loss;
        a->loss_at_best = loss;
        a->worse = 0;
    } else {
        a->worse++;
    }
    const bool stays = !run->options.stop_early || a->best_val_loss > GAP * a->loss_at_best;
    if (a->worse == PATIENT && stays && val_loss > WORSE * a->best_val_loss && loss < a->loss_at_best)
        say_overfitting(a, run, epoch, loss, val_loss, to);
    else if (a->worse >= PATIENT) a->worse = PATIENT - 1; /* once it has got that far */
}

void advice_epoch(struct advice *a, const struct run *run, int64_t epoch, void (*report)(void *context, const char *text), void *context) {
    const struct advisor to = {report, context};
    const int32_t layers = bp_trainer_health_count(run->trainer);
    double largest = 0;
    for (int32_t i = 0; i < layers; i++) {
        const struct bp_health *h = bp_trainer_health(run->trainer, i);
        const double drive = h->gradient_norm / h->weight_norm;
        if (drive > largest) largest = drive;
    }
    for (int32_t i = 0; i < layers && i < ADVICE_LAYERS; i++) look_at_layer(a, run, i, largest, &to);
    look_at_losses(a, run, epoch, &to);
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------- */

enum { COUNTERS = 5, HEALTH = 8 };
static const char *const counter_names[COUNTERS] = {"dead", "saturated", "vanishing", "exploding", "restless"};

static void counters_of(struct advice *a, uint8_t *counters[COUNTERS]) {
    uint8_t *const all[COUNTERS] = {a->dead, a->saturated, a->vanishing, a->exploding, a->restless};
    memcpy(counters, all, sizeof all);
}

/* JSON has no NaN. */
static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static double number_value(const json_t *json) {
    return json_is_number(json) ? json_number_value(json) : (double)NAN;
}

static json_t *health_notes(const struct run *run) {
    json_t *all = json_array();
    for (int32_t i = 0; i < bp_trainer_health_count(run->trainer); i++) {
        const struct bp_health *h = bp_trainer_health(run->trainer, i);
        const double values[HEALTH] = {h->weight_norm, h->gradient_norm, h->update_norm, h->ratio, h->mean, h->spread, h->dead, h->saturated};
        json_t *layer = json_array();
        for (int k = 0; k < HEALTH; k++) json_array_append_new(layer, number(values[k]));
        json_array_append_new(all, layer);
    }
    return all;
}

json_t *advice_notes(const struct advice *advice, const struct run *run) {
    struct advice a = *advice;
    struct bp_trainer_state state;
    uint8_t *counters[COUNTERS];
    const int32_t all = bp_trainer_health_count(run->trainer), layers = all < ADVICE_LAYERS ? all : ADVICE_LAYERS;
    json_t *notes = json_pack("{s:o, s:o, s:o, s:o, s:i, s:i}", "best_loss", number(a.best_loss), "best_val_loss", number(a.best_val_loss),
                              "loss_at_best", number(a.loss_at_best), "last_loss", number(a.last_loss), "worse", a.worse, "jumps", a.jumps);
    counters_of(&a, counters);
    for (int k = 0; k < COUNTERS; k++) {
        json_t *list = json_array();
        for (int32_t i = 0; i < layers; i++) json_array_append_new(list, json_integer(counters[k][i]));
        json_object_set_new(notes, counter_names[k], list);
    }
    bp_trainer_state(run->trainer, &state);
    if (state.position > 0) json_object_set_new(notes, "health", health_notes(run));
    return notes;
}

void advice_recall(struct advice *a, const struct run *run, const json_t *notes) {
    uint8_t *counters[COUNTERS];
    *a = (struct advice){0};
    if (!json_is_object(notes)) return;
    counters_of(a, counters);
    for (int k = 0; k < COUNTERS; k++) {
        const json_t *list = json_object_get(notes, counter_names[k]);
        for (size_t i = 0; i < json_array_size(list) && i < ADVICE_LAYERS; i++) counters[k][i] = (uint8_t)json_integer_value(json_array_get(list, i));
    }
    a->best_loss = number_value(json_object_get(notes, "best_loss"));
    a->best_val_loss = number_value(json_object_get(notes, "best_val_loss"));
    a->loss_at_best = number_value(json_object_get(notes, "loss_at_best"));
    a->last_loss = number_value(json_object_get(notes, "last_loss"));
    a->worse = (int32_t)json_integer_value(json_object_get(notes, "worse"));
    a->jumps = (int32_t)json_integer_value(json_object_get(notes, "jumps"));
    const json_t *health = json_object_get(notes, "health");
    for (size_t i = 0; i < json_array_size(health); i++) {
        double v[HEALTH];
        for (size_t k = 0; k < HEALTH; k++) v[k] = number_value(json_array_get(json_array_get(health, i), k));
        bp_trainer_restore_health(run->trainer, (int32_t)i, &(struct bp_health){NULL, v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]});
    }
}
