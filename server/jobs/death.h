/* death.h - how the process of a job has ended: in words for people, and as the record of its attempt. */
#ifndef SERVER_DEATH_H
#define SERVER_DEATH_H

#include "server/jobs/messages.h"

#include <sys/resource.h>

/* After the process of a slot has been waited for: fills slot->counts, death and end. Without memory, death and end stay NULL, and only the words are
 * lost. */
void death_record(struct slot *slot, int status, const struct rusage *used);

#endif
