/* registry.c - the seven families, built from their .def lists, and the two questions every reader of them asks.
 *
 * A new thing is one file and one line: the list names it, this file needs no change. */
#include "engine/base/registry.h"

#include "engine/activations/activation.h"
#include "engine/initializers/initializer.h"
#include "engine/layers/layer.h"
#include "engine/losses/loss.h"
#include "engine/metrics/metric.h"
#include "engine/optimizers/optimizer.h"
#include "engine/schedules/schedule.h"

#include <string.h>

#define COUNT(array) ((int32_t)(sizeof(array) / sizeof *(array)))

#define BP_ENTRY(name) extern const struct bp_activation_ops bp_activation_##name;
#include "engine/activations.def"
#undef BP_ENTRY
#define BP_ENTRY(name) extern const struct bp_initializer_ops bp_initializer_##name;
#include "engine/initializers.def"
#undef BP_ENTRY
#define BP_ENTRY(name) extern const struct bp_layer_ops bp_layer_##name;
#include "engine/layers.def"
#undef BP_ENTRY
#define BP_ENTRY(name) extern const struct bp_loss_ops bp_loss_##name;
#include "engine/losses.def"
#undef BP_ENTRY
#define BP_ENTRY(name) extern const struct bp_metric_ops bp_metric_##name;
#include "engine/metrics.def"
#undef BP_ENTRY
#define BP_ENTRY(name) extern const struct bp_optimizer_ops bp_optimizer_##name;
#include "engine/optimizers.def"
#undef BP_ENTRY
#define BP_ENTRY(name) extern const struct bp_schedule_ops bp_schedule_##name;
#include "engine/schedules.def"
#undef BP_ENTRY

#define BP_ENTRY(name) &bp_activation_##name.entry,
static const struct bp_entry *const activations[] = {
#include "engine/activations.def"
};
#undef BP_ENTRY
#define BP_ENTRY(name) &bp_initializer_##name.entry,
static const struct bp_entry *const initializers[] = {
#include "engine/initializers.def"
};
#undef BP_ENTRY
#define BP_ENTRY(name) &bp_layer_##name.entry,
static const struct bp_entry *const layers[] = {
#include "engine/layers.def"
};
#undef BP_ENTRY
#define BP_ENTRY(name) &bp_loss_##name.entry,
static const struct bp_entry *const losses[] = {
#include "engine/losses.def"
};
#undef BP_ENTRY
#define BP_ENTRY(name) &bp_metric_##name.entry,
static const struct bp_entry *const metrics[] = {
#include "engine/metrics.def"
};
#undef BP_ENTRY
#define BP_ENTRY(name) &bp_optimizer_##name.entry,
static const struct bp_entry *const optimizers[] = {
#include "engine/optimizers.def"
};
#undef BP_ENTRY
#define BP_ENTRY(name) &bp_schedule_##name.entry,
static const struct bp_entry *const schedules[] = {
#include "engine/schedules.def"
};
#undef BP_ENTRY

const struct bp_family bp_activations = {"activations", "activation", activations, COUNT(activations)};
const struct bp_family bp_initializers = {"initializers", "initializer", initializers, COUNT(initializers)};
const struct bp_family bp_layers = {"layers", "layer", layers, COUNT(layers)};
const struct bp_family bp_losses = {"losses", "loss", losses, COUNT(losses)};
const struct bp_family bp_metrics = {"metrics", "metric", metrics, COUNT(metrics)};
const struct bp_family bp_optimizers = {"optimizers", "optimizer", optimizers, COUNT(optimizers)};
const struct bp_family bp_schedules = {"schedules", "schedule", schedules, COUNT(schedules)};

const struct bp_family *const bp_families[] = {
    &bp_activations, &bp_initializers, &bp_layers, &bp_losses, &bp_metrics, &bp_optimizers, &bp_schedules,
};
const int32_t bp_families_count = COUNT(bp_families);

const struct bp_entry *bp_family_find(const struct bp_family *family, const char *name) {
    for (int32_t i = 0; i < family->count; i++)
        if (!strcmp(family->entries[i]->name, name)) return family->entries[i];
    return NULL;
}

void bp_values_preset(const struct bp_entry *entry, struct bp_value *values) {
    for (int32_t i = 0; i < entry->params_count; i++) {
        const struct bp_param *param = &entry->params[i];
        struct bp_value *value = &values[i];
        memset(value, 0, sizeof *value);
        value->number = param->preset;
        if (param->type == BP_PARAM_INTEGERS && !(param->flags & BP_PARAM_REQUIRED)) {
            value->integers[0] = (int32_t)param->preset;
            value->integers_count = 1;
        }
        if (param->type == BP_PARAM_NUMBERS && param->presets) {
            value->numbers_count = param->presets_count;
            memcpy(value->numbers, param->presets, (size_t)param->presets_count * sizeof *param->presets);
        }
        if (param->type != BP_PARAM_ENTRY || !param->preset_name) continue;
        value->entry = bp_family_find(param->family, param->preset_name);
        for (int32_t k = 0; value->entry && k < value->entry->params_count && k < 4; k++) value->entry_numbers[k] = value->entry->params[k].preset;
    }
}
