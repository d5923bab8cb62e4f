/* mpi.h - the few calls of MPI that a job over several processes makes. Open MPI is loaded at run time: the program does not depend on it, and only
 * the processes of such jobs have it. One call at a time, from any thread. A call that MPI cannot carry out ends the process, with its message on
 * standard error; those below can fail only where they say so. */
#ifndef SERVER_MPI_H
#define SERVER_MPI_H

#include "engine/base/base.h"

struct mpi_world {
    int32_t rank, ranks;
};

/* The rank that a launcher (mpirun, srun) has given to this process, by its environment; 0 without one. */
int32_t mpi_rank_given(void);
/* Loads the library, as a deterministic one: the same sums whenever as many processes sum the same numbers; and joins the other processes, which may
 * take as long as they need to start. Errors: there is no library, or it is another one. */
int mpi_begin(struct mpi_world *world, struct bp_error *error);
/* Removes the files that stand for memory shared with the others, when all have it: whatever ends a process from then on leaves none behind. */
void mpi_forget_files(void);
/* Waits for the other processes to do the same. */
void mpi_end(void);
/* "Open MPI v4.1.4". */
const char *mpi_name(void);

/* What is under way. */
typedef void *mpi_request;
/* values (count) become their sum over all processes. */
void mpi_sum_start(void *values, size_t count, bool doubles, mpi_request *request);
/* A number to, and from, one other process. */
void mpi_send_start(const int64_t *number, int32_t rank, mpi_request *request);
void mpi_receive_start(int64_t *number, int32_t rank, mpi_request *request);
/* Goes on with all that is under way. Whether this is done. */
bool mpi_is_done(mpi_request *request);
/* It is not waited for any more. */
void mpi_drop(mpi_request *request);

/* Bytes of rank 0 for all, and of all for rank 0: there (ranks, size), elsewhere NULL. At most 1 GiB. */
void mpi_broadcast(void *bytes, size_t size);
void mpi_gather(const void *bytes, size_t size, void *all);

#endif
