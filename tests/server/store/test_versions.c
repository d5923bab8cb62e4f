/* test_versions.c - aliases and their history, what jobs publish, notes and tags, deletion and retention of versions. */
#include "tests/server/store/helper.h"

/* Trains the next version of a model of that name, which it makes; returns its number. */
static int64_t train_as(const char *model, enum store_publish publish, const struct store_comparison *comparison, char id[STORE_ID_SIZE]) {
    static bool made;
    struct store_model there;
    int64_t version = 0;
    if (!made) dataset_put("d");
    made = true;
    if (store_model_get(store, model, &there, &error) != STORE_OK) model_put(model);
    else store_model_free(&there);
    struct store_job job = {.dataset = "d", .dataset_version = 1, .attempts_max = 5, .publish = publish, .actor = {"key1", "ada"}};
    struct store_job_new request = {.job = &job};
    struct store_ending ending = success;
    ending.comparison = comparison;
    COPY(job.model, model);
    store_new_id("job", job.id);
    OK(store_job_create(store, &request, &error));
    job_claim(job.id);
    OK(store_job_end(store, job.id, 1, &ending, &version, &error));
    if (id) memcpy(id, job.id, STORE_ID_SIZE);
    return version;
}

static int64_t train(void) {
    return train_as("m", STORE_PUBLISH, NULL, NULL);
}

static int64_t found(const char *reference) {
    int64_t version = -1;
    enum store_result result = store_version_find(store, "m", reference, &version, &error);
    return result == STORE_OK ? version : -(int64_t)result;
}

static struct store_alias alias(const char *name) {
    struct store_alias a;
    OK(store_alias_get(store, "m", name, &a, &error));
    return a;
}

static const struct store_actor ada = {"key1", "ada"};

static void set(const char *name, int64_t version) {
    struct store_alias a;
    bool created;
    OK(store_alias_set(store, &(struct store_alias_change){.model = "m", .name = name, .version = version, .actor = &ada}, &a, &created, &error));
    ck_assert_int_eq(a.version, version);
}

/* "set:0-1 publish:1-2": the history, oldest first. */
static const char *history_of(const char *name) {
    static char text[4096];
    struct store_aliases list;
    OK(store_alias_history(store, "m", name, 0, 1000, &list, &error));
    text[0] = '\0';
    for (int32_t i = list.count - 1; i >= 0; i--) {
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s%s:%d-%d", n ? " " : "", list.items[i].action, (int)list.items[i].previous,
                 (int)list.items[i].version);
    }
    store_aliases_free(&list);
    return text;
}

START_TEST(a_job_publishes_its_version) {
    char id[STORE_ID_SIZE];
    struct store_job job;
    GIVES(STORE_NOT_FOUND, store_version_find(store, "m", NULL, &(int64_t){0}, &error));
    ck_assert_int_eq(train_as("m", STORE_PUBLISH, NULL, id), 1);
    ck_assert_int_eq(found(NULL), 1);
    ck_assert_int_eq(train(), 2);
    ck_assert_int_eq(found("default"), 2);
    ck_assert_int_eq(found(""), 2);
    struct store_alias a = alias("default");
    ck_assert_int_eq(a.previous, 1);
    ck_assert_str_eq(a.action, "publish");
    ck_assert_str_eq(a.actor.key_name, "ada");
    ck_assert_int_eq(strncmp(a.job, "job_", 4), 0);
    ck_assert_int_gt(a.changed_at, 0);
    ck_assert_str_eq(history_of("default"), "publish:0-1 publish:1-2");
    OK(store_job_get(store, id, &job, &error));
    ck_assert_str_eq(job.publication, "{\"requested\":true,\"published\":true,\"served_version\":null,\"reason\":\"publish is true\"}");
    store_job_free(&job);
    ck_assert_str_eq(events_of(id), "status:queued status:running status:succeeded end:succeeded");
}
END_TEST

