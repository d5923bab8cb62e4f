/* advice.h - warnings about the health of the layers and the losses, with suggestions. */
#ifndef SERVER_ADVICE_H
#define SERVER_ADVICE_H

#include "server/worker/run.h"

enum { ADVICE_LAYERS = 1024, ADVICE_TEXT = 400 };

/* Filled with zeros at first. */
struct advice {
    uint8_t dead[ADVICE_LAYERS], saturated[ADVICE_LAYERS], vanishing[ADVICE_LAYERS], exploding[ADVICE_LAYERS],
        restless[ADVICE_LAYERS];                   /* epochs in a row */
    double best_loss, best_val_loss, loss_at_best; /* best_val_loss 0: none yet */
    int32_t worse;                                 /* epochs in a row whose val_loss is above the best */
    int32_t jumps;                                 /* of the last epochs, how many raised the loss by much */
    double last_loss;
};

/* After an epoch: calls report(context, text) for everything that has lasted long enough; the caller reports each (kind, layer) once.
 * kind: "vanishing gradient", "exploding gradient", "dead units", "saturated units", "learning rate too high", "overfitting"; the text begins with
 * it. */
void advice_epoch(struct advice *advice, const struct run *run, int64_t epoch, void (*report)(void *context, const char *text), void *context);

/* For a checkpoint: the counters, and in the middle of an epoch the health that was measured in it, so that a resumed run gives the same advice as an
 * unbroken one. The caller's. */
json_t *advice_notes(const struct advice *advice, const struct run *run);
/* Puts them back, after bp_trainer_restore. Notes that are missing (NULL, an older checkpoint) or malformed leave zeros. */
void advice_recall(struct advice *advice, const struct run *run, const json_t *notes);

#endif
