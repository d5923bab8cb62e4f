/* files.c - see files.h. Sections: datasets, files of a request, checkpoints, results. */
#include "server/store/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- datasets ------------------------------------------------------------------------------------------------------------------------ */

static int folder_of(const struct store *store) {
    return store_directory(store, STORE_DATASETS);
}

int dataset_file_open(const struct store *store, const char *file, struct bp_error *error) {
    const int fd = openat(folder_of(store), file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) bp_error_io(error, "the file of the dataset cannot be opened: %s", strerror(errno));
    return fd;
}

static void name_draft(const struct store *store, struct dataset_draft *draft) {
    char id[STORE_ID_SIZE];
    *draft = DATASET_DRAFT;
    store_new_id("dat", id);
    draft->store = store;
    snprintf(draft->name, sizeof draft->name, "%s.col", id);
    snprintf(draft->temporary, sizeof draft->temporary, "%s.tmp", id);
}

int dataset_draft_new(const struct store *store, struct dataset_draft *draft, struct bp_error *error) {
    name_draft(store, draft);
    draft->fd = openat(folder_of(store), draft->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (draft->fd >= 0) return 0;
    draft->temporary[0] = '\0';
    return bp_error_io(error, "cannot create a file in the data folder: %s", strerror(errno));
}

/* errno stays. */
static int no_base(struct bp_error *error) {
    const int cause = errno;
    if (cause == ENOENT) bp_error_set(error, "", "the dataset was deleted in the meantime");
    else bp_error_io(error, "cannot extend the file of the dataset: %s", strerror(cause));
    errno = cause;
    return -1;
}

/* Where a file can have no other name: a file system without hard links, or too many of them. */
static int copy_base(const struct store *store, const char *base, int64_t bytes, struct dataset_draft *draft, struct bp_error *error) {
    const int from = openat(folder_of(store), base, O_RDONLY | O_CLOEXEC);
    off_t at = 0;
    if (from < 0) return no_base(error);
    int failed = dataset_draft_new(store, draft, error);
    while (!failed && at < bytes) {
        const ssize_t n = sendfile(draft->fd, from, &at, (size_t)(bytes - at));
        if (n <= 0 && !(n < 0 && errno == EINTR)) {
            if (n == 0) errno = EIO;
            failed = no_base(error);
        }
    }
    close(from);
    return failed;
}

int dataset_draft_extend(const struct store *store, const char *base, int64_t bytes, struct dataset_draft *draft, struct bp_error *error) {
    struct stat status;
    name_draft(store, draft);
    if (linkat(folder_of(store), base, folder_of(store), draft->temporary, 0) != 0) {
        draft->temporary[0] = '\0';
        return errno == ENOENT ? no_base(error) : copy_base(store, base, bytes, draft, error);
    }
    draft->fd = openat(folder_of(store), draft->temporary, O_RDWR | O_CLOEXEC);
    if (draft->fd < 0 || flock(draft->fd, LOCK_EX) != 0 || fstat(draft->fd, &status) != 0) return no_base(error);
    draft->shared = status.st_size;
    return 0;
}

int dataset_draft_place(struct dataset_draft *draft, struct bp_error *error) {
    if (renameat(folder_of(draft->store), draft->temporary, folder_of(draft->store), draft->name) != 0)
        return bp_error_io(error, "cannot rename the dataset's file: %s", strerror(errno));
    draft->temporary[0] = '\0';
    draft->placed = true;
    return 0;
}

void dataset_draft_keep(struct dataset_draft *draft) {
    draft->shared = 0;
    draft->placed = false;
}

void dataset_draft_discard(struct dataset_draft *draft) {
    /* What cannot be cut off does no harm, and goes at the next start. */
    if (draft->fd >= 0 && draft->shared > 0 && ftruncate(draft->fd, draft->shared) != 0) (void)0;
    if (draft->fd >= 0) close(draft->fd);
    if (draft->temporary[0]) unlinkat(folder_of(draft->store), draft->temporary, 0);
    if (draft->placed) unlinkat(folder_of(draft->store), draft->name, 0);
    *draft = DATASET_DRAFT;
}

/* ---- files of a request ------------------------------------------------------------------------------------------------------------------ */

/* Where the file system has no files without a name, it loses its name at once. */
int scratch_file_new(const struct store *store, struct bp_error *error) {
    char id[STORE_ID_SIZE], name[STORE_FILE_SIZE];
    const int folder = store_directory(store, STORE_CHECKPOINTS);
    int fd = openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) return fd;
    store_new_id("tmp", id);
    snprintf(name, sizeof name, "%s.tmp", id);
    fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return bp_error_io(error, "cannot create a file in the data folder: %s", strerror(errno));
    unlinkat(folder, name, 0);
    return fd;
}

