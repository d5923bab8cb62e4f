/* test_golden.c - forward, gradients and optimizer steps against PyTorch: reads engine.txt and layers.txt in tests/fixtures/golden, which golden.py
 * writes. The folder is taken from BP_GOLDEN when set, else from the project's root. */
#include "tests/engine/support.h"

#include "engine/activations/activation.h"
#include "engine/schedules/schedule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLERANCE 1e-5 /* of the largest entry */
enum { TENSORS = 32 };

struct tensor {
    char name[64];
    size_t n;
    double *numbers;
};

struct item {
    char kind[16], text[512], loss[64];
    bool training;
    struct bp_shape shape;
    struct tensor tensors[TENSORS];
    int count;
};

/* The files one after the other, as one. */
static FILE *fixture(void) {
    static const char *const names[] = {"engine.txt", "layers.txt"};
    const char *folder = getenv("BP_GOLDEN");
    FILE *all = tmpfile();
    ck_assert_ptr_nonnull(all);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[4096], block[65536];
        snprintf(path, sizeof path, "%s/%s", folder ? folder : "tests/fixtures/golden", names[i]);
        FILE *file = fopen(path, "r");
        ck_assert_msg(file != NULL, "no %s; run from the project's root, or set BP_GOLDEN to the folder", path);
        for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;) ck_assert_uint_eq(fwrite(block, 1, n, all), n);
        fclose(file);
    }
    rewind(all);
    return all;
}

static void read_tensor(struct item *item, char *line) {
    struct tensor *t = &item->tensors[item->count++];
    char *state = NULL, *word = strtok_r(line, " \n", &state), *end;
    ck_assert_int_le(item->count, TENSORS);
    snprintf(t->name, sizeof t->name, "%s", word);
    word = strtok_r(NULL, " \n", &state);
    t->n = strtoul(word, &end, 10);
    if (*end) { /* "W dense_1/kernel": the name has two words */
        snprintf(t->name + strlen(t->name), sizeof t->name - strlen(t->name), " %s", word);
        t->n = strtoul(strtok_r(NULL, " \n", &state), NULL, 10);
    }
    t->numbers = calloc(t->n, sizeof *t->numbers);
    for (size_t i = 0; i < t->n; i++) t->numbers[i] = strtod(strtok_r(NULL, " \n", &state), NULL);
}

/* The next item; false at the end. */
static bool read_item(FILE *file, struct item *item) {
    char *line = NULL;
    size_t room = 0;
    bool got = false;
    for (int i = 0; i < item->count; i++) free(item->tensors[i].numbers);
    memset(item, 0, sizeof *item);
    while (getline(&line, &room, file) > 0 && strcmp(line, "end\n")) {
        char *rest = strchr(line, ' ');
        got = true;
        *rest++ = 0;
        if (strcmp(line, "tensor")) rest[strcspn(rest, "\n")] = 0;
        if (!strcmp(line, "tensor")) read_tensor(item, rest);
        else if (!strcmp(line, "mode")) item->training = !strcmp(rest, "training");
        else if (!strcmp(line, "loss")) snprintf(item->loss, sizeof item->loss, "%s", rest);
        else if (!strcmp(line, "shape"))
            for (char *end = rest; *rest; rest = end) item->shape.dims[item->shape.rank++] = (int32_t)strtol(rest, &end, 10);
        else {
            snprintf(item->kind, sizeof item->kind, "%s", line);
            snprintf(item->text, sizeof item->text, "%s", rest);
        }
    }
    free(line);
    return got;
}

static const struct tensor *find(const struct item *item, const char *name) {
    for (int i = 0; i < item->count; i++)
        if (!strcmp(item->tensors[i].name, name)) return &item->tensors[i];
    return NULL;
}

static void load(bp_real *to, const struct tensor *from) {
    for (size_t i = 0; from && i < from->n; i++) to[i] = (bp_real)from->numbers[i];
}

