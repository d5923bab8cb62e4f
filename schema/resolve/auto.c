/* auto.c - see auto.h. */
#include "schema/resolve/auto.h"

#include "schema/resolve/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *const schema_efforts[] = {"fast", "balanced", "best", NULL};

enum { FOLDS = 5, REPEATS_OF_ONE_SPLIT = 3, REPEATS_BEST = 3 };
/* Layers of 64, four members, embeddings of 4 numbers: for tables of some thousand rows the papers' sizes (128 to 256, 8, 8) take five times as long
 * and predict no better. Many rows can train larger layers (clients/guides/decisions.md). */
enum { UNITS = 64, UNITS_OF_MANY_ROWS = 128, MANY_ROWS = 10000, UNITS_OF_TENSORS = 128 };

struct making {
    const struct schema_auto *job;
    const struct schema_dataset *dataset;
    struct schema_training_request *request; /* the job's, with what is chosen of it here */
    struct schema_problems *problems;
    struct schema_ensemble *ensemble;
    uint64_t seed;
    json_t *validation;
    struct schema_training_outline outline;
    int64_t width; /* numbers of a prediction */
};

/* ---- one family ---------------------------------------------------------------------------------------------------------------------------- */

/* The family's options, with what the job says in their place. The caller's. */
static json_t *options_of(const struct making *m, const json_t *own) {
    json_t *options = own ? json_deep_copy(own) : json_object();
    if (json_object_get(m->job->object, "optimizer")) { /* chosen for the family's own */
        json_object_del(options, "schedule");
        json_object_del(options, "weight_decay_schedule");
    }
    for (const char *const *name = schema_options_names; *name; name++)
        if (json_object_get(m->job->object, *name)) json_object_set(options, *name, json_object_get(m->job->object, *name));
    if (!json_object_get(m->job->object, "threads")) json_object_set_new(options, "threads", json_integer(m->job->threads));
    json_object_set(options, "validation", m->validation);
    json_object_set_new(options, "seed", json_integer((json_int_t)m->seed));
    return options;
}

/* The training of a family, NULL with problems. definition is taken over. */
static struct schema_training *resolve_family(const struct making *m, struct schema_definition *definition, const json_t *own) {
    struct schema_options options;
    json_t *merged = options_of(m, own);
    struct schema_training *training = NULL;
    if (schema_options_decode(merged, "", NULL, &options, m->problems) == 0) {
        options.stop_default = !json_object_get(m->job->object, "early_stopping"); /* no advice on what the family chose */
        training = schema_training_resolve(definition, &options, m->dataset, m->request, m->problems);
        definition = NULL;
    }
    schema_definition_free(definition);
    json_decref(merged);
    return training;
}

/* Adds a family; its definition and options as JSON are taken over. */
static void add_family(struct making *m, const char *name, json_t *definition, json_t *options) {
    struct schema_problems found = {0};
    struct schema_ensemble *e = m->ensemble;
    struct schema_definition *decoded = schema_definition_decode(definition, m->request->definition_pointer, NULL, &found);
    struct schema_training *training = decoded ? resolve_family(m, decoded, options) : NULL;
    if (found.count) schema_problem_add(m->problems, m->request->definition_pointer, "%s", found.items[0].detail);
    schema_problems_clear(&found);
    json_decref(definition);
    json_decref(options);
    if (!training) return;
    struct schema_family *family = &e->families[e->families_count++];
    snprintf(family->name, sizeof family->name, "%s", name);
    family->training = training;
}

/* ---- the families ---------------------------------------------------------------------------------------------------------------------------- */

static json_t *stopping(int patience) {
    return json_pack("{s:i}", "patience", patience);
}

/* The name of what the first layer reads: the numbers (under that name; perhaps embedded) beside the categories, or the one that there is. */
static const char *read_inputs(const struct making *m, json_t *layers, const char *numbers) {
    if (!m->outline.categories) return numbers;
    if (!m->outline.numbers) return "categories";
    json_array_append_new(layers, json_pack("{s:s, s:[s, s], s:s}", "type", "concatenate", "inputs", numbers, "categories", "name", "columns"));
    return "columns";
}

/* The activation of an output of m->width numbers. */
static const char *head(const struct making *m) {
    return m->outline.classes > 2 ? "softmax" : m->outline.classes == 2 ? "sigmoid" : "linear";
}

