/* test_training.c - a job resolved against its data: features, task, labels, the output layer that was left out, the loss. */
#include "schema/json/values.h"
#include "schema/text/text.h"
#include "tests/schema/training_support.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_training(void);

#define HIDDEN "{\"layers\":[{\"type\":\"dense\",\"units\":8,\"activation\":\"relu\"}]}"

static void output_is(const char *csv, const char *definition, const char *job, int32_t layers, int32_t width, const char *loss, const char *head) {
    struct resolved r = resolve_text(csv, definition, job);
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    ck_assert_int_eq(r.training->definition->layers_count, layers);
    ck_assert_int_eq(bp_shape_size(&r.training->network->outputs[0].shape), width);
    ck_assert_str_eq(r.training->network->outputs[0].loss->entry.name, loss);
    ck_assert_str_eq(r.training->network->outputs[0].head ? r.training->network->outputs[0].head->entry.name : "none", head);
    resolved_clear(&r);
}

static void refused(const char *csv, const char *definition, const char *job, const char *said) {
    struct resolved r = resolve_text(csv, definition, job);
    ck_assert_ptr_null(r.training);
    ck_assert_msg(strstr(first_problem(&r), said) != NULL, "%s\nlacks %s", first_problem(&r), said);
    resolved_clear(&r);
}

static const char numbers_csv[] = "a,b,y\n1,2,3.5\n2,1,4.5\n3,5,1.25\n4,4,8\n5,0,2\n6,1,3\n7,2,1\n8,3,0\n";
static const char three_csv[] = "a,k\n1,u\n2,v\n3,w\n4,u\n5,v\n6,w\n7,u\n8,v\n";

START_TEST(the_output_layer_follows_from_the_target) {
    output_is(colours_csv, HIDDEN, "{\"target\":\"label\"}", 2, 1, "binary_cross_entropy", "sigmoid");
    output_is(three_csv, HIDDEN, "{\"target\":\"k\"}", 2, 3, "cross_entropy", "softmax");
    output_is(numbers_csv, HIDDEN, "{\"target\":\"y\"}", 2, 1, "mse", "none");
    output_is(three_csv, "{\"layers\":[]}", "{\"target\":\"k\"}", 1, 3, "cross_entropy", "softmax");
}
END_TEST

START_TEST(a_given_output_layer_is_taken) {
    output_is(three_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":3,\"activation\":\"softmax\"}]}", "{\"target\":\"k\"}", 1, 3, "cross_entropy",
              "softmax");
    output_is(three_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":3}]}", "{\"target\":\"k\"}", 1, 3, "cross_entropy", "softmax");
    output_is(colours_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":1,\"activation\":\"sigmoid\"}]}", "{\"target\":\"label\"}", 1, 1,
              "binary_cross_entropy", "sigmoid");
    output_is(colours_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":2,\"activation\":\"softmax\"}]}", "{\"target\":\"label\"}", 1, 2,
              "cross_entropy", "softmax");
    output_is(numbers_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":1}]}", "{\"target\":\"y\"}", 1, 1, "mse", "none");
    output_is(numbers_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":4,\"activation\":\"tanh\"}],\"loss\":\"mae\"}", "{\"target\":\"y\"}", 2, 1,
              "mae", "none");
    output_is(three_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":3,\"activation\":\"softmax\"}],\"loss\":\"mse\"}", "{\"target\":\"k\"}", 1, 3,
              "mse", "none");
    output_is(three_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":3,\"activation\":\"relu\"}]}", "{\"target\":\"k\"}", 2, 3, "cross_entropy",
              "softmax");
}
END_TEST

START_TEST(a_chosen_loss_does_not_need_the_output_layer) {
    static const char with[] = "{\"layers\":[{\"type\":\"dense\",\"units\":8,\"activation\":\"relu\"}],\"loss\":\"%s\"}";
    char text[200];
    snprintf(text, sizeof text, with, "cross_entropy");
    output_is(three_csv, text, "{\"target\":\"k\"}", 2, 3, "cross_entropy", "softmax");
    output_is(colours_csv, text, "{\"target\":\"label\"}", 2, 2, "cross_entropy", "softmax");
    snprintf(text, sizeof text, with, "binary_cross_entropy");
    output_is(colours_csv, text, "{\"target\":\"label\"}", 2, 1, "binary_cross_entropy", "sigmoid");
    refused(three_csv, text, "{\"target\":\"k\"}", "/model/loss: the loss binary_cross_entropy is for two classes, but \"k\" has 3");
    refused(numbers_csv, text, "{\"target\":\"y\"}", "/model/loss: the loss binary_cross_entropy is for classes");
    snprintf(text, sizeof text, with, "mse");
    output_is(colours_csv, text, "{\"target\":\"label\"}", 2, 2, "mse", "none");
}
END_TEST

