/* key.c - see key.h. */
#include "server/auth/key.h"

#include "server/hex.h"

#include <nettle/memops.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { ID_SIZE = 8, SECRET_SIZE = 52 };
static const char prefix[] = "bpd_", alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz"; /* Crockford's base32 */

static void random_digits(char *digits, size_t count) {
    unsigned char bytes[SECRET_SIZE];
    for (size_t done = 0; done < count;) {
        const ssize_t n = getrandom(bytes + done, count - done, 0);
        if (n > 0) done += (size_t)n;
    }
    for (size_t i = 0; i < count; i++) digits[i] = alphabet[bytes[i] & 31];
    digits[count] = '\0';
}

void key_make(struct store_key *key, char text[KEY_TEXT_SIZE]) {
    char secret[SECRET_SIZE + 1];
    unsigned char hash[KEY_HASH_SIZE];
    if (!key->id[0]) random_digits(key->id, ID_SIZE);
    random_digits(secret, SECRET_SIZE);
    snprintf(text, KEY_TEXT_SIZE, "%s%.*s_%s", prefix, ID_SIZE, key->id, secret);
    key_hash(text, hash);
    key_hash_hex(hash, key->hash);
}

bool key_id(const char *text, char id[STORE_KEY_ID_SIZE]) {
    const char *at = text + sizeof prefix - 1;
    if (strncmp(text, prefix, sizeof prefix - 1) != 0 || strspn(at, alphabet) != ID_SIZE || at[ID_SIZE] != '_' ||
        strspn(at + ID_SIZE + 1, alphabet) != SECRET_SIZE || at[ID_SIZE + 1 + SECRET_SIZE])
        return false;
    snprintf(id, STORE_KEY_ID_SIZE, "%.*s", ID_SIZE, at);
    return true;
}

void key_hash(const char *text, unsigned char hash[KEY_HASH_SIZE]) {
    struct sha256_ctx context;
    sha256_init(&context);
    sha256_update(&context, strlen(text), (const uint8_t *)text);
    sha256_digest(&context, KEY_HASH_SIZE, hash);
}

void key_hash_hex(const unsigned char hash[KEY_HASH_SIZE], char hex[STORE_SHA256_SIZE]) {
    hex_text(hash, KEY_HASH_SIZE, hex);
}

bool key_hash_parse(const char *hex, unsigned char hash[KEY_HASH_SIZE]) {
    static const char digits[] = "0123456789abcdef";
    if (strspn(hex, digits) != 2 * KEY_HASH_SIZE || hex[2 * KEY_HASH_SIZE]) return false;
    for (size_t i = 0; i < KEY_HASH_SIZE; i++)
        hash[i] = (unsigned char)((strchr(digits, hex[2 * i]) - digits) << 4 | (strchr(digits, hex[2 * i + 1]) - digits));
    return true;
}

bool key_hash_same(const unsigned char a[KEY_HASH_SIZE], const unsigned char b[KEY_HASH_SIZE]) {
    return memeql_sec(a, b, KEY_HASH_SIZE) != 0;
}