/* No hidden layer: best where the target is linear in the inputs, and where there are few rows. */
static void add_linear(struct making *m) {
    json_t *layers = json_array();
    const char *input = read_inputs(m, layers, "numbers");
    json_array_append_new(layers,
                          json_pack("{s:s, s:i, s:s, s:[s]}", "type", "dense", "units", (int)m->width, "activation", head(m), "inputs", input));
    add_family(m, "linear", json_pack("{s:o}", "layers", layers),
               json_pack("{s:i, s:i, s:{s:s, s:f}, s:f, s:o}", "epochs", 200, "batch_size", 32, "optimizer", "type", "adam", "learning_rate", 0.003,
                         "l2", 1e-4, "early_stopping", stopping(20)));
}

/* Rows that train a member of five folds. */
static int64_t member_rows(const struct making *m) {
    return m->outline.rows * (FOLDS - 1) / FOLDS;
}

static int units_of(const struct making *m) {
    return m->outline.rows < MANY_ROWS ? UNITS : UNITS_OF_MANY_ROWS;
}

/* Two hidden layers; input: what the first reads, NULL: what stands before it. */
static void add_hidden(json_t *layers, int units, const char *input) {
    for (int i = 0; i < 2; i++) {
        json_t *dense = json_pack("{s:s, s:i, s:s}", "type", "dense", "units", units, "activation", "relu");
        if (input && i == 0) json_object_set_new(dense, "inputs", json_pack("[s]", input));
        json_array_append_new(layers, dense);
        json_array_append_new(layers, json_pack("{s:s, s:f}", "type", "dropout", "rate", 0.1));
    }
}

/* How these are trained. */
static json_t *hidden_options(int batch_size) {
    return json_pack("{s:i, s:i, s:{s:s, s:f, s:f}, s:o}", "epochs", 200, "batch_size", batch_size, "optimizer", "type", "adamw", "learning_rate",
                     0.002, "weight_decay", 3e-4, "early_stopping", stopping(20));
}

static void add_plain(struct making *m, json_t *layers, int units, const char *input) {
    add_hidden(layers, units, input);
    add_family(m, "plain", json_pack("{s:o}", "layers", layers), hidden_options(64));
}

/* TabM-mini with embedded numbers (Gorishniy, Kotelnikov, Babenko 2025, arXiv 2410.24210): four networks that share all but a factor for each input
 * and the last layer. */
static void add_tabm(struct making *m) {
    enum { BINS = 16, WIDTH = 4, MEMBERS = 4 };
    const int64_t rows = member_rows(m);
    json_t *layers = json_array();
    if (m->outline.numbers)
        json_array_append_new(layers, json_pack("{s:s, s:i, s:i, s:[s], s:s}", "type", "piecewise_linear_embedding", "bins", BINS, "output_dim",
                                                WIDTH, "inputs", "numbers", "name", "embedded"));
    const char *input = read_inputs(m, layers, "embedded");
    json_array_append_new(layers, json_pack("{s:s, s:i, s:i, s:[s]}", "type", "ensemble", "members", MEMBERS, "group_size",
                                            m->outline.numbers ? WIDTH : 1, "inputs", input));
    add_hidden(layers, units_of(m), NULL);
    json_array_append_new(layers, json_pack("{s:s, s:i, s:s}", "type", "ensemble_dense", "units", (int)m->width, "activation", head(m)));
    add_family(m, "tabm", json_pack("{s:o}", "layers", layers), hidden_options(rows < 4500 ? 32 : rows < 9000 ? 64 : 128));
}

/* RealMLP (Holzmueller, Grinsztajn, Steinwart 2024, arXiv 2407.04491): layers in the neural tangent parametrisation, one trained factor for each
 * input, and a learning rate in four waves. */
static void add_realmlp(struct making *m) {
    const int64_t rows = member_rows(m);
    const bool classes = m->outline.classes > 0;
    json_t *layers = json_array();
    const char *input = read_inputs(m, layers, "numbers");
    json_array_append_new(layers, json_pack("{s:s, s:f, s:[s]}", "type", "scale", "learning_rate_factor", 6.0, "inputs", input));
    for (int i = 0; i < 3; i++) {
        json_array_append_new(layers, json_pack("{s:s, s:i, s:s, s:s, s:f}", "type", "dense", "units", units_of(m), "activation",
                                                classes ? "selu" : "mish", "parametrization", "ntk", "bias_learning_rate_factor", 0.1));
        json_array_append_new(layers, json_pack("{s:s, s:f}", "type", "dropout", "rate", 0.15));
    }
    json_array_append_new(layers, json_pack("{s:s, s:i, s:s, s:s, s:s, s:f}", "type", "dense", "units", (int)m->width, "activation", head(m),
                                            "parametrization", "ntk", "kernel_initializer", "zeros", "bias_learning_rate_factor", 0.1));
    add_family(m, "realmlp", json_pack("{s:o}", "layers", layers),
               json_pack("{s:i, s:i, s:{s:s, s:f, s:f, s:f, s:s}, s:s, s:s, s:s, s:o}", "epochs",
                         rows < 1500    ? 256
                         : rows < 6500  ? 64
                         : rows < 20000 ? 32
                                        : 16,
                         "batch_size", 256, "optimizer", "type", "adamw", "learning_rate", classes ? 0.04 : 0.07, "beta_2", 0.95, "weight_decay",
                         0.02, "weight_decay_on", "kernels", "schedule", "coslog4", "dropout_schedule", "flat_cosine", "weight_decay_schedule",
                         "flat_cosine", "early_stopping", json_false()));
}

