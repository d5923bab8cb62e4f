/* model_file.h - a trained model as bytes (a version in the store, a .bpd file) and checkpoints: the same container.
 *
 * A model file holds one tensor per weight tensor ("dense_1/kernel") and, in its metadata, the document: everything needed to predict and to
 * understand where it came from. A checkpoint holds the trainer's state in flat buffers. */
#ifndef SCHEMA_MODEL_FILE_H
#define SCHEMA_MODEL_FILE_H

#include "engine/train/train.h"
#include "schema/ingest/ingest.h"
#include "schema/json/cost.h"
#include "schema/predict/calibration.h"
#include "schema/predict/reference.h"
#include "schema/predict/safetensors.h"
#include "schema/resolve/training.h"

/* A loaded model: constant, shared by any number of threads. */
struct schema_model {
    struct schema_training *training;
    json_t *document;
    size_t document_bytes; /* of memory, with what was made of it: categories, moments */
    bp_real *weights;
    char ***labels_json;          /* [targets] of classes: each label as a JSON string with its quotes; NULL for numbers */
    char **names_json;            /* [targets] how the prediction of it is named where there are several, likewise */
    char **outputs_json;          /* [outputs] the same of an output that learns several labels */
    json_t *calibration_document; /* of the file, or as schema_model_calibrate got it; NULL: none */
    struct schema_calibration *calibration;
    struct schema_reference *reference; /* of the document; NULL: it has none */
};

/* Writes a model into fd (an empty file). document: the training's JSON with whatever else is to be kept (metrics, dataset, job). *size is what it
 * came to. */
int schema_model_write(int fd, const struct schema_training *training, const json_t *document, const bp_real *weights, size_t *size,
                       struct bp_error *error);
/* The same with the state of the optimizer, as tensors "optimizer_0:layer/tensor" of the weights that are trained; NULL: without. */
struct schema_model_optimizer {
    const char *type;
    int64_t updates;
    int32_t slots_count;
    const bp_real *slots[BP_SLOTS_MAX]; /* (trained_count) each */
};
/* What goes into a model file beside the weights; calibration and optimizer may be NULL. */
struct schema_model_parts {
    const json_t *document, *calibration;
    const struct schema_model_optimizer *optimizer;
};
int schema_model_write_parts(int fd, const struct schema_training *training, const struct schema_model_parts *parts, const bp_real *weights,
                             size_t *size, struct bp_error *error);
int schema_model_write_with(int fd, const struct schema_training *training, const json_t *document, const bp_real *weights,
                            const struct schema_model_optimizer *optimizer, size_t *size, struct bp_error *error);
/* With a calibration; NULL: without. */
int schema_model_write_calibrated(int fd, const struct schema_training *training, const json_t *document, const bp_real *weights,
                                  const json_t *calibration, size_t *size, struct bp_error *error);
/* The calibration of a model file as JSON text, the caller's; NULL: it has none, or is no model file. */
char *schema_model_calibration(const void *bytes, size_t size);
struct schema_model *schema_model_read(const void *bytes, size_t size, struct bp_error *error);
/* The same for a file from outside: asked before each JSON text of the file is decoded. false: it must not be; the caller knows why, and the result
 * is NULL without an error. */
struct schema_json_allow {
    bool (*allow)(void *context, const struct schema_json_cost *cost);
    void *context;
};
struct schema_model *schema_model_read_bounded(const void *bytes, size_t size, const struct schema_json_allow *allow, struct bp_error *error);
/* JSON, or NULL: it is none, or it is not allowed. allow may be NULL. The caller's. */
json_t *schema_json_load_allowed(const char *text, size_t size, const struct schema_json_allow *allow);
void schema_model_free(struct schema_model *model);
/* Replaces the calibration, before anybody predicts with the model; NULL: none. -1 with the error, and the model as it was. */
int schema_model_calibrate(struct schema_model *model, const json_t *document, struct bp_error *error);
/* Writes a model file again, into fd (an empty file), with this calibration instead of its own; NULL: without. */
int schema_model_rewrite(int fd, const void *bytes, size_t size, const json_t *calibration, struct bp_error *error);
/* One entry per weight tensor of the network, "layer/tensor"; data points into weights, which may be NULL. The caller's; NULL without memory. */
struct schema_tensor *schema_model_tensors(const struct bp_network *network, const bp_real *weights, int32_t *count);
/* Bytes it holds in memory. */
size_t schema_model_bytes(const struct schema_model *model);
/* The types of its columns: those that it was trained with, whatever some other rows look like. Names are borrowed from the model; the array is the
 * caller's, NULL without memory. */
struct schema_column_type *schema_model_types(const struct schema_model *model, int32_t *count);

/* Writes a checkpoint into fd (an empty file) and fsyncs it. notes: an object stored with it. */
int schema_checkpoint_write(int fd, const struct bp_trainer_state *state, const json_t *notes, struct bp_error *error);
/* Reads a checkpoint from memory: state's buffers point into bytes, which must be writable-lived as long as state is used. *notes is the caller's. */
int schema_checkpoint_read(const void *bytes, size_t size, struct bp_trainer_state *state, json_t **notes, struct bp_error *error);

#endif
