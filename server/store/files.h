/* files.h - the files of the data folder: datasets, checkpoints and results. No path leaves it: callers have names and descriptors.
 *
 * A file is a draft under a temporary name until it is complete, then gets its final name, and only then its row in the store. What a crash
 * leaves between these steps is an orphan, which the next start finds (sqlite/orphans.c).
 *
 * Errors say what was tried and why it failed; functions that return a descriptor return -1 then. */
#ifndef SERVER_STORE_FILES_H
#define SERVER_STORE_FILES_H

#include "server/store/store.h"

/* ---- datasets ---- */

/* The column file of a dataset version, read only. The descriptor is the caller's. */
int dataset_file_open(const struct store *store, const char *file, struct bp_error *error);

/* A column file that is being written. Zero-initialise with DATASET_DRAFT. */
struct dataset_draft {
    const struct store *store;
    int fd;                          /* -1: none */
    int64_t shared;                  /* bytes of a file that other versions have too; what is written behind them is cut off again. 0: its own */
    char temporary[STORE_FILE_SIZE]; /* "": it is gone or has its final name */
    char name[STORE_FILE_SIZE];      /* the final name */
    bool placed;                     /* it has its final name, and is not kept yet */
};
#define DATASET_DRAFT ((struct dataset_draft){.fd = -1})

/* A new empty file. */
int dataset_draft_new(const struct store *store, struct dataset_draft *draft, struct bp_error *error);
/* A file that begins with the first `bytes` of another version's file: a second name for that file, which nobody else writes to until it is
 * closed (waits for those who do), or a copy where the file system allows no second name. errno is ENOENT when the base is gone. */
int dataset_draft_extend(const struct store *store, const char *base, int64_t bytes, struct dataset_draft *draft, struct bp_error *error);
/* Gives it its final name. */
int dataset_draft_place(struct dataset_draft *draft, struct bp_error *error);
/* The store has a row for it: it stays. */
void dataset_draft_keep(struct dataset_draft *draft);
/* Closes it; removes what is not kept. */
void dataset_draft_discard(struct dataset_draft *draft);

/* ---- files of a request ---- */

/* A new empty file in the data folder without a name, which goes with its descriptor: for a body or an answer that is too large for memory. -1 with
 * the error. */
int scratch_file_new(const struct store *store, struct bp_error *error);

/* The same with these bytes in it; it is at its beginning. A failure to write them has no message, but errno. */
int scratch_file_of(const struct store *store, const void *bytes, size_t size, struct bp_error *error);

/* ---- checkpoints and results of job processes ---- */

/* The name of a file that a job process writes, JOB.ATTEMPT.WHAT.tmp. The process has its descriptor only. */
void checkpoint_file_name(const char *job, int64_t attempt, const char *what, char file[STORE_FILE_SIZE]);
/* A new file, to be written. -1 with errno. */
int checkpoint_file_create(const struct store *store, const char *file);
/* A finished checkpoint, read only. */
int checkpoint_file_open(const struct store *store, const char *file);
/* Renames. -1 with errno. */
int checkpoint_file_rename(const struct store *store, const char *from, const char *to);
void checkpoint_file_remove(const struct store *store, const char *file);
/* All bytes of one, the caller's; NULL with errno. */
void *checkpoint_file_read(const struct store *store, const char *file, size_t *size);
/* ---- results of batches ---- */

/* A new empty file, whose name is set. The descriptor is the caller's; -1 with errno. */
int result_file_new(const struct store *store, char file[STORE_FILE_SIZE]);
/* The same under a name that it had before: empty. -1 with errno. */
int result_file_again(const struct store *store, const char *file);
/* To go on writing, or read only. -1 with errno. */
int result_file_open(const struct store *store, const char *file, bool writing);
void result_file_remove(const struct store *store, const char *file);

/* Removes whatever this attempt has left. */
void checkpoint_files_remove_leftovers(const struct store *store, const char *job, int64_t attempt);

#endif
