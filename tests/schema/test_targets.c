/* test_targets.c - several targets: a list learned by one output or with an output each, a map by layer, mixed tasks, tensors; what is wrong with a
 * request, with its place; specs that decode to the same training; the predictions of each kind. */
#include "schema/predict/predictor.h"
#include "tests/memory_file.h"
#include "tests/schema/training_support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_targets(void);

#define HIDDEN       "{\"type\":\"dense\",\"units\":8,\"activation\":\"relu\"}"
#define DENSE(units) "{\"type\":\"dense\",\"units\":" #units "}"

/* Means 15.5 and 350.25, deviations 5 and 150; kind of three classes, up of two. */
static const char csv[] = "a,b,price,tall,kind,up\n"
                          "1,2,10.5,200.25,u,yes\n2,1,20.5,500.25,v,no\n3,5,10.5,200.25,w,yes\n4,4,20.5,500.25,u,no\n"
                          "5,0,10.5,200.25,v,yes\n6,1,20.5,500.25,w,no\n7,2,10.5,200.25,u,yes\n8,3,20.5,500.25,v,no\n";

/* "price:mse/1 kind:cross_entropy/3": name, loss and width of each output, after the spec was decoded again, which must encode to the same. */
static void outputs_are(const char *definition, const char *job, const char *expected) {
    struct resolved r = resolve_text(csv, definition, job);
    struct bp_error error = {0};
    char got[400] = "";
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    json_t *once = schema_training_encode(r.training);
    struct schema_training *again = schema_training_decode(once, &error);
    ck_assert_msg(again != NULL, "%s", error.message);
    json_t *twice = schema_training_encode(again);
    ck_assert(json_equal(once, twice));
    for (int32_t i = 0; i < 2; i++) {
        const struct schema_training *t = i ? again : r.training;
        *got = 0;
        for (int32_t o = 0; o < t->network->outputs_count; o++) {
            const struct bp_output *output = &t->network->outputs[o];
            const struct schema_output *learns = &t->preprocessing->outputs[o];
            const size_t n = strlen(got);
            snprintf(got + n, sizeof got - n, "%s%s:%s/%d", o ? " " : "", t->network->outputs_count > 1 ? learns->name : "", output->loss->entry.name,
                     (int)bp_shape_size(&output->shape));
            for (int32_t k = learns->first; k < learns->first + learns->count; k++) {
                const size_t used = strlen(got);
                snprintf(got + used, sizeof got - used, "%s%s", k > learns->first ? "+" : "=", t->preprocessing->targets[k].name);
            }
        }
        ck_assert_str_eq(got, expected);
    }
    schema_training_free(again);
    json_decref(once);
    json_decref(twice);
    resolved_clear(&r);
}

START_TEST(side_by_side) {
    outputs_are("{\"layers\":[" HIDDEN "," DENSE(2) "]}", "{\"target\":[\"price\",\"tall\"],\"features\":[\"a\",\"b\"]}", ":mse/2=price+tall");
    outputs_are("{\"layers\":[" HIDDEN "," DENSE(6) "],\"loss\":\"quantile\"}", "{\"target\":[\"tall\",\"price\"]}", ":quantile/6=tall+price");
    outputs_are("{\"layers\":[{\"type\":\"dense\",\"units\":2,\"activation\":\"tanh\"}],\"loss\":\"mae\"}", "{\"target\":[\"price\",\"tall\"]}",
                ":mae/2=price+tall");
}
END_TEST

