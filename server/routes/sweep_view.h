/* sweep_view.h - a sweep as people see it. */
#ifndef SERVER_SWEEP_VIEW_H
#define SERVER_SWEEP_VIEW_H

#include "server/http/answer.h"
#include "server/store/sweeps.h"

json_t *sweep_json(const struct store_sweep *sweep);

#endif
