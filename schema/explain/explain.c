/* explain.c - see explain.h. */
#include "schema/explain/encoded.h"

const char *const schema_explain_methods[] = {
    "permutation_importance", "partial_dependence", "gradient_input", "integrated_gradients", "shapley", NULL};

json_t *schema_explain(const struct schema_explanation *e, struct bp_error *error) {
    static json_t *(*const methods[])(const struct explainer *x, struct bp_error *error) = {
        [SCHEMA_EXPLAIN_PERMUTATION_IMPORTANCE] = explain_permutation,
        [SCHEMA_EXPLAIN_PARTIAL_DEPENDENCE] = explain_dependence,
        [SCHEMA_EXPLAIN_GRADIENT_INPUT] = explain_gradients,
        [SCHEMA_EXPLAIN_INTEGRATED_GRADIENTS] = explain_gradients,
        [SCHEMA_EXPLAIN_SHAPLEY] = explain_shapley,
    };
    struct explainer x;
    json_t *json = NULL;
    if (explainer_open(e, &x, error) == 0) json = methods[e->method](&x, error);
    explainer_close(&x);
    return json;
}