START_TEST(an_output_each) {
    outputs_are("{\"layers\":[" HIDDEN "]}", "{\"target\":[\"price\",\"tall\"]}", "price:mse/1=price tall:mse/1=tall");
    outputs_are("{\"layers\":[" HIDDEN "]}", "{\"target\":[\"price\",\"kind\",\"up\"]}",
                "price:mse/1=price kind:cross_entropy/3=kind up:binary_cross_entropy/1=up");
    outputs_are("{\"layers\":[" HIDDEN "],\"loss\":{\"price\":\"huber\",\"kind\":\"focal\"}}", "{\"target\":[\"kind\",\"price\"]}",
                "kind:focal/3=kind price:huber/1=price");
    outputs_are(
        "{\"layers\":[{\"type\":\"dense\",\"units\":8,\"name\":\"t\"},{\"type\":\"dense\",\"units\":3,\"name\":\"k\",\"activation\":\"softmax\"},"
        "{\"type\":\"dense\",\"units\":1,\"name\":\"p\",\"inputs\":[\"t\"]}],\"outputs\":[\"k\",\"p\"]}",
        "{\"target\":[\"kind\",\"price\"]}", "k:cross_entropy/3=kind p:mse/1=price");
    /* a last layer that would do is not the output of two targets at once: each gets its own */
    outputs_are("{\"layers\":[" HIDDEN ",{\"type\":\"dense\",\"units\":1}]}", "{\"target\":[\"price\",\"up\"]}",
                "price:mse/1=price up:binary_cross_entropy/1=up");
    /* the layer named like a column is its output; the other is made */
    outputs_are("{\"layers\":[" HIDDEN ",{\"type\":\"dense\",\"units\":1,\"name\":\"price\"}]}", "{\"target\":[\"price\"]}", ":mse/1=price");
}
END_TEST

START_TEST(a_map_by_layer) {
    outputs_are("{\"layers\":[" HIDDEN "]}", "{\"target\":{\"cost\":\"price\",\"way\":\"kind\"}}", "cost:mse/1=price way:cross_entropy/3=kind");
    outputs_are("{\"layers\":[" HIDDEN "]}", "{\"target\":{\"both\":[\"price\",\"tall\"],\"way\":\"up\"}}",
                "both:mse/2=price+tall way:binary_cross_entropy/1=up");
    outputs_are("{\"layers\":[" HIDDEN ",{\"type\":\"dense\",\"units\":2,\"name\":\"both\"}]}", "{\"target\":{\"both\":[\"tall\",\"price\"]}}",
                ":mse/2=tall+price");
    outputs_are("{\"layers\":[" HIDDEN ",{\"type\":\"dense\",\"units\":1,\"name\":\"cost\"}]}", "{\"target\":{\"cost\":\"price\"}}", ":mse/1=price");
}
END_TEST

