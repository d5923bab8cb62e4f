/* pulse.c - see pulse.h. The size of the page is sealed: a process that shrank it could end the server by SIGBUS. */
#include "server/jobs/pulse.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct {
    const char *name, *words;
} phases[PULSE_PHASES] = {
    [PULSE_STARTING] = {"starting", "starting"},
    [PULSE_LOADING] = {"loading", "loading the data"},
    [PULSE_RANGE_TEST] = {"range_test", "testing learning rates"},
    [PULSE_TRAINING] = {"training", "training"},
    [PULSE_CHECKPOINT] = {"checkpoint", "writing a checkpoint"},
    [PULSE_MODEL] = {"model", "writing the model"},
    [PULSE_PREDICTING] = {"predicting", "predicting"},
    [PULSE_EVALUATING] = {"evaluating", "evaluating"},
    [PULSE_ENDING] = {"ending", "ending"},
};

const char *pulse_phase_name(uint32_t phase) {
    return phase < PULSE_PHASES ? phases[phase].name : "unknown";
}

const char *pulse_phase_words(uint32_t phase) {
    return phase < PULSE_PHASES ? phases[phase].words : "in an unknown phase";
}

struct pulse *pulse_join(int fd) {
    void *page = mmap(NULL, sizeof(struct pulse), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return page == MAP_FAILED ? NULL : page;
}

struct pulse *pulse_new(int *fd) {
    struct pulse *pulse = NULL;
    *fd = memfd_create("pulse", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0) return NULL;
    if (ftruncate(*fd, sizeof *pulse) == 0 && fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) pulse = pulse_join(*fd);
    if (pulse) return pulse;
    close(*fd);
    *fd = -1;
    return NULL;
}

void pulse_free(struct pulse *pulse) {
    if (pulse) munmap(pulse, sizeof *pulse);
}
