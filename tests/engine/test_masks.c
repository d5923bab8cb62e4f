/* test_masks.c - sequences of different lengths: what stands in the padding never matters, at any layer that lets a mask through; which layers
 * refuse one, in which words; masks that meet; masked losses and their metrics. (Against PyTorch's packed sequences: test_golden.c.) */
#include "tests/engine/train_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 6, FEATURES = 4, ROWS = 5 };
static const int lengths[ROWS] = {2, 6, 1, 4, 3};

/* Random sequences, padded with `padding`. */
static void fill_sequences(bp_real *x, double padding) {
    struct bp_random random = bp_random_open(4, BP_STREAM_USER, 0);
    for (int i = 0; i < ROWS; i++)
        for (int t = 0; t < STEPS; t++)
            for (int f = 0; f < FEATURES; f++) {
                const double v = bp_random_normal(&random);
                x[(i * STEPS + t) * FEATURES + f] = t < lengths[i] ? (bp_real)v : (bp_real)padding;
            }
}

/* ---- values in the padding -------------------------------------------------------------------------------------- */

/* What stands between the masking "m" and one number a sample; biases, encodings and norms fill the padded steps with numbers of their own. The same
 * sequences cut to their length, one by one, must give the same. */
static const char *const bodies[] = {
    "lstm units=3",
    "gru units=3 bidirectional=1",
    "rnn units=3 return_sequences=1 bidirectional=1; lstm units=2 bidirectional=1",
    "gru units=3 return_sequences=1; global_max_pool",
    "lstm units=3 return_sequences=1; dense units=3 activation=tanh; global_average_pool",
    "multi_head_attention num_heads=2; global_average_pool",
    "multi_head_attention num_heads=1 use_causal_mask=1; rnn units=3",
    "positional_encoding; layer_norm; multi_head_attention num_heads=4; global_max_pool",
    "dense units=3 activation=tanh name=d; conv1d filters=4 kernel_size=3 padding=same activation=tanh name=c; conv1d filters=4 kernel_size=2 "
    "padding=same "
    "dilation_rate=2 name=e; add in=c,e; global_max_pool",
    "dense units=4 name=d; multi_head_attention num_heads=2 in=d name=a; add in=a,d; layer_norm; gru units=2",
    "dense units=2 name=p; dense units=3 in=m name=q; concatenate in=p,q,m; global_average_pool",
    "batch_norm; activation activation=gelu; dropout rate=0.5; gaussian_noise stddev=3; global_max_pool",
    "max_pool1d pool_size=2 padding=same; global_average_pool",
    "max_pool1d pool_size=2 strides=1 padding=same; lstm units=3",
    "average_pool1d pool_size=2 padding=same; dense units=3 activation=tanh; gru units=3",
    "average_pool1d pool_size=2 strides=1 padding=same; max_pool1d pool_size=2 padding=same; global_max_pool",
    "dense units=4 name=p; dense units=1 in=m name=q; average in=p,q name=r; minimum in=r,m name=s; subtract in=s,q; global_average_pool",
    "permute dims=1,2; conv1d filters=3 kernel_size=3 padding=causal activation=tanh; lstm units=2",
    "dense units=3 activation=tanh; depthwise_conv1d kernel_size=3 padding=same; separable_conv1d filters=2 kernel_size=2 padding=causal; gru "
    "units=2",
    "multi_head_attention num_heads=2 dropout=0.5 in=m,m name=a; dense units=4 in=m name=v; multi_head_attention num_heads=1 in=a,v,m; "
    "global_max_pool",
    "rms_norm; spatial_dropout rate=0.5; lstm units=3 dropout=0.3 recurrent_dropout=0.3 bidirectional=1",
    "dense units=4 activation=prelu; activation activation=softmax; lstm units=3",
};

/* The output for one sequence alone, cut to its length and without any masking: what it should be. */
static bp_real alone(const char *body, const bp_real *weights, const bp_real *x, int length) {
    char text[400];
    snprintf(text, sizeof text, "activation name=m; %s; dense units=1", body); /* as it is, in the place of the masking */
    struct bp_network *net = test_network(text, NULL, (struct bp_shape){2, {length, FEATURES}});
    struct bp_workspace *ws = NULL;
    ck_assert_int_eq(bp_workspace_new(net, 1, false, &ws, NULL), 0);
    memcpy(bp_workspace_input(ws, 0), x, (size_t)length * FEATURES * sizeof *x);
    const bp_real a = bp_predict(net, weights, ws, 1)[0];
    bp_workspace_free(ws);
    bp_network_free(net);
    return a;
}

