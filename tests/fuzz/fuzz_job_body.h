/* fuzz_job_body.h - a job body out of bytes: every field of JobRequest in schema/openapi.yaml, with values that mostly look valid, now and then one
 * that is not, and random graphs of layers. A pure function of the bytes; when they run out every choice is the first one.
 *
 * Sections: drawing; the data; values of parameters; layers and graphs; losses and metrics; targets and columns; options; the body. */
#ifndef TESTS_FUZZ_JOB_BODY_H
#define TESTS_FUZZ_JOB_BODY_H

#include "engine/base/registry.h"

#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

struct fuzz_bytes {
    const uint8_t *at;
    size_t left;
};

/* 0 to below - 1. */
static inline uint32_t draw(struct fuzz_bytes *b, uint32_t below) {
    uint32_t v = 0;
    for (uint32_t most = 1; most < below && b->left > 0; most = most > UINT32_MAX >> 8 ? UINT32_MAX : most << 8) {
        v = v << 8 | *b->at++;
        b->left--;
    }
    return below ? v % below : 0;
}

/* True for about this many of a hundred; false when the bytes have run out. */
static inline bool chance(struct fuzz_bytes *b, uint32_t percent) {
    return draw(b, 100) >= 100 - percent;
}

#define FUZZ_PICK(b, array) (array)[draw(b, (uint32_t)(sizeof(array) / sizeof *(array)))]

/* ---- the data ---------------------------------------------------------------------------------------------------- */

static const char *const fuzz_flat_columns[] = {"n1", "n2", "i1", "c1", "c2", "b", "d", "t", "w", "z"};
static const char *const fuzz_tensor_columns[] = {"v", "m", "img", "ix"};
static const char *const fuzz_targets[] = {"y", "k", "u", "z", "n1", "i1", "b", "m", "p", "v", "lb", "hot"};
static const char *const fuzz_all_columns[] = {"n1", "n2", "i1",  "c1", "c2", "b", "d", "t", "w", "z",        "v",     "m",     "img",
                                               "ix", "lb", "hot", "y",  "k",  "u", "p", "g", "s", "constant", "empty", "absent"};

static inline json_t *fuzz_tensor(int row, int seed, int n, const int *dims) {
    json_t *list = json_array();
    for (int i = 0; i < dims[0]; i++)
        json_array_append_new(list,
                              n > 1 ? fuzz_tensor(row, seed * 7 + i, n - 1, dims + 1) : json_real(((row * 31 + seed * 17 + i * 5) % 41) / 8.0 - 2));
    return list;
}

static inline json_t *fuzz_integers(int row, int n, int below, int from) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, json_integer((row * 5 + i * 3) % below + from));
    return list;
}

/* One row of a column of every kind. */
static inline json_t *fuzz_record(int row) {
    static const char *const colours[] = {"red", "green", "blue"}, *const words[] = {"one two", "two three four", "", "five one", "six"};
    char date[40];
    snprintf(date, sizeof date, "2024-%02d-%02d", row % 12 + 1, row % 28 + 1);
    json_t *r = json_object();
    json_object_set_new(r, "n1", row % 7 == 3 ? json_null() : json_real(row * 1.5 - 9));
    json_object_set_new(r, "n2", json_real(1e6 + (row * 37 % 19) * 0.25));
    json_object_set_new(r, "i1", json_integer(row % 4));
    json_object_set_new(r, "c1", json_string(colours[row * 5 % 3]));
    json_object_set_new(r, "c2", row % 5 == 4 ? json_null() : json_string(row % 3 ? "north" : "south"));
    json_object_set_new(r, "b", json_boolean(row % 3 == 1));
    json_object_set_new(r, "d", json_string(date));
    json_object_set_new(r, "t", json_string(words[row % 5]));
    json_object_set_new(r, "v", fuzz_tensor(row, 1, 1, (const int[]){4}));
    json_object_set_new(r, "lb", json_array()); /* labels: none, one or two of three */
    if (row % 4) json_array_append_new(json_object_get(r, "lb"), json_string(colours[row % 3]));
    if (row % 4 == 2) json_array_append_new(json_object_get(r, "lb"), json_string(colours[(row + 1) % 3]));
    json_object_set_new(r, "hot", json_pack("[i,i,i]", row % 2, row % 3 == 0, row % 5 > 2));
    json_object_set_new(r, "m", fuzz_tensor(row, 2, 2, (const int[]){3, 2}));
    json_object_set_new(r, "img", fuzz_tensor(row, 3, 3, (const int[]){4, 4, 1}));
    json_object_set_new(r, "ix", fuzz_integers(row, 3, 5, 0));
    json_object_set_new(r, "p", fuzz_integers(row, 3, 4, -1));
    json_object_set_new(r, "y", row == 11 ? json_null() : json_real((row * 13 % 17) * 2.25 + 0.5));
    json_object_set_new(r, "k", json_string((const char *[]){"a", "b", "c"}[row * 7 % 3]));
    json_object_set_new(r, "u", json_string(row % 2 ? "yes" : "no"));
    json_object_set_new(r, "z", json_integer(row * 11 % 40));
    json_object_set_new(r, "w", json_real(row % 4 * 0.5));
    json_object_set_new(r, "g", json_string((const char *[]){"g1", "g2", "g3", "g4", "g5", "g6"}[row % 6]));
    json_object_set_new(r, "s", json_string(row % 4 ? "train" : "validation"));
    json_object_set_new(r, "constant", json_real(2.5));
    json_object_set_new(r, "empty", json_null());
    return r;
}

