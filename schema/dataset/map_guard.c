/* map_guard.c - see map_guard.h. The handler uses only what is async-signal-safe: atomic loads and stores, mmap, sigaction, raise. */
#include "schema/dataset/map_guard.h"

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 4096 };

/* The mappings that are there. A mapping is not removed while a thread reads it, so the handler may use what it finds. */
static _Atomic(struct map_guard *) guarded[SLOTS];

static void handle(int number, siginfo_t *info, void *context) {
    const uintptr_t at = (uintptr_t)info->si_addr, page = (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)context;
    for (int i = 0; i < SLOTS; i++) {
        struct map_guard *guard = atomic_load(&guarded[i]);
        if (!guard || at < (uintptr_t)guard->start || at >= (uintptr_t)guard->start + guard->size) continue;
        void *start = (void *)(at - at % page); /* NOLINT(performance-no-int-to-ptr): the address that faulted */
        if (mmap(start, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) break;
        atomic_store(&guard->cut, true);
        return;
    }
    signal(number, SIG_DFL);
    raise(number);
}

void map_guard_install(void) {
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

void map_guard_add(struct map_guard *guard, const void *start, size_t size) {
    guard->start = start;
    guard->size = size;
    for (guard->slot = 0; guard->slot < SLOTS; guard->slot++) {
        struct map_guard *none = NULL;
        if (atomic_compare_exchange_strong(&guarded[guard->slot], &none, guard)) return;
    }
    guard->slot = -1;
}

void map_guard_remove(struct map_guard *guard) {
    if (guard->size && guard->slot >= 0) atomic_store(&guarded[guard->slot], NULL);
    guard->size = 0;
}
