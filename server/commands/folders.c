/* folders.c - see folders.h: the arguments of check, backup and restore, and a copy with its report. */
#include "server/commands/folders.h"

#include "server/commands/local_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int folder_arguments(const char *command, int argc, char **argv, const char *what, const char **place, const char **folder) {
    static const char *const names[] = {"data-dir", NULL}, *const switches[] = {NULL};
    const char *values[1] = {NULL}, *preset = getenv("BACKPROPD_DATA_DIR");
    const bool first = argc > 1 && strncmp(argv[1], "--", 2) != 0;
    *place = NULL;
    if (what && first) {
        *place = argv[1];
        argv++, argc--;
    } else if (what && argc > 3 && strncmp(argv[argc - 1], "--", 2) != 0) { /* after the flag and its value */
        *place = argv[--argc];
    }
    if (what && !*place) {
        fprintf(stderr, "backpropd %s: name %s; see `backpropd help %s`\n", command, what, command);
        return -1;
    }
    if (local_flags(command, argc, argv, names, switches, values) != 0) return -1;
    *folder = values[0] ? values[0] : preset && *preset ? preset : "./backpropd-data";
    return 0;
}

int folder_copy_report(const char *command, const char *from, const char *to) {
    struct folder_copy done;
    struct bp_error error = {0};
    if (folder_copy(from, to, &done, &error) != 0) {
        fprintf(stderr, "backpropd %s: %s\n", command, error.message);
        return 1;
    }
    printf("copied %s to %s: %lld files, %.1f MB copied, %.1f MB already there, %lld old files removed\n", from, to, (long long)done.files,
           (double)done.copied_bytes / 1e6, (double)done.kept_bytes / 1e6, (long long)done.removed);
    return 0;
}