/* {"types":...,"records":[...]}: as an upload. */
static inline json_t *fuzz_records(int rows) {
    json_t *list = json_array();
    for (int i = 0; i < rows; i++) json_array_append_new(list, fuzz_record(i));
    return json_pack("{s:{s:s,s:s}, s:o}", "types", "t", "text", "d", "datetime", "records", list); /* lb is inferred */
}

/* ---- values of parameters ------------------------------------------------------------------------------------------ */

static inline json_t *fuzz_entry(struct fuzz_bytes *b, const struct bp_family *family, bool sane);

/* A value of another type than requested. */
static inline json_t *fuzz_strange(struct fuzz_bytes *b) {
    switch (draw(b, 8)) {
    case 0: return json_null();
    case 1: return json_integer(-1);
    case 2: return json_real(1e300);
    case 3: return json_string("");
    case 4: return json_array();
    case 5: return json_object();
    case 6: return json_real(0.5);
    default: return json_true();
    }
}

static inline double fuzz_number(struct fuzz_bytes *b, const struct bp_param *p) {
    const bool whole = p->type == BP_PARAM_INTEGER || p->type == BP_PARAM_INTEGERS || p->type == BP_PARAM_CHOICE;
    const double low = isfinite(p->min) ? p->min : -2, high = isfinite(p->max) ? p->max : 1e6;
    double v;
    switch (draw(b, 12)) {
    case 0: v = p->preset; break;
    case 1: v = low; break;
    case 2: v = high <= 64 || chance(b, 4) ? high : low + 1; break;
    case 3: v = chance(b, 10) ? low - 1 : low; break;
    case 4: v = chance(b, 10) ? 1000 : 3; break;
    default: v = whole ? 1 + draw(b, 6) : low + (fmin(high, low + 1) - low) * draw(b, 16) / 16; break;
    }
    return whole ? floor(v) : v;
}

static inline json_t *fuzz_json_number(double v) {
    return v == floor(v) && fabs(v) < 1e15 ? json_integer((json_int_t)v) : json_real(isfinite(v) ? v : 0);
}

static inline json_t *fuzz_numbers(struct fuzz_bytes *b, const struct bp_param *p) {
    json_t *list = json_array();
    double last = 0;
    for (uint32_t n = 1 + draw(b, 3); n-- > 0;) {
        last = p->type == BP_PARAM_NUMBERS ? last + (1 - last) / (2 + draw(b, 3)) : fuzz_number(b, p);
        json_array_append_new(list, fuzz_json_number(last));
    }
    return list;
}

static inline json_t *fuzz_value(struct fuzz_bytes *b, const struct bp_param *p) {
    if (chance(b, 1)) return fuzz_strange(b);
    switch (p->type) {
    case BP_PARAM_BOOLEAN: return json_boolean(draw(b, 2));
    case BP_PARAM_CHOICE: {
        int count = 0;
        while (p->choices[count]) count++;
        if (p->flags & BP_PARAM_OR_INTEGERS && chance(b, 20)) return fuzz_numbers(b, p);
        return json_string(p->choices[draw(b, (uint32_t)count)]);
    }
    case BP_PARAM_INTEGERS:
    case BP_PARAM_NUMBERS: return chance(b, 60) ? fuzz_json_number(fuzz_number(b, p)) : fuzz_numbers(b, p);
    case BP_PARAM_ENTRY: return fuzz_entry(b, p->family, true);
    default: return fuzz_json_number(fuzz_number(b, p));
    }
}

