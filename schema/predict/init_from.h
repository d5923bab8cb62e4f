/* init_from.h - a training that begins with the weights of a model file: which layers take theirs, and what else of the model it keeps.
 *
 * A layer takes its weights when the file has all its tensors, by their names and shapes. A layer whose numbers would mean something else, the output
 * of a model with other labels, is left to begin anew. */
#ifndef SCHEMA_INIT_FROM_H
#define SCHEMA_INIT_FROM_H

#include "schema/predict/model_file.h"

/* What a job asks for, beside what it is of. */
struct schema_init_request {
    const json_t *frozen; /* names of layers that are not trained, NULL: none */
    bool fits_anew;       /* the preprocessing is fitted on the job's rows instead of kept */
    bool keeps_optimizer;
};
/* Before a job is resolved, out of the document of the version: the preprocessing that it keeps, decoded, goes to *kept (the caller's; NULL when it
 * is fitted anew), and features and columns to the request. `features`: the caller's, released after the job is resolved. -1 with problems. */
int schema_init_prepare(const json_t *document, const struct schema_init_request *asked, struct schema_training_request *request, json_t **features,
                        struct schema_preprocessing **kept, struct schema_problems *problems);
/* The layers of the definition that these names freeze. -1 with problems. */
int schema_init_freeze(struct schema_definition *definition, const json_t *frozen, struct schema_problems *problems);
/* After it is resolved: the layers of the training that must begin anew, [names]: an output that learns other labels or another number. The caller's.
 */
json_t *schema_init_anew(const json_t *document, const struct schema_training *training);

/* What a training begins with. Released by schema_init_free. */
struct schema_init {
    struct bp_trainer_start start;
    bp_real *weights, *slots[BP_SLOTS_MAX];
    bool *taken;
    json_t *copied, *fresh, *left_out; /* names of layers: that take their weights; of the training that begin anew; of the file that are not used */
};
/* bytes[0..size): a model file. anew: as above. keep: the state of the optimizer, too. Errors: no model file, no layer takes anything, no state of
 * that optimizer, no memory. */
int schema_init_read(const void *bytes, size_t size, const struct schema_training *training, const json_t *anew, bool keep, struct schema_init *init,
                     struct bp_error *error);
void schema_init_free(struct schema_init *init);

#endif
