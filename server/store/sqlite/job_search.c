/* job_search.c - lists of jobs: filters, conditions on what is in a job, and its order. Statements are built from constant pieces only; what a client
 * sent is bound. A list in an order of its own is read in two steps, in one snapshot: ids with the values of their keys, of which SQLite keeps no
 * more than a page while it sorts; then the jobs of that page. */
#include "server/store/search.h"
#include "server/store/sqlite/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- statements ---- */

struct statement {
    char sql[12 << 10];
    size_t size;
    bool too_long;
    struct value values[QUERY_VALUES_MAX];
    size_t count;
};

static void add(struct statement *s, const char *piece) {
    const size_t size = strlen(piece);
    if (s->size + size >= sizeof s->sql) s->too_long = true;
    if (s->too_long) return;
    memcpy(s->sql + s->size, piece, size + 1);
    s->size += size;
}

static void give(struct statement *s, struct value value) {
    if (s->count == QUERY_VALUES_MAX) s->too_long = true;
    else s->values[s->count++] = value;
}

/* ---- what of a job ---- */

const char *const store_job_fields[] = {
#define FIELD(name, expression) #name,
#include "server/store/sqlite/job_fields.def"
#undef FIELD
    NULL};
static const char *const field_expressions[] = {
#define FIELD(name, expression) expression,
#include "server/store/sqlite/job_fields.def"
#undef FIELD
};

/* The expression of a subject, in a query of jobs and filings. */
static void add_subject(struct statement *s, const struct store_subject *subject) {
    static const char *const expressions[] = {
        [STORE_JOB_METRIC] = "(SELECT m.value FROM json_each(jobs.metrics) AS m WHERE m.key = ? AND m.type IN ('integer', 'real'))",
        [STORE_JOB_FINAL] = "(SELECT m.value FROM json_each((SELECT data FROM events WHERE job = jobs.id AND type = 'metrics' "
                            "ORDER BY epoch DESC LIMIT 1)) AS m WHERE m.key = ? AND m.type IN ('integer', 'real'))",
        [STORE_JOB_OPTION] = "(SELECT CASE json_type(filings.view, p.path) WHEN 'object' THEN json_extract(filings.view, p.path || '.type') "
                             "WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE json_extract(filings.view, p.path) END "
                             "FROM (SELECT ? AS path) AS p)",
        [STORE_JOB_METADATA] = "(SELECT substr(m.atom, 1, 200) FROM json_each(filings.metadata) AS m WHERE m.key = ?)"};
    if (subject->kind != STORE_JOB_FIELD) {
        add(s, expressions[subject->kind]);
        give(s, text(subject->name));
        return;
    }
    for (int i = 0; store_job_fields[i]; i++)
        if (strcmp(store_job_fields[i], subject->name) == 0) {
            add(s, field_expressions[i]);
            return;
        }
    add(s, "NULL"); /* a name that is no field: the caller knows them */
}

static void give_value(struct statement *s, const struct store_value *v) {
    give(s, v->kind == STORE_VALUE_NUMBER ? real(v->number) : text(v->kind == STORE_VALUE_TEXT ? v->text : NULL));
}

/* ---- filters ---- */

static void add_condition(struct statement *s, const struct store_condition *c) {
    static const char *const comparing[STORE_COMPARING_COUNT] = {" = ?", " <> ?", " < ?", " <= ?", " > ?", " >= ?"};
    add(s, " AND EXISTS (SELECT 1 FROM (SELECT ");
    add_subject(s, &c->subject);
    add(s, " AS v) WHERE v");
    add(s, comparing[c->compare]);
    give_value(s, &c->value);
    add(s, c->value.kind == STORE_VALUE_TEXT ? " AND typeof(v) = 'text')" : " AND typeof(v) <> 'text')");
}

static void add_search(struct statement *s, const struct store_search *search) {
    if (search->statuses) {
        add(s, " AND status IN (NULL");
        for (int i = 0; i < STORE_STATUS_COUNT; i++) {
            if (!(search->statuses >> i & 1)) continue;
            add(s, ", ?");
            give(s, text(store_status_name((enum store_status)i)));
        }
        add(s, ")");
    }
    if (search->created_since) add(s, " AND created_at >= ?"), give(s, integer(search->created_since));
    if (search->created_until) add(s, " AND created_at < ?"), give(s, integer(search->created_until));
    for (int32_t i = 0; i < search->conditions_count; i++) add_condition(s, &search->conditions[i]);
}

