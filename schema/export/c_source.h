/* c_source.h - a model as one C99 file without dependencies: weights, preprocessing of a row, the forward pass. */
#ifndef SCHEMA_C_SOURCE_H
#define SCHEMA_C_SOURCE_H

#include "schema/predict/model_file.h"
#include "schema/text/text.h"

/* Appends the source to out. name: of the model; names in C begin with it, other characters than letters and digits become "_". -1 with
 * BP_ERROR_UNSUPPORTED: a layer or a column that it cannot express, and what to do. */
int schema_c_source(const struct schema_model *model, const char *name, struct schema_text *out, struct bp_error *error);

#endif
