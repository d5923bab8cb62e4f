/* test_health.c - engine/train/health.c: its figures for a small network, computed by hand. */
#include "tests/engine/train_support.h"

#include <math.h>
#include <string.h>

static const struct bp_health *of(const struct bp_trainer *trainer, const char *layer) {
    for (int32_t i = 0; i < bp_trainer_health_count(trainer); i++)
        if (!strcmp(bp_trainer_health(trainer, i)->layer, layer)) return bp_trainer_health(trainer, i);
    ck_abort_msg("no health of %s", layer);
    return NULL;
}

static void near(double got, double expected) {
    ck_assert_msg(isnan(expected) ? isnan(got) : fabs(got - expected) < 1e-5, "%.9g, expected %.9g", got, expected);
}

/* x = 1, 3 through h = relu(2 x), twice; k = relu(-h), s = sigmoid(5 h): 0 and 1 (20 and 60 before it); the output adds them, y = 2. */
#define SMALL                                                                                                                                        \
    "dense units=2 activation=relu kernel_initializer=constant:2 name=h; dense units=3 activation=relu kernel_initializer=constant:-1 name=k;"       \
    "dense units=1 activation=sigmoid kernel_initializer=constant:5 in=h name=s; concatenate in=k,s name=c; flatten; dense units=1 "                 \
    "kernel_initializer=ones name=o"

static struct test_data small = {.width = 1, .y_width = 1, .rows = 2, .x = {1, 3}, .y = {2, 2}};

START_TEST(by_hand) {
    struct bp_network *net = test_network(SMALL, "mse", (struct bp_shape){1, {1}});
    for (int i = 0; i < 6; i++) {
        struct bp_train_options options = test_options("sgd", "learning_rate=0.1", 1);
        options.threads = i == 1 ? 2 : 1;
        options.gradient_clip_norm = i == 2 ? sqrt(2) : 0; /* half of it */
        options.l2 = i == 3 ? 0.25 : 0;
        options.batch_size = i == 4 ? 1 : 32;
        options.gradient_accumulation_steps = i == 4 ? 2 : 1;
        options.max_norm = i == 5 ? 0.5 : 0; /* comes after the update */
        if (i == 5) options.gradient_clip_value = 1;
        struct bp_trainer *trainer = test_trainer(net, &options, &small, &small);
        ck_assert_int_eq(bp_trainer_health_count(trainer), 5); /* a flatten has no numbers of its own */
        near(of(trainer, "h")->mean, NAN);
        bp_trainer_step(trainer);
        const struct bp_health *h = of(trainer, "h"), *k = of(trainer, "k"), *s = of(trainer, "s"), *c = of(trainer, "c"), *o = of(trainer, "o");
        if (i != 4) { /* 2, 2, 6, 6; with batches of one, those of the last one */
            near(h->mean, 4);
            near(h->spread, 2);
        }
        near(h->dead, 0);
        near(h->saturated, NAN);
        near(h->weight_norm, sqrt(8));
        near(k->mean, 0);
        near(k->dead, 1);
        near(k->weight_norm, sqrt(6));
        near(s->mean, 1);
        near(s->spread, 0);
        near(s->saturated, 1);
        near(s->dead, NAN);
        near(c->mean, 0.25);
        near(c->spread, sqrt(3.0 / 16));
        near(c->weight_norm, NAN);
        near(c->gradient_norm, NAN);
        near(c->ratio, NAN);
        /* d z = -1 a row by the mean: kernel (0, 0, 0, -2), bias -2; l2 adds 0.5 W */
        const double gradient = i == 3 ? sqrt(3 * 0.25 + 1.5 * 1.5 + 4) : sqrt(8);
        near(o->mean, 1);
        near(o->weight_norm, 2);
        near(o->gradient_norm, gradient);
        near(o->update_norm, i == 2 ? 0.1 * sqrt(2) : i == 5 ? 0.1 * sqrt(2) : 0.1 * gradient);
        near(o->ratio, o->update_norm / 2);
        if (i != 3) near(k->gradient_norm, 0);
        bp_trainer_free(trainer);
    }
    bp_network_free(net);
}
END_TEST