START_TEST(a_version_is_held_back) {
    char id[STORE_ID_SIZE];
    struct store_job job;
    ck_assert_int_eq(train_as("m", STORE_HOLD_BACK, NULL, NULL), 1);
    GIVES(STORE_NOT_FOUND, store_version_find(store, "m", NULL, &(int64_t){0}, &error));
    SAYS("no version of model m is published");
    SAYS("{\"version\":1}");
    ck_assert_int_eq(found("latest"), 1);
    set("default", 1);
    ck_assert_int_eq(train_as("m", STORE_HOLD_BACK, NULL, id), 2);
    ck_assert_int_eq(found(NULL), 1);
    ck_assert_int_eq(found("latest"), 2);
    OK(store_job_get(store, id, &job, &error));
    ck_assert_int_eq(job.publish, STORE_HOLD_BACK);
    ck_assert_str_eq(events_of(id), "status:queued status:running log status:succeeded end:succeeded");
    ck_assert_str_eq(job.publication, "{\"requested\":false,\"published\":false,\"served_version\":1,\"reason\":\"publish is false\"}");
    store_job_free(&job);
}
END_TEST

/* Whether a version with this comparison is published while version 1 is served, and why. */
static bool published(const struct store_comparison *comparison, char reason[400]) {
    char id[STORE_ID_SIZE];
    struct store_job job;
    set("default", 1);
    const int64_t version = train_as("m", STORE_PUBLISH_IF_BETTER, comparison, id);
    OK(store_job_get(store, id, &job, &error));
    snprintf(reason, 400, "%s", job.publication);
    store_job_free(&job);
    ck_assert(found(NULL) == 1 || found(NULL) == version);
    ck_assert((strstr(reason, "\"published\":true") != NULL) == (found(NULL) == version));
    return found(NULL) == version;
}

START_TEST(only_a_better_version_is_published) {
    char why[400];
    const char *document = "{\"metric\":\"val_loss\",\"value\":0.5,\"served_value\":0.75,\"reason\":\"compared\"}";
    ck_assert_int_eq(train_as("m", STORE_PUBLISH_IF_BETTER, NULL, NULL), 1); /* nothing was served */
    ck_assert_int_eq(found(NULL), 1);
    ck_assert(published(&(struct store_comparison){true, 1, document}, why));
    ck_assert_str_eq(
        why, "{\"metric\":\"val_loss\",\"value\":0.5,\"served_value\":0.75,\"reason\":\"compared\",\"requested\":\"if_better\",\"published\":true,"
             "\"served_version\":1}");
    ck_assert(!published(&(struct store_comparison){false, 1, document}, why));
    ck_assert(!published(NULL, why));
    ck_assert(strstr(why, "not compared") != NULL);
    ck_assert(!published(&(struct store_comparison){false, 0, "{}"}, why));
    ck_assert(strstr(why, "version 1 was published while the training ended") != NULL);
    ck_assert(!published(&(struct store_comparison){true, 2, document}, why)); /* what was served has changed in between */
    ck_assert(strstr(why, "version 1 became the served one while the training was compared with version 2") != NULL);
}
END_TEST

START_TEST(an_alias_moves_and_comes_back) {
    for (int i = 0; i < 3; i++) train();
    const struct store_alias_change back = {.model = "m", .name = "a", .actor = &ada};
    struct store_alias a;
    set("a", 1);
    set("a", 1); /* nothing changes */
    set("a", 2);
    set("a", 3);
    ck_assert_str_eq(history_of("a"), "set:0-1 set:1-2 set:2-3");
    ck_assert_int_eq(found("a"), 3);
    OK(store_alias_rollback(store, &back, &a, &error));
    ck_assert_int_eq(a.version, 2);
    ck_assert_str_eq(a.action, "rollback");
    OK(store_alias_rollback(store, &back, &a, &error));
    ck_assert_int_eq(a.version, 1);
    GIVES(STORE_CONFLICT, store_alias_rollback(store, &back, &a, &error));
    SAYS("has named no other version");
    set("a", 3); /* above version 1 again */
    OK(store_alias_rollback(store, &back, &a, &error));
    ck_assert_int_eq(a.version, 1);
    set("a", 2);
    set("a", 3);
    OK(store_version_delete(store, "m", 2, &error));
    OK(store_alias_rollback(store, &back, &a, &error)); /* version 2 is passed over */
    ck_assert_int_eq(a.version, 1);
    OK(store_alias_delete(store, &back, &error));
    ck_assert_int_eq(found("a"), -STORE_NOT_FOUND);
    GIVES(STORE_NOT_FOUND, store_alias_rollback(store, &back, &a, &error));
    GIVES(STORE_NOT_FOUND, store_alias_delete(store, &back, &error));
    ck_assert_str_eq(history_of("a") + strlen(history_of("a")) - strlen("delete:1-0"), "delete:1-0"); /* it outlives the alias */
    GIVES(STORE_NOT_FOUND, store_alias_history(store, "m", "b", 0, 10, &(struct store_aliases){0}, &error));
}
END_TEST