START_TEST(padded_is_as_cut) {
    bp_real x[ROWS * STEPS * FEATURES];
    for (size_t b = 0; b < sizeof bodies / sizeof *bodies; b++) {
        char text[400];
        snprintf(text, sizeof text, "masking mask_value=7 name=m; %s; dense units=1", bodies[b]);
        struct bp_network *net = test_network(text, NULL, (struct bp_shape){2, {STEPS, FEATURES}});
        struct bp_workspace *ws = NULL;
        bp_real *weights = bp_reals_new(net->weights_count);
        bp_network_initialize(net, 3, weights);
        ck_assert_int_eq(bp_workspace_new(net, ROWS, false, &ws, NULL), 0);
        fill_sequences(x, 7);
        memcpy(bp_workspace_input(ws, 0), x, sizeof x);
        const bp_real *a = bp_predict(net, weights, ws, ROWS);
        for (int i = 0; i < ROWS; i++) {
            const bp_real expected = alone(bodies[b], weights, x + i * STEPS * FEATURES, lengths[i]);
            ck_assert_msg(fabs((double)(a[i] - expected)) < 1e-5, "%s, row %d: %g, alone %g", bodies[b], i, (double)a[i], (double)expected);
        }
        bp_workspace_free(ws);
        bp_network_free(net);
        free(weights);
    }
}
END_TEST

/* A hole in the middle: the state goes over it, and the last step is the last that is there. */
START_TEST(a_hole_is_stepped_over) {
    static const char *const cells[] = {"rnn", "lstm", "gru"};
    const bp_real with[10] = {1, 2, 0, 0, -1, 0.5f, 0, 0, 0, 0}, without[4] = {1, 2, -1, 0.5f};
    for (int c = 0; c < 3; c++) {
        char text[100];
        bp_real got[2][4];
        for (int cut = 0; cut < 2; cut++) {
            snprintf(text, sizeof text, "masking; %s units=2 bidirectional=1", cells[c]);
            struct bp_network *net = test_network(text, NULL, (struct bp_shape){2, {cut ? 2 : 5, 2}});
            struct bp_workspace *ws = NULL;
            bp_real *weights = bp_reals_new(net->weights_count);
            bp_network_initialize(net, 3, weights);
            ck_assert_int_eq(bp_workspace_new(net, 1, false, &ws, NULL), 0);
            memcpy(bp_workspace_input(ws, 0), cut ? without : with, cut ? sizeof without : sizeof with);
            memcpy(got[cut], bp_predict(net, weights, ws, 1), sizeof *got);
            bp_workspace_free(ws);
            bp_network_free(net);
            free(weights);
        }
        for (int k = 0; k < 4; k++) ck_assert_double_eq_tol((double)got[0][k], (double)got[1][k], 1e-6);
    }
}
END_TEST

/* Index 0 is padding: its row of the embedding may hold anything, even what is no number, and learns nothing. */
START_TEST(padding_of_an_embedding) {
    static const char *const texts[] = {
        "embedding input_dim=5 output_dim=4 mask_zero=1 name=e; lstm units=3; dense units=1",
        "embedding input_dim=5 output_dim=4 mask_zero=1 name=e; multi_head_attention num_heads=2; global_max_pool; dense units=1",
        "embedding input_dim=5 output_dim=4 mask_zero=1 name=e; dense units=1"};
    const bp_real x[2][4] = {{3, 1, 0, 0}, {2, 4, 4, 1}}, y[8] = {0};
    for (int i = 0; i < 3; i++) {
        struct bp_network *net = test_network(texts[i], "mse", (struct bp_shape){1, {4}});
        struct bp_workspace *ws = NULL;
        bp_real *weights = bp_reals_new(net->weights_count), *gradient = bp_reals_new(net->weights_count);
        double losses[2];
        bp_network_initialize(net, 3, weights);
        ck_assert_int_eq(bp_workspace_new(net, 2, true, &ws, NULL), 0);
        for (int garbage = 0; garbage < 2; garbage++) {
            for (int k = 0; garbage && k < 4; k++) weights[k] = (bp_real)(k - 50); /* row 0 comes first */
            memcpy(bp_workspace_input(ws, 0), x, sizeof x);
            struct bp_loss_call call = {.batch = 2, .y = y, .scale = 1};
            losses[garbage] = bp_loss_forward(net, weights, ws, NULL, &call, true);
            bp_loss_backward(net, weights, ws, gradient, false, false);
            for (int k = 0; k < 4; k++) ck_assert_msg(gradient[k] == 0, "%s: padding learns", texts[i]);
            ck_assert(gradient[4] != 0);
        }
        ck_assert_double_eq_tol(losses[0], losses[1], 1e-6);
        bp_workspace_free(ws);
        bp_network_free(net);
        free(weights);
        free(gradient);
    }
}
END_TEST

