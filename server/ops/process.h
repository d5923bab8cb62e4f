/* process.h - what the system reports of this process. */
#ifndef SERVER_OPS_PROCESS_H
#define SERVER_OPS_PROCESS_H

#include <stdint.h>

struct process_usage {
    double cpu_seconds; /* user and system, of all threads */
    double started_at;  /* seconds since 1970 */
    int64_t resident_bytes, virtual_bytes;
    int64_t threads;
    int64_t open_files, files_max; /* descriptors */
};
/* Reads /proc; what cannot be read is 0. */
void process_usage_read(struct process_usage *usage);

#endif