/* A map by output, for the only output: as if given without the map. */
START_TEST(a_map_for_the_only_output) {
    output_is(three_csv, "{\"layers\":[],\"loss\":{\"out\":\"cross_entropy\"}}", "{\"target\":\"k\"}", 1, 3, "cross_entropy", "softmax");
    output_is(colours_csv, "{\"layers\":[],\"loss\":{\"label\":\"binary_cross_entropy\"}}", "{\"target\":\"label\"}", 1, 1, "binary_cross_entropy",
              "sigmoid");
    output_is(three_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":3,\"name\":\"out\"}],\"loss\":{\"out\":{\"type\":\"focal\",\"gamma\":1}}}",
              "{\"target\":\"k\"}", 1, 3, "focal", "softmax");
    output_is(numbers_csv, "{\"layers\":[],\"loss\":{\"y\":\"mae\"}}", "{\"target\":\"y\"}", 1, 1, "mae", "none");
    output_is(numbers_csv, "{\"layers\":[],\"loss\":{\"y\":\"gaussian_nll\"},\"metrics\":{\"y\":[\"mae\"]}}", "{\"target\":\"y\"}", 1, 2,
              "gaussian_nll", "none");
    output_is(numbers_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":2}],\"loss\":{\"both\":\"huber\"}}",
              "{\"target\":[\"y\",\"b\"],\"task\":\"regression\"}", 1, 2, "huber", "none");
    output_is(numbers_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":1}],\"loss\":{\"cost\":\"mae\"}}", "{\"target\":{\"cost\":\"y\"}}", 1, 1,
              "mae", "none");
    refused(numbers_csv, "{\"layers\":[],\"loss\":{\"y\":\"cross_entropy\"}}", "{\"target\":\"y\"}",
            "/model/loss/y: the loss cross_entropy is for classes, but \"y\" is a regression");
    refused(three_csv, "{\"layers\":[],\"metrics\":{\"k\":[\"mae\"]}}", "{\"target\":\"k\"}",
            "/model/metrics/k/0: the metric \"mae\" is for regression");
    refused(numbers_csv, "{\"layers\":[],\"loss\":{\"cots\":\"mae\"}}", "{\"target\":{\"cost\":\"y\"}}",
            "/model/loss/cots: loss names \"cots\", but no output has that name, did you mean \"cost\"?");
}
END_TEST

/* An only output has no other loss to be weighed against; a name that nothing has is taken, with a word. */
START_TEST(a_map_for_the_only_output_is_warned_of) {
    static const struct {
        const char *definition, *warning;
    } cases[] = {
        {"{\"layers\":[],\"loss\":{\"out\":\"mse\"}}", "no output is named \"out\""},
        {"{\"layers\":[],\"loss_weights\":{\"y\":2}}", "loss_weights has no effect"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct resolved r = resolve_text(numbers_csv, cases[i].definition, "{\"target\":\"y\",\"task\":\"regression\"}");
        ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
        ck_assert_uint_eq(json_array_size(r.training->warnings), 1);
        ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(r.training->warnings, 0)), cases[i].warning));
        resolved_clear(&r);
    }
}
END_TEST