/* A sequence of nothing but padding is a number, and so are its gradients. */
START_TEST(nothing_but_padding) {
    for (size_t b = 0; b < sizeof bodies / sizeof *bodies; b++) {
        char text[400];
        snprintf(text, sizeof text, "masking name=m; %s; dense units=1", bodies[b]);
        struct bp_network *net = test_network(text, "mse", (struct bp_shape){2, {STEPS, FEATURES}});
        struct bp_workspace *ws = NULL;
        const bp_real y[1] = {1};
        const struct bp_draw draw = {.seed = 1};
        bp_real *weights = bp_reals_new(net->weights_count), *gradient = bp_reals_new(net->weights_count);
        bp_network_initialize(net, 3, weights);
        ck_assert_int_eq(bp_workspace_new(net, 1, true, &ws, NULL), 0);
        for (int trained = 0; trained < 2; trained++) {
            struct bp_loss_call call = {.batch = 1, .y = y, .scale = 1};
            ck_assert_msg(isfinite(bp_loss_forward(net, weights, ws, trained ? &draw : NULL, &call, true)), "%s", bodies[b]);
            bp_loss_backward(net, weights, ws, gradient, false, true);
            for (size_t k = 0; k < net->trained_count; k++) ck_assert_msg(isfinite(gradient[k]), "%s", bodies[b]);
        }
        bp_workspace_free(ws);
        bp_network_free(net);
        free(weights);
        free(gradient);
    }
}
END_TEST

/* ---- refusals, and joined masks ------------------------------------------------------------------------------------ */

