/* test_refusals.c - every option of a job takes effect, is refused at submission, or causes a warning. */
#include "tests/schema/training_support.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

Suite *suite_schema_refusals(void);

static const char csv[] =
    "a,b,c,y,z\n1,2,u,3.5,1\n2,1,v,4.5,0\n3,5,u,1.25,1\n4,4,v,8.5,0\n5,0,u,2,1\n6,1,v,3,0\n7,2,u,1,1\n8,3,v,0,0\n9,4,u,2.5,1\n10,1,v,2.25,0\n";

static void refused_data(const char *data, const char *definition, const char *job, const char *said) {
    struct resolved r = resolve_text(data, definition, job);
    ck_assert_msg(!r.training, "%s %s was taken", definition, job);
    ck_assert_msg(strstr(first_problem(&r), said) != NULL, "%s\nlacks %s", first_problem(&r), said);
    resolved_clear(&r);
}

static void refused(const char *definition, const char *job, const char *said) {
    refused_data(csv, definition, job, said);
}

/* Taken, with a warning that has those words; NULL: without any. */
static void warned_data(const char *data, const char *definition, const char *job, const char *said) {
    struct resolved r = resolve_text(data, definition, job);
    bool found = false;
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    for (size_t i = 0; i < json_array_size(r.training->warnings); i++) {
        const char *warning = json_string_value(json_array_get(r.training->warnings, i));
        ck_assert_msg(said != NULL, "%s", warning);
        found = found || strstr(warning, said);
    }
    ck_assert_msg(!said || found, "%s %s: no warning has %s", definition, job, said);
    resolved_clear(&r);
}

static void taken(const char *definition, const char *job) {
    warned_data(csv, definition, job, NULL);
}

#define LINEAR "{\"layers\":[]}"

/* ---- outputs and inputs ------------------------------------------------------------------------------------------- */

START_TEST(outputs_that_learn_nothing) {
    static const char two[] =
        "{\"layers\":[{\"type\":\"dense\",\"units\":4,\"name\":\"h\"},{\"type\":\"dense\",\"units\":1,\"name\":\"p\",\"inputs\":[\"h\"]},"
        "{\"type\":\"dense\",\"units\":1,\"name\":\"q\",\"inputs\":[\"h\"]}],\"outputs\":[\"p\",\"q\"]}";
    refused(two, "{\"target\":\"y\"}", "/model/outputs/0: the output \"p\" has no target: the job names 1 target for 2 outputs");
    refused(two, "{\"target\":{\"p\":\"y\"}}", "/model/outputs/1: the output \"q\" has no target");
    taken(two, "{\"target\":{\"p\":\"y\",\"q\":\"a\"},\"task\":\"regression\"}");
    refused("{\"layers\":[{\"type\":\"dense\",\"units\":4}]}",
            "{\"target\":{\"y\":\"a\",\"m\":[\"b\",\"y\"]},\"task\":\"regression\",\"features\":[\"c\"]}",
            "/target/m/1: two targets would both be named \"y\" in predictions");
}
END_TEST

START_TEST(inputs_that_contradict_the_data) {
    taken("{\"layers\":[],\"inputs\":{\"features\":{\"shape\":[2]}}}", "{\"target\":\"y\",\"features\":[\"a\",\"b\"]}");
    refused("{\"layers\":[],\"inputs\":{\"features\":{\"shape\":[2]}}}", "{\"target\":\"y\",\"features\":[\"a\",\"c\"]}",
            "/model/inputs/features: the definition gives the input \"features\" the shape (2), but the features of this job give (4)");
    refused("{\"layers\":[],\"inputs\":{\"feature\":{\"shape\":[2]}}}", "{\"target\":\"y\",\"features\":[\"a\",\"b\"]}",
            "/model/inputs/feature: the features of this job give no input \"feature\", did you mean \"features\"?; there is \"features\" (2)");
}
END_TEST

/* ---- the task, and rows that validate ------------------------------------------------------------------------------- */

