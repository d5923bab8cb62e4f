/* predictor.h - private to predict.c and instances_*.c: the state of one predict call. */
#ifndef SCHEMA_PREDICTOR_H
#define SCHEMA_PREDICTOR_H

#include "predict.h"

struct schema_predictor {
    const struct schema_model *model;
    const struct schema_preprocessing *preprocessing;
    struct bp_workspace *workspace;
    int32_t batch_max;
    int32_t widths[BP_OUTPUTS_MAX]; /* numbers of one prediction of each output */
    bool scores[BP_OUTPUTS_MAX];
    int64_t input_sizes[BP_INPUTS_MAX];
    struct schema_feature_value *cells; /* (features_count) of the row being read */
    float *tensors;                     /* room for the tensor cells of a row */
    size_t *tensor_at;                  /* where each tensor feature's room starts */
    int32_t filled;                     /* rows waiting in the workspace */
    int64_t rows;                       /* rows seen in this call */
    struct schema_text *out;
    /* for warnings */
    int64_t *missing, *unseen; /* (features_count) */
    char (*unseen_first)[48];
    int64_t ignored_rows;
    char ignored[5][64];
    int32_t ignored_count;
};

/* Begins a call whose predictions go to out: no rows, nothing counted. */
void schema_predictor_reset(struct schema_predictor *p, struct schema_text *out);
/* The cells of a row are complete: transforms them into the workspace; runs the batch when it is full. */
void schema_predictor_row(struct schema_predictor *p);
/* Runs what waits. */
void schema_predictor_flush(struct schema_predictor *p);
/* A column that the model does not use was there. */
void schema_predictor_ignored(struct schema_predictor *p, const char *name, size_t size);
/* Sets the cell of feature i to a category by its text, counting an unseen one. */
void schema_predictor_category(struct schema_predictor *p, int32_t i, const char *text, size_t size);

/* The one-pass reader: 0 when the whole body was read, -1 when something unusual was met and jansson must decide. */
int schema_instances_scan(struct schema_predictor *p, const char *body, size_t size, int64_t rows_max);
/* The jansson reader: exact problems. */
int schema_instances_decode(struct schema_predictor *p, const char *body, size_t size, int64_t rows_max, struct schema_problems *problems);

#endif