START_TEST(a_change_can_depend_on_the_last_one) {
    struct store_alias a, b;
    bool created;
    train(), train();
    struct store_alias_change make = {.model = "m", .name = "a", .version = 1, .if_absent = true};
    OK(store_alias_set(store, &make, &a, &created, &error));
    ck_assert(created);
    GIVES(STORE_CHANGED, store_alias_set(store, &make, &b, &created, &error));
    SAYS("exists");
    struct store_alias_change move = {.model = "m", .name = "a", .version = 2, .if_change = a.change};
    OK(store_alias_set(store, &move, &b, &created, &error));
    ck_assert(!created && b.change > a.change);
    move.version = 1;
    GIVES(STORE_CHANGED, store_alias_set(store, &move, &b, &created, &error));
    SAYS("changed in between");
    GIVES(STORE_CHANGED, store_alias_delete(store, &move, &error));
    GIVES(STORE_CHANGED, store_alias_rollback(store, &move, &b, &error));
    ck_assert_int_eq(found("a"), 2);
    OK(store_alias_delete(store, &(struct store_alias_change){.model = "m", .name = "a"}, &error));
    GIVES(STORE_CHANGED, store_alias_set(store, &move, &b, &created, &error)); /* deleted and made again, it has another tag */
    make.version = 9;
    GIVES(STORE_NOT_FOUND, store_alias_set(store, &make, &b, &created, &error));
    SAYS("no version 9");
}
END_TEST

START_TEST(aliases_and_history_are_bounded) {
    struct store_aliases list;
    struct store_alias a;
    bool created;
    char name[24];
    train(), train();
    for (int i = 1; i < 100; i++) { /* and default */
        snprintf(name, sizeof name, "a%02d", i);
        set(name, 1);
    }
    GIVES(STORE_CONFLICT, store_alias_set(store, &(struct store_alias_change){.model = "m", .name = "x", .version = 1}, &a, &created, &error));
    SAYS("100 aliases");
    OK(store_alias_list(store, "m", "a97", 2, &list, &error));
    ck_assert(list.count == 2 && list.has_more);
    ck_assert_str_eq(list.items[1].name, "a99");
    store_aliases_free(&list);
    ck_assert(raw("WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1200) INSERT INTO alias_changes "
                  "(model, name, previous, version, at, action) SELECT 'm', 'a01', 1 + i % 2, 2 - i % 2, 1, 'set' FROM n"));
    set("a01", 2);
    ck_assert_int_eq(number("SELECT count(*) FROM alias_changes WHERE name = 'a01'"), 1000);
    OK(store_alias_rollback(store, &(struct store_alias_change){.model = "m", .name = "a01"}, &a, &error));
    ck_assert_int_eq(a.version, 1);
}
END_TEST

START_TEST(what_an_alias_names_stays) {
    struct store_version version;
    train(), train();
    set("production", 1);
    set("beside", 1);
    GIVES(STORE_IN_USE, store_version_delete(store, "m", 1, &error));
    SAYS("alias beside, production");
    GIVES(STORE_IN_USE, store_version_delete(store, "m", 2, &error));
    SAYS("alias default");
    ck_assert(!raw("PRAGMA foreign_keys=ON; DELETE FROM versions WHERE version = 1")); /* the database itself refuses it */
    set("production", 2);
    set("beside", 2);
    OK(store_version_delete(store, "m", 1, &error));
    GIVES(STORE_NOT_FOUND, store_version_get(store, "m", 1, &version, &error));
    GIVES(STORE_NOT_FOUND, store_version_delete(store, "m", 1, &error));
    ck_assert_int_eq(number("SELECT count(*) FROM trainings"), 1);
    OK(store_model_delete(store, "m", &error)); /* with its aliases */
    ck_assert_int_eq(number("SELECT (SELECT count(*) FROM aliases) + (SELECT count(*) FROM alias_changes) + (SELECT count(*) FROM versions)"), 0);
    model_put("m");
    ck_assert_int_eq(train(), 3);
    ck_assert_str_eq(history_of("default"), "publish:0-3");
}
END_TEST

