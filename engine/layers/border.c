/* border.c - see border.h. */
#include "engine/layers/border.h"

#include "engine/kernels/kernels.h"

#include <string.h>

/* Height, then width: cells before and after. */
struct border {
    int32_t before[2], after[2];
};

static struct border border_of(const struct bp_node *node, int32_t axes) {
    const struct bp_value *value = &node->values[0];
    const int32_t *n = value->integers;
    struct border b = {.before = {0, 0}};
    for (int32_t k = 2 - axes; k < 2; k++) {
        const int32_t axis = k - (2 - axes);
        const bool sides = value->integers_count == 2 * axes; /* one number for each side */
        b.before[k] = sides ? n[2 * axis] : value->integers_count == 1 ? n[0] : n[axis];
        b.after[k] = sides ? n[2 * axis + 1] : b.before[k];
    }
    return b;
}

int bp_border_plan(struct bp_node *node, int32_t axes, bool crop, struct bp_error *error) {
    char text[64], pointer[32] = "/";
    const struct bp_shape *in = &node->in[0];
    const char *name = node->ops->entry.params[0].name;
    const int32_t count = node->values[0].integers_count;
    strncat(pointer, name, sizeof pointer - 2);
    if (count > 1 && count != axes && count != 2 * axes)
        return bp_error_set(error, pointer, "%s has %d integers; %s takes %s", name, (int)count, node->ops->entry.name,
                            axes == 1 ? "one for both ends, or two: [before, after]"
                                      : "one for all sides, two: [height, width], or four: [[top, bottom], [left, right]]");
    if (in->rank < 0) return 0;
    if (in->rank != axes + 1)
        return bp_error_set(error, "", "%s needs an input %s, but got %s", node->ops->entry.name,
                            axes == 1 ? "(steps, channels)" : "(height, width, channels)", bp_shape_text(in, text, sizeof text));
    const struct border b = border_of(node, axes);
    node->out = *in;
    for (int32_t k = 2 - axes; k < 2; k++) {
        int32_t *dim = &node->out.dims[k - (2 - axes)];
        const int32_t cells = b.before[k] + b.after[k];
        if (*dim <= 0) continue;
        if (crop && cells >= *dim)
            return bp_error_set(error, pointer, "%s of %d and %d leaves nothing of the %d cells along that axis of the input %s; crop less", name,
                                (int)b.before[k], (int)b.after[k], (int)*dim, bp_shape_text(in, text, sizeof text));
        if (*dim > INT32_MAX - cells)
            return bp_error_set(error, pointer, "the output would have more than 2^31 - 1 cells along an axis; use less %s", name);
        *dim += crop ? -cells : cells;
    }
    return 0;
}

/* The box that both images have in common: its rows and columns, and where it begins in the smaller (0) and in the larger one. Sizes in reals. */
struct box {
    size_t rows, line;           /* numbers of a line of the box */
    size_t small, large, across; /* numbers of a sample of the smaller and of the larger image, of a line of the larger */
    size_t first;                /* of the box, in a sample of the larger */
};

static struct box box_of(const struct bp_node *node, bool crop) {
    const int32_t axes = node->out.rank - 1, C = node->out.dims[axes];
    const struct border b = border_of(node, axes);
    const struct bp_shape *small = crop ? &node->out : &node->in[0], *large = crop ? &node->in[0] : &node->out;
    struct box box = {.rows = axes == 2 ? (size_t)small->dims[0] : 1, .small = (size_t)bp_shape_size(small), .large = (size_t)bp_shape_size(large)};
    box.line = (size_t)small->dims[axes - 1] * (size_t)C;
    box.across = (size_t)large->dims[axes - 1] * (size_t)C;
    box.first = (size_t)b.before[0] * box.across + (size_t)b.before[1] * (size_t)C;
    return box;
}

/* Where line `line` of the box is, of all samples. */
static size_t large_at(const struct box *box, size_t line) {
    return line / box->rows * box->large + box->first + line % box->rows * box->across;
}

void bp_border_forward(const struct bp_node *node, const struct bp_pass *pass, bool crop) {
    const struct box box = box_of(node, crop);
    if (!crop) memset(pass->a, 0, (size_t)pass->batch * box.large * sizeof *pass->a);
    for (size_t line = 0; line < (size_t)pass->batch * box.rows; line++) {
        const size_t large = large_at(&box, line), small = line * box.line;
        memcpy(pass->a + (crop ? small : large), pass->x[0] + (crop ? large : small), box.line * sizeof *pass->a);
    }
}

void bp_border_backward(const struct bp_node *node, const struct bp_pass *pass, bool crop) {
    const struct box box = box_of(node, crop);
    if (!pass->d_x[0]) return;
    if (!pass->keep_x[0]) memset(pass->d_x[0], 0, (size_t)pass->batch * (crop ? box.large : box.small) * sizeof *pass->d_x[0]);
    for (size_t line = 0; line < (size_t)pass->batch * box.rows; line++) {
        const size_t large = large_at(&box, line), small = line * box.line;
        bp_kernels()->scaled_add(box.line, 1, pass->d_a + (crop ? small : large), pass->d_x[0] + (crop ? large : small));
    }
}