/* A unit that leaks is not dead; half of these tanh are within 1% of an end of -1 to 1: z = 1, 3 and -10, 0. */
START_TEST(dead_and_saturated_shares) {
    static struct test_data leaky = {.width = 1, .y_width = 1, .rows = 2, .x = {-1, -3}, .y = {2, 2}},
                            bounded = {.width = 2, .y_width = 2, .rows = 2, .x = {1, 3, -10, 0}, .y = {0, 0, 0, 0}};
    struct bp_network *net =
        test_network("dense units=4 activation=leaky_relu kernel_initializer=ones name=l; dense units=1", "mse", (struct bp_shape){1, {1}});
    const struct bp_train_options options = test_options("sgd", "", 1);
    struct bp_trainer *trainer = test_trainer(net, &options, &leaky, NULL);
    bp_trainer_step(trainer);
    near(of(trainer, "l")->dead, 0);
    near(of(trainer, "l")->mean, -2 * 0.3);
    bp_trainer_free(trainer);
    bp_network_free(net);
    net = test_network("activation activation=tanh name=t; dense units=2", "mse", (struct bp_shape){1, {2}});
    trainer = test_trainer(net, &options, &bounded, NULL);
    bp_trainer_step(trainer);
    near(of(trainer, "t")->saturated, 0.5);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

/* The output of a loss with several numbers a target is looked at whole, whether or not metrics make points of it: -1, 0, 4 for every row. */
START_TEST(outputs_of_several_numbers) {
    static struct test_data data = {.width = 1, .y_width = 1, .rows = 4, .y = {1, 2, 3, 4}};
    struct bp_network *net = test_network("dense units=3 name=q", "quantile quantiles=0.1,0.5,0.9", (struct bp_shape){1, {1}});
    for (int metrics = 0; metrics < 2; metrics++) {
        struct bp_train_options options = test_options("sgd", "", 1);
        if (metrics) test_add_metric(&options, "mae");
        struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
        struct bp_trainer_state state;
        bp_trainer_state(trainer, &state);
        memcpy(state.weights + 16, (const bp_real[]){-1, 0, 4}, 3 * sizeof(bp_real));
        bp_trainer_step(trainer);
        near(of(trainer, "q")->mean, 1);
        near(of(trainer, "q")->spread, sqrt((4 + 1 + 9) / 3.0));
        if (metrics) near(test_metric(trainer, "mae"), 2.5);
        bp_trainer_free(trainer);
    }
    bp_network_free(net);
}
END_TEST

/* A search has no single update to measure; frozen layers have activations, but no norms. */
START_TEST(searches_and_frozen_layers) {
    struct bp_network *net = test_network("dense units=2 activation=tanh frozen=1 name=f; dense units=1 name=o", "mse", (struct bp_shape){1, {1}});
    const struct bp_train_options options = test_options("lbfgs", "", 1);
    struct bp_trainer *trainer = test_trainer(net, &options, &small, NULL);
    while (bp_trainer_step(trainer) != BP_TRAIN_EPOCH)
        ;
    near(of(trainer, "f")->weight_norm, NAN);
    ck_assert(isfinite(of(trainer, "f")->mean));
    ck_assert(of(trainer, "o")->weight_norm > 0);
    ck_assert(isfinite(of(trainer, "o")->gradient_norm));
    near(of(trainer, "o")->update_norm, NAN);
    near(of(trainer, "o")->ratio, NAN);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

Suite *suite_health(void);
Suite *suite_health(void) {
    Suite *suite = suite_create("health");
    TCase *tests = tcase_create("health");
    tcase_add_test(tests, by_hand);
    tcase_add_test(tests, dead_and_saturated_shares);
    tcase_add_test(tests, outputs_of_several_numbers);
    tcase_add_test(tests, searches_and_frozen_layers);
    suite_add_tcase(suite, tests);
    return suite;
}
