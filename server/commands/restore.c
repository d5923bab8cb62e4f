/* restore.c - `backpropd restore`: makes a data folder of a backup. */
#include "server/commands/commands.h"

#include "server/commands/folders.h"

#include <stdio.h>

int command_restore(int argc, char **argv) {
    const char *place, *folder;
    if (folder_arguments("restore", argc, argv, "the folder of the backup", &place, &folder) != 0) return 2;
    if (!folder_is_empty(folder)) {
        fprintf(stderr, "backpropd restore: %s is not empty; name a new folder with --data-dir, and start the server with it\n", folder);
        return 1;
    }
    if (folder_report(place, true) != 0) {
        fprintf(stderr, "backpropd restore: the backup is damaged, nothing was restored; use another backup\n");
        return 1;
    }
    return folder_copy_report("restore", place, folder);
}
