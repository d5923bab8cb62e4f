/* test_allocations.c - memory runs out: for every N the Nth allocation of a whole piece of work fails, alone or with all after it. Nothing crashes or
 * leaks; the work is known to have failed (schema_memory_failed), or gives what it gives with memory. */
#include "schema/dataset/profile.h"
#include "schema/dataset/rows.h"
#include "schema/json/values.h"
#include "schema/memory.h"
#include "schema/predict/predict.h"
#include "tests/allocations.h"
#include "tests/memory_file.h"
#include "tests/schema/training_support.h"
#include "tests/skip.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *suite_schema_allocations(void);

enum { RESULT = 1 << 16 };

/* What a piece of work came to: its result as text, or the message of its failure. */
struct outcome {
    bool good;
    char text[RESULT];
};

static void keep(struct outcome *o, bool good, const char *text) {
    o->good = good;
    snprintf(o->text, sizeof o->text, "%s", text ? text : "");
}

static void keep_problems(struct outcome *o, struct schema_problems *problems) {
    keep(o, false,
         problems->code == BP_ERROR_MEMORY              ? "out of memory"
         : problems->count && problems->items[0].detail ? problems->items[0].detail
                                                        : "");
    schema_problems_clear(problems);
}

/* ---- the pieces ---------------------------------------------------------------------------------------------------------------------- */

static const char csv[] =
    "x,colour,when,note,label\n1,red,2024-01-02,cold and quiet all day,a\n2.5,green,2024-02-03,sunny and crowded in town,b\n"
    "3,red,2024-03-04,rain in the late evening,a\n,blue,2024-04-05,wind from the north west,b\n5,red,2024-05-06,snow on all the roofs,a\n"
    "6,green,,fog over the wide river,b\n";
static const char json[] = "{\"name\":\"d\",\"types\":{\"note\":\"text\"},\"records\":[{\"x\":1,\"t\":[1,2],\"y\":\"a\",\"note\":\"so it "
                           "is\"},{\"x\":2,\"t\":[3,4],\"y\":\"b\",\"note\":\"it "
                           "is\"},{\"x\":null,\"t\":[5,6],\"y\":\"a\",\"note\":\"no\"},{\"x\":4,\"t\":[7,8],\"y\":\"b\",\"note\":\"so\"}]}";
static const char definition_text[] =
    "{\"layers\":[{\"type\":\"dense\",\"units\":4,\"activation\":\"tanh\",\"name\":\"h\"},{\"type\":\"batch_norm\"},\"dropout\"]}";
static const char definition_good[] = "{\"layers\":[{\"type\":\"dense\",\"units\":4,\"activation\":\"tanh\",\"name\":\"h\"},{\"type\":\"batch_norm\"}"
                                      ",{\"type\":\"dropout\",\"rate\":0.1}]}";
static const char job_text[] =
    "{\"target\":\"label\",\"seed\":1,\"validation\":{\"fraction\":0},\"class_weights\":\"balanced\",\"features\":[\"x\",\"colour\",\"when\"],"
    "\"columns\":{\"colour\":{\"encode\":\"target\"}},\"schedule\":\"cosine\",\"early_stopping\":{\"metric\":\"loss\",\"patience\":2},"
    "\"optimizer\":{\"type\":\"adam\",\"learning_rate\":0.01}}";

/* Lists of labels, and a vector of 0 and 1. */
static const char labels[] = "{\"name\":\"d\",\"records\":[{\"x\":1,\"tags\":[\"red\",\"round\"],\"hot\":[0,1]},"
                             "{\"x\":2,\"tags\":[],\"hot\":[1,1]},{\"x\":3,\"tags\":[\"round\"],\"hot\":[0,0]},"
                             "{\"x\":4,\"tags\":null,\"hot\":[1,0]},{\"x\":5,\"tags\":[\"red\"],\"hot\":[0,1]}]}";
static const char definition_labels[] =
    "{\"layers\":[{\"type\":\"dense\",\"units\":4,\"activation\":\"tanh\",\"name\":\"h\"}],\"loss\":\"binary_cross_entropy\"}";
static const char job_tags[] = "{\"target\":\"tags\",\"seed\":1,\"validation\":{\"fraction\":0},\"features\":[\"x\"],\"thresholds\":{\"red\":0.3}}";
static const char job_hot[] = "{\"target\":\"hot\",\"seed\":1,\"validation\":{\"fraction\":0},\"features\":[\"x\"],\"thresholds\":0.4,"
                              "\"labels\":[\"left\",\"right\"]}";

/* What the pieces work on. */
static const struct setting {
    const char *type, *data, *definition, *job;
} plain = {"text/csv", csv, definition_good, job_text}, tags = {"application/json", labels, definition_labels, job_tags},
  hot = {"application/json", labels, definition_labels, job_hot};
static const struct setting *setting;