static inline void fuzz_params(struct fuzz_bytes *b, const struct bp_entry *entry, json_t *object) {
    for (int32_t i = 0; i < entry->params_count; i++)
        if (entry->params[i].flags & BP_PARAM_REQUIRED || chance(b, 25))
            json_object_set_new(object, entry->params[i].name, fuzz_value(b, &entry->params[i]));
}

/* A member of a family, by name or as an object; unless sane now and then one that is not there. */
static inline json_t *fuzz_entry(struct fuzz_bytes *b, const struct bp_family *family, bool sane) {
    const struct bp_entry *entry = family->entries[draw(b, (uint32_t)family->count)];
    if (!sane && chance(b, 1)) return json_string("no_such_thing");
    bool required = false;
    for (int32_t i = 0; i < entry->params_count; i++) required = required || entry->params[i].flags & BP_PARAM_REQUIRED;
    if (!required && chance(b, 50)) return json_string(entry->name);
    json_t *object = json_pack("{s:s}", "type", entry->name);
    fuzz_params(b, entry, object);
    return object;
}

/* ---- layers and graphs --------------------------------------------------------------------------------------------- */

static const char *const fuzz_names[] = {"a", "out", "h", "y", "k", "features", "m", "v", "dense_1", "flatten_1", "img", "ix", "u", "c1"};
static const char *const fuzz_activations[] = {"relu", "linear", "softmax", "sigmoid", "tanh", "gelu", "prelu"};

static inline json_t *fuzz_layer(struct fuzz_bytes *b, const char *type) {
    const struct bp_entry *entry = bp_family_find(&bp_layers, type);
    json_t *layer = json_pack("{s:s}", "type", type);
    fuzz_params(b, entry, layer);
    if (strcmp(type, "dense") == 0 && chance(b, 60)) json_object_set_new(layer, "activation", json_string(FUZZ_PICK(b, fuzz_activations)));
    if (strcmp(type, "embedding") == 0 && chance(b, 80)) json_object_set_new(layer, "input_dim", json_integer(5 + draw(b, 3)));
    if (chance(b, 10)) json_object_set_new(layer, "name", json_string(FUZZ_PICK(b, fuzz_names)));
    if (chance(b, 4)) json_object_set_new(layer, "trainable", json_boolean(draw(b, 2)));
    return layer;
}

static inline void fuzz_wire(struct fuzz_bytes *b, json_t *layer, uint32_t percent) {
    if (!chance(b, percent)) return;
    json_t *inputs = json_array();
    for (uint32_t n = 1 + draw(b, 3); n-- > 0;) json_array_append_new(inputs, json_string(FUZZ_PICK(b, fuzz_names)));
    json_object_set_new(layer, "inputs", inputs);
}

/* Some layers that suit inputs of a kind: 0 flat, 1 a tensor of two axes, 2 an image, 3 indices, 4 anything. */
static inline json_t *fuzz_layers(struct fuzz_bytes *b, uint32_t kind) {
    static const char *const flat[] = {"dense", "dense", "dropout", "batch_norm", "layer_norm", "activation", "gaussian_noise", "rms_norm"};
    static const char *const steps[] = {"rnn",
                                        "lstm",
                                        "gru",
                                        "conv1d",
                                        "max_pool1d",
                                        "average_pool1d",
                                        "multi_head_attention",
                                        "positional_encoding",
                                        "masking",
                                        "dense",
                                        "global_average_pool",
                                        "batch_norm",
                                        "permute",
                                        "separable_conv1d",
                                        "depthwise_conv1d",
                                        "conv1d_transpose",
                                        "zero_padding1d",
                                        "cropping1d",
                                        "upsampling1d",
                                        "spatial_dropout",
                                        "position_embedding"};
    static const char *const image[] = {"conv2d",           "max_pool2d",         "average_pool2d",   "random_flip",
                                        "random_rotation",  "random_translation", "batch_norm",       "global_max_pool",
                                        "conv2d_transpose", "separable_conv2d",   "depthwise_conv2d", "group_norm",
                                        "zero_padding2d",   "cropping2d",         "upsampling2d",     "permute"};
    json_t *layers = json_array();
    if (kind == 3) json_array_append_new(layers, fuzz_layer(b, "embedding"));
    for (uint32_t n = draw(b, 4); n-- > 0;) {
        const char *type = kind == 0                ? FUZZ_PICK(b, flat)
                           : kind == 1 || kind == 3 ? FUZZ_PICK(b, steps)
                           : kind == 2              ? FUZZ_PICK(b, image)
                                                    : bp_layers.entries[draw(b, (uint32_t)bp_layers.count)]->name;
        json_t *layer = fuzz_layer(b, type);
        fuzz_wire(b, layer, kind == 4 ? 40 : 2);
        json_array_append_new(layers, layer);
    }
    if (kind > 0 && chance(b, 70)) json_array_append_new(layers, json_string("flatten"));
    for (uint32_t n = draw(b, 3); n-- > 0;) json_array_append_new(layers, fuzz_layer(b, "dense"));
    return layers;
}

