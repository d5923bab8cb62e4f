/* worker.h - the processes that `backpropd serve` starts. Each takes its order from WIRE_SOCKET (jobs/wire.h). */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

/* Runs one attempt of a job and ends the process. Returns only when it was not started by a server: the exit status. */
int worker_run(void);
/* One of the processes that the job process of a job trains with (team.h), started by a launcher. Ends the process. */
_Noreturn void worker_follow(void);
/* Starts oneDNN as a job would, writes whether bfloat16 is available or why not, and ends the process. Returns as worker_run. */
int worker_probe_bfloat16(void);
/* Confines itself as a job and tries what it must not be able to do, among it to open these files. Ends the process: with 0 when all was refused. */
int worker_try_confinement(int count, char **files);
/* Ends the process at once, without tidying up: other threads of it may be reading. */
_Noreturn void worker_exit(int status);

#endif