START_TEST(losses_of_several_outputs_and_of_scores) {
    static const char with[] = "{\"layers\":[{\"type\":\"dense\",\"units\":%d}],\"loss\":%s}";
    static const char below[] = "a,y\n1,3.5\n2,-4.5\n3,1\n4,2\n5,7\n";
    char text[200];
    snprintf(text, sizeof text, with, 8, "{\"type\":\"quantile\",\"quantiles\":[0.05,0.5]}");
    output_is(numbers_csv, text, "{\"target\":\"y\"}", 2, 2, "quantile", "none");
    snprintf(text, sizeof text, with, 3, "\"quantile\"");
    output_is(numbers_csv, text, "{\"target\":\"y\"}", 1, 3, "quantile", "none");
    snprintf(text, sizeof text, with, 3, "{\"type\":\"quantile\",\"quantiles\":[0.5,0.05,0.9]}");
    refused(numbers_csv, text, "{\"target\":\"y\"}", "the quantiles must increase, but 0.5 is followed by 0.05");
    snprintf(text, sizeof text, with, 8, "\"gaussian_nll\"");
    output_is(numbers_csv, text, "{\"target\":\"y\"}", 2, 2, "gaussian_nll", "none");
    refused(three_csv, text, "{\"target\":\"k\"}", "/model/loss: the loss gaussian_nll is for numbers");
    snprintf(text, sizeof text, with, 1, "\"poisson\"");
    output_is(numbers_csv, text, "{\"target\":\"y\"}", 1, 1, "poisson", "exponential");
    refused(below, text, "{\"target\":\"y\",\"task\":\"regression\"}",
            "/model/loss: the loss poisson is for numbers that are not negative, but the minimum of \"y\" is -4.5 in row 2; use mse or mae");
    refused("a,y\n1,3.5\n2,0\n3,1\n", "{\"layers\":[],\"loss\":\"gamma\"}", "{\"target\":\"y\",\"task\":\"regression\"}",
            "/model/loss: the loss gamma is for positive numbers, but the minimum of \"y\" is 0 in row 2; use mse or mae");
    output_is(three_csv, "{\"layers\":[],\"loss\":\"ordinal\"}", "{\"target\":\"k\"}", 1, 3, "ordinal", "ordinal");
    refused(numbers_csv, "{\"layers\":[],\"loss\":\"ordinal\"}", "{\"target\":\"y\"}", "/model/loss: the loss ordinal is for classes");
    output_is(numbers_csv, "{\"layers\":[],\"loss\":\"msle\"}", "{\"target\":\"y\"}", 1, 1, "msle", "exponential");
    output_is(numbers_csv, "{\"layers\":[],\"loss\":\"tweedie\"}", "{\"target\":\"y\"}", 1, 1, "tweedie", "exponential");
    struct resolved r = resolve_text(numbers_csv, text, "{\"target\":\"y\"}");
    ck_assert(r.training->preprocessing->targets[0].std == 1 && r.training->preprocessing->targets[0].mean == 0);
    resolved_clear(&r);
    snprintf(text, sizeof text, with, 8, "\"hinge\"");
    output_is(three_csv, text, "{\"target\":\"k\"}", 2, 3, "hinge", "none");
    refused(numbers_csv, text, "{\"target\":\"y\"}", "/model/loss: the loss hinge is for classes");
    snprintf(text, sizeof text, with, 1, "\"hinge\"");
    output_is(colours_csv, text, "{\"target\":\"label\"}", 1, 1, "hinge", "none");
    refused(colours_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":1}],\"loss\":\"hinge\",\"metrics\":[\"accuracy\",\"log_loss\"]}",
            "{\"target\":\"label\"}", "/model/metrics/1: the metric \"log_loss\" needs probabilities");
}
END_TEST

