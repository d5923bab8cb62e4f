/* test_optimizers.c - engine/optimizers/ on every instruction set against their formulas in plain double, step by step. */
#include "tests/engine/support.h"

#include "engine/kernels/kernels.h"

#include <math.h>
#include <string.h>

static const char *const isas[] = {"base", "avx2", "avx512"};
enum { N = 127, STEPS = 12 };

/* One number's state and its formula, as the papers (and PyTorch's manual) write it. */
struct plain {
    double W, m, v, top;
};

static void plain_sgd(struct plain *p, double g, int t, const struct bp_value *o) {
    (void)t;
    p->m = o[1].number * p->m + g;
    p->W -= o[0].number * (o[2].number != 0 ? g + o[1].number * p->m : p->m);
}

static void plain_adam(struct plain *p, double g, int t, const struct bp_value *o) {
    p->m = o[1].number * p->m + (1 - o[1].number) * g;
    p->v = o[2].number * p->v + (1 - o[2].number) * g * g;
    p->top = fmax(p->top, p->v);
    const double m = p->m / (1 - pow(o[1].number, t)), v = (o[4].number != 0 ? p->top : p->v) / (1 - pow(o[2].number, t));
    p->W -= o[0].number * m / (sqrt(v) + o[3].number);
}

static void plain_adamw(struct plain *p, double g, int t, const struct bp_value *o) {
    p->W -= o[0].number * o[5].number * p->W;
    plain_adam(p, g, t, o);
}

static void plain_nadam(struct plain *p, double g, int t, const struct bp_value *o) {
    double product = 1, mu[2] = {0, 0};
    p->m = o[1].number * p->m + (1 - o[1].number) * g;
    p->v = o[2].number * p->v + (1 - o[2].number) * g * g;
    for (int k = 1; k <= t + 1; k++) {
        mu[0] = mu[1];
        mu[1] = o[1].number * (1 - 0.5 * pow(0.96, k * o[4].number));
        product *= mu[1];
    }
    const double step = g * (1 - mu[0]) / (1 - product / mu[1]) + p->m * mu[1] / (1 - product);
    p->W -= o[0].number * step / (sqrt(p->v / (1 - pow(o[2].number, t))) + o[3].number);
}

static void plain_rmsprop(struct plain *p, double g, int t, const struct bp_value *o) {
    (void)t;
    p->v = o[1].number * p->v + (1 - o[1].number) * g * g;
    p->m = o[2].number * p->m + g / (sqrt(p->v) + o[3].number);
    p->W -= o[0].number * p->m;
}

static void plain_adagrad(struct plain *p, double g, int t, const struct bp_value *o) {
    (void)t;
    p->v += g * g;
    p->W -= o[0].number * g / (sqrt(p->v) + o[1].number);
}

static void plain_adadelta(struct plain *p, double g, int t, const struct bp_value *o) {
    (void)t;
    const double rho = o[1].number, epsilon = o[2].number;
    p->v = rho * p->v + (1 - rho) * g * g;
    const double u = sqrt(p->m + epsilon) / sqrt(p->v + epsilon) * g;
    p->m = rho * p->m + (1 - rho) * u * u;
    p->W -= o[0].number * u;
}

static void plain_lion(struct plain *p, double g, int t, const struct bp_value *o) {
    (void)t;
    const double u = o[1].number * p->m + (1 - o[1].number) * g;
    p->W -= o[0].number * ((u > 0) - (u < 0) + o[3].number * p->W);
    p->m = o[2].number * p->m + (1 - o[2].number) * g;
}

/* m is the gradient before, v the step. */
static void plain_rprop(struct plain *p, double g, int t, const struct bp_value *o) {
    if (t == 1) p->v = o[0].number;
    p->v *= g * p->m > 0 ? o[1].number : g * p->m < 0 ? o[2].number : 1;
    p->v = fmin(fmax(p->v, o[3].number), o[4].number);
    if (g * p->m < 0) g = 0;
    p->W -= ((g > 0) - (g < 0)) * p->v;
    p->m = g;
}

static const struct {
    const char *name, *values;
    void (*plain)(struct plain *, double, int, const struct bp_value *);
    int32_t slots;
} cases[] = {
    {"adadelta", "", plain_adadelta, 2},
    {"adadelta", "learning_rate=0.5 rho=0.5 epsilon=0.01", plain_adadelta, 2},
    {"adagrad", "", plain_adagrad, 1},
    {"adagrad", "learning_rate=0.3 epsilon=0.1", plain_adagrad, 1},
    {"adam", "", plain_adam, 2},
    {"adam", "learning_rate=0.1 beta_1=0 beta_2=0.5 epsilon=0.1", plain_adam, 2},
    {"adam", "amsgrad=1 beta_2=0.5", plain_adam, 3},
    {"adamw", "learning_rate=0.1 weight_decay=0.3", plain_adamw, 2},
    {"adamw", "learning_rate=0.1 weight_decay=0.3 amsgrad=1 beta_2=0.6", plain_adamw, 3},
    {"lion", "", plain_lion, 1},
    {"lion", "learning_rate=0.1 beta_1=0.5 beta_2=0.8 weight_decay=0.3", plain_lion, 1},
    {"nadam", "", plain_nadam, 2},
    {"nadam", "learning_rate=0.1 beta_1=0.5 beta_2=0.8 epsilon=0.01 momentum_decay=0.5", plain_nadam, 2},
    {"rmsprop", "", plain_rmsprop, 1},
    {"rmsprop", "momentum=0.5 rho=0.99", plain_rmsprop, 2},
    {"rprop", "", plain_rprop, 2},
    {"rprop", "learning_rate=0.1 eta_plus=1.5 eta_minus=0.3 step_min=0.05 step_max=0.2", plain_rprop, 2},
    {"sgd", "", plain_sgd, 0},
    {"sgd", "momentum=0.9", plain_sgd, 1},
    {"sgd", "momentum=0.9 nesterov=1 learning_rate=0.3", plain_sgd, 1},
};