static void compare(const struct item *item, const bp_real *got, const char *name) {
    const struct tensor *t = find(item, name);
    ck_assert_msg(t != NULL, "%s: the fixture has no %s", item->text, name);
    const double distance = test_distance(got, t->numbers, t->n);
    ck_assert_msg(distance <= TOLERANCE, "%s, %s: %s is off by %g of its largest entry", item->text, item->loss, name, distance);
}

/* ---- networks ---------------------------------------------------------------------------------------------------- */

static void each_tensor(const struct item *item, const struct bp_network *net, bp_real *buffer, bool compared) {
    char name[160];
    for (int32_t i = 0; i < net->nodes_count; i++)
        for (int32_t t = 0; t < net->nodes[i].tensors_count; t++) {
            const struct bp_tensor *tensor = &net->nodes[i].tensors[t];
            if (compared && tensor->state) continue;
            snprintf(name, sizeof name, "%s %s/%s", compared ? "dW" : "W", net->nodes[i].name, tensor->name);
            if (compared) {
                compare(item, buffer + tensor->offset, name);
                continue;
            }
            ck_assert_msg(find(item, name) && find(item, name)->n == (size_t)bp_shape_size(&tensor->shape), "%s: %s", item->text, name);
            load(buffer + tensor->offset, find(item, name));
        }
}

/* The moving statistics after an update so late that only the momentum counts. */
static void check_settled(const struct item *item, const struct bp_network *net, bp_real *weights, bp_real *gradient) {
    char name[160];
    for (int32_t i = 0; i < net->nodes_count; i++) {
        const struct bp_node *node = &net->nodes[i];
        bp_real *W[BP_TENSORS_MAX], *statistics[BP_TENSORS_MAX];
        for (int32_t t = 0; t < node->tensors_count; t++) {
            W[t] = weights + node->tensors[t].offset;
            statistics[t] = gradient + node->tensors[t].offset;
        }
        if (!node->ops || !node->ops->update_statistics) continue;
        node->ops->update_statistics(node, 1000000000, W, statistics);
        for (int32_t t = 0; t < node->tensors_count; t++) {
            snprintf(name, sizeof name, "S %s/%s", node->name, node->tensors[t].name);
            if (node->tensors[t].state) compare(item, W[t], name);
        }
    }
}

static void check_net(const struct item *item) {
    struct bp_network *net = test_network(item->text, item->loss, item->shape);
    struct bp_workspace *ws = NULL;
    const struct tensor *x = find(item, "x"), *y = find(item, "y"), *w = find(item, "weights");
    const int32_t batch = (int32_t)((int64_t)x->n / bp_shape_size(&item->shape));
    bp_real *weights = bp_reals_new(net->weights_count), *gradient = bp_reals_new(net->weights_count);
    bp_real *targets = bp_reals_new(y->n), *sample_weights = bp_reals_new((size_t)batch);
    ck_assert_int_eq(bp_workspace_new(net, batch, true, &ws, NULL), 0);
    load(bp_workspace_input(ws, 0), x);
    load(targets, y);
    load(sample_weights, w);
    each_tensor(item, net, weights, false);
    double total = w ? 0 : batch;
    for (size_t i = 0; w && i < w->n; i++) total += w->numbers[i];
    struct bp_loss_call call = {.batch = batch, .y = targets, .weights = w ? sample_weights : NULL, .scale = 1 / total};
    const struct bp_draw draw = {.seed = 1};
    const bp_real loss = (bp_real)bp_loss_forward(net, weights, ws, item->training ? &draw : NULL, &call, true);
    compare(item, &loss, "loss");
    compare(item, call.z, "a");
    bp_loss_backward(net, weights, ws, gradient, false, true);
    compare(item, bp_workspace_input_gradient(ws, 0), "dx");
    each_tensor(item, net, gradient, true);
    load(bp_workspace_input(ws, 0), x);
    if (item->training) check_settled(item, net, weights, gradient);
    else compare(item, bp_predict(net, weights, ws, batch), "a");
    bp_workspace_free(ws);
    bp_network_free(net);
    free(weights);
    free(gradient);
    free(targets);
    free(sample_weights);
}

