/* api_key.c - the file of the key. */
#include "server/http/private.h"

#include "server/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { KEY_MIN = 16, KEY_MAX = 4096 };

int api_key_read(const char *path, char **key, struct bp_error *error) {
    char line[KEY_MAX + 2];
    struct stat info;
    *key = NULL;
    if (!*path) return 0;
    FILE *file = fopen(path, "re");
    if (!file) return bp_error_io(error, "cannot read --api-key-file %s: %s", path, strerror(errno));
    const bool got = fgets(line, sizeof line, file) != NULL;
    const bool open_to_others = fstat(fileno(file), &info) == 0 && (info.st_mode & (S_IRWXO | S_IWGRP));
    fclose(file);
    const size_t length = got ? strcspn(line, "\r\n") : 0;
    if (length > KEY_MAX) return bp_error_set(error, "", "the first line of %s is longer than %d characters, the limit for a key", path, KEY_MAX);
    line[length] = '\0';
    if (length < KEY_MIN)
        return bp_error_set(error, "",
                            "the first line of %s must be a key of at least %d characters; make one with: head -c 24 /dev/urandom | base64", path,
                            KEY_MIN);
    if (open_to_others) log_line(LOG_WARNING, "api_key_file_readable", "file", path, "advice", "chmod 600", NULL);
    if (!(*key = strdup(line))) return bp_error_memory(error, "out of memory");
    return 0;
}
