/* folders.h - what check, backup and restore share. */
#ifndef SERVER_FOLDERS_H
#define SERVER_FOLDERS_H

#include "server/store/folder.h"

/* Checks a folder and prints what is wrong and what to do about it, then a summary; quiet: nothing when all is well. The exit status: 1 with faults.
 */
int folder_report(const char *path, bool quiet);
/* The one argument that is no flag, called `what` in messages (NULL: there is none), and --data-dir, whose default is that of `serve`. -1 with a
 * message. */
int folder_arguments(const char *command, int argc, char **argv, const char *what, const char **place, const char **folder);

/* Copies a folder and prints what was copied. The exit status. */
int folder_copy_report(const char *command, const char *from, const char *to);

#endif
