/* export.h - a trained model in other forms, and back from them.
 *
 *   bpd          the model file itself: what `backpropd train` writes and a server stores
 *   safetensors  the same tensors; the metadata has a member for each member of the document ("definition", "preprocessing", ...), as JSON texts, and
 *                no checksum, so that other programs may change the weights and write the file again
 *   json         the document, and a member "weights" with nested arrays by tensor, in the digits that float32 needs
 *   c            a C99 source that predicts one row: c_source.h. It is not read back
 *
 * Tensors are called "layer/tensor" everywhere. */
#ifndef SCHEMA_EXPORT_H
#define SCHEMA_EXPORT_H

#include "schema/predict/model_file.h"
#include "schema/text/text.h"

enum schema_export { SCHEMA_EXPORT_BPD, SCHEMA_EXPORT_C, SCHEMA_EXPORT_JSON, SCHEMA_EXPORT_SAFETENSORS, SCHEMA_EXPORTS };
extern const char *const schema_export_names[SCHEMA_EXPORTS + 1]; /* NULL-terminated */

/* Writes the model in the form into fd, an empty file: bytes[0..size) is its model file. name: of the model, for names in C. Errors: the bytes are
 * no model, the form cannot express it (BP_ERROR_UNSUPPORTED, with the layer or column and what to do), no memory, what write() says. */
struct schema_exporting {
    enum schema_export form;
    const void *bytes;
    size_t size;
    const char *name;
};
int schema_export_write(int fd, const struct schema_exporting *what, struct bp_error *error);

/* A model from outside, in any form but C; recognised by its first bytes. */
struct schema_importing {
    const void *bytes;
    size_t size;
    const json_t *like;                    /* the document of a version, which a file of tensors without a definition takes; or NULL */
    const struct schema_json_allow *allow; /* see model_file.h; or NULL */
    size_t workspace_max;                  /* bytes that predicting with it may take; 0: any */
};
/* Writes the model file of it into fd, an empty file. A model file is checked and copied byte for byte. *form: what it was. The result is the
 * document of the model, the caller's. NULL with error: what is wrong, with the tensor or member; NULL without: `allow` refused. */
json_t *schema_import_write(int fd, const struct schema_importing *what, enum schema_export *form, struct bp_error *error);

/* ---- private to export/ ---- */
/* Whether predictions of the network stay within that. */
int schema_import_bound(const struct bp_network *network, size_t workspace_max, struct bp_error *error);
/* The document completed so that schema_training_decode takes it: preprocessing from "features" (names, or objects with name, mean and std), "target"
 * and "labels", options by default, the loss. */
int schema_import_complete(json_t *document, struct bp_error *error);
/* The weights of the network from named tensors: "layer/tensor", or as PyTorch calls them ("layer.weight", its axes in PyTorch's order). Not `held`
 * but needed, or of another shape: an error. weights: (weights_count). */
int schema_import_tensors(const struct bp_network *network, const struct schema_tensor *held, int32_t count, bp_real *weights,
                          struct bp_error *error);

#endif
