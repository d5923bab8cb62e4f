/* links.c - see links.h. */
#include "server/jobs/links.h"

#include "server/jobs/launchers.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    char launcher[LAUNCHER_NAME_SIZE];
    struct link link;
} known[LAUNCHERS_MAX];

/* Its place, or a free one; -1: there is none. The lock is held. */
static int place_of(const char *launcher) {
    for (int i = 0; i < LAUNCHERS_MAX; i++)
        if (!known[i].launcher[0] || strcmp(known[i].launcher, launcher) == 0) return i;
    return -1;
}

void links_note(const char *launcher, const struct link *link) {
    pthread_mutex_lock(&lock);
    const int i = place_of(launcher);
    if (i >= 0) {
        snprintf(known[i].launcher, sizeof known[i].launcher, "%s", launcher);
        known[i].link = *link;
    }
    pthread_mutex_unlock(&lock);
}

bool links_find(const char *launcher, struct link *link) {
    pthread_mutex_lock(&lock);
    const int i = place_of(launcher);
    const bool found = i >= 0 && known[i].launcher[0];
    if (found) *link = known[i].link;
    pthread_mutex_unlock(&lock);
    return found;
}
