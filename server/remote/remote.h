/* remote.h - a job process on another host. Beside the server a relay stands in for it: it has the descriptors that a job process has
 * (jobs/wire.h), starts the launcher's command, and speaks with the agent under it (frame.h). The agent has the ordinary job process beneath it, and
 * gives it the descriptors in turn, out of files of its node. So neither the supervisor nor the training knows of the other host.
 *
 * Who may write: only the server's store, and it takes reports of the attempt that is the job's (store.h, invariant 3). An agent whose relay is gone
 * has nobody to report to, and ends with its job process: when its input closes, or when it has heard nothing for REMOTE_DEAD_MS. A result counts
 * when its message carries the token of the attempt, whatever the exit code of the launcher. */
#ifndef SERVER_REMOTE_H
#define SERVER_REMOTE_H

/* `backpropd relay`, started by the supervisor. Ends the process. Returns only when it was not started by a server: the exit status. */
int relay_run(void);
/* `backpropd job --stdio`, started by a launcher. Ends the process. */
int agent_run(void);

#endif