/* Families for a table; false: it is none, or its target is not one class or number. */
static bool add_table(struct making *m) {
    struct schema_ensemble *e = m->ensemble;
    struct schema_problems found = {0}, *problems = m->problems;
    const struct schema_training_outline *o = &m->outline;
    if (o->own_inputs || o->numbers + o->categories == 0 || o->targets > 1) return false;
    m->width = o->classes > 2 ? o->classes : 1;
    const json_t *clamp = m->request->clamp;
    if (!clamp && o->classes == 0) m->request->clamp = json_true(); /* trees do not leave the range of the training rows either */
    m->problems = &found;                                           /* a target that is a tensor has no such output */
    add_linear(m);
    m->problems = problems;
    const bool good = found.total == 0 && schema_measurable(e->families[0].training);
    schema_problems_clear(&found);
    if (!good) {
        m->request->clamp = clamp;
        return false;
    }
    json_t *layers = json_array();
    const char *input = read_inputs(m, layers, "numbers");
    add_plain(m, layers, units_of(m), input);
    if (m->job->effort == SCHEMA_EFFORT_FAST) return true;
    add_tabm(m);
    add_realmlp(m);
    return true;
}

/* What is known of the table before there is a network. */
static int outline(struct making *m) {
    struct schema_options options;
    json_t *merged = options_of(m, NULL);
    int failed = schema_options_decode(merged, "", NULL, &options, m->problems);
    if (!failed) failed = schema_training_outline(&options, m->dataset, m->request, &m->outline, m->problems);
    json_decref(merged);
    return failed;
}

static void add_families(struct making *m, char why[static 300]) {
    struct schema_ensemble *e = m->ensemble;
    if (m->job->network) {
        add_family(m, "", schema_definition_encode(m->job->network), NULL);
        snprintf(why, 300, "the network of the job, once for each fold");
        return;
    }
    if (outline(m) != 0) return;
    if (m->outline.numbers + m->outline.categories + m->outline.own_inputs == 0) { /* every category is rare: then they count after all */
        m->request->sturdy = false;
        if (outline(m) != 0) return;
    }
    if (!add_table(m)) {
        while (e->families_count > 0) schema_training_free(e->families[--e->families_count].training);
        add_plain(m, m->outline.own_inputs ? json_pack("[{s:s}]", "type", "flatten") : json_array(), UNITS_OF_TENSORS, NULL);
    }
    if (m->problems->total) return;
    snprintf(why, 300, "%s: %d famil%s of small networks, each trained %d times, whose predictions are averaged", schema_efforts[m->job->effort],
             (int)e->families_count, e->families_count == 1 ? "y" : "ies", (int)(e->folds ? e->folds * e->repeats : e->repeats));
}

/* ---- warnings -------------------------------------------------------------------------------------------------------------------------------- */

/* Whether the name says that equal values belong together: "patient_id", "customer". */
static bool names_a_group(const char *name) {
    static const char *const words[] = {"group", "patient", "subject", "customer", "client", "user", "session", "household", NULL};
    const size_t size = strlen(name);
    for (int i = 0; words[i]; i++)
        if (strcasecmp(name, words[i]) == 0) return true;
    return size > 2 && strcasecmp(name + size - 2, "id") == 0 && strchr("_- .i", name[size - 3]) != NULL;
}

