/* rungs.c - a trial of a sweep asks after certain epochs whether it goes on, and waits: so that it trains no epoch more than the decision allows, and
 * the same after a crash, since the answer is stored with the question. */
#include "server/worker/heartbeat.h"
#include "server/worker/process.h"

#include <time.h>

static int64_t rung_at(const struct process *p, size_t i) {
    return json_integer_value(json_array_get(p->rungs, i));
}

bool process_rung_is(const struct process *p, int64_t epoch) {
    for (size_t i = p->rung; i < json_array_size(p->rungs); i++)
        if (rung_at(p, i) == epoch) return true;
    return false;
}

bool process_rung_is_due(const struct process *p) {
    return p->rung < json_array_size(p->rungs) && rung_at(p, p->rung) <= p->epoch;
}

void process_rung_pass(struct process *p) {
    while (process_rung_is_due(p)) p->rung++;
}

void process_rung_answered(struct process *p, const json_t *message) {
    atomic_store(&p->verdict, json_is_true(json_object_get(message, "stop")) ? VERDICT_STOP : VERDICT_GO_ON);
}

static enum verdict ask(struct process *p, int64_t epoch) {
    const struct timespec pause = {.tv_nsec = 1000000};
    enum verdict verdict;
    atomic_store(&p->verdict, VERDICT_NONE);
    json_t *message = json_pack("{s:s, s:I, s:o}", "kind", "rung", "epoch", (json_int_t)epoch, "report", process_gather(p));
    process_say(message);
    json_decref(message);
    while ((verdict = (enum verdict)atomic_load(&p->verdict)) == VERDICT_NONE && !process_commanded(p)) {
        heartbeat_step();
        nanosleep(&pause, NULL);
    }
    return verdict;
}

bool process_rung_stops(struct process *p) {
    while (process_rung_is_due(p)) {
        const enum verdict verdict = ask(p, rung_at(p, p->rung));
        if (verdict != VERDICT_GO_ON) return verdict == VERDICT_STOP; /* else a command: the next attempt asks again */
        p->rung++;
    }
    return false;
}