int scratch_file_of(const struct store *store, const void *bytes, size_t size, struct bp_error *error) {
    const int fd = scratch_file_new(store, error);
    for (size_t written = 0; fd >= 0 && written < size;) {
        const ssize_t n = pwrite(fd, (const char *)bytes + written, size - written, (off_t)written);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            const int cause = errno;
            close(fd);
            errno = cause;
            return -1;
        }
        written += (size_t)n;
    }
    return fd;
}

/* ---- checkpoints --------------------------------------------------------------------------------------------------------------------- */

static int checkpoint_folder(const struct store *store) {
    return store_directory(store, STORE_CHECKPOINTS);
}

static int prefix_of(const char *job, int64_t attempt, char prefix[STORE_FILE_SIZE]) {
    return snprintf(prefix, STORE_FILE_SIZE, "%s.%lld.", job, (long long)attempt);
}

void checkpoint_file_name(const char *job, int64_t attempt, const char *what, char file[STORE_FILE_SIZE]) {
    const int n = prefix_of(job, attempt, file);
    snprintf(file + n, (size_t)(STORE_FILE_SIZE - n), "%s.tmp", what);
}

int checkpoint_file_create(const struct store *store, const char *file) {
    return openat(checkpoint_folder(store), file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

int checkpoint_file_open(const struct store *store, const char *file) {
    return openat(checkpoint_folder(store), file, O_RDONLY | O_CLOEXEC);
}

int checkpoint_file_rename(const struct store *store, const char *from, const char *to) {
    return renameat(checkpoint_folder(store), from, checkpoint_folder(store), to);
}

void checkpoint_file_remove(const struct store *store, const char *file) {
    unlinkat(checkpoint_folder(store), file, 0);
}

void *checkpoint_file_read(const struct store *store, const char *file, size_t *size) {
    struct stat info;
    const int fd = checkpoint_file_open(store, file);
    char *bytes = fd >= 0 && fstat(fd, &info) == 0 ? malloc((size_t)info.st_size + 1) : NULL;
    size_t done = 0;
    int cause = errno;
    while (bytes && done < (size_t)info.st_size) {
        const ssize_t n = read(fd, bytes + done, (size_t)info.st_size - done);
        if (n <= 0) {
            cause = n == 0 ? EIO : errno;
            break;
        }
        done += (size_t)n;
    }
    if (fd >= 0) close(fd);
    if (bytes && done == (size_t)info.st_size) return *size = done, bytes;
    free(bytes);
    errno = cause;
    return NULL;
}

int result_file_new(const struct store *store, char file[STORE_FILE_SIZE]) {
    char id[STORE_ID_SIZE];
    store_new_id("res", id);
    snprintf(file, STORE_FILE_SIZE, "%s.out", id);
    return openat(store_directory(store, STORE_RESULTS), file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

int result_file_again(const struct store *store, const char *file) {
    return openat(store_directory(store, STORE_RESULTS), file, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
}

int result_file_open(const struct store *store, const char *file, bool writing) {
    return openat(store_directory(store, STORE_RESULTS), file, (writing ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC);
}

void result_file_remove(const struct store *store, const char *file) {
    unlinkat(store_directory(store, STORE_RESULTS), file, 0);
}

void checkpoint_files_remove_leftovers(const struct store *store, const char *job, int64_t attempt) {
    char prefix[STORE_FILE_SIZE];
    const int n = prefix_of(job, attempt, prefix);
    const int fd = openat(checkpoint_folder(store), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (!folder && fd >= 0) close(fd);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (strncmp(entry->d_name, prefix, (size_t)n) == 0) unlinkat(fd, entry->d_name, 0);
    if (folder) closedir(folder);
}
