/* changes.h - what was changed of models, in order, for those who keep a copy of them; and such a copy in this folder.
 *
 * Invariants:
 *  1. A change of a model that is not hidden, of its versions, aliases, notes and calibrations adds rows in the same transaction (triggers of
 *     schema/migrations/013_changes.sql). Their ids have no gaps.
 *  2. A copy shows a state that the primary has had: a model's aliases, its definition and the removal of its versions commit in one transaction,
 * after the versions that the aliases name. */
#ifndef SERVER_STORE_CHANGES_H
#define SERVER_STORE_CHANGES_H

#include "server/store/store.h"

/* ---- the feed ---- */

/* What store_options.committed is called with, in place of a job, after a commit with changes. */
#define STORE_CHANGES "changes"
enum { STORE_MARK_SIZE = 9, STORE_CURSOR_SIZE = 32 };
struct store_change {
    int64_t id, at;
    char mark[STORE_MARK_SIZE]; /* tells it from the change with this id in another history */
    char type[12];              /* start, model, version, alias, notes, calibration */
    char action[8];             /* set, delete */
    char model[STORE_NAME_SIZE], name[STORE_NAME_SIZE];
    int64_t version;
};
struct store_changes {
    int32_t count;
    bool has_more;
    struct store_change *items;
};
/* Oldest first, id > after. The newest 10,000 are kept. */
enum store_result store_change_list(struct store *store, int64_t after, int32_t limit, struct store_changes *list, struct bp_error *error);
/* There always is one. */
enum store_result store_change_newest(struct store *store, struct store_change *change, struct bp_error *error);
/* STORE_NOT_FOUND: it is no longer kept, or it is of another history. */
enum store_result store_change_check(struct store *store, int64_t id, const char *mark, struct bp_error *error);
void store_changes_free(struct store_changes *list);
/* "12-9f3a01bc", and back; false: it is none. */
void store_cursor_text(int64_t id, const char *mark, char text[STORE_CURSOR_SIZE]);
bool store_cursor_parse(const char *text, int64_t *id, char mark[STORE_MARK_SIZE]);

/* ---- the state of a model, to be copied ---- */

struct store_copied_version {
    int64_t version, created_at, bytes;
    int64_t notes, calibration; /* how often they were changed */
    char job[STORE_ID_SIZE];
};
struct store_copy {
    char name[STORE_NAME_SIZE];
    int64_t created_at, updated_at;
    int64_t last;                          /* the last number ever given to a version */
    char *definition;                      /* JSON */
    struct store_copied_version *versions; /* by number */
    int32_t versions_count;
    struct store_alias *aliases; /* name, version, change are set */
    int32_t aliases_count;
    struct store_alias *history; /* oldest first */
    int32_t history_count;
};
/* One snapshot. history_after: changes of aliases with larger ids only. STORE_NOT_FOUND: no model of that name, or a hidden one. */
enum store_result store_copy_read(struct store *store, const char *name, int64_t history_after, struct store_copy *copy, struct bp_error *error);
void store_copy_free(struct store_copy *copy);

/* ---- a copy in this folder ---- */

/* What can change of a version. */
struct store_copied_settings {
    int64_t notes_change; /* 0: never, and so on */
    const char *notes;
    const char *const *tags;
    int32_t tags_count;
    int64_t calibration_change, calibration_at;
    const char *calibration; /* JSON; NULL: none */
    struct store_actor actor;
};
struct store_version_copy {
    const struct store_copy *model; /* of which name, times and definition are used, for one that is new */
    const struct store_copied_version *version;
    const char *document, *test; /* JSON; test NULL: none */
    const void *blob;
    size_t blob_size;
    struct store_copied_settings settings;
};
/* Stores a version under its number, in place of one that is there. */
enum store_result store_copy_version(struct store *store, const struct store_version_copy *copy, struct bp_error *error);
enum store_result store_copy_settings(struct store *store, const char *model, int64_t version, const struct store_copied_settings *settings,
                                      struct bp_error *error);
/* The model becomes what the copy says: definition, aliases with their history (whole: in place of all that is here), and versions that it does not
 * list go. Versions that aliases name must be here. */
enum store_result store_copy_apply(struct store *store, const struct store_copy *copy, bool whole, struct bp_error *error);

/* Whom this folder copies. */
struct store_following {
    char url[512];
    char cursor[STORE_CURSOR_SIZE]; /* of the last change that is here; "": it never was complete */
    int64_t caught_up_at;
};
/* STORE_NOT_FOUND: nobody. */
enum store_result store_following_get(struct store *store, struct store_following *following, struct bp_error *error);
/* NULL: from now on nobody. STORE_CONFLICT: it copies nobody yet, and has models, datasets or jobs of its own. */
enum store_result store_following_set(struct store *store, const struct store_following *following, struct bp_error *error);

#endif
