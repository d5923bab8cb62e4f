/* training.h - a job resolved: which columns are the features, what the task is, which output layer and loss fit it, everything checked
 * against the data. The server does it when a job is submitted and hands the result to the job process as JSON. */
#ifndef SCHEMA_TRAINING_H
#define SCHEMA_TRAINING_H

#include "schema/definition/definition.h"
#include "schema/training/options.h"
#include "schema/training/source.h"

struct schema_training {
    struct schema_definition *definition; /* with output layer, loss and metrics filled in */
    struct schema_options options;
    struct schema_preprocessing *preprocessing; /* fitted on the training rows */
    struct bp_network *network;
    json_t *warnings;              /* array of strings, at most 20 */
    int32_t fold;                  /* of a cross-validation: fitted on the rows that train in this fold, 1 to options.folds; 0: on all */
    int32_t repeat;                /* of an ensemble: the same fit again, from other initial weights, 0 and up */
    int64_t held_rows, held_bytes; /* of the dataset that validates, while a job is submitted; 0: none */
};

/* Beyond so many targets side by side, or labels, an epoch would report hundreds of numbers: then metrics are reported as means alone. */
enum { SCHEMA_NAMED_TARGETS_MAX = 32, SCHEMA_NAMED_LABELS_MAX = 100 };

/* The members of the request beside definition and options. */
struct schema_training_request {
    const json_t *target;                        /* "column", ["a","b"], or {"output layer":"column" or ["a","b"]} */
    const json_t *task;                          /* NULL: inferred; a text for all targets, or an object by column */
    const json_t *features;                      /* array of column names, NULL: all other columns */
    const json_t *columns;                       /* NULL, or column options, by name */
    const json_t *class_weights;                 /* NULL, "balanced", or an object of weights by label */
    const char *sample_weight;                   /* column, or NULL */
    const json_t *thresholds;                    /* NULL, or as schema_thresholds_decode takes them */
    const json_t *transform, *clamp;             /* NULL, or a value for all targets of numbers, or values by column */
    const json_t *positive_class;                /* NULL, or one of two classes, or one by column */
    const json_t *labels;                        /* NULL, or names of the labels of a vector: a list, or lists by column */
    const struct schema_dataset *validation;     /* what options.validation_dataset names, or NULL */
    const struct bp_error *bfloat16_unavailable; /* why the process that trains cannot compute in it on a CPU that can; NULL: it can */
    const struct schema_preprocessing *keep;     /* its features, and the scale of its target, replace those of the same name and type; or NULL */
    int32_t fold;                                /* see struct schema_training */
    bool sturdy;                                 /* columns without options of their own are read as an automatic choice reads them (auto.h) */
    const char *pointer;                         /* pointer to the job object: "" */
    const char *definition_pointer;              /* pointer to the definition: "/model" or "" */
};

/* The members that schema_training_request_decode takes, NULL-terminated. */
extern const char *const schema_training_request_names[];

/* Decodes "target", "task", "features" out of a job object. 0, or -1 with problems. */
int schema_training_request_decode(const json_t *object, const char *pointer, struct schema_training_request *request,
                                   struct schema_problems *problems);

/* A seed for a job that has none. */
uint64_t schema_seed_draw(void);
/* Resolves. definition is taken over (also on failure); options are copied, a missing seed is drawn. NULL with problems. */
struct schema_training *schema_training_resolve(struct schema_definition *definition, const struct schema_options *options,
                                                const struct schema_dataset *dataset, const struct schema_training_request *request,
                                                struct schema_problems *problems);
/* What is known of a job before it has a definition. */
struct schema_training_outline {
    int64_t rows;                /* that train; of a cross-validation all of them */
    int32_t numbers, categories; /* the widths of these two inputs, for a definition that reads them: one of width 0 must not be read */
    int32_t own_inputs;          /* columns that are inputs with their own names: tensors, and columns with the encode "embedding" or "tokens" */
    int32_t targets, classes;    /* classes of the first target, 0: it is a number, or a tensor */
};
/* Resolves the columns and fits the preprocessing as schema_training_resolve will with a definition; options must have a seed, else the two draw
 * different splits. -1 with problems. */
int schema_training_outline(const struct schema_options *options, const struct schema_dataset *dataset, const struct schema_training_request *request,
                            struct schema_training_outline *outline, struct schema_problems *problems);
/* Classification: whether the network's numbers are scores of the classes instead of probabilities: those of a loss for scores, and those of an
 * output that is neither softmax nor sigmoid. The largest, or the sign of a single one, determines the class. */
bool schema_training_scores(const struct schema_training *training, int32_t output);
/* Of each output, whether its targets are as wide as its labels: for struct schema_source_options. */
void schema_training_one_hot(const struct schema_training *training, bool one_hot[static BP_OUTPUTS_MAX]);
/* The graph of the definition for that preprocessing, with inputs in their place when they are given. */
struct bp_graph schema_training_graph(const struct schema_definition *definition, const struct schema_preprocessing *preprocessing,
                                      const struct bp_input *inputs);
void schema_training_free(struct schema_training *training);

/* {"definition","options","preprocessing","features","target","task","layers","parameters"}: the heart of a spec, a version's document and a model
 * file. */
json_t *schema_training_encode(const struct schema_training *training);
struct schema_training *schema_training_decode(const json_t *json, struct bp_error *error);

/* The rows of the dataset with a usable target, but those of the test, and their split: of a cross-validation that of training->fold. */
int schema_training_split(const struct schema_training *training, const struct schema_view *view, struct schema_split *split, struct bp_error *error);
/* The rows of the test, as validation rows; none without options.test. They are those of nothing else. */
int schema_training_test(const struct schema_training *training, const struct schema_view *view, struct schema_split *split, struct bp_error *error);
/* All usable rows but those of the test, as validation rows. */
int schema_training_known(const struct schema_training *training, const struct schema_view *view, struct schema_split *split, struct bp_error *error);
/* The rows of another dataset that can validate, as validation rows. */
int schema_training_held(const struct schema_training *training, const struct schema_view *view, struct schema_split *split, struct bp_error *error);
/* The engine's options for it. The fit on all rows that ends a cross-validation does not stop early. */
struct bp_train_options schema_training_options(const struct schema_training *training);
/* Estimated bytes of a job process: the program, the trainer, the rows in memory, and the mapped data. */
int64_t schema_training_bytes(const struct schema_training *training, const struct schema_dataset *dataset);

/* The window_rows with which it stays within resident_max: 0 when it does so without; at least 8192, even when that is too many. */
int64_t schema_training_window(const struct schema_training *training, const struct schema_dataset *dataset, int64_t resident_max);

#endif