/* As many integers as rows are numbers; classes come again. */
START_TEST(integers_that_hardly_repeat_are_numbers) {
    char all[400] = "a,y\n", half[400] = "a,y\n", most[400] = "a,y\n";
    for (int i = 1; i <= 20; i++) {
        snprintf(all + strlen(all), 20, "%d,%d\n", i, i * 1000);
        snprintf(most + strlen(most), 20, "%d,%d\n", i, i == 20 ? 1 : i);
        snprintf(half + strlen(half), 20, "%d,%d\n", i, i % 10);
    }
    warned_data(all, LINEAR, "{\"target\":\"y\"}", "20 distinct integers in 20 rows, too many for classes, and is predicted as a number");
    warned_data(most, LINEAR, "{\"target\":\"y\"}", "19 distinct integers in 20 rows, too many for classes");
    warned_data(half, LINEAR, "{\"target\":\"y\"}", "has 10 distinct integers and is treated as classes");
    warned_data("a,y\n1,0\n2,1\n3,1\n", LINEAR, "{\"target\":\"y\"}", "has 2 distinct integers and is treated as classes");
}
END_TEST

START_TEST(no_row_that_validates) {
    static const char once[] = "a,k\n1,u\n2,v\n3,w\n";
    warned_data(once, LINEAR, "{\"target\":\"k\"}", "no row validates, so there is no val_loss: each class needs a training row");
    warned_data(once, LINEAR, "{\"target\":\"k\",\"early_stopping\":{}}", "no row validates");
    refused_data(
        once, LINEAR, "{\"target\":\"k\",\"early_stopping\":{\"metric\":\"val_accuracy\"}}",
        "/early_stopping/metric: \"val_accuracy\" needs validation rows, but no row can validate: each class has only one; watch \"accuracy\"");
}
END_TEST

/* ---- what would have no effect -------------------------------------------------------------------------------------- */

START_TEST(options_without_effect) {
    refused(LINEAR, "{\"target\":\"y\",\"columns\":{\"a\":{\"encode\":\"one_hot\"}}}",
            "/columns/a/encode: encode is for categories and texts, but column \"a\" is numeric, so the string \"one_hot\" would have no effect");
    refused(LINEAR, "{\"target\":\"y\",\"optimizer\":{\"type\":\"sgd\",\"nesterov\":true}}",
            "/optimizer/nesterov: nesterov looks ahead along the momentum, which is 0");
    taken(LINEAR, "{\"target\":\"y\",\"optimizer\":{\"type\":\"sgd\",\"nesterov\":true,\"momentum\":0.5}}");
    refused(LINEAR, "{\"target\":\"y\",\"epochs\":5,\"schedule\":{\"type\":\"constant\",\"warmup_epochs\":5}}",
            "/schedule/warmup_epochs: a warm-up of 5 epochs does not end within the 5 epochs of the job");
    taken(LINEAR, "{\"target\":\"y\",\"epochs\":5,\"schedule\":{\"type\":\"constant\",\"warmup_epochs\":4}}");
    warned_data(csv, LINEAR, "{\"target\":\"y\",\"epochs\":5,\"schedule\":{\"type\":\"step\",\"step_size\":5}}",
                "the schedule has no effect: its first step is after epoch 5");
    refused(LINEAR, "{\"target\":\"y\",\"validation\":{\"fraction\":0.95}}",
            "/validation/fraction: fraction must be a number of at least 0 and at most 0.9, got 0.95");
    taken(LINEAR, "{\"target\":\"y\",\"validation\":{\"fraction\":0.9}}");
    refused(LINEAR, "{\"target\":\"y\",\"mixup\":0.2,\"batch_size\":1}", "/mixup: mixup mixes the samples of a mini-batch, but batch_size is 1");
    warned_data(csv, LINEAR, "{\"target\":\"y\",\"batch_size\":4,\"gradient_accumulation_steps\":3}",
                "gradient_accumulation_steps is 3, but an epoch has 2 mini-batches");
    taken(LINEAR, "{\"target\":\"y\",\"batch_size\":4,\"gradient_accumulation_steps\":2}");
}
END_TEST