/* Softmax and sigmoid give probabilities, whichever the loss; nothing else does. */
START_TEST(outputs_that_are_no_probabilities) {
    static const struct {
        const char *csv, *layer, *target;
        bool scores;
    } cases[] = {{three_csv, "{\"type\":\"dense\",\"units\":3,\"activation\":\"softmax\"}],\"loss\":\"mse\"", "k", false},
                 {three_csv, "{\"type\":\"dense\",\"units\":3,\"activation\":\"sigmoid\"}],\"loss\":\"mse\"", "k", false},
                 {three_csv, "{\"type\":\"dense\",\"units\":3}],\"loss\":\"mse\"", "k", true},
                 {three_csv, "{\"type\":\"dense\",\"units\":3}],\"loss\":\"kl_divergence\"", "k", false},
                 {three_csv, "{\"type\":\"dense\",\"units\":3}],\"loss\":\"hinge\"", "k", true},
                 {three_csv, "{\"type\":\"dense\",\"units\":3}]", "k", false},
                 {colours_csv, "{\"type\":\"dense\",\"units\":1}]", "label", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char definition[200], job[40];
        snprintf(definition, sizeof definition, "{\"layers\":[%s}", cases[i].layer);
        snprintf(job, sizeof job, "{\"target\":\"%s\"}", cases[i].target);
        struct resolved r = resolve_text(cases[i].csv, definition, job);
        ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
        ck_assert_msg(schema_training_scores(r.training, 0) == cases[i].scores, "%s", definition);
        resolved_clear(&r);
    }
}
END_TEST

START_TEST(lists_of_numbers) {
    static const char with[] = "{\"layers\":[],\"loss\":{\"type\":\"quantile\",\"quantiles\":%s}}";
    char text[300];
    snprintf(text, sizeof text, with, "[]");
    refused(numbers_csv, text, "{\"target\":\"y\"}", "/model/loss/quantiles: quantiles must be a list of 1 to 16 numbers, got an array of 0");
    snprintf(text, sizeof text, with, "[0.1,1]");
    refused(numbers_csv, text, "{\"target\":\"y\"}", "quantiles must be a list of numbers, each above 0 and below 1, got 1");
    snprintf(text, sizeof text, with, "[0.1,\"half\"]");
    refused(numbers_csv, text, "{\"target\":\"y\"}", "got the string \"half\"");
    snprintf(text, sizeof text, with, "[0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.91,0.92,0.93,0.94,0.95,0.96,0.97,0.98]");
    refused(numbers_csv, text, "{\"target\":\"y\"}", "got an array of 17");
    snprintf(text, sizeof text, with, "0.25");
    struct resolved r = resolve_text(numbers_csv, text, "{\"target\":\"y\"}");
    json_t *json = schema_definition_encode(r.training->definition), *expected = json_pack("{s:s, s:[f]}", "type", "quantile", "quantiles", 0.25);
    ck_assert(json_equal(json_object_get(json, "loss"), expected));
    json_decref(json);
    json_decref(expected);
    resolved_clear(&r);
}
END_TEST

/* The wrong value of a parameter is reported with its place, in every family. */
static void misfits(const struct bp_family *family, const char *text, const char *said) {
    struct schema_problems problems = {0};
    struct bp_value values[BP_VALUES_MAX];
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    ck_assert_ptr_nonnull(json);
    ck_assert_ptr_null(schema_entry_decode(json, "/it", family, NULL, values, &problems));
    ck_assert_int_ge(problems.count, 1);
    struct schema_text line = {.limit = 1000};
    schema_text_format(&line, "%s: %s", problems.items[0].pointer, problems.items[0].detail);
    ck_assert_msg(strstr(line.bytes, said) != NULL, "%s\nlacks %s", line.bytes, said);
    free(line.bytes);
    schema_problems_clear(&problems);
    json_decref(json);
}

START_TEST(wrong_parameters) {
    misfits(&bp_schedules, "{\"type\":\"cosine\",\"period_factor\":0.5}", "/it/period_factor: period_factor must be a number of at least 1");
    misfits(&bp_schedules, "{\"type\":\"step\",\"step_size\":2.5}", "/it/step_size: step_size must be an integer of at least 1");
    misfits(&bp_schedules, "{\"type\":\"exponential\",\"gamma\":0}", "/it/gamma: gamma must be a number above 0");
    misfits(&bp_schedules, "{\"type\":\"one_cycle\",\"pct_start\":1}", "/it/pct_start: pct_start must be a number above 0 and below 1");
    misfits(&bp_schedules, "{\"type\":\"polynomial\",\"power\":0}", "/it/power: power must be a number above 0");
    misfits(&bp_schedules, "{\"type\":\"reduce_on_plateau\",\"threshold_mode\":\"relative\"}",
            "/it/threshold_mode: threshold_mode must be one of \"rel\", \"abs\"");
    misfits(&bp_schedules, "{\"type\":\"constant\",\"warmup_epochs\":-1}", "/it/warmup_epochs: warmup_epochs must be a number of at least 0");
    misfits(&bp_schedules, "{\"type\":\"constant\",\"warmup\":1}", "/it/warmup: unknown field \"warmup\"");
    misfits(&bp_schedules, "\"cosin\"", "/it: there is no schedule \"cosin\", did you mean \"cosine\"?");
    misfits(&bp_optimizers, "{\"type\":\"adam\",\"amsgrad\":1}", "/it/amsgrad: amsgrad must be true or false");
    misfits(&bp_optimizers, "{\"type\":\"nadam\",\"momentum_decay\":-1}", "/it/momentum_decay: momentum_decay must be a number of at least 0");
    misfits(&bp_initializers, "{\"type\":\"constant\",\"value\":\"1\"}", "/it/value: value must be a number");
    misfits(&bp_metrics, "{\"type\":\"top_k_accuracy\",\"k\":1.5}", "/it/k: k must be an integer of at least 1");
}
END_TEST

START_TEST(misfits_are_refused) {
    refused(three_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":3,\"kernel_initializer\":{\"type\":\"orthogonal\",\"gain\":0}}]}",
            "{\"target\":\"k\"}", "/layers/0/kernel_initializer/gain: gain must be a number above 0");
    refused(three_csv, "{\"layers\":[{\"type\":\"dense\",\"units\":4,\"activation\":\"softmax\"}]}", "{\"target\":\"k\"}",
            "/model/layers/0: the output layer gives 4 numbers, but \"k\" has 3 classes");
    refused(numbers_csv, "{\"layers\":[],\"loss\":\"cross_entropy\"}", "{\"target\":\"y\"}", "/model/loss: the loss cross_entropy is for classes");
    refused(numbers_csv, "{\"layers\":[],\"metrics\":[\"accuracy\"]}", "{\"target\":\"y\"}",
            "/model/metrics/0: the metric \"accuracy\" is for classification");
    refused(numbers_csv, HIDDEN, "{\"target\":\"yy\"}", "/target: the dataset has no column \"yy\", did you mean \"y\"?");
    refused(numbers_csv, HIDDEN, "{\"target\":\"y\",\"features\":[\"a\",\"a\"]}", "/features/1: column \"a\" is listed twice");
    refused(numbers_csv, HIDDEN, "{\"target\":\"y\",\"features\":[\"y\"]}", "/features/0: column \"y\" is the target");
    refused(numbers_csv, HIDDEN, "{\"target\":\"y\",\"features\":[]}", "/features: features must name at least one column");
    refused(numbers_csv, HIDDEN, "{\"target\":\"y\",\"features\":[3]}", "/features/0: a feature must be the name of a column, got 3");
    refused(three_csv, HIDDEN, "{\"target\":\"k\",\"task\":\"regression\"}", "/task: column \"k\" is categorical and cannot be regressed");
    refused(three_csv, HIDDEN, "{\"target\":\"k\",\"task\":\"cluster\"}", "/task: task must be \"classification\" or \"regression\"");
    refused("a,k\n1,u\n2,u\n", HIDDEN, "{\"target\":\"k\"}", "/target: column \"k\" has only one value, \"u\"");
    refused(three_csv, HIDDEN, "{\"target\":\"k\",\"early_stopping\":{\"metric\":\"val_acuracy\"}}",
            "/early_stopping/metric: this job has no metric \"val_acuracy\", did you mean \"val_accuracy\"?");
    refused(three_csv, HIDDEN, "{\"target\":\"k\",\"validation\":{\"fraction\":0},\"early_stopping\":{\"metric\":\"val_loss\"}}",
            "needs validation rows");
    refused(three_csv, HIDDEN, "{\"epochs\":3}", ": a job needs \"target\"");
}
END_TEST

START_TEST(the_task_is_inferred) {
    struct resolved r = resolve_text("a,k\n1,10\n2,2\n3,10\n4,2\n5,3\n6,3\n", HIDDEN, "{\"target\":\"k\"}");
    ck_assert_ptr_nonnull(r.training);
    const struct schema_target *t = &r.training->preprocessing->targets[0];
    ck_assert(t->classification);
    ck_assert_int_eq(t->labels_count, 3);
    ck_assert_str_eq(t->labels[0], "2"); /* numbers sort by value, not as text */
    ck_assert_str_eq(t->labels[1], "3");
    ck_assert_str_eq(t->labels[2], "10");
    ck_assert_uint_eq(json_array_size(r.training->warnings), 2);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(r.training->warnings, 0)), "\"task\":\"regression\""));
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_array_get(r.training->warnings, 1)), "is treated as a hidden layer: an output layer was added"));
    resolved_clear(&r);
    r = resolve_text("a,k\n1,10\n2,2\n3,10\n4,2\n5,3\n6,3\n", HIDDEN, "{\"target\":\"k\",\"task\":\"regression\"}");
    ck_assert(!r.training->preprocessing->targets[0].classification);
    ck_assert_uint_eq(json_array_size(r.training->warnings), 1); /* of the output layer that was added */
    resolved_clear(&r);
}
END_TEST