/* The weights of losses, and the metrics, by output; a common list goes to those that it suits. */
START_TEST(losses_and_metrics_by_output) {
    struct resolved r = resolve_text(csv, "{\"layers\":[" HIDDEN "],\"loss_weights\":{\"price\":0.25},\"metrics\":[\"f1\",\"mae\",\"accuracy\"]}",
                                     "{\"target\":[\"price\",\"kind\"],\"early_stopping\":{\"metric\":\"val_kind_f1\"}}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    const struct bp_train_options options = schema_training_options(r.training);
    char names[16][BP_NAME_MAX];
    static const char *const expected[] = {"loss",      "val_loss",      "price_loss", "val_price_loss", "price_mae",     "val_price_mae",
                                           "kind_loss", "val_kind_loss", "kind_f1",    "val_kind_f1",    "kind_accuracy", "val_kind_accuracy"};
    ck_assert_int_eq(bp_train_metric_names(r.training->network, &options, true, names, 16), 12);
    for (int i = 0; i < 12; i++) ck_assert_str_eq(names[i], expected[i]);
    ck_assert(r.training->network->outputs[0].weight == 0.25);
    ck_assert(r.training->network->outputs[1].weight == 1);
    ck_assert(options.tasks[0].classes == 0 && options.tasks[1].classes == 3);
    resolved_clear(&r);
    r = resolve_text(csv, "{\"layers\":[" DENSE(2) "]}", "{\"target\":[\"price\",\"tall\"],\"validation\":{\"fraction\":0}}");
    const struct bp_train_options both = schema_training_options(r.training);
    ck_assert_double_eq_tol(both.tasks[0].units[0], 5, 1e-9);
    ck_assert_double_eq_tol(both.tasks[0].units[1], 150, 1e-9);
    ck_assert_double_eq_tol(both.tasks[0].origins[1], 350.25, 1e-9);
    resolved_clear(&r);
}
END_TEST

/* Eight outputs, each with a loss and three metrics, of training and validation: any of them can be watched, the last too. */
START_TEST(the_last_of_many_metrics_can_be_watched) {
    struct resolved r = resolve_text(
        "x,a,b,c,d,e,f,g,h\n1,1.5,2,3,4,5,6,7,8\n2,1,2,3.5,4,5,6,7,8.5\n3,3,1.5,2,2.5,1,2.5,3,4.5\n4,1,0.5,2,3,4.5,3,2,1\n5,2,1,2,3,4,3,2.5,1\n",
        "{\"layers\":[" HIDDEN "]}",
        "{\"task\":\"regression\",\"target\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\"],"
        "\"early_stopping\":{\"metric\":\"val_h_r2\"}}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    ck_assert_int_eq(r.training->network->outputs_count, 8);
    resolved_clear(&r);
}
END_TEST

/* ---- what is wrong ------------------------------------------------------------------------------------------------------ */

static void refused(const char *definition, const char *job, const char *said) {
    struct resolved r = resolve_text(csv, definition, job);
    ck_assert_msg(!r.training, "%s %s was taken", definition, job);
    ck_assert_msg(strstr(first_problem(&r), said) != NULL, "%s\nlacks %s", first_problem(&r), said);
    resolved_clear(&r);
}

START_TEST(wrong_requests) {
    static const char net[] = "{\"layers\":[" HIDDEN "]}";
    refused(net, "{\"target\":3}", "/target: target must be the name of a column, a list of columns, or an object of columns by output layer, got 3");
    refused(net, "{\"target\":[]}", "/target: target must name at least one column");
    refused(net, "{\"target\":{}}", "/target: target must name 1 to 8 output layers");
    refused(net, "{\"target\":[\"price\",4]}", "/target/1: a target must be the name of a column, got 4");
    refused(net, "{\"target\":[\"price\",\"price\"]}", "/target/1: column \"price\" is listed twice as a target");
    refused(net, "{\"target\":[\"price\",\"tal\"]}", "/target/1: the dataset has no column \"tal\", did you mean \"tall\"?");
    refused(net, "{\"target\":{\"x\":\"prise\"}}", "/target/x: the dataset has no column \"prise\", did you mean \"price\"?");
    refused(net, "{\"target\":{\"x\":[\"price\",\"prise\"]}}", "/target/x/1: the dataset has no column \"prise\"");
    refused(net, "{\"target\":{\"x\":[]}}", "/target/x: target must name at least one column");
    refused(net, "{\"target\":{\"x\":[\"price\",\"kind\"]}}", "/target/x/0: one output learns several columns only when all are numbers");
    refused(net, "{\"target\":{\"x/y\":\"price\",\"z\":\"kind\"}}", "contains \"/\"");
    refused(net, "{\"target\":[\"price\",\"kind\"],\"task\":{\"kind\":\"regression\"}}", "column \"kind\" is categorical and cannot be regressed");
    refused(net, "{\"target\":[\"price\",\"kind\"],\"task\":{\"price\":\"cluster\"}}",
            "/task/price: task must be \"classification\" or \"regression\"");
    refused(net, "{\"target\":[\"price\",\"kind\"],\"task\":{\"prise\":\"regression\"}}",
            "/task/prise: \"prise\" is not a target, did you mean \"price\"?");
    refused(net, "{\"target\":[\"price\",\"tall\"],\"features\":[\"a\",\"price\"]}", "/features/1: column \"price\" is the target");
    refused("{\"layers\":[" HIDDEN "],\"loss\":{\"prise\":\"mse\"}}", "{\"target\":[\"price\",\"kind\"]}",
            "names \"prise\", but no output has that name");
    refused("{\"layers\":[" HIDDEN "],\"loss\":{\"kind\":\"mse\",\"price\":\"cross_entropy\"}}", "{\"target\":[\"price\",\"kind\"]}",
            "/model/loss/price: the loss cross_entropy is for classes, but \"price\" is a regression");
    refused("{\"layers\":[" HIDDEN "],\"metrics\":{\"price\":[\"mae\",\"f1\"]}}", "{\"target\":[\"price\",\"kind\"]}",
            "/model/metrics/price/1: the metric \"f1\" is for classification, but this job is a regression");
    refused("{\"layers\":[" HIDDEN "],\"metrics\":[\"mae\",\"f1\"]}", "{\"target\":[\"price\",\"tall\"]}",
            "/model/metrics/1: the metric \"f1\" applies to none of the outputs");
    refused("{\"layers\":[" HIDDEN "," DENSE(1) "],\"outputs\":[\"dense_1\",\"dense_2\"]}", "{\"target\":[\"price\",\"tall\",\"kind\"]}",
            "/target: the definition has 2 outputs, but there are 3 targets");
    refused("{\"layers\":[" HIDDEN ",{\"type\":\"dense\",\"units\":5,\"name\":\"k\",\"activation\":\"softmax\"}]}",
            "{\"target\":{\"k\":\"kind\",\"p\":\"price\"}}", "/model/layers/1: the output layer gives 5 numbers, but \"kind\" has 3 classes");
    refused("{\"layers\":[]}", "{\"target\":[\"price\",\"kind\"]}", "/model: a network of several outputs needs at least one layer before them");
    refused(net, "{\"target\":\"price\",\"early_stopping\":{\"metric\":\"val_price_loss\"}}", "this job has no metric \"val_price_loss\"");
}
END_TEST

START_TEST(wrong_weights) {
    static const char net[] = "{\"layers\":[" HIDDEN "]}";
    refused(net, "{\"target\":\"price\",\"sample_weight\":3}", "/sample_weight: sample_weight must be the name of a column, got 3");
    refused(net, "{\"target\":\"price\",\"sample_weight\":\"aa\"}", "/sample_weight: the dataset has no column \"aa\"");
    refused(net, "{\"target\":\"price\",\"sample_weight\":\"kind\"}",
            "/sample_weight: sample_weight must be a column of numbers, one per row; \"kind\" is categorical");
    refused(net, "{\"target\":\"price\",\"sample_weight\":\"price\"}",
            "/sample_weight: column \"price\" is the target, so it cannot be the sample weight");
    refused(net, "{\"target\":\"price\",\"sample_weight\":\"a\",\"features\":[\"a\",\"b\"]}", "/features/0: column \"a\" is the sample weight");
    refused(net, "{\"target\":\"kind\",\"class_weights\":3}", "/class_weights: class_weights must be \"balanced\" or an object of weights by label");
    refused(net, "{\"target\":\"kind\",\"class_weights\":\"balance\"}", "/class_weights: class_weights must be \"balanced\"");
    refused(net, "{\"target\":\"kind\",\"class_weights\":{\"x\":1}}", "/class_weights/x: \"kind\" has no class \"x\"");
    refused(net, "{\"target\":\"kind\",\"class_weights\":{\"u\":-1}}",
            "/class_weights/u: the weight of a class must be a number from 0 to 1e6, got -1");
    refused(net, "{\"target\":\"kind\",\"class_weights\":{\"u\":0,\"v\":0,\"w\":0}}", "/class_weights: all classes have the weight 0");
    refused(net, "{\"target\":[\"kind\",\"up\"],\"class_weights\":{\"u\":2}}",
            "/class_weights: weights by label are for one target of classes, but there are 2");
    refused(net, "{\"target\":\"tall\",\"task\":\"regression\",\"class_weights\":\"balanced\"}",
            "/class_weights: class_weights are for classes, but the target is a number");
    struct resolved r = resolve_text("w,y\n1,2\n-1,3\n2,4.5\n", net, "{\"target\":\"y\",\"sample_weight\":\"w\"}");
    ck_assert_msg(strstr(first_problem(&r), "\"w\" goes from -1 to 2") != NULL, "%s", first_problem(&r));
    resolved_clear(&r);
    r = resolve_text("x,w,y\n1,,2\n2,1,3\n3,2,4.5\n", net, "{\"target\":\"y\",\"sample_weight\":\"w\"}");
    ck_assert_msg(strstr(first_problem(&r), "\"w\" has 1 missing cells") != NULL, "%s", first_problem(&r));
    resolved_clear(&r);
}
END_TEST

/* ---- weights that rows get ----------------------------------------------------------------------------------------------- */

/* Weights of rows 0..n as the trainer sees them. */
static void weights_are(const struct resolved *r, bool training, const double *expected, int n) {
    struct bp_error error = {0};
    struct schema_view *view = schema_view_new(r->training->preprocessing, r->loaded.data, true, &error);
    struct schema_source *source = NULL;
    int64_t rows[16];
    float x[16 * 8], y[16 * 4], weights[16];
    for (int64_t i = 0; i < n; i++) rows[i] = i;
    const struct schema_source_options options = {.view = view, .rows = rows, .n = n, .training = training, .memory_max = SCHEMA_SOURCE_MEMORY};
    ck_assert_int_eq(schema_source_new(&options, &source, &error), 0);
    const struct bp_source batches = schema_source_batches(source);
    ck_assert(batches.weighted == (expected != NULL));
    batches.fill(batches.context, rows, n, &(struct bp_batch){.inputs = {x}, .targets = {y}, .weights = expected ? weights : NULL});
    for (int i = 0; expected && i < n; i++) ck_assert_float_eq_tol(weights[i], expected[i], 1e-6);
    schema_source_free(source);
    schema_view_free(view);
}

/* Six rows: three of p, two of q, one of r. Balanced: 6 / (3 x 3), 6 / (3 x 2), 6 / (3 x 1). */
static const char weighted_csv[] = "x,w,k\n1,1,p\n2,2,q\n3,3,p\n4,0,r\n5,1,p\n6,0.5,q\n";

START_TEST(class_and_sample_weights) {
    static const char net[] = "{\"layers\":[" HIDDEN "]}";
    struct resolved r = resolve_text(weighted_csv, net, "{\"target\":\"k\",\"class_weights\":\"balanced\",\"validation\":{\"fraction\":0}}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    weights_are(&r, true, (double[]){2 / 3.0, 1, 2 / 3.0, 2, 2 / 3.0, 1}, 6);
    weights_are(&r, false, NULL, 6);
    resolved_clear(&r);
    r = resolve_text(weighted_csv, net, "{\"target\":\"k\",\"class_weights\":{\"r\":5,\"p\":0},\"validation\":{\"fraction\":0}}");
    weights_are(&r, true, (double[]){0, 1, 0, 5, 0, 1}, 6);
    resolved_clear(&r);
    r = resolve_text(weighted_csv, net, "{\"target\":\"k\",\"sample_weight\":\"w\",\"class_weights\":{\"q\":4},\"validation\":{\"fraction\":0}}");
    weights_are(&r, true, (double[]){1, 8, 3, 0, 1, 2}, 6);
    weights_are(&r, false, (double[]){1, 2, 3, 0, 1, 0.5}, 6);      /* validation applies the rows' own weights only */
    ck_assert_int_eq(r.training->preprocessing->features_count, 1); /* the weight is no feature */
    resolved_clear(&r);
}
END_TEST

/* A full-batch training of the resolved job, by what its spec decodes to; the weights it ends with. */
static bp_real *train(const struct resolved *r, size_t *count) {
    struct bp_error error = {0};
    const struct schema_training *t = r->training;
    struct schema_view *view = schema_view_new(t->preprocessing, r->loaded.data, true, &error);
    struct schema_source *source = NULL;
    struct schema_split split;
    struct bp_trainer *trainer = NULL;
    ck_assert_int_eq(schema_training_split(t, view, &split, &error), 0);
    const struct schema_source_options options = {
        .view = view, .rows = split.train, .n = split.train_count, .training = true, .memory_max = SCHEMA_SOURCE_MEMORY};
    ck_assert_int_eq(schema_source_new(&options, &source, &error), 0);
    const struct bp_source batches = schema_source_batches(source);
    const struct bp_train_options how = schema_training_options(t);
    ck_assert_msg(bp_trainer_new(t->network, &how, &batches, NULL, &trainer, &error) == 0, "%s", error.message);
    enum bp_train_event event;
    while ((event = bp_trainer_step(trainer)) != BP_TRAIN_DONE) ck_assert_int_ne(event, BP_TRAIN_DIVERGED);
    *count = t->network->weights_count;
    bp_real *weights = bp_reals_new(*count);
    memcpy(weights, bp_trainer_result(trainer), *count * sizeof *weights);
    bp_trainer_free(trainer);
    schema_source_free(source);
    schema_split_free(&split);
    schema_view_free(view);
    return weights;
}

#define PLAIN "\"validation\":{\"fraction\":0},\"batch_size\":64,\"epochs\":30,\"seed\":3,\"optimizer\":{\"type\":\"sgd\",\"learning_rate\":0.1}"

/* Weight 2 is the row twice, 0 is the row not there, for the loss; features whose moments do not change by it: -1 and 1 in equal parts. */
START_TEST(weights_are_repeated_rows) {
    static const char weighted[] = "x,z,w,k\n-1,1,2,p\n1,-1,2,q\n-1,-1,1,q\n1,1,1,p\n1,1,0,q\n-1,-1,0,p\n",
                      repeated[] = "x,z,k\n-1,1,p\n-1,1,p\n1,-1,q\n1,-1,q\n-1,-1,q\n1,1,p\n";
    size_t n, m;
    struct resolved a = resolve_text(weighted, "{\"layers\":[" HIDDEN "]}", "{\"target\":\"k\",\"sample_weight\":\"w\"," PLAIN "}"),
                    b = resolve_text(repeated, "{\"layers\":[" HIDDEN "]}", "{\"target\":\"k\"," PLAIN "}");
    ck_assert_msg(a.training && b.training, "%s %s", first_problem(&a), first_problem(&b));
    bp_real *u = train(&a, &n), *v = train(&b, &m);
    ck_assert_uint_eq(n, m);
    double largest = 0;
    for (size_t i = 0; i < n; i++) {
        ck_assert_double_eq_tol((double)u[i], (double)v[i], 1e-5);
        if (u[i] > largest) largest = (double)u[i];
    }
    ck_assert_double_gt(largest, 0.1);
    free(u);
    free(v);
    resolved_clear(&a);
    resolved_clear(&b);
}
END_TEST

/* A row of weight 0 changes nothing: to the bit, whatever its values, as long as the fit is the same. */
START_TEST(a_row_of_weight_0_has_no_effect) {
    static const char one[] = "x,w,y\n-1,1,2\n1,2,1.5\n0,1,7\n3,0,100\n-3,0,-100\n", other[] = "x,w,y\n-1,1,2\n1,2,1.5\n0,1,7\n3,0,-100\n-3,0,100\n";
    size_t n;
    struct resolved a = resolve_text(one, "{\"layers\":[" HIDDEN "]}",
                                     "{\"target\":\"y\",\"task\":\"regression\",\"sample_weight\":\"w\"," PLAIN "}"),
                    b = resolve_text(other, "{\"layers\":[" HIDDEN "]}",
                                     "{\"target\":\"y\",\"task\":\"regression\",\"sample_weight\":\"w\"," PLAIN "}");
    bp_real *u = train(&a, &n), *v = train(&b, &n);
    ck_assert_mem_eq(u, v, n * sizeof *u);
    free(u);
    free(v);
    resolved_clear(&a);
    resolved_clear(&b);
}
END_TEST

/* ---- predictions -------------------------------------------------------------------------------------------------------- */

/* The prediction of a network whose weights are all 0 but for `biases` at the end of the tensor of that name. */
static void predicts(struct resolved r, const char *body, const char *tensor, const float *biases, const char *expected) {
    struct bp_error error = {0};
    char *bytes = NULL;
    size_t size;
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    const struct bp_network *net = r.training->network;
    bp_real *weights = bp_reals_new(net->weights_count);
    for (int32_t i = 0; i < net->nodes_count; i++)
        for (int32_t t = 0; biases && t < net->nodes[i].tensors_count; t++) {
            const struct bp_tensor *found = &net->nodes[i].tensors[t];
            if (!strcmp(found->name, "bias") && !strcmp(net->nodes[i].name, tensor))
                memcpy(weights + found->offset, biases, (size_t)bp_shape_size(&found->shape) * sizeof *biases);
        }
    json_t *document = schema_training_encode(r.training);
    const int fd = memory_file();
    ck_assert_int_eq(schema_model_write(fd, r.training, document, weights, &size, &error), 0);
    ck_assert_ptr_nonnull(bytes = memory_file_take(fd, size));
    struct schema_model *model = schema_model_read(bytes, size, &error);
    ck_assert_msg(model != NULL, "%s", error.message);
    struct schema_predictor *predictor = schema_predictor_new(model, &error);
    struct schema_text out = {.limit = 1 << 16};
    struct schema_problems problems = {0};
    ck_assert_int_eq(schema_predict_body(predictor, body, strlen(body), 100, &out, &problems), 0);
    json_error_t what;
    char *whole = malloc(out.size + 3);
    sprintf(whole, "{%.*s}", (int)out.size, out.bytes);
    json_t *json = json_loads(whole, 0, &what);
    ck_assert_msg(json != NULL, "%s", whole);
    ck_assert_msg(strstr(out.bytes, expected) != NULL, "%s\nlacks %s", out.bytes, expected);
    json_decref(json);
    free(whole);
    schema_problems_clear(&problems);
    free(out.bytes);
    schema_predictor_free(predictor);
    schema_model_free(model);
    json_decref(document);
    free(bytes);
    free(weights);
    resolved_clear(&r);
}

#define ALL "\"validation\":{\"fraction\":0},\"features\":[\"a\",\"b\"]"

START_TEST(predictions_of_each_kind) {
    static const char body[] = "{\"instances\":[[1,2]]}";
    predicts(resolve_text(csv, "{\"layers\":[" DENSE(2) "]}", "{\"target\":[\"price\",\"tall\"]," ALL "}"), body, "dense_1", (float[]){1, -1},
             "[{\"outputs\":{\"price\":{\"value\":20.5},\"tall\":{\"value\":200.25}}}]");
    predicts(resolve_text(csv, "{\"layers\":[" HIDDEN "]}", "{\"target\":{\"cost\":\"price\",\"way\":\"kind\",\"dir\":\"up\"}," ALL "}"), body,
             "cost", (float[]){0.5f},
             "[{\"outputs\":{\"cost\":{\"value\":18},\"way\":{\"label\":\"u\",\"probabilities\":{\"u\":0.333333343,\"v\":0.333333343,"
             "\"w\":0.333333343}},\"dir\":{\"label\":\"yes\",\"probabilities\":{\"no\":0.5,\"yes\":0.5}}}}]");
    predicts(resolve_text(csv, "{\"layers\":[" HIDDEN "],\"loss\":{\"type\":\"quantile\",\"quantiles\":[0.1,0.5]}}",
                          "{\"target\":\"price\"," ALL ",\"task\":\"regression\"}"),
             body, "dense_2", (float[]){-1, 2}, "[{\"value\":25.5,\"values\":[10.5,25.5],\"quantiles\":{\"0.1\":10.5,\"0.5\":25.5}}]");
    /* two of them side by side with two quantiles each */
    predicts(resolve_text(csv, "{\"layers\":[" DENSE(4) "],\"loss\":{\"type\":\"quantile\",\"quantiles\":[0.1,0.5]}}",
                          "{\"target\":[\"price\",\"tall\"]," ALL "}"),
             body, "dense_1", (float[]){-1, 1, 0, 2},
             "\"price\":{\"value\":20.5,\"values\":[10.5,20.5],\"quantiles\":{\"0.1\":10.5,\"0.5\":20.5}},"
             "\"tall\":{\"value\":650.25,\"values\":[350.25,650.25],\"quantiles\":{\"0.1\":350.25,\"0.5\":650.25}}");
}
END_TEST

/* Means 4.5 and deviation; nested as the column is. */
START_TEST(tensors_are_nested_as_they_are) {
    static const char *const datasets[] = {
        "{\"records\":[{\"a\":1,\"t\":[1,2,3]},{\"a\":2,\"t\":[3,2,1]}],\"types\":{\"t\":{\"type\":\"tensor\",\"shape\":[3]}}}",
        "{\"records\":[{\"a\":1,\"t\":[[1,2,3],[3,2,1]]},{\"a\":2,\"t\":[[3,2,1],[1,2,3]]}]}",
        "{\"records\":[{\"a\":1,\"t\":[[[1,3],[1,3]],[[1,3],[1,3]],[[1,3],[1,3]]]},{\"a\":2,\"t\":[[[3,1],[3,1]],[[3,1],[3,1]],[[3,1],[3,1]]]}]}",
        "{\"records\":[{\"a\":1,\"t\":[[[1],[3]]]},{\"a\":2,\"t\":[[[3],[1]]]}]}",
    };
    static const char *const layers[] = {"{\"layers\":[{\"type\":\"dense\",\"units\":3}]}",
                                         "{\"layers\":[{\"type\":\"dense\",\"units\":6},{\"type\":\"reshape\",\"target_shape\":[2,3]}]}",
                                         "{\"layers\":[{\"type\":\"dense\",\"units\":12},{\"type\":\"reshape\",\"target_shape\":[3,2,2]}]}",
                                         "{\"layers\":[{\"type\":\"dense\",\"units\":2},{\"type\":\"reshape\",\"target_shape\":[1,2,1]}]}"};
    static const char *const expected[] = {"[{\"values\":[2,2,2]}]", "[{\"values\":[[2,2,2],[2,2,2]]}]",
                                           "[{\"values\":[[[2,2],[2,2]],[[2,2],[2,2]],[[2,2],[2,2]]]}]", "[{\"values\":[[[2],[2]]]}]"};
    for (int i = 0; i < 4; i++) {
        char named[400];
        snprintf(named, sizeof named, "{\"name\":\"d\",%s", datasets[i] + 1);
        predicts(resolve_json(named, layers[i], "{\"target\":\"t\",\"validation\":{\"fraction\":0}}"), "{\"instances\":[[1]]}", "", NULL,
                 expected[i]);
    }
}
END_TEST

/* Features that are the targets: an autoencoder, of a tensor and of columns. */
START_TEST(autoencoders) {
    struct resolved r =
        resolve_json("{\"x\":[[[0,1],[2,3]],[[4,5],[6,7]],[[1,1],[1,1]],[[9,9],[0,0]]],\"y\":[1,2,3,4]}",
                     "{\"layers\":[\"flatten\"," HIDDEN "," DENSE(4) ",{\"type\":\"reshape\",\"target_shape\":[2,2]}],\"loss\":\"mse\"}",
                     "{\"target\":\"x\",\"features\":[\"x\"],\"validation\":{\"fraction\":0},\"epochs\":2}");
    ck_assert_msg(r.training != NULL, "%s", first_problem(&r));
    size_t n;
    free(train(&r, &n));
    resolved_clear(&r);
    outputs_are("{\"layers\":[" HIDDEN "," DENSE(2) "]}", "{\"target\":[\"a\",\"b\"],\"task\":\"regression\",\"features\":[\"a\",\"b\"]}",
                ":mse/2=a+b");
}
END_TEST

Suite *suite_schema_targets(void) {
    Suite *suite = suite_create("schema/targets");
    TCase *tests = tcase_create("targets");
    tcase_add_test(tests, side_by_side);
    tcase_add_test(tests, an_output_each);
    tcase_add_test(tests, a_map_by_layer);
    tcase_add_test(tests, losses_and_metrics_by_output);
    tcase_add_test(tests, the_last_of_many_metrics_can_be_watched);
    tcase_add_test(tests, wrong_requests);
    tcase_add_test(tests, wrong_weights);
    tcase_add_test(tests, class_and_sample_weights);
    tcase_add_test(tests, weights_are_repeated_rows);
    tcase_add_test(tests, a_row_of_weight_0_has_no_effect);
    tcase_add_test(tests, predictions_of_each_kind);
    tcase_add_test(tests, tensors_are_nested_as_they_are);
    tcase_add_test(tests, autoencoders);
    suite_add_tcase(suite, tests);
    return suite;
}
