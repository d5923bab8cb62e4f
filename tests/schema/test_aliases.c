/* test_aliases.c - names of Keras, PyTorch and scikit-learn: each is answered with what to write here, and that can be written. */
#include "schema/definition/definition.h"
#include "schema/json/aliases.h"
#include "schema/json/values.h"
#include "schema/resolve/training.h"
#include "schema/training/options.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_aliases(void);

static const struct bp_family *family_of(const char *noun) {
    for (int32_t i = 0; i < bp_families_count; i++)
        if (strcmp(bp_families[i]->noun, noun) == 0) return bp_families[i];
    return NULL;
}

/* What is proposed is an entry of the family, and all of its fields are its own; required ones may be left out of the proposal. */
static void check_proposal(const struct schema_alias *alias, const struct bp_family *family) {
    struct schema_problems problems = {0};
    struct bp_value values[BP_VALUES_MAX];
    json_t *json = json_loads(alias->write, JSON_DECODE_ANY, NULL);
    ck_assert_msg(json != NULL, "%s", alias->write);
    schema_entry_decode(json, "", family, NULL, values, &problems);
    for (int32_t i = 0; i < problems.count; i++)
        ck_assert_msg(strstr(problems.items[i].detail, " needs \"") != NULL, "%s: %s", alias->write, problems.items[i].detail);
    schema_problems_clear(&problems);
    json_decref(json);
}

START_TEST(the_table) {
    for (int32_t i = 0; i < schema_aliases_count; i++) {
        const struct schema_alias *alias = &schema_aliases[i];
        const struct bp_family *family = family_of(alias->kind);
        char names[400], hint[400];
        ck_assert_msg(family || strcmp(alias->kind, "field") == 0, "%s", alias->kind);
        ck_assert_msg(alias->write[0] || alias->note[0], "%s", alias->names);
        if (alias->write[0]) check_proposal(alias, family);
        snprintf(names, sizeof names, "%s", alias->names);
        for (char *rest = names, *name; (name = strtok_r(rest, " ", &rest));) {
            ck_assert_msg(*schema_alias_hint(alias->kind, name, hint, sizeof hint), "%s", name);
            if (family) ck_assert_msg(!bp_family_find(family, name), "%s is a %s of our own", name, alias->kind);
            if (!family) continue;
            struct schema_problems problems = {0};
            struct bp_value values[BP_VALUES_MAX];
            json_t *json = json_string(name);
            ck_assert_ptr_null(schema_entry_decode(json, "/it", family, NULL, values, &problems));
            ck_assert_int_eq(problems.count, 1);
            ck_assert_msg(strstr(problems.items[0].detail, alias->write[0] ? alias->write : alias->note) != NULL, "%s: %s", name,
                          problems.items[0].detail);
            schema_problems_clear(&problems);
            json_decref(json);
        }
    }
}
END_TEST

static void says(const char *definition, const char *said) {
    struct schema_problems problems = {0};
    json_t *json = json_loads(definition, 0, NULL);
    ck_assert_ptr_nonnull(json);
    ck_assert_ptr_null(schema_definition_decode(json, "/model", NULL, &problems));
    char line[900];
    snprintf(line, sizeof line, "%s: %s", problems.items[0].pointer, problems.items[0].detail);
    ck_assert_msg(strstr(line, said) != NULL, "%s\nlacks %s", line, said);
    schema_problems_clear(&problems);
    json_decref(json);
}

START_TEST(as_people_write_them) {
    says("{\"layers\":[{\"type\":\"SimpleRNN\",\"units\":3}]}", "/model/layers/0/type: there is no layer \"SimpleRNN\": write \"rnn\"");
    says("{\"layers\":[{\"type\":\"bidirectional\"}]}",
         "write {\"type\":\"lstm\",\"bidirectional\":true,\"units\":8} (it is an option of rnn, lstm and gru)");
    says("{\"layers\":[\"Conv3D\"]}", "/model/layers/0: there is no layer \"Conv3D\": convolutions have one or two axes");
    says("{\"layers\":[\"UpSampling2D\"]}", "/model/layers/0: there is no layer \"UpSampling2D\": write \"upsampling2d\"");
    says("{\"layers\":[],\"loss\":\"sparse_categorical_crossentropy\"}",
         "/model/loss: there is no loss \"sparse_categorical_crossentropy\": write \"cross_entropy\"");
    says("{\"layers\":[],\"loss\":\"smooth_l1\"}", "write \"huber\"");
    says("{\"layers\":[],\"loss\":\"bce_with_logits\"}", "write \"binary_cross_entropy\" (a linear output gives logits)");
    says("{\"layers\":[{\"type\":\"dense\",\"units\":2,\"kernel_regularizer\":\"l2\"}]}",
         "/model/layers/0/kernel_regularizer: unknown field \"kernel_regularizer\": say \"l1\" or \"l2\" in the job, for the kernels of all layers");
    says("{\"layers\":[{\"type\":\"dense\",\"units\":2,\"activation\":\"swish\"}]}", "write \"silu\"");
    says("{\"layers\":[],\"metrics\":[\"acc\"]}", "/model/metrics/0: there is no metric \"acc\": write \"accuracy\"");
}
END_TEST

/* What belongs into the model, placed in the job beside it. */
START_TEST(parts_of_the_model_in_the_job) {
    static const char *const parts[] = {"layers", "loss", "metrics", "loss_weights", "outputs", "inputs"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct schema_problems problems = {0};
        struct schema_options options;
        char said[200];
        json_t *json = json_pack("{s:s}", parts[i], "mae");
        schema_options_decode(json, "", schema_training_request_names, &options, &problems);
        ck_assert_int_eq(problems.count, 1);
        snprintf(said, sizeof said, "\"%s\" is part of the model: write \"model\":{\"layers\":[...],\"%s\":...}", parts[i], parts[i]);
        if (strcmp(parts[i], "layers") != 0) ck_assert_msg(strstr(problems.items[0].detail, said) != NULL, "%s", problems.items[0].detail);
        ck_assert_msg(strstr(problems.items[0].detail, "is part of the model") != NULL, "%s", problems.items[0].detail);
        schema_problems_clear(&problems);
        json_decref(json);
    }
}
END_TEST

Suite *suite_schema_aliases(void) {
    Suite *suite = suite_create("schema/aliases");
    TCase *tests = tcase_create("aliases");
    tcase_add_test(tests, the_table);
    tcase_add_test(tests, as_people_write_them);
    tcase_add_test(tests, parts_of_the_model_in_the_job);
    suite_add_tcase(suite, tests);
    return suite;
}