/* ---- losses and metrics -------------------------------------------------------------------------------------------- */

static inline json_t *fuzz_metrics(struct fuzz_bytes *b) {
    json_t *list = json_array();
    for (uint32_t n = draw(b, 4); n-- > 0;) json_array_append_new(list, fuzz_entry(b, &bp_metrics, false));
    return list;
}

/* A value for all, or a map by output. */
static inline json_t *fuzz_by_output(struct fuzz_bytes *b, json_t *(*make)(struct fuzz_bytes *b), uint32_t percent) {
    if (!chance(b, percent)) return make(b);
    json_t *map = json_object();
    for (uint32_t n = 1 + draw(b, 2); n-- > 0;)
        json_object_set_new(map, chance(b, 60) ? FUZZ_PICK(b, fuzz_targets) : FUZZ_PICK(b, fuzz_names), make(b));
    return map;
}

static inline json_t *fuzz_loss(struct fuzz_bytes *b) {
    return fuzz_entry(b, &bp_losses, false);
}

static inline json_t *fuzz_weight(struct fuzz_bytes *b) {
    return chance(b, 5) ? fuzz_strange(b) : json_real(0.25 * (1 + draw(b, 8)));
}

static inline json_t *fuzz_definition(struct fuzz_bytes *b, uint32_t kind) {
    json_t *d = json_pack("{s:o}", "layers", fuzz_layers(b, kind));
    if (chance(b, 40)) json_object_set_new(d, "loss", fuzz_by_output(b, fuzz_loss, 40));
    if (chance(b, 30)) json_object_set_new(d, "metrics", fuzz_by_output(b, fuzz_metrics, 40));
    if (chance(b, 8)) json_object_set_new(d, "loss_weights", fuzz_by_output(b, fuzz_weight, 95));
    if (chance(b, 8)) {
        json_t *outputs = json_array();
        for (uint32_t n = 1 + draw(b, 2); n-- > 0;) json_array_append_new(outputs, json_string(FUZZ_PICK(b, fuzz_names)));
        json_object_set_new(d, "outputs", chance(b, 30) ? json_string(FUZZ_PICK(b, fuzz_names)) : json_incref(outputs));
        json_decref(outputs);
    }
    if (chance(b, 5)) json_object_set_new(d, "inputs", json_pack("{s:{s:[i]}}", FUZZ_PICK(b, fuzz_names), "shape", (int)draw(b, 8)));
    if (chance(b, 2)) json_object_set_new(d, "name", json_string("fuzz"));
    return d;
}

/* ---- targets and columns ------------------------------------------------------------------------------------------- */

static inline json_t *fuzz_target(struct fuzz_bytes *b) {
    if (chance(b, 1)) return json_string(FUZZ_PICK(b, fuzz_all_columns));
    if (!chance(b, 35)) return json_string(FUZZ_PICK(b, fuzz_targets));
    json_t *list = json_array(), *map = json_object();
    for (uint32_t n = 1 + draw(b, 3); n-- > 0;) {
        const char *column = FUZZ_PICK(b, fuzz_targets);
        json_array_append_new(list, json_string(column));
        json_object_set_new(map, FUZZ_PICK(b, fuzz_names),
                            chance(b, 30) ? json_pack("[s,s]", column, FUZZ_PICK(b, fuzz_targets)) : json_string(column));
    }
    const bool by_layer = chance(b, 40);
    json_decref(by_layer ? list : map);
    return by_layer ? map : list;
}

