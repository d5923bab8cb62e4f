/* export.c - a model as a model file, as safetensors, as JSON. The C source is in c_*.c. */
#include "schema/export/export.h"

#include "schema/export/c_source.h"
#include "schema/memory.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const schema_export_names[SCHEMA_EXPORTS + 1] = {"bpd", "c", "json", "safetensors", NULL};

enum { TEXT_MAX = INT32_MAX };

/* ---- safetensors --------------------------------------------------------------------------------------------------------- */

/* Every member of the document as a JSON text: metadata is a map of strings. */
static json_t *metadata_of(const json_t *document) {
    json_t *metadata = json_pack("{s:s}", "format", "backpropd-safetensors/1"), *value;
    const char *name;
    json_object_foreach((json_t *)(uintptr_t)document, name, value) {
        char *text = schema_json_dump(value, JSON_COMPACT | JSON_ENCODE_ANY);
        if (text) json_object_set_new(metadata, name, json_string(text));
        free(text);
    }
    return metadata;
}

static int write_safetensors(int fd, const struct schema_model *model, struct bp_error *error) {
    int32_t count = 0;
    size_t size = 0;
    struct schema_tensor *tensors = schema_model_tensors(model->training->network, model->weights, &count);
    json_t *metadata = metadata_of(model->document);
    char *calibration = model->calibration_document ? schema_json_dump(model->calibration_document, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    if (calibration) json_object_set_new(metadata, "calibration", json_string(calibration));
    free(calibration);
    const int failed = tensors && metadata ? schema_safetensors_write_plain(fd, tensors, count, metadata, &size, error)
                                           : bp_error_memory(error, "no memory to export the model");
    json_decref(metadata);
    free(tensors);
    return failed;
}

/* ---- JSON ---------------------------------------------------------------------------------------------------------------- */

/* A number that reads back as the same float32, minus zero too. */
static int add_number(struct schema_text *out, float v) {
    char text[40];
    if (!isfinite(v)) return -1;
    const int n = snprintf(text, sizeof text, v == 0 && signbit(v) ? "-0.0" : "%.9g", (double)v);
    schema_text_add(out, text, (size_t)n);
    return 0;
}

static int add_tensor(struct schema_text *out, const struct schema_tensor *t, struct bp_error *error) {
    const float *v = t->data;
    const int64_t size = (int64_t)(t->bytes / sizeof *v);
    for (int64_t i = 0; i < size; i++) {
        int64_t block = size;
        for (int32_t d = 0; d < t->rank; block /= t->dims[d++])
            if (i % block == 0) schema_text_string(out, d > 0 && i % (block * t->dims[d - 1]) ? ",[" : "[");
        if (t->rank > 0 && i % t->dims[t->rank - 1]) schema_text_string(out, ",");
        if (add_number(out, v[i]) != 0)
            return bp_error_unsupported(error, "", "the tensor \"%s\" has a number that is not finite, which JSON cannot express; use bpd", t->name);
        block = 1;
        for (int32_t d = t->rank - 1; d >= 0; d--) {
            block *= t->dims[d];
            if ((i + 1) % block == 0) schema_text_string(out, "]");
        }
    }
    return 0;
}

/* The members of the document, and "weights". */
static int write_json(int fd, const struct schema_model *model, struct bp_error *error) {
    struct schema_text out = {.limit = TEXT_MAX};
    int32_t count = 0;
    struct schema_tensor *tensors = schema_model_tensors(model->training->network, model->weights, &count);
    char *document = schema_json_dump(model->document, JSON_COMPACT);
    char *calibration = model->calibration_document ? schema_json_dump(model->calibration_document, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    int failed = tensors && document && (calibration || !model->calibration_document) ? 0 : bp_error_memory(error, "no memory to export the model");
    if (!failed) {
        schema_text_string(&out, "{\"format\":\"backpropd-json/1\",");
        schema_text_add(&out, document + 1, strlen(document) - 2);
        schema_text_string(&out, calibration ? ",\"calibration\":" : "");
        schema_text_string(&out, calibration ? calibration : "");
        schema_text_string(&out, ",\"weights\":{");
    }
    for (int32_t i = 0; i < count && !failed; i++) {
        schema_text_string(&out, i ? ",\n" : "\n");
        schema_text_json_string(&out, tensors[i].name);
        schema_text_string(&out, ":");
        failed = add_tensor(&out, &tensors[i], error);
    }
    schema_text_string(&out, "}}\n");
    if (!failed && out.failed) failed = bp_error_memory(error, "no memory for the model as JSON, or it is larger than 2 GB; use bpd");
    if (!failed) failed = schema_write_all(fd, out.bytes, out.size, error);
    free(out.bytes);
    free(calibration);
    free(document);
    free(tensors);
    return failed;
}

/* ---- all of them --------------------------------------------------------------------------------------------------------- */

static int write_c(int fd, const struct schema_model *model, const char *name, struct bp_error *error) {
    struct schema_text out = {.limit = TEXT_MAX};
    int failed = schema_c_source(model, name, &out, error);
    if (!failed && out.failed) failed = bp_error_memory(error, "no memory for the model as C, or it is larger than 2 GB");
    if (!failed) failed = schema_write_all(fd, out.bytes, out.size, error);
    free(out.bytes);
    return failed;
}

int schema_export_write(int fd, const struct schema_exporting *what, struct bp_error *error) {
    if (what->form == SCHEMA_EXPORT_BPD) return schema_write_all(fd, what->bytes, what->size, error);
    struct schema_model *model = schema_model_read(what->bytes, what->size, error);
    if (!model) return -1;
    const int failed = what->form == SCHEMA_EXPORT_SAFETENSORS ? write_safetensors(fd, model, error)
                       : what->form == SCHEMA_EXPORT_JSON      ? write_json(fd, model, error)
                                                               : write_c(fd, model, what->name, error);
    schema_model_free(model);
    return failed;
}
