/* ids.c - identifiers that sort by time, and times as text. */
#include "server/store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

/* The last id given: 48 bits of milliseconds, 80 random bits. Within one millisecond (or when the clock goes back) the random part counts up, so
 * ids strictly increase in this process. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last_ms;
static unsigned char last_random[10];

static void random_bytes(unsigned char *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = getrandom(bytes + done, size - done, 0);
        if (n > 0) done += (size_t)n;
    }
}

static void next_bits(unsigned char bits[16]) {
    uint64_t now = (uint64_t)store_now();
    pthread_mutex_lock(&mutex);
    if (now > last_ms) {
        last_ms = now;
        random_bytes(last_random, sizeof last_random);
        last_random[0] &= 0x7f; /* room to count up: 2^79 ids in one millisecond */
    } else {
        for (int i = (int)sizeof last_random - 1; i >= 0 && ++last_random[i] == 0; i--)
            ;
    }
    for (int i = 0; i < 6; i++) bits[i] = (unsigned char)(last_ms >> (8 * (5 - i)));
    memcpy(bits + 6, last_random, sizeof last_random);
    pthread_mutex_unlock(&mutex);
}

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz"; /* Crockford's base32 */

const char *store_id_end(const char *prefix, const char *text) {
    const size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 && text[n] == '_' && strspn(text + n + 1, alphabet) >= 26 ? text + n + 1 + 26 : NULL;
}

void store_new_id(const char *prefix, char id[STORE_ID_SIZE]) {
    unsigned char bits[16];
    char digits[27];
    next_bits(bits);
    /* 128 bits in 26 digits: the first digit holds the top 3 bits. */
    for (int digit = 0; digit < 26; digit++) {
        int value = 0;
        for (int bit = digit * 5 - 2; bit < digit * 5 + 3; bit++) value = value << 1 | (bit < 0 ? 0 : bits[bit / 8] >> (7 - bit % 8) & 1);
        digits[digit] = alphabet[value];
    }
    digits[26] = '\0';
    snprintf(id, STORE_ID_SIZE, "%.12s_%s", prefix, digits);
}

int64_t store_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void store_time_text(int64_t ms, char text[32]) {
    text[0] = '\0';
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (ms <= 0 || !gmtime_r(&seconds, &tm)) return;
    size_t length = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + length, 32 - length, ".%03dZ", (int)(ms % 1000));
}