static void run_case(size_t c) {
    const struct bp_optimizer_ops *optimizer = (const struct bp_optimizer_ops *)bp_family_find(&bp_optimizers, cases[c].name);
    struct bp_value values[BP_VALUES_MAX];
    struct bp_random random = bp_random_open(3, BP_STREAM_USER, 0);
    struct plain plain[N] = {{0, 0, 0, 0}};
    bp_real W[N + 1], g[N + 1], slots[3][N + 1] = {{0}};
    char text[128];
    memcpy(text, cases[c].values, strlen(cases[c].values) + 1);
    bp_values_preset(&optimizer->entry, values);
    test_values(&optimizer->entry, values, text);
    ck_assert_int_eq(optimizer->slots(values), cases[c].slots);
    for (int i = 0; i < N; i++) plain[i].W = (double)(W[1 + i] = (bp_real)bp_random_normal(&random));
    W[0] = 99;
    for (int t = 1; t <= STEPS; t++) {
        double expected[N];
        for (int i = 0; i < N; i++) {
            g[1 + i] = (bp_real)(bp_random_normal(&random) * exp(3 * bp_random_normal(&random)));
            cases[c].plain(&plain[i], (double)g[1 + i], t, values);
            expected[i] = plain[i].W;
        }
        struct bp_update update = {
            .values = values, .decay = 1, .learning_rate = values[0].number, .step = (uint64_t)t, .n = N, .g = g + 1, .W = W + 1};
        for (int32_t s = 0; s < cases[c].slots; s++) update.slots[s] = slots[s] + 1;
        optimizer->update(&update);
        ck_assert_msg(test_distance(W + 1, expected, N) < 2e-6, "%s %s, step %d: %g", cases[c].name, cases[c].values, t,
                      test_distance(W + 1, expected, N));
    }
    ck_assert(W[0] == 99 && slots[0][0] == 0 && slots[1][0] == 0 && slots[2][0] == 0);
}

START_TEST(formulas) {
    if (!bp_kernels_find(isas[_i])) SKIP_TEST("this CPU has no %s", isas[_i]);
    bp_kernels_force(isas[_i]);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) run_case(c);
}
END_TEST

START_TEST(every_optimizer_has_a_case) {
    for (int32_t i = 0; i < bp_optimizers.count; i++) {
        bool found = ((const struct bp_optimizer_ops *)bp_optimizers.entries[i])->search != NULL; /* test_train.c's */
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) found = found || !strcmp(cases[c].name, bp_optimizers.entries[i]->name);
        ck_assert_msg(found, "%s", bp_optimizers.entries[i]->name);
    }
}
END_TEST

/* Padding between tensors has gradient 0 and weight 0, and must stay so: it is saved and compared. */
START_TEST(constants_give_nothing) {
    for (int32_t i = 0; i < bp_optimizers.count; i++) {
        const struct bp_optimizer_ops *optimizer = (const struct bp_optimizer_ops *)bp_optimizers.entries[i];
        struct bp_value values[BP_VALUES_MAX];
        if (!optimizer->update) continue;
        bp_values_preset(&optimizer->entry, values);
        bp_real W[16] = {0}, g[16] = {0}, slots[BP_SLOTS_MAX][16] = {{0}};
        for (uint64_t t = 1; t < 4; t++) {
            const struct bp_update update = {.values = values,
                                             .decay = 1,
                                             .learning_rate = 0.1,
                                             .step = t,
                                             .n = 16,
                                             .g = g,
                                             .W = W,
                                             .slots = {slots[0], slots[1], slots[2], slots[3]}};
            optimizer->update(&update);
        }
        for (int k = 0; k < 16; k++) ck_assert(W[k] == 0);
    }
}
END_TEST

Suite *suite_optimizers(void);
Suite *suite_optimizers(void) {
    Suite *suite = suite_create("optimizers");
    TCase *tests = tcase_create("optimizers");
    tcase_add_loop_test(tests, formulas, 0, 3);
    tcase_add_test(tests, every_optimizer_has_a_case);
    tcase_add_test(tests, constants_give_nothing);
    suite_add_tcase(suite, tests);
    return suite;
}