static struct schema_dataset *ingest(struct outcome *o, const char *type, const char *text, int fd) {
    struct schema_problems problems = {0};
    struct schema_ingest *ingest = NULL;
    struct schema_ingest_options options = {0};
    struct schema_dataset *data = NULL;
    struct bp_error error = {0};
    int failed = schema_ingest_open(schema_format_for(type), &options, fd, &ingest, &problems);
    for (size_t i = 0; !failed && i < strlen(text); i += 100)
        failed = schema_ingest_feed(ingest, text + i, strlen(text + i) < 100 ? strlen(text + i) : 100, &problems);
    if (!failed) failed = schema_ingest_finish(ingest, &problems);
    if (!failed && schema_dataset_open(fd, 0, &data, &error) != 0) failed = schema_problem_add(&problems, NULL, "%s", error.message);
    json_t *warnings = failed ? NULL : schema_ingest_warnings(ingest);
    json_decref(warnings);
    if (failed) keep_problems(o, &problems);
    schema_ingest_close(ingest);
    return data;
}

static void describe(struct outcome *o, const struct schema_dataset *data) {
    json_t *columns = schema_dataset_columns_json(data);
    char *text = schema_json_dump(columns, JSON_COMPACT);
    json_decref(columns);
    if (text) keep(o, true, text);
    else keep(o, false, "out of memory");
    free(text);
}

static int scratch; /* a file of no name that every piece writes from its beginning */

static int emptied(void) {
    if (ftruncate(scratch, 0) != 0 || lseek(scratch, 0, SEEK_SET) != 0) abort(); /* Check's assertions take memory */
    return scratch;
}

static void ingest_data(struct outcome *o) {
    struct schema_dataset *data = ingest(o, setting->type, setting->data, emptied());
    if (data) describe(o, data);
    schema_dataset_free(data);
}

static void ingest_json(struct outcome *o) {
    struct schema_dataset *data = ingest(o, "application/json", json, emptied());
    if (data) describe(o, data);
    schema_dataset_free(data);
}

static struct schema_dataset *base; /* made with all the memory there is */

static struct schema_training *resolve(struct outcome *o) {
    struct schema_problems problems = {0};
    struct schema_options options;
    struct schema_training_request request;
    struct schema_training *training = NULL;
    json_error_t where;
    json_t *d = schema_json_load(setting->definition, strlen(setting->definition), 0, &where),
           *j = schema_json_load(setting->job, strlen(setting->job), 0, &where);
    struct schema_definition *definition = d && j ? schema_definition_decode(d, "/model", NULL, &problems) : NULL;
    if (!d || !j) keep(o, false, "out of memory");
    else if (definition && schema_options_decode(j, "", schema_training_request_names, &options, &problems) == 0 &&
             schema_training_request_decode(j, "", &request, &problems) == 0) {
        training = schema_training_resolve(definition, &options, base, &request, &problems);
        definition = NULL;
    }
    schema_definition_free(definition);
    if (!training && d && j) keep_problems(o, &problems);
    else schema_problems_clear(&problems);
    json_decref(d);
    json_decref(j);
    return training;
}

static void training_there_and_back(struct outcome *o) {
    struct bp_error error = {0};
    struct schema_training *training = resolve(o), *again = NULL;
    json_t *spec = training ? schema_training_encode(training) : NULL;
    char *text = spec ? schema_json_dump(spec, JSON_COMPACT) : NULL;
    if (training && (!text)) keep(o, false, "out of memory");
    else if (training && !(again = schema_training_decode(spec, &error))) keep(o, false, error.message);
    else if (training) keep(o, true, text);
    free(text);
    json_decref(spec);
    schema_training_free(again);
    schema_training_free(training);
}

static void refusal(struct outcome *o) {
    struct schema_problems problems = {0};
    json_error_t where;
    json_t *d = schema_json_load(definition_text, strlen(definition_text), 0, &where); /* dropout needs its rate */
    struct schema_definition *definition = d ? schema_definition_decode(d, "/model", NULL, &problems) : NULL;
    json_t *said = problems.total ? schema_problems_json(&problems) : NULL;
    char *text = said ? schema_json_dump(said, JSON_COMPACT) : NULL;
    if (!d || (problems.total && !text)) keep(o, false, "out of memory");
    else if (problems.count && strstr(text, "memory")) keep(o, false, "out of memory");
    else keep(o, true, text);
    free(text);
    json_decref(said);
    json_decref(d);
    schema_definition_free(definition);
    schema_problems_clear(&problems);
}

static char *model_bytes;
static size_t model_size;

static void write_model(struct outcome *o) {
    struct bp_error error = {0};
    struct schema_training *training = resolve(o);
    if (!training) return;
    bp_real *weights = bp_reals_new(training->network->weights_count);
    if (weights) bp_network_initialize(training->network, 3, weights);
    json_t *document = weights ? schema_training_encode(training) : NULL;
    size_t size = 0;
    int failed = document ? schema_model_write(emptied(), training, document, weights, &size, &error) : bp_error_set(&error, "", "out of memory");
    json_decref(document);
    free(weights);
    schema_training_free(training);
    char text[40];
    snprintf(text, sizeof text, "%zu bytes", size);
    keep(o, !failed, failed ? error.message : text);
}

static const char *body;

