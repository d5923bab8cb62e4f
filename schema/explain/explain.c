/* explain.c - see explain.h. */
#include "schema/explain/encoded.h"

#include <math.h>

const char *const schema_explain_methods[] = {
    "permutation_importance", "partial_dependence", "gradient_input", "integrated_gradients", "shapley", NULL};

double schema_explanation_work(const struct schema_explanation *e) {
    const int32_t all = e->model->training->preprocessing->features_count, features = e->names ? e->names_count : all;
    const double given = (double)e->dataset->rows, rows = given < (double)e->rows_max ? given : (double)e->rows_max;
    const struct schema_dataset *background = e->background ? e->background : e->dataset;
    const double others = (double)(background->rows < SCHEMA_EXPLAIN_BACKGROUND_MAX ? background->rows : SCHEMA_EXPLAIN_BACKGROUND_MAX);
    const double subsets = ldexp(1, features), orders = 2.0 * e->samples * (features + 1), coalitions = subsets <= e->samples ? subsets : orders;
    const double predictions[] = {
        [SCHEMA_EXPLAIN_PERMUTATION_IMPORTANCE] = rows * features * e->repeats * 2, /* the loss of each row is computed by itself */
        [SCHEMA_EXPLAIN_PARTIAL_DEPENDENCE] = rows * features * e->grid_points,
        [SCHEMA_EXPLAIN_GRADIENT_INPUT] = rows * 3,
        [SCHEMA_EXPLAIN_INTEGRATED_GRADIENTS] = rows * e->steps * 3,
        [SCHEMA_EXPLAIN_SHAPLEY] = rows * coalitions * others,
    };
    return predictions[e->method] * (double)(e->model->training->network->weights_count + 100);
}

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