/* Every layer either has a rule for masks or refuses them; these would mix padding with steps. */
START_TEST(layers_that_refuse_a_mask) {
    static const struct {
        const char *text, *pointer, *words;
    } wrong[] = {
        {"masking; flatten; dense units=1", "/layers/1", "a sequence with a mask (made by layer \"masking_1\"), and flatten would mix its padding"},
        {"masking name=m; dense units=3; conv1d filters=2 kernel_size=3; flatten", "/layers/2", "(made by layer \"m\"), and conv1d would mix"},
        {"masking; reshape target_shape=-1; dense units=1", "/layers/1", "reshape would mix"},
        {"masking; max_pool1d; flatten", "/layers/2", "put a global_average_pool, global_max_pool, rnn, lstm or gru before it"},
        {"masking; average_pool1d; conv1d filters=2 kernel_size=2; flatten", "/layers/2", "conv1d would mix"},
        {"masking name=m; concatenate in=m,x axis=1; global_max_pool", "/layers/1", "concatenate would mix"},
        {"masking name=m; concatenate in=m,m axis=1; global_max_pool", "/layers/1", "concatenate would mix"},
        {"masking name=m; reshape target_shape=6,1,4 in=x name=r; add in=m,r; global_max_pool", "/layers/2", "add would mix"},
        {"masking name=m; dot in=m,m axes=2; flatten", "/layers/1", "dot would mix"},
        {"masking; group_norm groups=1; global_max_pool", "/layers/1", "group_norm would mix"},
        {"masking; conv1d_transpose filters=2 kernel_size=2; flatten", "/layers/1", "conv1d_transpose would mix"},
        {"masking; separable_conv1d filters=2 kernel_size=2; flatten", "/layers/1", "separable_conv1d would mix"},
        {"masking; permute dims=2,1; flatten", "/layers/1", "permute would mix"},
        {"masking; zero_padding1d; flatten", "/layers/1", "zero_padding1d would mix"},
        {"masking; cropping1d; flatten", "/layers/1", "cropping1d would mix"},
        {"masking; upsampling1d; flatten", "/layers/1", "upsampling1d would mix"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct test_graph graph;
        struct bp_error error;
        test_graph(&graph, wrong[i].text, NULL, (struct bp_shape){2, {6, 4}});
        test_plan_fails(&graph, &error);
        ck_assert_msg(!strcmp(error.pointer, wrong[i].pointer), "%s: %s", wrong[i].text, error.pointer);
        ck_contains(error.message, wrong[i].words);
    }
    struct test_graph graph;
    struct bp_error error;
    test_graph(&graph, "masking", NULL, (struct bp_shape){1, {6}});
    test_plan_fails(&graph, &error);
    ck_contains(error.message, "masking needs a sequence (steps, features), but got (6)");
    test_graph(&graph, "embedding input_dim=3 output_dim=2 mask_zero=1", NULL, (struct bp_shape){2, {6, 4}});
    test_plan_fails(&graph, &error);
    ck_assert_str_eq(error.pointer, "/layers/0/mask_zero");
    ck_contains(error.message, "mask_zero is for a sequence of indices (steps), but the input has the shape (6, 4)");
}
END_TEST

/* Two masks of different makers: what both have is there. Masked by 0 and by 5, x = 1 0 5 2: steps 0 and 3. */
START_TEST(masks_that_meet) {
    static const struct {
        const char *text;
        bp_real expected;
    } cases[] = {
        {"masking name=a; masking mask_value=5 in=x name=b; add in=a,b; global_average_pool", 3},                /* (2 + 4) / 2 */
        {"masking name=a; masking mask_value=5 in=x name=b; multiply in=a,b; global_max_pool", 4},               /* 1, 4 */
        {"masking name=a; masking mask_value=5 in=x name=b; maximum in=a,b; global_average_pool", (bp_real)1.5}, /* (1 + 2) / 2 */
        {"masking name=a; masking mask_value=5 in=a name=b; global_average_pool in=b", (bp_real)1.5}, /* (1 + 2) / 2: one after the other */
        {"masking name=a; add in=a,x; global_average_pool", (bp_real)(16.0 / 3)},                     /* one mask alone: (2 + 10 + 4) / 3 */
        {"masking name=a; masking mask_value=5 in=x name=b; add in=a,b,x; global_average_pool", (bp_real)4.5},
        {"masking name=a; add in=a,a; add in=a,add_1; global_average_pool", 8},
    };
    const bp_real x[4] = {1, 0, 5, 2}, none[1] = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test_graph graph;
        struct bp_network *net = NULL;
        struct bp_error error = {0};
        test_graph(&graph, cases[i].text, NULL, (struct bp_shape){2, {4, 1}});
        ck_assert_msg(bp_network_plan(&graph.graph, &net, &error) == 0, "%s: %s", cases[i].text, error.message);
        struct bp_workspace *ws = NULL;
        ck_assert_int_eq(bp_workspace_new(net, 1, false, &ws, NULL), 0);
        memcpy(bp_workspace_input(ws, 0), x, sizeof x);
        ck_assert_msg(fabs((double)(bp_predict(net, none, ws, 1)[0] - cases[i].expected)) < 1e-6, "%s: %g", cases[i].text,
                      (double)bp_workspace_output(ws, 0)[0]);
        bp_workspace_free(ws);
        bp_network_free(net);
    }
}
END_TEST

/* ---- losses --------------------------------------------------------------------------------------------------------- */

/* Each step that is there counts once, as in Keras 3, and what its sample does: errors 1 | 2 4 of samples of one and two steps, whether they come in
 * one mini-batch or two, in one shard or two, before one update or with each. */
