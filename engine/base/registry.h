/* registry.h - how a thing of the engine describes itself: its name, its parameters, the family it belongs to.
 *
 * Every ops struct (layer, activation, loss, optimizer, schedule, metric, initializer) starts with a `struct bp_entry`. From it come the JSON
 * decoding with exact errors, GET /v1/catalog, the reference pages, and the tests that walk every family. */
#ifndef BP_REGISTRY_H
#define BP_REGISTRY_H

#include "engine/base/base.h"

enum bp_param_type {
    BP_PARAM_BOOLEAN,
    BP_PARAM_INTEGER,
    BP_PARAM_NUMBER,
    BP_PARAM_CHOICE,   /* one of `choices`, held as its index */
    BP_PARAM_INTEGERS, /* a list of 1..BP_RANK_MAX integers, each within min..max (a bare integer is a list of one, as is the default) */
    BP_PARAM_NUMBERS,  /* a list of 1..BP_NUMBERS_MAX numbers, each within min..max (a bare number is a list of one) */
    BP_PARAM_ENTRY     /* a member of `family`, by name or object: {"type":"leaky_relu","negative_slope":0.1} */
};

enum {
    BP_PARAM_REQUIRED = 1,    /* no default: the user must give it */
    BP_PARAM_MIN_OPEN = 2,    /* the minimum itself is not allowed */
    BP_PARAM_MAX_OPEN = 4,    /* the maximum itself is not allowed */
    BP_PARAM_OR_INTEGERS = 8, /* CHOICE: a list of integers within min..max will do as well, and is then held instead (integers_count > 0) */
    BP_PARAM_PAIRS = 16       /* INTEGERS: pairs of integers will do as well, [[1, 2], [3, 4]] for [1, 2, 3, 4] */
};

enum { BP_NUMBERS_MAX = 16 };

struct bp_family;
struct bp_entry;

struct bp_param {
    const char *name;
    enum bp_param_type type;
    const char *help;      /* one line, no final full stop */
    double preset;         /* the default: number, integer, 0/1, or index of the choice */
    const double *presets; /* NUMBERS: the default list */
    int32_t presets_count;
    double min, max;                /* inclusive unless flagged open; for INTEGER, NUMBER, INTEGERS, NUMBERS, OR_INTEGERS */
    unsigned flags;                 /* BP_PARAM_REQUIRED | ... */
    const char *const *choices;     /* CHOICE: NULL-terminated */
    const struct bp_family *family; /* ENTRY */
    const char *preset_name;        /* ENTRY: name of the default member */
};

struct bp_entry {
    const char *name;    /* as in JSON: "leaky_relu" */
    const char *summary; /* one line, a sentence without its full stop */
    const struct bp_param *params;
    int32_t params_count;
};

/* A family: entries are in alphabetical order. An entry is the first member of its ops struct, so a pointer to it
 * converts to the ops struct of that family. */
struct bp_family {
    const char *name; /* plural, as in the catalog: "layers" */
    const char *noun; /* singular, for messages: "layer" */
    const struct bp_entry *const *entries;
    int32_t count;
};

/* The value of one parameter, at the same index as in `params`. */
struct bp_value {
    double number; /* BOOLEAN, INTEGER, NUMBER, CHOICE */
    int32_t integers[BP_RANK_MAX];
    int32_t integers_count;
    int32_t numbers_count;
    double numbers[BP_NUMBERS_MAX]; /* NUMBERS */
    const struct bp_entry *entry;   /* ENTRY; its own numeric parameters follow */
    double entry_numbers[4];
    bool given; /* the user gave it; false: it is the default */
};

/* The entry of that name, or NULL. */
const struct bp_entry *bp_family_find(const struct bp_family *family, const char *name);
/* Fills values[0..entry->params_count) with the defaults. */
void bp_values_preset(const struct bp_entry *entry, struct bp_value *values);

extern const struct bp_family bp_activations, bp_initializers, bp_layers, bp_losses, bp_metrics, bp_optimizers, bp_schedules;
/* The families above, for callers that walk all of them. */
extern const struct bp_family *const bp_families[];
extern const int32_t bp_families_count;

#endif
