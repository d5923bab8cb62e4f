/* auto.c - stands for he_normal before a rectifying activation and glorot_uniform before any other. A layer's plan puts the real one in its
 * place (bp_initializer_resolve); fill is here for whoever does not. */
#include "initializer.h"

#include "activation.h"

#include <string.h>

extern const struct bp_initializer_ops bp_initializer_auto, bp_initializer_he_normal, bp_initializer_glorot_uniform;

static void fill(const struct bp_tensor *tensor, struct bp_random *random, bp_real *W, size_t n) {
    bp_initializer_glorot_uniform.fill(tensor, random, W, n);
}

const struct bp_initializer_ops *bp_initializer_resolve(const struct bp_entry *asked, const struct bp_entry *activation) {
    if (asked && asked != &bp_initializer_auto.entry) return (const struct bp_initializer_ops *)asked;
    bool rectifies = activation && ((const struct bp_activation_ops *)activation)->rectifies;
    return rectifies ? &bp_initializer_he_normal : &bp_initializer_glorot_uniform;
}

void bp_tensor_initialize(struct bp_tensor *tensor, const struct bp_value *asked, const struct bp_entry *activation) {
    tensor->initializer = bp_initializer_resolve(asked->entry, activation);
    memcpy(tensor->initializer_numbers, asked->entry_numbers, sizeof tensor->initializer_numbers);
}

const struct bp_initializer_ops bp_initializer_auto = {
    .entry = {.name = "auto", .summary = "he_normal before an activation of relu's kind, glorot_uniform before any other"},
    .fill = fill,
};