/* Columns by which the rows might have to be split, when the job does not split them by any. */
static void warn_of_order(const struct making *m) {
    enum { GROUPS_MIN = 5 };
    const struct schema_training *t = m->ensemble->families[0].training;
    char text[400];
    if (t->options.validation != SCHEMA_VALIDATION_RANDOM) return;
    for (int32_t i = 0; i < t->preprocessing->features_count; i++) {
        const char *name = t->preprocessing->features[i].name;
        const int32_t c = schema_dataset_find(m->dataset, name);
        const struct schema_column *column = c < 0 ? NULL : &m->dataset->columns[c];
        text[0] = '\0';
        if (column && column->type == SCHEMA_DATETIME)
            snprintf(
                text, sizeof text,
                "column \"%.60s\" is a time: if later rows are to be predicted from earlier ones, validate with \"validation\":{\"time\":\"%.60s\"}",
                name, name);
        else if (column && column->type == SCHEMA_CATEGORICAL && names_a_group(name) && column->categories_count >= GROUPS_MIN &&
                 column->categories_count <= m->dataset->rows / 2)
            snprintf(text, sizeof text,
                     "column \"%.60s\" may name what several rows belong to: if new ones are to be predicted, validate with "
                     "\"validation\":{\"group\":\"%.60s\"}",
                     name, name);
        if (text[0] && json_array_size(t->warnings) < 15) json_array_append_new(t->warnings, json_string(text));
    }
}

/* ---- the whole -------------------------------------------------------------------------------------------------------------------------------- */

/* Folds, unless the job says which rows validate; groups stay together in folds. */
static json_t *validation_of(const struct making *m) {
    const json_t *given = json_object_get(m->job->object, "validation");
    const int64_t rows = m->dataset->rows;
    const int folds = rows >= FOLDS ? FOLDS : rows > 2 ? (int)rows : 2;
    if (!given || json_is_null(given)) return json_pack("{s:i}", "folds", folds);
    json_t *copy = json_deep_copy(given);
    if (json_object_get(copy, "group") && !json_object_get(copy, "folds") && !json_object_get(copy, "fraction"))
        json_object_set_new(copy, "folds", json_integer(FOLDS));
    return copy;
}

static void check(const struct making *m) {
    const struct schema_ensemble *e = m->ensemble;
    const struct schema_training *first = e->families[0].training;
    if (m->problems->total) return;
    if (e->folds > SCHEMA_ENSEMBLE_FOLDS_MAX)
        schema_problem_add(m->problems, "/validation/folds", "an ensemble has at most %d folds, got %d", SCHEMA_ENSEMBLE_FOLDS_MAX, (int)e->folds);
    if (!schema_options_validate(&first->options))
        schema_problem_add(m->problems, "/validation", "an ensemble needs rows to validate with: folds, a fraction, a column or another dataset");
    for (int32_t i = 0; i < first->preprocessing->features_count; i++)
        if (first->preprocessing->features[i].means)
            schema_problem_add(
                m->problems, "/columns",
                "column \"%.60s\" is encoded by its targets, which would tell a member of an ensemble about the rows that judge it; use "
                "another encode",
                first->preprocessing->features[i].name);
}

struct schema_ensemble *schema_auto_resolve(const struct schema_auto *job, const struct schema_dataset *dataset,
                                            const struct schema_training_request *request, char why[static 300], struct schema_problems *problems) {
    struct schema_ensemble *e = calloc(1, sizeof *e);
    struct schema_training_request chosen = *request;
    struct making m = {.job = job, .dataset = dataset, .request = &chosen, .problems = problems, .ensemble = e};
    why[0] = '\0';
    if (!e) return schema_problem_no_memory(problems), NULL;
    const json_t *seed = json_object_get(job->object, "seed");
    m.seed = json_is_integer(seed) && json_integer_value(seed) >= 0 ? (uint64_t)json_integer_value(seed) : schema_seed_draw();
    m.validation = validation_of(&m);
    const json_t *folds = json_object_get(m.validation, "folds");
    e->folds = (int32_t)json_integer_value(folds);
    e->repeats = job->network ? 1 : job->effort == SCHEMA_EFFORT_BEST ? REPEATS_BEST : 1;
    if (!e->folds) e->repeats *= REPEATS_OF_ONE_SPLIT;
    while (e->folds * e->repeats > SCHEMA_ENSEMBLE_FOLDS_MAX && e->repeats > 1) e->repeats--; /* many folds are as good as repeats */
    chosen.sturdy = !job->network;
    add_families(&m, why);
    if (e->families_count > 0) check(&m);
    json_decref(m.validation);
    if (problems->total == 0 && e->families_count > 0) {
        if (!job->network) warn_of_order(&m);
        schema_ensemble_list(e);
        return e;
    }
    schema_ensemble_free(e);
    return NULL;
}

int64_t schema_ensemble_bytes(const struct schema_ensemble *e, const struct schema_dataset *dataset) {
    int64_t most = 0;
    const int32_t threads = e->families[0].training->options.threads < e->members_count ? e->families[0].training->options.threads : e->members_count;
    for (int32_t f = 0; f < e->families_count; f++) {
        const int64_t bytes = schema_training_bytes(e->families[f].training, dataset);
        if (bytes > most) most = bytes;
    }
    return most * threads;
}
