/* fuzz_instances.c - differential: a predict body through the one-pass reader and through jansson. Whatever the first accepts the second must accept,
 * with the same predictions and the same counts behind the warnings; and neither ever crashes. */
#include "schema/predict/predictor.h"
#include "tests/fuzz/fuzz_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MODELS = 4, ROWS_MAX = 300 };
static struct schema_model *models[MODELS];
static struct schema_predictor *predictors[MODELS];

/* What a reader left behind. */
struct reading {
    bool taken;
    struct schema_text out;
    int64_t rows, missing[8], unseen[8];
    char ignored[5][64], unseen_first[8][48];
    int32_t ignored_count;
};

static void open_models(void) {
    struct bp_error error = {0};
    models[0] = fuzz_model(fuzz_mixed_data, fuzz_mixed_definition, fuzz_mixed_job);
    models[1] = fuzz_model(fuzz_tensor_data, fuzz_tensor_definition, fuzz_mixed_job);
    models[2] =
        fuzz_model(fuzz_both_data, fuzz_both_definition, "{\"target\":\"y\",\"task\":\"regression\",\"seed\":1,\"validation\":{\"fraction\":0}}");
    models[3] = fuzz_model(fuzz_types_data, fuzz_types_definition, fuzz_types_job);
    for (int i = 0; i < MODELS; i++) FUZZ_REQUIRE(predictors[i] = schema_predictor_new(models[i], &error));
}

static struct reading read_body(struct schema_predictor *p, const char *body, size_t size, bool quick) {
    struct reading r = {.out = {.limit = 1 << 22}};
    struct schema_problems problems = {0};
    const size_t features = (size_t)p->preprocessing->features_count;
    schema_predictor_reset(p, &r.out);
    schema_text_string(&r.out, "[");
    r.taken = (quick ? schema_instances_scan(p, body, size, ROWS_MAX) : schema_instances_decode(p, body, size, ROWS_MAX, &problems)) == 0;
    FUZZ_REQUIRE(quick || r.taken == (problems.total == 0));
    if (problems.total) { /* the error can be reported */
        json_t *json = schema_problems_json(&problems);
        char *text = json_dumps(json, JSON_COMPACT);
        FUZZ_REQUIRE(text);
        free(text);
        json_decref(json);
    }
    schema_problems_clear(&problems);
    if (r.taken) schema_predictor_flush(p);
    if (p->not_finite >= 0) r.taken = false; /* the other reader refuses it then */
    r.rows = p->rows;
    r.ignored_count = p->ignored_count;
    memcpy(r.ignored, p->ignored, sizeof r.ignored);
    memcpy(r.missing, p->missing, features * sizeof *p->missing);
    memcpy(r.unseen, p->unseen, features * sizeof *p->unseen);
    memcpy(r.unseen_first, p->unseen_first, features * sizeof *p->unseen_first);
    return r;
}

static void same(const struct schema_predictor *p, const struct reading *quick, const struct reading *patient) {
    FUZZ_REQUIRE(patient->taken);
    FUZZ_REQUIRE(quick->rows == patient->rows && quick->rows > 0);
    FUZZ_REQUIRE(quick->out.size == patient->out.size && memcmp(quick->out.bytes, patient->out.bytes, quick->out.size) == 0);
    for (int32_t i = 0; i < p->preprocessing->features_count; i++) {
        FUZZ_REQUIRE(quick->missing[i] == patient->missing[i] && quick->unseen[i] == patient->unseen[i]);
        FUZZ_REQUIRE(quick->unseen[i] == 0 || strcmp(quick->unseen_first[i], patient->unseen_first[i]) == 0);
    }
    FUZZ_REQUIRE(quick->ignored_count == patient->ignored_count);
    for (int32_t i = 0; i < quick->ignored_count; i++) FUZZ_REQUIRE(strcmp(quick->ignored[i], patient->ignored[i]) == 0);
}

/* The whole answer, as a client gets it, is JSON. */
static void whole(struct schema_predictor *p, const char *body, size_t size) {
    struct schema_text out = {.limit = 1 << 22};
    struct schema_problems problems = {0};
    schema_text_string(&out, "{");
    if (schema_predict_body(p, body, size, ROWS_MAX, &out, &problems) == 0) {
        schema_text_string(&out, "}");
        json_t *json = json_loadb(out.bytes, out.size, JSON_REJECT_DUPLICATES, NULL);
        FUZZ_REQUIRE(json);
        json_decref(json);
    } else FUZZ_REQUIRE(problems.total > 0);
    schema_problems_clear(&problems);
    free(out.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *body = (const char *)data;
    if (!models[0]) open_models();
    if (size > 1 << 16) return 0;
    for (int i = 0; i < MODELS; i++) {
        struct reading quick = read_body(predictors[i], body, size, true), patient = read_body(predictors[i], body, size, false);
        if (quick.taken) same(predictors[i], &quick, &patient);
        free(quick.out.bytes);
        free(patient.out.bytes);
        whole(predictors[i], body, size);
    }
    return 0;
}