#define JOB(more)       "{\"target\":\"y\"," more "}"
#define OPTIMIZER(what) JOB("\"optimizer\":{" what "}")
#define SCHEDULE(what)  JOB("\"epochs\":10,\"schedule\":{" what "}")

/* 8 of the 10 rows train. */
START_TEST(batches_and_epochs_without_effect) {
    warned_data(csv, LINEAR, JOB("\"batch_size\":9"), "batch_size is 9, but only 8 rows train: each mini-batch has them all");
    taken(LINEAR, JOB("\"batch_size\":8"));
    taken(LINEAR, JOB("\"batch_size\":9,\"optimizer\":\"lbfgs\""));
    warned_data(csv, LINEAR, JOB("\"batch_size\":4,\"threads\":6"),
                "threads is 6, but a mini-batch has 4 rows: 2 threads compute nothing of it; say at most 4");
    warned_data(csv, LINEAR, JOB("\"threads\":9"), "threads is 9, but a mini-batch has 8 rows");
    taken(LINEAR, JOB("\"batch_size\":4,\"threads\":4"));
    warned_data(csv, LINEAR, JOB("\"window_rows\":8"), "window_rows is 8, but only 8 rows train");
    taken(LINEAR, JOB("\"window_rows\":7"));
    warned_data(csv, LINEAR, JOB("\"epochs\":5,\"early_stopping\":{\"patience\":4}"),
                "early stopping never stops this job: after the first epoch it waits 4 without an improvement, and the job has 5 epochs");
    warned_data(csv, LINEAR, JOB("\"epochs\":5,\"early_stopping\":{}"), "early stopping never stops this job");
    taken(LINEAR, JOB("\"epochs\":5,\"early_stopping\":{\"patience\":3}"));
    warned_data(csv, LINEAR, JOB("\"epochs\":5,\"checkpoint_every_epochs\":6"), "checkpoint_every_epochs is 6, but the job has 5 epochs");
    taken(LINEAR, JOB("\"epochs\":5,\"checkpoint_every_epochs\":5"));
    taken(LINEAR, JOB("\"epochs\":5")); /* every 10 is the default */
    refused(LINEAR, JOB("\"validation\":{\"group\":\"c\",\"fraction\":0}"),
            "/validation/group: fraction is 0, so no rows are held back and group would have no effect");
    refused(LINEAR, JOB("\"validation\":{\"time\":\"a\",\"fraction\":0}"), "/validation/time: fraction is 0, so no rows are held back");
    refused("{\"layers\":[{\"type\":\"dense\",\"units\":1}]}", JOB("\"mixup\":0.2,\"batch_size\":1"), "but batch_size is 1");
}
END_TEST