static void predict(struct outcome *o) {
    struct bp_error error = {0};
    struct schema_problems problems = {0};
    struct schema_text out = {.limit = 1 << 20};
    struct schema_model *model = schema_model_read(model_bytes, model_size, &error);
    struct schema_predictor *predictor = model ? schema_predictor_new(model, &error) : NULL;
    if (!predictor) keep(o, false, error.message);
    else if (schema_predict_body(predictor, body, strlen(body), 100, &out, &problems) == 0) keep(o, true, out.bytes);
    else keep_problems(o, &problems);
    free(out.bytes);
    schema_predictor_free(predictor);
    schema_model_free(model);
}

static void predict_fast(struct outcome *o) {
    body = "{\"instances\":[{\"x\":1,\"colour\":\"red\",\"when\":\"2024-01-02\"},{\"x\":2,\"colour\":\"new\",\"other\":1}]}";
    predict(o);
}

static void predict_patiently(struct outcome *o) {
    body = "{\"inputs\":{\"x\":[1,null],\"colour\":[\"red\",\"blue\"],\"when\":[\"2024-01-02\",\"2024-01-02\"]}}";
    predict(o);
}

static void predict_labels(struct outcome *o) {
    body = "{\"instances\":[{\"x\":1},{\"x\":null}],\"thresholds\":0.2}";
    predict(o);
}

static void statistics(struct outcome *o) {
    static const int32_t columns[] = {0, 1, 2, 3, 4};
    struct schema_text out = {.limit = 1 << 20};
    const int failed = schema_dataset_profile(base, &(struct schema_profile_request){.columns = columns, .columns_count = 5, .target = 4}, &out);
    keep(o, !failed && !out.failed, failed || out.failed ? "out of memory" : out.bytes);
    free(out.bytes);
}

static void write_json(struct outcome *o) {
    struct schema_text out = {.limit = 1 << 20};
    json_t *rows = json_array(), *document = json_pack("{s:s, s:o}", "object", "list", "data", rows);
    for (int64_t row = 0; row < base->rows; row++) json_array_append_new(rows, schema_dataset_row_json(base, row));
    schema_json_write(&out, document);
    json_decref(document);
    keep(o, !out.failed, out.failed ? "out of memory" : out.bytes);
    free(out.bytes);
}

/* ---- the walk -------------------------------------------------------------------------------------------------------------------------- */

static const struct {
    void (*work)(struct outcome *);
    const struct setting *setting;
} pieces[] = {{ingest_data, &plain},
              {ingest_json, &plain},
              {training_there_and_back, &plain},
              {refusal, &plain},
              {write_model, &plain},
              {predict_fast, &plain},
              {predict_patiently, &plain},
              {statistics, &plain},
              {write_json, &plain},
              {ingest_data, &tags},
              {training_there_and_back, &tags},
              {write_model, &tags},
              {predict_labels, &tags},
              {training_there_and_back, &hot},
              {write_model, &hot},
              {predict_labels, &hot}};

static void prepare(void) {
    struct outcome o = {0};
    schema_memory_watch();
    scratch = memory_file();
    const int file = memory_file();
    base = ingest(&o, setting->type, setting->data, file);
    ck_assert_msg(base != NULL, "%s", o.text);
    write_model(&o);
    ck_assert_msg(o.good, "%s", o.text);
    model_size = (size_t)lseek(scratch, 0, SEEK_END);
    model_bytes = malloc(model_size);
    ck_assert_int_eq(pread(scratch, model_bytes, model_size, 0), (ssize_t)model_size);
}

START_TEST(every_allocation_may_fail) {
    static struct outcome expected, got;
    if (test_allocations() < 0) SKIP_TEST("allocations are not counted with a sanitizer");
    setting = pieces[_i].setting;
    prepare();
    for (int once = 0; once < 2; once++) pieces[_i].work(&expected); /* what is made once, is made */
    ck_assert_msg(expected.good, "%s", expected.text);
    for (int all = 0; all < 2; all++)
        for (long nth = 1;; nth++) {
            const long live = test_live_blocks();
            memset(&got, 0, sizeof got);
            schema_memory_begin();
            if (all) test_allocations_fail_from(nth);
            else test_allocations_fail(nth);
            pieces[_i].work(&got);
            test_allocations_fail(0);
            if (test_live_blocks() != live)
                ck_abort_msg("%s allocation %ld: %ld blocks leak (%s)", all ? "from" : "the", nth, test_live_blocks() - live, got.text);
            const bool failed = schema_memory_failed(); /* the check of the responsible code at its end */
            ck_assert_msg(failed || got.good, "%s allocation %ld: it failed without a reason: %s", all ? "from" : "the", nth, got.text);
            if (!failed)
                ck_assert_msg(strcmp(got.text, expected.text) == 0, "%s allocation %ld: another result: %s", all ? "from" : "the", nth, got.text);
            if (!failed) break;
        }
    free(model_bytes);
    schema_dataset_free(base);
}
END_TEST

Suite *suite_schema_allocations(void) {
    Suite *suite = suite_create("schema/allocations");
    TCase *tests = tcase_create("allocations");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, every_allocation_may_fail, 0, (int)(sizeof pieces / sizeof *pieces));
    suite_add_tcase(suite, tests);
    return suite;
}