START_TEST(a_masked_loss_by_hand) {
    static struct test_data data = {.width = 2, .y_width = 2, .rows = 2, .x = {1, 0, 2, 4}, .y = {0, 999, 0, 0}, .weights = {1, 3}};
    struct bp_network *net = test_network("masking; dense units=1 kernel_initializer=ones", "mse", (struct bp_shape){2, {2, 1}});
    for (int way = 0; way < 6; way++) {
        struct bp_train_options options = test_options("sgd", "learning_rate=0", 1);
        test_add_metric(&options, "mae");
        options.threads = way / 2 == 1 ? 2 : 1;
        options.batch_size = way / 2 == 2 ? 1 : 2;
        data.weighted = way % 2;
        struct bp_trainer *trainer = test_trainer(net, &options, &data, &data);
        test_run(trainer);
        const double loss = data.weighted ? (1 + 3 * 4 + 3 * 16) / 7.0 : (1 + 4 + 16) / 3.0,
                     mae = data.weighted ? (1 + 3 * 2 + 3 * 4) / 7.0 : 7 / 3.0;
        ck_assert_double_eq_tol(test_metric(trainer, "loss"), loss, 1e-5);
        ck_assert_double_eq_tol(test_metric(trainer, "val_loss"), loss, 1e-5);
        ck_assert_double_eq_tol(test_metric(trainer, "mae"), mae, 1e-5);
        ck_assert_double_eq_tol(test_metric(trainer, "val_mae"), mae, 1e-5);
        bp_trainer_free(trainer);
    }
    bp_network_free(net);
}
END_TEST

/* One update by the mean over the three steps: w = 1, and its slope 2 (1 + 4 + 16) / 3 = 14, in whatever pieces the samples come. */
START_TEST(a_masked_update_by_hand) {
    static struct test_data data = {.width = 2, .y_width = 2, .rows = 2, .x = {1, 0, 2, 4}, .y = {0, 999, 0, 0}};
    struct bp_network *net = test_network("masking; dense units=1 kernel_initializer=ones use_bias=0", "mse", (struct bp_shape){2, {2, 1}});
    for (int way = 0; way < 3; way++) {
        struct bp_train_options options = test_options("sgd", "learning_rate=0.01", 1);
        options.threads = way == 1 ? 2 : 1;
        options.batch_size = way == 2 ? 1 : 2;
        options.gradient_accumulation_steps = way == 2 ? 2 : 1;
        struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
        test_run(trainer);
        ck_assert_double_eq_tol((double)bp_trainer_result(trainer)[0], 1 - 0.14, 1e-6);
        bp_trainer_free(trainer);
    }
    bp_network_free(net);
}
END_TEST

/* Each number of a sequence has a unit of its own: step 0 counts in tens, step 1 in hundreds. */
START_TEST(units_of_masked_steps) {
    static struct test_data data = {.width = 2, .y_width = 2, .rows = 1, .x = {1, 1}, .y = {0, 0}};
    const double units[2] = {10, 100}, origins[2] = {0, 0};
    struct bp_network *net = test_network("masking; dense units=1 kernel_initializer=ones", "mse", (struct bp_shape){2, {2, 1}});
    struct bp_train_options options = test_options("sgd", "learning_rate=0", 1);
    options.tasks[0].units = units;
    options.tasks[0].origins = origins;
    test_add_metric(&options, "mae");
    struct bp_trainer *trainer = test_trainer(net, &options, &data, NULL);
    test_run(trainer);
    ck_assert_double_eq_tol(test_metric(trainer, "mae"), 55, 1e-4);
    bp_trainer_free(trainer);
    bp_network_free(net);
}
END_TEST

Suite *suite_masks(void);
Suite *suite_masks(void) {
    Suite *suite = suite_create("masks");
    TCase *tests = tcase_create("masks");
    tcase_add_test(tests, padded_is_as_cut);
    tcase_add_test(tests, a_hole_is_stepped_over);
    tcase_add_test(tests, padding_of_an_embedding);
    tcase_add_test(tests, nothing_but_padding);
    tcase_add_test(tests, layers_that_refuse_a_mask);
    tcase_add_test(tests, masks_that_meet);
    tcase_add_test(tests, a_masked_loss_by_hand);
    tcase_add_test(tests, a_masked_update_by_hand);
    tcase_add_test(tests, units_of_masked_steps);
    suite_add_tcase(suite, tests);
    return suite;
}