static void add_filters(struct statement *s, const struct store_job_filter *filter) {
    if (filter->status) add(s, " AND status = ?"), give(s, text(store_status_name(*filter->status)));
    if (filter->kind) add(s, " AND kind = ?"), give(s, text(store_kind_names[*filter->kind]));
    if (filter->model) add(s, " AND model = ?"), give(s, text(filter->model));
    if (filter->dataset) { /* those that train with it, or validate with it */
        const bool version = filter->dataset_version != 0;
        add(s, version ? " AND ((dataset = ? AND dataset_version = ?) OR (validation_dataset = ? AND validation_version = ?))"
                       : " AND (dataset = ? OR validation_dataset = ?)");
        for (int i = 0; i < 2; i++) {
            give(s, text(filter->dataset));
            if (version) give(s, integer(filter->dataset_version));
        }
    }
    if (filter->metadata_key) {
        add(s, " AND EXISTS (SELECT 1 FROM json_each(filings.metadata) AS pair WHERE pair.key = ? AND pair.atom = ?)");
        give(s, text(filter->metadata_key));
        give(s, text(filter->metadata_value ? filter->metadata_value : ""));
    }
    if (filter->search) add_search(s, filter->search);
}

/* ---- an order of its own ---- */

struct sorted {
    struct store_job job;
    struct store_value values[STORE_SORT_MAX];
};

/* Behind the cursor: equal in the first i keys and behind in the next one, for every i; at last equal in all and of an older job. What has no value
 * is behind all that has one. */
static void add_after(struct statement *s, const struct store_search *search) {
    char piece[80];
    add(s, " WHERE (0");
    for (int32_t i = 0; i <= search->sort_count; i++) {
        const bool last = i == search->sort_count;
        if (!last && search->after.values[i].kind == STORE_VALUE_NONE) continue; /* nothing is behind it */
        add(s, " OR (1");
        for (int32_t k = 0; k < i; k++) {
            snprintf(piece, sizeof piece, " AND k%d IS ?", (int)k);
            add(s, piece);
            give_value(s, &search->after.values[k]);
        }
        if (last) {
            add(s, " AND id < ?)");
            give(s, text(search->after.id));
            continue;
        }
        snprintf(piece, sizeof piece, " AND (k%d IS NULL OR k%d %s ?))", (int)i, (int)i, search->sort[i].descending ? "<" : ">");
        add(s, piece);
        give_value(s, &search->after.values[i]);
    }
    add(s, ")");
}

/* LIMIT -1 keeps SQLite from dissolving the inner query, which would compute each key several times. */
static void add_order(struct statement *s, const struct store_job_filter *filter) {
    const struct store_search *search = filter->search;
    char piece[80];
    add(s, "SELECT * FROM (SELECT jobs.id AS id");
    for (int32_t i = 0; i < search->sort_count; i++) {
        add(s, ", ");
        add_subject(s, &search->sort[i].subject);
        snprintf(piece, sizeof piece, " AS k%d", (int)i);
        add(s, piece);
    }
    add(s, " FROM jobs CROSS JOIN filings ON filings.job = jobs.id WHERE 1");
    add_filters(s, filter);
    add(s, " LIMIT -1)");
    if (search->has_after) add_after(s, search);
    add(s, " ORDER BY ");
    for (int32_t i = 0; i < search->sort_count; i++) {
        snprintf(piece, sizeof piece, "k%d IS NULL, k%d%s, ", (int)i, (int)i, search->sort[i].descending ? " DESC" : "");
        add(s, piece);
    }
    add(s, "id DESC LIMIT ?");
}

static bool sorted_read(sqlite3_stmt *s, void *item) {
    struct sorted *one = item;
    column_copy(s, 0, one->job.id, sizeof one->job.id);
    for (int i = 1; i < sqlite3_column_count(s); i++) {
        struct store_value *v = &one->values[i - 1];
        switch (sqlite3_column_type(s, i)) {
        case SQLITE_NULL: v->kind = STORE_VALUE_NONE; break;
        case SQLITE_TEXT:
            v->kind = STORE_VALUE_TEXT;
            column_copy(s, i, v->text, sizeof v->text);
            break;
        default: v->kind = STORE_VALUE_NUMBER; v->number = sqlite3_column_double(s, i);
        }
    }
    return true;
}

static int64_t documents_size(const struct store_job *j) {
    const char *const documents[] = {j->spec, j->view, j->metadata, j->progress, j->metrics, j->best, j->error, j->warnings, j->cross_validation};
    int64_t size = 0;
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++) size += documents[i] ? (int64_t)strlen(documents[i]) : 0;
    return size;
}