START_TEST(networks) {
    struct item item = {.count = 0};
    FILE *file = fixture();
    int checked = 0;
    while (read_item(file, &item))
        if (!strcmp(item.kind, "net")) {
            check_net(&item);
            checked++;
        }
    fclose(file);
    ck_assert_int_ge(checked, 150);
}
END_TEST

/* Whether the text of a network has a layer of that type. */
static bool stands_in(const char *text, const char *kind) {
    while (text) {
        const size_t length = strcspn(text, " ;");
        if (length == strlen(kind) && !strncmp(text, kind, length)) return true;
        text = strstr(text, "; ");
        if (text) text += 2;
    }
    return false;
}

START_TEST(everything_is_in_the_fixture) {
    struct item item = {.count = 0};
    bool activation[64] = {false}, loss[64] = {false}, optimizer[64] = {false}, schedule[64] = {false}, layer[64] = {false};
    FILE *file = fixture();
    while (read_item(file, &item)) {
        for (int32_t i = 0; i < bp_layers.count && !strcmp(item.kind, "net"); i++)
            layer[i] = layer[i] || stands_in(item.text, bp_layers.entries[i]->name);
        for (int32_t i = 0; i < bp_activations.count; i++) {
            char text[80];
            snprintf(text, sizeof text, "activation=%s", bp_activations.entries[i]->name);
            activation[i] = activation[i] || strstr(item.text, text);
        }
        for (int32_t i = 0; i < bp_losses.count; i++) {
            const char *name = bp_losses.entries[i]->name;
            loss[i] = loss[i] || (!strncmp(item.loss, name, strlen(name)) && strcspn(item.loss, " ") == strlen(name));
        }
        for (int32_t i = 0; i < bp_schedules.count; i++)
            schedule[i] =
                schedule[i] || (!strcmp(item.kind, "schedule") && !strncmp(item.text, bp_schedules.entries[i]->name, strcspn(item.text, " ")));
        for (int32_t i = 0; i < bp_optimizers.count; i++)
            optimizer[i] = optimizer[i] || ((const struct bp_optimizer_ops *)bp_optimizers.entries[i])->search ||
                           (!strcmp(item.kind, "optimizer") && !strncmp(item.text, bp_optimizers.entries[i]->name, strcspn(item.text, " ")));
    }
    fclose(file);
    for (int32_t i = 0; i < bp_layers.count; i++)
        ck_assert_msg(layer[i], "the layer %s has no golden values: see golden.py", bp_layers.entries[i]->name);
    for (int32_t i = 0; i < bp_schedules.count; i++)
        ck_assert_msg(schedule[i], "the schedule %s has no golden values: see golden.py", bp_schedules.entries[i]->name);
    for (int32_t i = 0; i < bp_activations.count; i++)
        ck_assert_msg(activation[i], "the activation %s has no golden values: see golden.py", bp_activations.entries[i]->name);
    for (int32_t i = 0; i < bp_losses.count; i++)
        ck_assert_msg(loss[i], "the loss %s has no golden values: see golden.py", bp_losses.entries[i]->name);
    for (int32_t i = 0; i < bp_optimizers.count; i++)
        ck_assert_msg(optimizer[i], "the optimizer %s has no golden values: see golden.py", bp_optimizers.entries[i]->name);
}
END_TEST

/* ---- optimizers -------------------------------------------------------------------------------------------------- */