START_TEST(learning_rates_without_effect) {
    warned_data(csv, LINEAR, SCHEDULE("\"type\":\"reduce_on_plateau\",\"patience\":8"),
                "with a patience of 8 it lowers the learning rate after epoch 10 at the earliest, and the job has 10");
    taken(LINEAR, SCHEDULE("\"type\":\"reduce_on_plateau\",\"patience\":7"));
    warned_data(csv, LINEAR, JOB("\"epochs\":50,\"early_stopping\":{\"patience\":5},\"schedule\":{\"type\":\"reduce_on_plateau\",\"patience\":5}"),
                "early stopping waits 5 epochs and the schedule 5: training stops before the learning rate is lowered");
    taken(LINEAR, JOB("\"epochs\":50,\"early_stopping\":{\"patience\":6},\"schedule\":{\"type\":\"reduce_on_plateau\",\"patience\":5}"));
    warned_data(csv, LINEAR, SCHEDULE("\"type\":\"reduce_on_plateau\",\"patience\":2,\"minimum\":1"), "its minimum is 1");
    warned_data(csv, LINEAR, SCHEDULE("\"type\":\"cosine\",\"minimum\":1"), "its minimum is 1");
    warned_data(csv, LINEAR, SCHEDULE("\"type\":\"polynomial\",\"minimum\":1"), "its minimum is 1");
    warned_data(csv, LINEAR, SCHEDULE("\"type\":\"exponential\",\"gamma\":1"), "its gamma is 1");
    warned_data(csv, LINEAR, SCHEDULE("\"type\":\"step\",\"step_size\":2,\"gamma\":1"), "its gamma is 1");
    warned_data(csv, LINEAR, SCHEDULE("\"type\":\"cosine\",\"period_factor\":2"), "period_factor has no effect: the schedule does not restart");
    warned_data(csv, LINEAR, SCHEDULE("\"type\":\"cosine\",\"period_factor\":2,\"period_epochs\":10"), "period_factor has no effect");
    taken(LINEAR, SCHEDULE("\"type\":\"cosine\",\"period_factor\":2,\"period_epochs\":3"));
    warned_data(csv, LINEAR, SCHEDULE("\"type\":\"constant\",\"warmup_epochs\":0.5"),
                "warmup_epochs has no effect: 0.5 epochs are at most one update, and an epoch has 1");
    taken(LINEAR, JOB("\"batch_size\":2,\"schedule\":{\"type\":\"constant\",\"warmup_epochs\":0.5}"));
    warned_data(csv, LINEAR, JOB("\"optimizer\":\"rprop\",\"schedule\":\"cosine\""),
                "the schedule has no effect: the learning_rate of rprop is only the size of its first step");
    warned_data(csv, LINEAR, JOB("\"optimizer\":\"rprop\",\"gradient_clip_norm\":1"),
                "gradient_clip_norm has no effect: rprop looks at the signs of the gradient alone");
    warned_data(csv, LINEAR, JOB("\"optimizer\":\"rprop\",\"gradient_clip_value\":1"), "gradient_clip_value has no effect");
    refused(LINEAR, OPTIMIZER("\"type\":\"rprop\",\"step_min\":0.1,\"step_max\":0.01"),
            "/optimizer/step_min: step_min is 0.1, above step_max, which is 0.01");
    warned_data(csv, LINEAR, OPTIMIZER("\"type\":\"sgd\",\"learning_rate\":0"), "learning_rate is 0: the weights stay as they were initialised");
    taken(LINEAR, OPTIMIZER("\"type\":\"adam\",\"learning_rate\":\"auto\""));
}
END_TEST