START_TEST(notes_and_tags) {
    const char *const tags[] = {"red", "blue", "red"};
    struct store_version version;
    struct store_versions list;
    train(), train();
    OK(store_version_annotate(store, "m", 1, &(struct store_notes){.notes = "good", .if_change = -1}, &error));
    OK(store_version_annotate(store, "m", 1, &(struct store_notes){.tags = tags, .tags_count = 3, .if_change = 1}, &error));
    OK(store_version_get(store, "m", 1, &version, &error));
    ck_assert_str_eq(version.notes, "good");
    ck_assert_str_eq(version.tags, "[\"blue\",\"red\"]");
    ck_assert_str_eq(version.aliases, "[]");
    ck_assert_int_eq(version.change, 2);
    store_version_free(&version);
    GIVES(STORE_CHANGED, store_version_annotate(store, "m", 1, &(struct store_notes){.notes = "bad", .if_change = 1}, &error));
    GIVES(STORE_NOT_FOUND, store_version_annotate(store, "m", 9, &(struct store_notes){.notes = "bad", .if_change = -1}, &error));
    OK(store_version_list(store, "m", &(struct store_version_filter){.tag = "red", .limit = 10}, &list, &error));
    ck_assert_int_eq(list.count, 1);
    ck_assert_int_eq(list.items[0].version, 1);
    store_versions_free(&list);
    OK(store_version_annotate(store, "m", 1, &(struct store_notes){.tags = tags, .tags_count = 0, .if_change = 2}, &error));
    OK(store_version_list(store, "m", &(struct store_version_filter){.tag = "red", .limit = 10}, &list, &error));
    ck_assert_int_eq(list.count, 0);
    store_versions_free(&list);
    set("default", 2);
    OK(store_version_delete(store, "m", 1, &error));
    ck_assert_int_eq(number("SELECT (SELECT count(*) FROM version_notes) + (SELECT count(*) FROM version_tags)"), 0);
}
END_TEST

START_TEST(calibrations_change_and_count) {
    struct store_calibration c;
    struct store_calibration_change wanted = {
        .model = "m", .version = 1, .document = "{\"a\":1}", .if_change = -1, .actor = &(struct store_actor){"id", "me"}};
    int64_t version, change;
    train(), train();
    OK(store_calibration_get(store, "m", 1, &c, &error));
    ck_assert_int_eq(c.change, 0);
    ck_assert_ptr_null(c.document);
    const uint64_t revision = store_versions_revision(store);
    OK(store_calibration_set(store, &wanted, &error));
    ck_assert(store_versions_revision(store) > revision && store_versions_revision(store) % 2 == 0);
    OK(store_calibration_get(store, "m", 1, &c, &error));
    ck_assert_str_eq(c.document, "{\"a\":1}");
    ck_assert_str_eq(c.actor.key_name, "me");
    ck_assert(c.change == 1 && c.changed_at > 0);
    store_calibration_free(&c);
    wanted.if_change = 0;
    GIVES(STORE_CHANGED, store_calibration_set(store, &wanted, &error));
    SAYS("its ETag is \"1\"");
    wanted.if_change = 1, wanted.document = NULL;
    OK(store_calibration_set(store, &wanted, &error)); /* removed, and the count goes on */
    OK(store_version_locate(store, "m", "1", &version, &change, &error));
    ck_assert(version == 1 && change == 2);
    OK(store_version_locate(store, "m", "latest", &version, &change, &error));
    ck_assert(version == 2 && change == 0);
    wanted.version = 9;
    GIVES(STORE_NOT_FOUND, store_calibration_set(store, &wanted, &error));
    GIVES(STORE_NOT_FOUND, store_calibration_get(store, "m", 9, &c, &error));
    set("default", 2);
    OK(store_version_delete(store, "m", 1, &error));
    ck_assert_int_eq(number("SELECT count(*) FROM version_calibrations"), 0);
}
END_TEST