static inline bool fuzz_names_it(const json_t *json, const char *name) {
    size_t i;
    const char *key;
    json_t *item;
    if (json_is_string(json)) return strcmp(json_string_value(json), name) == 0;
    json_array_foreach(json, i, item) if (fuzz_names_it(item, name)) return true;
    json_object_foreach((json_t *)json, key, item) if (fuzz_names_it(item, name)) return true;
    return false;
}

static inline json_t *fuzz_task(struct fuzz_bytes *b, const json_t *target) {
    static const char *const tasks[] = {"regression", "classification", "regression", "classification", "cluster"};
    if (!chance(b, 30)) return json_string(tasks[draw(b, chance(b, 3) ? 5 : 4)]);
    json_t *map = json_object();
    for (uint32_t n = 1 + draw(b, 2); n-- > 0;) {
        const char *column = FUZZ_PICK(b, fuzz_targets);
        if (fuzz_names_it(target, column) || chance(b, 5)) json_object_set_new(map, column, json_string(tasks[draw(b, 4)]));
    }
    return map;
}

static inline json_t *fuzz_features(struct fuzz_bytes *b, uint32_t kind, const json_t *target) {
    json_t *list = json_array();
    if (kind == 4 && chance(b, 50)) {
        for (uint32_t n = 1 + draw(b, 4); n-- > 0;) json_array_append_new(list, json_string(FUZZ_PICK(b, fuzz_all_columns)));
        return list;
    }
    if (kind > 0) json_array_append_new(list, json_string(kind == 4 ? FUZZ_PICK(b, fuzz_tensor_columns) : fuzz_tensor_columns[kind]));
    else
        for (uint32_t n = 1 + draw(b, 4); n-- > 0;) {
            const char *column = FUZZ_PICK(b, fuzz_flat_columns);
            if (chance(b, 3) || (!fuzz_names_it(list, column) && !fuzz_names_it(target, column))) json_array_append_new(list, json_string(column));
        }
    if (json_array_size(list) == 0) json_array_append_new(list, json_string("n2"));
    return list;
}

static inline json_t *fuzz_column(struct fuzz_bytes *b) {
    static const char *const missing[] = {"auto", "mean", "median", "indicator", "bucket", "drop", "error"};
    static const char *const scale[] = {"standard", "minmax", "robust", "quantile", "log", "none", "global"};
    static const char *const encode[] = {"one_hot", "ordinal", "embedding", "target", "compact", "bag_of_words", "hashed", "tokens"};
    static const char *const unseen[] = {"bucket", "ignore", "error"}, *const parts[] = {"time", "year", "month", "week", "day", "hour"};
    static const char *const counts[] = {"categories_max", "categories_min_count", "smoothing", "vocabulary", "length", "buckets"};
    json_t *c = json_object();
    if (chance(b, 40)) json_object_set_new(c, "missing", chance(b, 30) ? json_real(draw(b, 9)) : json_string(FUZZ_PICK(b, missing)));
    if (chance(b, 40)) json_object_set_new(c, "scale", json_string(FUZZ_PICK(b, scale)));
    if (chance(b, 40)) json_object_set_new(c, "encode", json_string(FUZZ_PICK(b, encode)));
    if (chance(b, 10)) json_object_set_new(c, "clip", chance(b, 10) ? fuzz_strange(b) : json_integer(draw(b, 9)));
    if (chance(b, 15)) json_object_set_new(c, "unseen", json_string(FUZZ_PICK(b, unseen)));
    if (chance(b, 15)) json_object_set_new(c, FUZZ_PICK(b, counts), json_integer(draw(b, 9)));
    if (chance(b, 10)) json_object_set_new(c, "parts", json_pack("[s,s]", FUZZ_PICK(b, parts), FUZZ_PICK(b, parts)));
    return c;
}

/* ---- options ------------------------------------------------------------------------------------------------------- */

