/* mpi.c - see mpi.h. One of the few dlopen of the program, like engine/kernels/onednn_library.c.
 *
 * What is declared here is the binary interface of Open MPI 3 to 5 (libmpi.so.40): handles are pointers, MPI_COMM_WORLD and its like are the
 * addresses of symbols, MPI_IN_PLACE is 1, a status may be NULL. */
#include "server/worker/mpi.h"

#include "server/library.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SERIALIZED = 2, TAG = 7 };
#define IN_PLACE ((void *)(uintptr_t)1)

#define FUNCTIONS(X)                                                                                                                                 \
    X(Init_thread, (int *argc, char ***argv, int required, int *provided))                                                                           \
    X(Finalize, (void))                                                                                                                              \
    X(Comm_rank, (void *comm, int *rank))                                                                                                            \
    X(Comm_size, (void *comm, int *size))                                                                                                            \
    X(Get_library_version, (char *version, int *length))                                                                                             \
    X(Iallreduce, (const void *send, void *receive, int count, void *type, void *op, void *comm, mpi_request *request))                              \
    X(Isend, (const void *bytes, int count, void *type, int rank, int tag, void *comm, mpi_request *request))                                        \
    X(Irecv, (void *bytes, int count, void *type, int rank, int tag, void *comm, mpi_request *request))                                              \
    X(Test, (mpi_request * request, int *done, void *status))                                                                                        \
    X(Cancel, (mpi_request * request))                                                                                                               \
    X(Request_free, (mpi_request * request))                                                                                                         \
    X(Bcast, (void *bytes, int count, void *type, int root, void *comm))                                                                             \
    X(Gather, (const void *send, int count, void *type, void *receive, int received, void *of, int root, void *comm))

static struct {
#define MEMBER(name, parameters) int(*name) parameters;
    FUNCTIONS(MEMBER)
#undef MEMBER
    void *world, *real, *number, *byte, *sum;
} mpi;

static char name[96];

int32_t mpi_rank_given(void) {
    static const char *const variables[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *text = getenv(variables[i]);
        if (text && *text) return (int32_t)strtol(text, NULL, 10);
    }
    return 0;
}

/* Before the library reads them; what the operator has set remains.
 *
 * Shared memory and TCP only, without reading each other's memory, which a confined process does not allow; all connections at once, because it opens
 * none later; of the ways to sum only those whose order is fixed by the numbers of processes and of summands. */
static void choose_parts(void) {
    static const char *const parts[][2] = {
        {"OMPI_MCA_pml", "ob1"},
        {"OMPI_MCA_btl", "self,vader,tcp"},
        {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"},
        {"OMPI_MCA_coll", "self,basic,libnbc,tuned,inter"},
        {"OMPI_MCA_coll_tuned_use_dynamic_rules", "0"},
        {"OMPI_MCA_mpi_preconnect_mpi", "1"},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) setenv(parts[i][0], parts[i][1], 0);
}

static int load(struct bp_error *error) {
    static const char *const soname = "libmpi.so.40";
    /* Global: the library's own plugins expect its symbols. */
    void *library = dlopen(soname, RTLD_NOW | RTLD_GLOBAL);
    if (!library)
        return bp_error_unsupported(error, "",
                                    "a job of several processes needs Open MPI: %s could not be loaded; install the Debian package libopenmpi3 "
                                    "(and openmpi-bin, for mpirun) on every host that runs it",
                                    soname);
    bool complete = true;
#define LOAD(symbol, parameters) complete = library_find(library, "MPI_" #symbol, &mpi.symbol) && complete;
    FUNCTIONS(LOAD)
#undef LOAD
    mpi.world = dlsym(library, "ompi_mpi_comm_world");
    mpi.real = dlsym(library, "ompi_mpi_float");
    mpi.number = dlsym(library, "ompi_mpi_double");
    mpi.byte = dlsym(library, "ompi_mpi_byte");
    mpi.sum = dlsym(library, "ompi_mpi_op_sum");
    if (complete && mpi.world && mpi.real && mpi.number && mpi.byte && mpi.sum) return 0;
    return bp_error_unsupported(error, "", "%s is not the library of Open MPI: it lacks symbols of it", soname);
}

/* Without what a launcher of MPI sets, MPI_Init would begin an MPI of one process, and start a daemon for it. */
static bool is_launched(void) {
    return getenv("PMIX_RANK") || getenv("OMPI_COMM_WORLD_RANK");
}

int mpi_begin(struct mpi_world *world, struct bp_error *error) {
    char text[512] = "";
    int provided = 0, rank = 0, ranks = 0, length = 0;
    if (load(error) != 0) return -1;
    if (!is_launched())
        return bp_error_set(
            error, "",
            "this process was not started by MPI: the launcher of a job of several processes must start {processes} of them, as `mpirun -n "
            "{processes}` and `srun --mpi=pmix -K1 --ntasks={processes}` do");
    choose_parts();
    mpi.Get_library_version(text, &length);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, ","), text);
    mpi.Init_thread(NULL, NULL, SERIALIZED, &provided);
    if (provided < SERIALIZED) return bp_error_unsupported(error, "", "%s was built without threads", name);
    mpi.Comm_rank(mpi.world, &rank);
    mpi.Comm_size(mpi.world, &ranks);
    *world = (struct mpi_world){rank, ranks};
    return 0;
}

void mpi_forget_files(void) {
    char line[600];
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps)) {
        char *path = strchr(line, '/');
        line[strcspn(line, "\n")] = '\0';
        if (path && strncmp(path, "/dev/shm/", 9) == 0 && strstr(path, "vader_segment.")) unlink(path);
    }
    if (maps) fclose(maps);
}

void mpi_end(void) {
    mpi.Finalize();
}

const char *mpi_name(void) {
    return name;
}

void mpi_sum_start(void *values, size_t count, bool doubles, mpi_request *request) {
    mpi.Iallreduce(IN_PLACE, values, (int)count, doubles ? mpi.number : mpi.real, mpi.sum, mpi.world, request);
}

void mpi_send_start(const int64_t *number, int32_t rank, mpi_request *request) {
    mpi.Isend(number, sizeof *number, mpi.byte, rank, TAG, mpi.world, request);
}

void mpi_receive_start(int64_t *number, int32_t rank, mpi_request *request) {
    mpi.Irecv(number, sizeof *number, mpi.byte, rank, TAG, mpi.world, request);
}

bool mpi_is_done(mpi_request *request) {
    int done = 0;
    mpi.Test(request, &done, NULL);
    return done != 0;
}

void mpi_drop(mpi_request *request) {
    mpi.Cancel(request);
    mpi.Request_free(request);
}

void mpi_broadcast(void *bytes, size_t size) {
    mpi.Bcast(bytes, (int)size, mpi.byte, 0, mpi.world);
}

void mpi_gather(const void *bytes, size_t size, void *all) {
    mpi.Gather(bytes, (int)size, mpi.byte, all, (int)size, mpi.byte, 0, mpi.world);
}