START_TEST(parameters_without_effect) {
    static const char images[] =
        "{\"columns\":{\"t\":[[[[1],[2]],[[3],[4]]],[[[4],[2]],[[0],[1]]],[[[5],[5]],[[1],[0]]],[[[0],[1]],[[1],[1]]]],\"y\":[0.5,1.25,-3,8]}}";
    static const struct {
        const char *layers, *said; /* NULL: nothing */
    } cases[] = {
        {"{\"type\":\"conv2d\",\"filters\":1,\"kernel_size\":1,\"dilation_rate\":2}",
         "dilation_rate of layer \"conv2d_1\" (conv2d) has no effect: kernel_size is 1"},
        {"{\"type\":\"conv2d\",\"filters\":1,\"kernel_size\":2,\"padding\":\"same\",\"dilation_rate\":2}", NULL},
        {"{\"type\":\"conv2d\",\"filters\":1,\"kernel_size\":2,\"use_bias\":false,\"bias_initializer\":\"ones\"}",
         "bias_initializer of layer \"conv2d_1\" (conv2d) has no effect: use_bias is false"},
        {"{\"type\":\"conv2d\",\"filters\":1,\"kernel_size\":2,\"use_bias\":false,\"bias_initializer\":\"zeros\"}", NULL}, /* the default */
        {"{\"type\":\"random_rotation\",\"factor\":0.1,\"fill_value\":3}",
         "fill_value of layer \"random_rotation_1\" (random_rotation) has no effect: fill is not \"constant\""},
        {"{\"type\":\"random_rotation\",\"factor\":0.1,\"fill\":\"constant\",\"fill_value\":3}", NULL},
        {"{\"type\":\"batch_norm\",\"momentum\":0.5,\"trainable\":false}",
         "momentum of layer \"batch_norm_1\" (batch_norm) has no effect: its statistics stay with \"trainable\":false"},
        {"{\"type\":\"batch_norm\",\"momentum\":0.5}", NULL},
        {"{\"type\":\"dropout\",\"rate\":0.2,\"trainable\":false}",
         "\"trainable\":false has no effect: layer \"dropout_1\" (dropout) has no weights"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char definition[400], all[2000] = "";
        snprintf(definition, sizeof definition, "{\"layers\":[%s,\"flatten\",{\"type\":\"dense\",\"units\":1}]}", cases[i].layers);
        struct resolved r = resolve_json(images, definition, "{\"target\":\"y\",\"validation\":{\"fraction\":0}}");
        ck_assert_msg(r.training != NULL, "%s: %s", definition, first_problem(&r));
        for (size_t k = 0; k < json_array_size(r.training->warnings); k++)
            snprintf(all + strlen(all), sizeof all - strlen(all), "%s\n", json_string_value(json_array_get(r.training->warnings, k)));
        ck_assert_msg(cases[i].said ? strstr(all, cases[i].said) != NULL : strstr(all, "no effect") == NULL, "%s: %s", definition, all);
        resolved_clear(&r);
    }
}
END_TEST

START_TEST(penalties_metrics_and_columns_without_effect) {
    static const char dates[] = "d,y\n2024-01-01T00:00:00,1.5\n2024-01-02T05:00:00,2.5\n2024-02-03T07:00:00,0.25\n2024-03-03T00:00:00,4\n";
    static const char days[] = "d,y\n2024-01-01,1.5\n2024-01-02,2.5\n2024-02-03,0.25\n2024-03-03,4\n";
    static const char split[] = "a,s,y\n1,train,1.5\n2,train,2.5\n3,validation,0.25\n4,train,4\n";
    static const char frozen[] = "{\"layers\":[{\"type\":\"dense\",\"units\":1,\"trainable\":false},\"layer_norm\"]}";
    warned_data(csv, frozen, JOB("\"l2\":0.1"), "l2 has no effect: it is for the kernels of layers, and no layer that is trained has one");
    warned_data(csv, frozen, JOB("\"l1\":0.1"), "l1 has no effect");
    warned_data(csv, frozen, JOB("\"max_norm\":1"), "max_norm has no effect");
    taken(LINEAR, JOB("\"l2\":0.1"));
    warned_data(csv, "{\"layers\":[],\"metrics\":[{\"type\":\"top_k_accuracy\",\"k\":2}]}", "{\"target\":\"c\"}",
                "top_k_accuracy is always 1: its k is 2, and there are 2 classes");
    taken("{\"layers\":[],\"metrics\":[{\"type\":\"top_k_accuracy\",\"k\":1}]}", "{\"target\":\"c\"}");
    warned_data(days, LINEAR, JOB("\"validation\":{\"fraction\":0},\"columns\":{\"d\":{\"parts\":[\"time\",\"day\"]}}"),
                "the part \"day\" of column \"d\" has no effect: its dates have no time of day");
    warned_data(dates, LINEAR, JOB("\"validation\":{\"fraction\":0},\"columns\":{\"d\":{\"parts\":[\"day\",\"hour\"]}}"),
                "the part \"hour\" of column \"d\" has no effect: its dates have no minutes");
    warned_data(dates, LINEAR, JOB("\"validation\":{\"fraction\":0},\"columns\":{\"d\":{\"parts\":[\"time\",\"day\"]}}"), NULL);
    warned_data(split, LINEAR, JOB("\"validation\":{\"column\":\"s\",\"fraction\":0.5}"),
                "validation.fraction is 0.5, but column \"s\" says which rows validate, which are 0.25 of them");
    warned_data(split, LINEAR, JOB("\"validation\":{\"column\":\"s\",\"fraction\":0.25}"), NULL);
    refused("{\"layers\":[{\"type\":\"embedding\",\"input_dim\":9,\"output_dim\":2},\"flatten\"]}",
            "{\"target\":\"c\",\"features\":[\"b\"],\"columns\":{\"b\":{\"clip\":3}}}",
            "/columns/b/clip: an embedding reads column \"b\" as indices, which are not scaled, so 3 would have no effect; say 0, or leave clip out");
}
END_TEST

START_TEST(layers_that_contradict) {
    refused("{\"layers\":[{\"type\":\"dense\",\"units\":1,\"activation\":\"sigmoid\"}],\"loss\":\"hinge\"}", "{\"target\":\"c\"}",
            "/model/layers/0: the loss hinge compares scores of any size, but the output layer \"dense_1\" limits them to sigmoid");
    refused("{\"layers\":[{\"type\":\"dense\",\"units\":2,\"activation\":\"softmax\"},{\"type\":\"activation\",\"activation\":\"softmax\"}]}",
            "{\"target\":\"c\"}", "applies softmax to layer \"dense_1\", which already applies softmax");
    refused("{\"layers\":[{\"type\":\"dense\",\"units\":3},{\"type\":\"embedding\",\"input_dim\":5,\"output_dim\":2},\"flatten\"]}",
            "{\"target\":\"c\"}",
            "/model/layers/1: layer \"embedding_1\" (embedding) accepts integers from 0 to 4 as indices, but layer \"dense_1\" (dense) gives it "
            "other numbers");
    refused("{\"layers\":[{\"type\":\"embedding\",\"input_dim\":9,\"output_dim\":2},\"flatten\"]}",
            "{\"target\":\"c\",\"features\":[\"b\"],\"columns\":{\"b\":{\"scale\":\"minmax\"}}}",
            "/columns/b/scale: an embedding reads column \"b\" as indices, which are not scaled, so the string \"minmax\" would have no effect");
}
END_TEST

START_TEST(an_input_that_no_layer_reads) {
    struct resolved r = resolve_json("{\"columns\":{\"x\":[1,2,3,4],\"t\":[[1,2],[4,5],[7,8],[1,0]],\"y\":[0.5,1.25,-3,8]}}",
                                     "{\"layers\":[{\"type\":\"dense\",\"units\":1,\"inputs\":[\"features\"]}]}", "{\"target\":\"y\"}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    ck_assert_str_eq(json_string_value(json_array_get(r.training->warnings, 0)),
                     "no layer reads the input \"t\": the column has no effect; name it in the \"inputs\" of a layer, or leave it out of features");
    resolved_clear(&r);
}
END_TEST

START_TEST(reals_as_classes) {
    char reals[2000] = "a,y\n";
    for (int i = 0; i < 120; i++) snprintf(reals + strlen(reals), 20, "%d,%d.5\n", i, i * 7);
    warned_data(reals, LINEAR, "{\"target\":\"y\",\"task\":\"classification\",\"validation\":{\"fraction\":0}}",
                "target \"y\" has 120 distinct numbers with fractions");
    warned_data(reals, LINEAR, "{\"target\":\"y\"}", NULL);
}
END_TEST

Suite *suite_schema_refusals(void) {
    Suite *suite = suite_create("schema/refusals");
    TCase *tests = tcase_create("refusals");
    tcase_add_test(tests, outputs_that_learn_nothing);
    tcase_add_test(tests, inputs_that_contradict_the_data);
    tcase_add_test(tests, integers_that_hardly_repeat_are_numbers);
    tcase_add_test(tests, no_row_that_validates);
    tcase_add_test(tests, options_without_effect);
    tcase_add_test(tests, batches_and_epochs_without_effect);
    tcase_add_test(tests, learning_rates_without_effect);
    tcase_add_test(tests, parameters_without_effect);
    tcase_add_test(tests, penalties_metrics_and_columns_without_effect);
    tcase_add_test(tests, layers_that_contradict);
    tcase_add_test(tests, an_input_that_no_layer_reads);
    tcase_add_test(tests, reals_as_classes);
    suite_add_tcase(suite, tests);
    return suite;
}