START_TEST(what_an_unfinished_job_reads_stays) {
    struct store_expired expired[STORE_EXPIRED_MAX];
    struct store_jobs list;
    enum store_kind kind = STORE_EVALUATE;
    int32_t count;
    train(), train(), train(), train_as("n", STORE_PUBLISH, NULL, NULL);
    set("default", 3);
    struct store_job job = {.kind = STORE_EVALUATE,
                            .model = "m",
                            .reads_version = 1,
                            .compared_model = "m",
                            .compared_version = 2,
                            .dataset = "d",
                            .dataset_version = 1,
                            .attempts_max = 5};
    struct store_job_new request = {.job = &job};
    store_new_id("job", job.id);
    OK(store_job_create(store, &request, &error));
    GIVES(STORE_IN_USE, store_version_delete(store, "m", 1, &error));
    SAYS("the version is used by job_");
    GIVES(STORE_IN_USE, store_version_delete(store, "m", 2, &error));
    OK(store_versions_expire(store, 1, expired, &count, &error));
    ck_assert_int_eq(count, 0);
    GIVES(STORE_IN_USE, store_model_delete(store, "m", &error));
    OK(store_job_list(store, &(struct store_job_filter){.kind = &kind, .limit = 10}, &list, &error));
    ck_assert_int_eq(list.count, 1);
    ck_assert_int_eq(list.items[0].kind, STORE_EVALUATE);
    ck_assert_int_eq(list.items[0].reads_version, 1);
    ck_assert_str_eq(list.items[0].compared_model, "m");
    ck_assert_int_eq(list.items[0].compared_version, 2);
    store_jobs_free(&list);
    kind = STORE_TRAIN;
    OK(store_job_list(store, &(struct store_job_filter){.kind = &kind, .limit = 10}, &list, &error));
    ck_assert_int_eq(list.count, 4);
    store_jobs_free(&list);
    OK(store_job_cancel(store, job.id, NULL, &error));
    OK(store_versions_expire(store, 1, expired, &count, &error));
    ck_assert_int_eq(count, 2);
    store_new_id("job", job.id);
    GIVES(STORE_NOT_FOUND, store_job_create(store, &request, &error));
    SAYS("there is no version 1 of model m");
}
END_TEST

START_TEST(old_versions_expire) {
    struct store_expired expired[STORE_EXPIRED_MAX];
    int32_t count, all = 0;
    for (int i = 0; i < 6; i++) train();
    set("pinned", 2);
    set("default", 3);
    train_as("n", STORE_PUBLISH, NULL, NULL);
    OK(store_versions_expire(store, 2, expired, &count, &error));
    ck_assert_int_eq(count, 2); /* 1 and 4: 2 and 3 have aliases, 5 and 6 are the newest */
    ck_assert_str_eq(expired[0].name, "m");
    ck_assert_int_eq(expired[0].version + expired[1].version, 5);
    OK(store_versions_expire(store, 2, expired, &count, &error));
    ck_assert_int_eq(count, 0);
    ck_assert_int_eq(number("SELECT group_concat(version) = '2,3,5,6' FROM (SELECT version FROM versions WHERE model = 'm' ORDER BY version)"), 1);
    ck_assert(raw("WITH RECURSIVE n(i) AS (VALUES (101) UNION ALL SELECT i + 1 FROM n WHERE i < 220) INSERT INTO versions "
                  "(model, version, created_at, job, bytes, document, blob) SELECT 'm', i, 1, 'j', 1, '{}', x'00' FROM n"));
    do {
        OK(store_versions_expire(store, 1, expired, &count, &error));
        ck_assert_int_le(count, STORE_EXPIRED_MAX);
        all += count;
    } while (count);
    ck_assert_int_eq(all, 121); /* 5, 6 and 101 to 219 */
    ck_assert_int_eq(found("latest"), 220);
}
END_TEST

