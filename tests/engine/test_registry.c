/* test_registry.c - every entry of every family describes itself fully and truly; the catalog and the docs are made of it. */
#include "tests/engine/support.h"

#include "engine/activations/activation.h"
#include "engine/metrics/metric.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

static void check_param(const struct bp_entry *entry, const struct bp_param *param) {
    ck_assert_msg(param->name && param->name[0], "%s: a parameter without a name", entry->name);
    for (const char *c = param->name; *c; c++)
        ck_assert_msg(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_', "%s: %s", entry->name, param->name);
    ck_assert_msg(param->help && param->help[0] && param->help[strlen(param->help) - 1] != '.', "%s.%s: help", entry->name, param->name);
    const bool required = param->flags & BP_PARAM_REQUIRED;
    if (param->type == BP_PARAM_INTEGER || param->type == BP_PARAM_NUMBER) {
        ck_assert_msg(param->min < param->max, "%s.%s: min and max", entry->name, param->name);
        const bool low = param->flags & BP_PARAM_MIN_OPEN ? param->preset > param->min : param->preset >= param->min;
        const bool high = param->flags & BP_PARAM_MAX_OPEN ? param->preset < param->max : param->preset <= param->max;
        ck_assert_msg(required || (low && high), "%s.%s: the default is out of bounds", entry->name, param->name);
    }
    if (param->type == BP_PARAM_NUMBERS) {
        ck_assert_msg(param->min < param->max && (required || param->presets_count > 0), "%s.%s: the default", entry->name, param->name);
        ck_assert_int_le(param->presets_count, BP_NUMBERS_MAX);
        for (int32_t i = 0; i < param->presets_count; i++) ck_assert(param->presets[i] >= param->min && param->presets[i] <= param->max);
    }
    if (param->type == BP_PARAM_BOOLEAN) ck_assert(param->preset == 0 || param->preset == 1);
    if (param->type == BP_PARAM_ENTRY) {
        ck_assert_ptr_nonnull(param->family);
        ck_assert_msg(required ? !param->preset_name : bp_family_find(param->family, param->preset_name) != NULL, "%s.%s", entry->name, param->name);
    }
    ck_assert((param->type == BP_PARAM_CHOICE) == (param->choices != NULL));
}

START_TEST(entries_are_complete_and_alphabetical) {
    for (int32_t f = 0; f < bp_families_count; f++) {
        const struct bp_family *family = bp_families[f];
        ck_assert_int_gt(family->count, 0);
        for (int32_t i = 0; i < family->count; i++) {
            const struct bp_entry *entry = family->entries[i];
            ck_assert_ptr_eq(bp_family_find(family, entry->name), entry);
            if (i) ck_assert_str_lt(family->entries[i - 1]->name, entry->name);
            ck_assert_msg(entry->summary && entry->summary[0] && entry->summary[strlen(entry->summary) - 1] != '.', "%s: summary", entry->name);
            ck_assert_int_le(entry->params_count, BP_VALUES_MAX);
            for (int32_t p = 0; p < entry->params_count; p++) check_param(entry, &entry->params[p]);
        }
    }
}
END_TEST

START_TEST(unknown_names_are_not_found) {
    ck_assert_ptr_null(bp_family_find(&bp_layers, "dens"));
    ck_assert_ptr_null(bp_family_find(&bp_layers, ""));
}
END_TEST

START_TEST(families_have_what_their_kind_needs) {
    for (int32_t i = 0; i < bp_optimizers.count; i++) ck_assert_str_eq(bp_optimizers.entries[i]->params[0].name, "learning_rate");
    for (int32_t i = 0; i < bp_schedules.count; i++) ck_assert_str_eq(bp_schedules.entries[i]->params[0].name, "warmup_epochs");
    for (int32_t i = 0; i < bp_initializers.count; i++) {
        ck_assert_int_le(bp_initializers.entries[i]->params_count, 4);
        for (int32_t p = 0; p < bp_initializers.entries[i]->params_count; p++)
            ck_assert(bp_initializers.entries[i]->params[p].type <= BP_PARAM_NUMBER);
    }
    for (int32_t i = 0; i < bp_metrics.count; i++) {
        ck_assert_int_le(bp_metrics.entries[i]->params_count, BP_METRIC_NUMBERS_MAX);
        for (int32_t p = 0; p < bp_metrics.entries[i]->params_count; p++) ck_assert(bp_metrics.entries[i]->params[p].type <= BP_PARAM_NUMBER);
    }
    for (int32_t i = 0; i < bp_activations.count; i++) {
        ck_assert_int_le(bp_activations.entries[i]->params_count, 4);
        for (int32_t p = 0; p < bp_activations.entries[i]->params_count; p++) ck_assert(bp_activations.entries[i]->params[p].type <= BP_PARAM_NUMBER);
    }
    for (int32_t i = 0; i < bp_losses.count; i++) {
        const struct bp_loss_ops *loss = (const struct bp_loss_ops *)bp_losses.entries[i];
        ck_assert(!loss->head || bp_family_find(&bp_activations, loss->head->entry.name) == &loss->head->entry);
    }
    for (int32_t i = 0; i < bp_layers.count; i++) {
        const struct bp_layer_ops *layer = (const struct bp_layer_ops *)bp_layers.entries[i];
        ck_assert(layer->view == !layer->forward && layer->view == !layer->backward);
    }
}
END_TEST

START_TEST(defaults) {
    struct bp_value values[BP_VALUES_MAX];
    const struct bp_entry *dense = bp_family_find(&bp_layers, "dense");
    bp_values_preset(dense, values);
    ck_assert_str_eq(values[1].entry->name, "linear");
    ck_assert(values[2].number == 1);
    ck_assert_str_eq(values[3].entry->name, "auto");
    ck_assert_str_eq(values[4].entry->name, "zeros");
    ck_assert(!values[0].given);
    const struct bp_entry *leaky = bp_family_find(&bp_activations, "leaky_relu");
    bp_values_preset(leaky, values);
    ck_assert_double_eq(values[0].number, 0.3);
    const struct bp_entry *adam = bp_family_find(&bp_optimizers, "adam");
    bp_values_preset(adam, values);
    ck_assert_double_eq(values[0].number, 0.001);
    ck_assert_double_eq(values[3].number, 1e-8);
}
END_TEST

Suite *suite_registry(void);
Suite *suite_registry(void) {
    Suite *suite = suite_create("registry");
    TCase *tests = tcase_create("registry");
    tcase_add_test(tests, entries_are_complete_and_alphabetical);
    tcase_add_test(tests, unknown_names_are_not_found);
    tcase_add_test(tests, families_have_what_their_kind_needs);
    tcase_add_test(tests, defaults);
    suite_add_tcase(suite, tests);
    return suite;
}