/* The jobs of the page; what does not fit comes with the next one. */
static enum store_result sorted_fill(struct connection *c, struct query *query, struct bp_error *error) {
    struct sorted *items = query->items;
    int64_t bytes = 0;
    for (int32_t i = 0; i < query->count; i++) {
        char id[STORE_ID_SIZE];
        memcpy(id, items[i].job.id, sizeof id);
        sqlite3_stmt *s = db_start(c, JOB_SELECT("0") "WHERE id = ?", WITH(text(id)));
        const int code = s ? sqlite3_step(s) : SQLITE_ERROR;
        columns_lost();
        const bool read = code == SQLITE_ROW && job_read(s, &items[i].job) && !columns_lost();
        db_end(s);
        if (!read) return code == SQLITE_ROW ? out_of_memory(error) : db_failed(c, error);
        bytes += documents_size(&items[i].job);
        if (i == 0 || bytes <= STORE_LIST_BYTES) continue;
        for (int32_t k = i; k < query->count; k++) store_job_free(&items[k].job);
        query->count = i;
        query->has_more = true;
    }
    struct store_job **jobs = malloc((size_t)(query->count + 1) * sizeof *jobs);
    if (!jobs) return out_of_memory(error);
    for (int32_t i = 0; i < query->count; i++) jobs[i] = &items[i].job;
    enum store_result result = queue_positions(c, jobs, query->count, error);
    free(jobs);
    return result;
}

static enum store_result positions(struct connection *c, struct query *query, struct bp_error *error) {
    struct store_job *items = query->items, **jobs = malloc((size_t)(query->count + 1) * sizeof *jobs);
    if (!jobs) return out_of_memory(error);
    for (int32_t i = 0; i < query->count; i++) jobs[i] = &items[i];
    enum store_result result = queue_positions(c, jobs, query->count, error);
    free(jobs);
    return result;
}

/* The items of the query become a list of jobs. */
static enum store_result take_sorted(struct query *query, struct store_search *search, struct store_jobs *list, struct bp_error *error) {
    struct sorted *items = query->items;
    if (query->count > 0) {
        const struct sorted *last = &items[query->count - 1];
        memcpy(search->last.values, last->values, sizeof search->last.values);
        memcpy(search->last.id, last->job.id, sizeof search->last.id);
    }
    *list = (struct store_jobs){query->count, query->has_more, malloc((size_t)(query->count + 1) * sizeof *list->items)};
    for (int32_t i = 0; i < query->count; i++) {
        if (list->items) list->items[i] = items[i].job;
        else store_job_free(&items[i].job);
    }
    free(items);
    if (list->items) return STORE_OK;
    list->count = 0;
    return out_of_memory(error);
}

static enum store_result sorted_list(struct store *store, const struct store_job_filter *filter, struct statement *s, struct store_jobs *list,
                                     struct bp_error *error) {
    struct bp_error second = {0};
    add_order(s, filter);
    struct query query = {.what = "list the jobs",
                          .sql = s->sql,
                          .values = s->values,
                          .values_count = s->count,
                          .read = sorted_read,
                          .item_size = sizeof(struct sorted),
                          .limit = filter->limit,
                          .complete = sorted_fill};
    enum store_result result = query_list(store, &query, error);
    const enum store_result taken = take_sorted(&query, filter->search, list, result == STORE_OK ? error : &second);
    if (result == STORE_OK) result = taken;
    if (result != STORE_OK) store_jobs_free(list);
    return result;
}

enum store_result store_job_list(struct store *store, const struct store_job_filter *filter, struct store_jobs *list, struct bp_error *error) {
    struct statement s = {.size = 0};
    *list = (struct store_jobs){0};
    if (filter->search && filter->search->sort_count) return sorted_list(store, filter, &s, list, error);
    add(&s, JOB_SELECT("0") "WHERE 1");
    add_filters(&s, filter);
    if (filter->after) add(&s, " AND id < ?"), give(&s, text(filter->after));
    add(&s, " ORDER BY id DESC LIMIT ?");
    struct query query = {.what = "list the jobs",
                          .sql = s.sql,
                          .values = s.values,
                          .values_count = s.count,
                          .read = job_read,
                          .item_size = sizeof(struct store_job),
                          .limit = filter->limit,
                          .complete = positions};
    enum store_result result = query_list(store, &query, error);
    *list = (struct store_jobs){query.count, query.has_more, query.items};
    if (result != STORE_OK) store_jobs_free(list);
    return result;
}
