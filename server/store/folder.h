/* folder.h - a data folder as a whole, from outside: listing what its database names, and copying it. For the commands check, backup and restore. A
 * server may be using the folder. */
#ifndef SERVER_STORE_FOLDER_H
#define SERVER_STORE_FOLDER_H

#include "server/store/store.h"

/* A consistent view of a folder: what the database held when it was opened. */
struct folder;

/* Read only. Errors: there is no database, it is damaged, of another program, or of a newer one. The result is the caller's. */
int folder_open(const char *path, struct folder **folder, struct bp_error *error);
void folder_close(struct folder *folder);

/* SQLite's own checks (integrity_check, foreign_key_check): calls `fault` with each. -1 with error: they could not be made. */
int folder_check_database(struct folder *folder, void (*fault)(void *context, const char *text), void *context, struct bp_error *error);

enum folder_kind { FOLDER_DATASET, FOLDER_CHECKPOINT, FOLDER_RESULT, FOLDER_MODEL };
struct folder_item {
    enum folder_kind kind;
    char name[STORE_NAME_SIZE]; /* of the dataset or model; of a checkpoint or result: its job */
    int64_t version;            /* of a checkpoint: its epoch; of a result: its rows */
    char file[STORE_FILE_SIZE]; /* DATASET, CHECKPOINT, RESULT */
    int64_t bytes;              /* DATASET, RESULT: of its file that are its own; MODEL: of blob */
    int64_t crc;                /* RESULT: CRC-32 of its bytes */
    const void *blob;           /* MODEL: borrowed during the call */
};
/* Calls `each` with every dataset version, checkpoint, result and model version. It returns 0 to go on. -1: it did not, or with error: they cannot be
 * read.
 */
int folder_each(struct folder *folder, int (*each)(void *context, const struct folder_item *item), void *context, struct bp_error *error);
/* What a version has apart from its model file (store_calibration): *document, the caller's, is NULL when that was removed. false: it never had one,
 * also in a folder of an older program. */
bool folder_calibration(struct folder *folder, const char *model, int64_t version, char **document);
/* Whether the database has that item still: a running server deletes them. */
bool folder_has_still(struct folder *folder, const struct folder_item *item);
/* The descriptor of an item's file, the caller's; -1 with errno. */
int folder_item_open(const struct folder *folder, const struct folder_item *item);
/* Calls `each` with "datasets/NAME", "checkpoints/NAME" or "results/NAME" of every file that no row names. */
void folder_unnamed(struct folder *folder, void (*each)(void *context, const char *file), void *context);

/* What a copy was made of. */
struct folder_copy {
    int64_t files;                    /* datasets, checkpoints and results */
    int64_t copied_bytes, kept_bytes; /* kept: they were there from an earlier copy */
    int64_t removed;                  /* files of earlier copies that nothing names any more */
};
/* Copies the folder into `to`, which is made if missing, is empty, or holds an earlier copy of it: files that are there already are kept, since a
 * name is never used for other bytes. The database is copied with SQLite's online backup, files are complete before the database names them; until
 * the end `to` holds the earlier copy. Nothing is shared between the two folders. Errors: `to` is in use or holds something else, what the files or
 * the disk say, an item has no file although the database has it still. */
int folder_copy(const char *from, const char *to, struct folder_copy *done, struct bp_error *error);
/* Whether it does not exist or has no entries. */
bool folder_is_empty(const char *path);

#endif
