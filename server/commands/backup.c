/* backup.c - `backpropd backup`: copies the data folder while the server works. */
#include "server/commands/commands.h"

#include "server/commands/folders.h"

int command_backup(int argc, char **argv) {
    const char *place, *folder;
    if (folder_arguments("backup", argc, argv, "the folder of the backup", &place, &folder) != 0) return 2;
    return folder_copy_report("backup", folder, place);
}