/* Where a target is put for an output that cannot take every value: [origin, unit] by hand. */
START_TEST(targets_in_the_range_of_their_output) {
    static const struct {
        const char *activation, *values;
        double origin, unit;
    } heads[] = {
        {"relu", "0 50 100", 0, 40.824829046386306},
        {"softplus", "-20 0 40", -20, 24.94438257849294},
        {"exponential", "900 950 1000", 900, 40.824829046386306},
        {"sigmoid", "100 150 200", 94.44444444444444, 111.11111111111111},
        {"sigmoid", "0.1 0.5 0.9", 0, 1},
        {"tanh", "100 150 200", 150, 55.55555555555556},
        {"tanh", "-0.5 0 0.9", 0, 1},
        {"relu6", "0 10 54", -3, 10},
        {"linear", "100 150 200", 150, 40.824829046386306},
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        char csv[200] = "x,y\n", definition[200], values[40];
        snprintf(values, sizeof values, "%s", heads[i].values);
        int x = 0;
        for (char *at, *value = strtok_r(values, " ", &at); value; value = strtok_r(NULL, " ", &at))
            snprintf(csv + strlen(csv), sizeof csv - strlen(csv), "%d,%s\n", x++, value);
        snprintf(definition, sizeof definition, "{\"layers\":[{\"type\":\"dense\",\"units\":1,\"activation\":\"%s\"}],\"loss\":\"mse\"}",
                 heads[i].activation);
        struct resolved r = resolve_text(csv, definition, "{\"target\":\"y\",\"task\":\"regression\",\"validation\":{\"fraction\":0}}");
        ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
        const struct schema_target *t = &r.training->preprocessing->targets[0];
        ck_assert_msg(fabs(t->mean - heads[i].origin) < 1e-9 && fabs(t->std - heads[i].unit) < 1e-9, "%s %s: %.15g, %.15g", heads[i].activation,
                      heads[i].values, t->mean, t->std);
        resolved_clear(&r);
    }
}
END_TEST