static void check_optimizer(struct item *item) {
    char *values_text = item->text + strcspn(item->text, " ");
    char copy[512], name[64];
    snprintf(name, sizeof name, "%.*s", (int)(values_text - item->text), item->text);
    snprintf(copy, sizeof copy, "%s", values_text);
    const struct bp_optimizer_ops *optimizer = (const struct bp_optimizer_ops *)bp_family_find(&bp_optimizers, name);
    struct bp_value values[BP_VALUES_MAX];
    bp_values_preset(&optimizer->entry, values);
    test_values(&optimizer->entry, values, copy);
    const size_t n = find(item, "W")->n, steps = find(item, "g")->n / n;
    bp_real *W = bp_reals_new(n), *g = bp_reals_new(n * steps), *slots[BP_SLOTS_MAX];
    for (int i = 0; i < BP_SLOTS_MAX; i++) slots[i] = bp_reals_new(n);
    load(W, find(item, "W"));
    load(g, find(item, "g"));
    ck_assert_uint_eq(steps, 10);
    for (size_t t = 0; t < steps; t++) {
        const struct bp_update update = {.values = values,
                                         .decay = 1,
                                         .learning_rate = values[0].number,
                                         .step = t + 1,
                                         .n = n,
                                         .g = g + t * n,
                                         .W = W,
                                         .slots = {slots[0], slots[1], slots[2], slots[3]}};
        optimizer->update(&update);
        const double distance = test_distance(W, find(item, "after")->numbers + t * n, n);
        ck_assert_msg(distance <= TOLERANCE, "%s, step %zu: off by %g of the largest entry", item->text, t + 1, distance);
    }
    free(W);
    free(g);
    for (int i = 0; i < BP_SLOTS_MAX; i++) free(slots[i]);
}

START_TEST(optimizers) {
    struct item item = {.count = 0};
    FILE *file = fixture();
    int checked = 0;
    while (read_item(file, &item))
        if (!strcmp(item.kind, "optimizer")) {
            check_optimizer(&item);
            checked++;
        }
    fclose(file);
    ck_assert_int_ge(checked, 15);
}
END_TEST

/* ---- schedules --------------------------------------------------------------------------------------------------- */

static void check_schedule(struct item *item) {
    char *values_text = item->text + strcspn(item->text, " "), copy[512], name[64];
    snprintf(name, sizeof name, "%.*s", (int)(values_text - item->text), item->text);
    snprintf(copy, sizeof copy, "%s", values_text);
    const struct bp_schedule_ops *schedule = (const struct bp_schedule_ops *)bp_family_find(&bp_schedules, name);
    struct bp_value values[BP_VALUES_MAX];
    bp_values_preset(&schedule->entry, values);
    test_values(&schedule->entry, values, copy);
    const struct tensor *size = find(item, "epochs"), *factors = find(item, "factors"), *observed = find(item, "observed");
    double state[BP_SCHEDULE_STATE] = {0};
    struct bp_schedule_at at = {.steps_per_epoch = (int64_t)size->numbers[1], .epochs = size->numbers[0], .state = state};
    ck_assert_uint_eq(factors->n, (size_t)(size->numbers[0] * size->numbers[1]));
    for (; at.step < (int64_t)factors->n; at.step++) {
        at.epoch = (double)at.step / (double)at.steps_per_epoch;
        if (observed && at.step && at.step % at.steps_per_epoch == 0)
            schedule->observe(values, state, observed->numbers[at.step / at.steps_per_epoch - 1], false);
        const double got = bp_schedule_factor(schedule, values, &at);
        ck_assert_msg(fabs(got - factors->numbers[at.step]) <= 1e-7, "%s, step %d: %.9g, expected %.9g", item->text, (int)at.step, got,
                      factors->numbers[at.step]);
    }
}

START_TEST(schedules) {
    struct item item = {.count = 0};
    FILE *file = fixture();
    int checked = 0;
    while (read_item(file, &item))
        if (!strcmp(item.kind, "schedule")) {
            check_schedule(&item);
            checked++;
        }
    fclose(file);
    ck_assert_int_ge(checked, 14);
}
END_TEST

Suite *suite_golden(void);
Suite *suite_golden(void) {
    Suite *suite = suite_create("golden");
    TCase *tests = tcase_create("golden");
    tcase_add_test(tests, networks);
    tcase_add_test(tests, everything_is_in_the_fixture);
    tcase_add_test(tests, optimizers);
    tcase_add_test(tests, schedules);
    suite_add_tcase(suite, tests);
    return suite;
}
