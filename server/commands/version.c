/* version.c - `backpropd version` and --version. */
#include "server/version.h"

#include "engine/kernels/kernels.h"
#include "server/commands/commands.h"

#include <jansson.h>
#include <microhttpd.h>
#include <sqlite3.h>
#include <stdio.h>

int command_version(int argc, char **argv) {
    (void)argc;
    (void)argv;
    printf("backpropd %s (libmicrohttpd %s, SQLite %s, jansson %s, %s)\n", BACKPROPD_VERSION, MHD_get_version(), sqlite3_libversion(),
           jansson_version_str(), bp_blas_name());
    return 0;
}