START_TEST(a_spec_gives_the_same_training) {
    struct bp_error error = {0};
    struct resolved r =
        resolve_text(colours_csv, HIDDEN, "{\"target\":\"label\",\"seed\":4,\"epochs\":7,\"l2\":0.125,\"early_stopping\":{\"patience\":3}}");
    ck_assert_ptr_nonnull(r.training);
    json_t *once = schema_training_encode(r.training);
    char *text = json_dumps(once, JSON_COMPACT);
    json_t *read = json_loads(text, 0, NULL);
    struct schema_training *again = schema_training_decode(read, &error);
    ck_assert_msg(again != NULL, "%s", error.message);
    json_t *twice = schema_training_encode(again);
    ck_assert(json_equal(once, twice));
    ck_assert_int_eq(again->options.epochs, 7);
    ck_assert_double_eq(again->options.l2, 0.125);
    ck_assert_str_eq(again->options.stop_metric, "val_loss");
    schema_training_free(again);
    json_decref(once);
    json_decref(twice);
    json_decref(read);
    free(text);
    resolved_clear(&r);
}
END_TEST

START_TEST(ids_are_left_out_unless_named) {
    char csv[4000] = "id,x,y\n";
    for (int i = 0; i < 80; i++) {
        size_t n = strlen(csv);
        snprintf(csv + n, sizeof csv - n, "row-%d,%d,%s\n", i, i, i % 2 ? "p" : "q");
    }
    struct resolved r = resolve_text(csv, HIDDEN, "{\"target\":\"y\"}");
    ck_assert_int_eq(r.training->preprocessing->features_count, 1);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_array_get(r.training->warnings, 0)), "column \"id\" is left out"));
    resolved_clear(&r);
    r = resolve_text(csv, HIDDEN, "{\"target\":\"y\",\"features\":[\"id\",\"x\"]}");
    ck_assert_int_eq(r.training->preprocessing->features_count, 2);
    resolved_clear(&r);
}
END_TEST

Suite *suite_schema_training(void) {
    Suite *suite = suite_create("schema/training");
    TCase *tests = tcase_create("training");
    tcase_add_test(tests, the_output_layer_follows_from_the_target);
    tcase_add_test(tests, a_given_output_layer_is_taken);
    tcase_add_test(tests, a_chosen_loss_does_not_need_the_output_layer);
    tcase_add_test(tests, a_map_for_the_only_output);
    tcase_add_test(tests, a_map_for_the_only_output_is_warned_of);
    tcase_add_test(tests, losses_of_several_outputs_and_of_scores);
    tcase_add_test(tests, outputs_that_are_no_probabilities);
    tcase_add_test(tests, lists_of_numbers);
    tcase_add_test(tests, wrong_parameters);
    tcase_add_test(tests, misfits_are_refused);
    tcase_add_test(tests, the_task_is_inferred);
    tcase_add_test(tests, targets_in_the_range_of_their_output);
    tcase_add_test(tests, a_spec_gives_the_same_training);
    tcase_add_test(tests, ids_are_left_out_unless_named);
    suite_add_tcase(suite, tests);
    return suite;
}