static inline json_t *fuzz_validation(struct fuzz_bytes *b) {
    json_t *v = json_object();
    switch (draw(b, 8)) {
    case 0:
    case 1: json_object_set_new(v, "fraction", json_real(draw(b, 10) / 10.0)); break;
    case 2: json_object_set_new(v, "folds", json_integer(2 + draw(b, 4))); break;
    case 3: json_object_set_new(v, "dataset", json_string("held@1")); break;
    case 4: json_object_set_new(v, "group", json_string(chance(b, 70) ? "g" : FUZZ_PICK(b, fuzz_all_columns))); break;
    case 5: json_object_set_new(v, "time", json_string(chance(b, 70) ? "z" : FUZZ_PICK(b, fuzz_all_columns))); break;
    case 6: json_object_set_new(v, "column", json_string(chance(b, 70) ? "s" : FUZZ_PICK(b, fuzz_all_columns))); break;
    default: json_object_set_new(v, "fraction", fuzz_strange(b)); break;
    }
    if (chance(b, 10)) json_object_set_new(v, "fraction", json_real(0.3));
    if (chance(b, 5)) json_object_set_new(v, "group", json_string("g"));
    return v;
}

static inline json_t *fuzz_stopping(struct fuzz_bytes *b) {
    static const char *const metrics[] = {"val_loss", "loss", "val_accuracy", "accuracy", "val_mae", "val_roc_auc", "val_y_mae", "val_k_loss", "mae"};
    json_t *s = json_object();
    if (chance(b, 60)) json_object_set_new(s, "metric", json_string(FUZZ_PICK(b, metrics)));
    if (chance(b, 60)) json_object_set_new(s, "patience", json_integer(draw(b, 4)));
    if (chance(b, 30)) json_object_set_new(s, "min_delta", json_real(draw(b, 4) / 100.0));
    return chance(b, 10) ? (json_decref(s), json_false()) : s;
}