START_TEST(old_jobs_expire) {
    struct store_expired expired[STORE_EXPIRED_MAX];
    struct store_version version;
    struct store_job job = {.dataset_version = 1, .attempts_max = 1};
    char kept[STORE_ID_SIZE], gone[STORE_ID_SIZE], waiting[STORE_ID_SIZE];
    int32_t count;
    train_as("m", STORE_PUBLISH, NULL, gone);
    /* One with a dataset and a model of its own, whose version would go with it. */
    struct store_dataset data = {.rows = 1, .bytes = 1, .file = "own.bpc", .hidden = true, .description = TEXT("{}")};
    struct store_job_new request = {.job = &job, .new_dataset = &data, .new_definition = "{}", .hidden_model = true};
    file_make("datasets", "own.bpc");
    store_new_id("job", job.id);
    COPY(job.dataset, job.id), COPY(job.model, job.id), COPY(kept, job.id);
    OK(store_job_create(store, &request, &error));
    job_claim(job.id);
    OK(store_job_end(store, kept, 1, &success, NULL, &error));
    job_new(waiting, 1);
    OK(store_jobs_expire(store, 1, expired, &count, &error));
    ck_assert_int_eq(count, 0); /* none is that old */
    OK(store_jobs_expire(store, store_now() + 1000, expired, &count, &error));
    ck_assert_int_eq(count, 1);
    ck_assert_str_eq(expired[0].name, gone);
    GIVES(STORE_NOT_FOUND, store_job_get(store, gone, &job, &error));
    ck_assert_int_eq(number("SELECT count(*) FROM jobs"), 2);
    OK(store_version_get(store, "m", 1, &version, &error)); /* of a named model: it stays, with where it came from */
    ck_assert_str_eq(version.job, gone);
    store_version_free(&version);
    ck_assert_int_eq(number("SELECT count(*) FROM trainings AS t JOIN versions AS v ON v.id = t.version WHERE v.model = 'm' AND t.dataset = 'd'"), 1);
    ck_assert(file_there("datasets", "own.bpc"));
    IS(waiting, "queued");
}
END_TEST

START_TEST(the_revision_moves_with_versions) {
    uint64_t before = store_versions_revision(store);
    model_put("m");
    ck_assert_uint_eq(store_versions_revision(store), before);
    train();
    ck_assert_uint_gt(store_versions_revision(store), before);
    before = store_versions_revision(store);
    ck_assert_uint_eq(before % 2, 0);
    set("a", 1);
    ck_assert_uint_eq(store_versions_revision(store), before + 2);
    set("a", 1);
    ck_assert_uint_eq(store_versions_revision(store), before + 2);
}
END_TEST

START_TEST(references_name_versions) {
    train(), train();
    set("0a", 1);
    set("2x", 2);
    ck_assert_int_eq(found("1"), 1);
    ck_assert_int_eq(found("01"), 1);
    ck_assert_int_eq(found("0a"), 1);
    ck_assert_int_eq(found("2x"), 2);
    ck_assert_int_eq(found("latest"), 2);
    ck_assert_int_eq(found("3"), -STORE_NOT_FOUND);
    ck_assert_int_eq(found("99999999999999999999"), -STORE_NOT_FOUND);
    GIVES(STORE_NOT_FOUND, store_version_find(store, "m", "production", &(int64_t){0}, &error));
    SAYS("model m has no alias production");
    GIVES(STORE_NOT_FOUND, store_version_find(store, "nobody", NULL, &(int64_t){0}, &error));
}
END_TEST

Suite *suite_store_versions(void) {
    Suite *suite = suite_create("store/versions");
    TCase *tests = store_case(suite, "versions");
    tcase_add_test(tests, a_job_publishes_its_version);
    tcase_add_test(tests, a_version_is_held_back);
    tcase_add_test(tests, only_a_better_version_is_published);
    tcase_add_test(tests, an_alias_moves_and_comes_back);
    tcase_add_test(tests, a_change_can_depend_on_the_last_one);
    tcase_add_test(tests, aliases_and_history_are_bounded);
    tcase_add_test(tests, what_an_alias_names_stays);
    tcase_add_test(tests, notes_and_tags);
    tcase_add_test(tests, what_an_unfinished_job_reads_stays);
    tcase_add_test(tests, old_versions_expire);
    tcase_add_test(tests, calibrations_change_and_count);
    tcase_add_test(tests, old_jobs_expire);
    tcase_add_test(tests, the_revision_moves_with_versions);
    tcase_add_test(tests, references_name_versions);
    return suite;
}
