/* bfloat16.h - whether jobs of this server can compute products in bfloat16: known at submission, not when a job fails. */
#ifndef SERVER_BFLOAT16_H
#define SERVER_BFLOAT16_H

#include "schema/training/options.h"
#include "server/server.h"

struct bfloat16;
struct bfloat16 *bfloat16_new(void);
void bfloat16_free(struct bfloat16 *bfloat16);

/* 0: these options do not ask for it, jobs can, or the CPU cannot, which schema knows itself. Else -1 and why not. May wait for a process, for 10 s
 * at most: not for an HTTP thread. */
int bfloat16_refusal(struct server *server, const struct schema_options *options, struct bp_error *error);

#endif