static inline void fuzz_options(struct fuzz_bytes *b, json_t *body) {
    static const struct {
        const char *name;
        double values[4];
    } numbers[] = {{"epochs", {1, 2, 3, 100}},
                   {"batch_size", {1, 4, 7, 32}},
                   {"seed", {0, 1, 77, 9007199254740991.0}},
                   {"threads", {1, 2, 3, 1}},
                   {"l1", {0, 0.01, 1, 1e6}},
                   {"l2", {0, 0.01, 1, 1e6}},
                   {"max_norm", {0, 0.5, 1, 1e9}},
                   {"gradient_clip_norm", {0, 0.5, 1, 1e9}},
                   {"gradient_clip_value", {0, 0.5, 1, 1e9}},
                   {"gradient_accumulation_steps", {1, 2, 5, 65536}},
                   {"ema", {0, 0.5, 0.9, 0.999}},
                   {"mixup", {0, 0.2, 1, 100}},
                   {"checkpoint_every_epochs", {1, 2, 10, 1e6}},
                   {"window_rows", {0, 3, 16, 1e6}}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (chance(b, i < 2 ? 50 : 10))
            json_object_set_new(body, numbers[i].name, chance(b, 2) ? fuzz_strange(b) : fuzz_json_number(FUZZ_PICK(b, numbers[i].values)));
    if (chance(b, 30)) json_object_set_new(body, "validation", fuzz_validation(b));
    if (chance(b, 40)) json_object_set_new(body, "optimizer", fuzz_entry(b, &bp_optimizers, false));
    if (chance(b, 4)) json_object_set_new(body, "optimizer", json_pack("{s:s,s:s}", "type", "adam", "learning_rate", "auto"));
    if (chance(b, 20)) json_object_set_new(body, "schedule", fuzz_entry(b, &bp_schedules, false));
    if (chance(b, 20)) json_object_set_new(body, "early_stopping", fuzz_stopping(b));
    if (chance(b, 4)) json_object_set_new(body, "precision", json_string((const char *[]){"float32", "auto", "bfloat16"}[draw(b, 3)]));
    if (chance(b, 2)) json_object_set_new(body, "metadata", json_pack("{s:s}", "run", "1"));
}

/* ---- labels -------------------------------------------------------------------------------------------------------- */

/* A number, numbers by label, or either by output. */
static inline json_t *fuzz_thresholds(struct fuzz_bytes *b) {
    json_t *number = chance(b, 5) ? fuzz_strange(b) : json_real(draw(b, 21) / 20.0);
    if (chance(b, 40)) return number;
    json_t *by_label = json_pack("{s:o, s:f}", chance(b, 50) ? "red" : "0", number, chance(b, 50) ? "blue" : "yes", 0.25);
    return chance(b, 60) ? by_label : json_pack("{s:o}", FUZZ_PICK(b, fuzz_targets), by_label);
}

static inline json_t *fuzz_labels(struct fuzz_bytes *b) {
    json_t *list = chance(b, 80) ? json_pack("[s,s,s]", "left", chance(b, 10) ? "left" : "right", "up") : fuzz_strange(b);
    return chance(b, 60) ? list : json_pack("{s:o}", FUZZ_PICK(b, fuzz_targets), list);
}

/* ---- targets and inputs ----------------------------------------------------------------------------------------------- */

/* For all targets, or by column. */
static inline json_t *fuzz_for_targets(struct fuzz_bytes *b, json_t *value) {
    return chance(b, 60) ? value : json_pack("{s:o}", FUZZ_PICK(b, fuzz_targets), value);
}

static inline void fuzz_target_options(struct fuzz_bytes *b, json_t *body) {
    static const char *const transforms[] = {"log", "log1p", "sqrt", "yeo-johnson", "box-cox", "none", "ln"};
    static const char *const classes[] = {"yes", "no", "a", "b", "0", "1", "true"};
    if (chance(b, 8)) json_object_set_new(body, "transform", fuzz_for_targets(b, json_string(FUZZ_PICK(b, transforms))));
    if (chance(b, 8)) json_object_set_new(body, "clamp", fuzz_for_targets(b, chance(b, 90) ? json_boolean(draw(b, 2)) : fuzz_strange(b)));
    if (chance(b, 4))
        json_object_set_new(body, "positive_class", fuzz_for_targets(b, chance(b, 90) ? json_string(FUZZ_PICK(b, classes)) : fuzz_strange(b)));
}

/* Layers that read "features" read the amounts, or everything else, instead; a chain reads one of the two. */
static inline void fuzz_split_inputs(struct fuzz_bytes *b, json_t *definition) {
    static const char *const names[] = {"numbers", "categories"};
    json_t *layers = json_object_get(definition, "layers"), *layer;
    bool any = false;
    size_t i, k;
    json_array_foreach(layers, i, layer) {
        json_t *inputs = json_object_get(layer, "inputs"), *input;
        json_array_foreach(inputs, k, input) {
            if (!json_is_string(input) || strcmp(json_string_value(input), "features") != 0) continue;
            json_array_set_new(inputs, k, json_string(FUZZ_PICK(b, names)));
            any = true;
            break; /* the list has changed */
        }
    }
    if (!any && json_is_object(json_array_get(layers, 0)))
        json_object_set_new(json_array_get(layers, 0), "inputs", json_pack("[s]", FUZZ_PICK(b, names)));
}

/* ---- the body ------------------------------------------------------------------------------------------------------ */

/* "dataset" names the data of fuzz_records(); the rest is drawn. The caller's. */
static inline json_t *fuzz_job_body(struct fuzz_bytes *b) {
    const uint32_t kind = draw(b, 100) < 55 ? 0 : 1 + draw(b, 4);
    json_t *body = json_pack("{s:o, s:s, s:o}", "model", fuzz_definition(b, kind), "dataset", "fuzz", "target", fuzz_target(b));
    if (chance(b, 85)) json_object_set_new(body, "features", fuzz_features(b, kind, json_object_get(body, "target")));
    if (chance(b, 25)) json_object_set_new(body, "task", fuzz_task(b, json_object_get(body, "target")));
    if (chance(b, 10)) json_object_set_new(body, "sample_weight", json_string(chance(b, 80) ? "w" : FUZZ_PICK(b, fuzz_all_columns)));
    if (chance(b, 10))
        json_object_set_new(body, "class_weights",
                            chance(b, 50) ? json_string("balanced") : json_pack("{s:f,s:i}", chance(b, 50) ? "a" : "yes", 2.5, "b", draw(b, 3)));
    if (chance(b, 20)) {
        json_t *columns = json_object();
        for (uint32_t n = 1 + draw(b, 2); n-- > 0;) {
            const json_t *features = json_object_get(body, "features");
            const char *used = json_string_value(json_array_get(features, draw(b, 1 + (uint32_t)json_array_size(features))));
            json_object_set_new(columns, used && chance(b, 80) ? used : FUZZ_PICK(b, fuzz_all_columns), fuzz_column(b));
        }
        json_object_set_new(body, "columns", columns);
    }
    if (chance(b, 10)) json_object_set_new(body, "thresholds", fuzz_thresholds(b));
    if (chance(b, 8)) json_object_set_new(body, "labels", fuzz_labels(b));
    fuzz_options(b, body);
    fuzz_target_options(b, body);
    if (chance(b, 10)) fuzz_split_inputs(b, json_object_get(body, "model"));
    return body;
}

#endif
