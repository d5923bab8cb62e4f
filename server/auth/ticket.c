/* ticket.c - see ticket.h. The signature is HMAC-SHA256 over key, time and path, cut to 128 bits. */
#include "server/auth/ticket.h"

#include "server/hex.h"

#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAC_SIZE = 16 };

void ticket_make(const unsigned char secret[TICKET_SECRET_SIZE], const char *key, const char *path, int64_t expires_at, char text[TICKET_TEXT_SIZE]) {
    struct hmac_sha256_ctx context;
    unsigned char mac[MAC_SIZE];
    int size = snprintf(text, TICKET_TEXT_SIZE, "bpt_%s_%llx_", key, (unsigned long long)expires_at);
    hmac_sha256_set_key(&context, TICKET_SECRET_SIZE, secret);
    hmac_sha256_update(&context, (size_t)size, (const uint8_t *)text);
    hmac_sha256_update(&context, strlen(path), (const uint8_t *)path);
    hmac_sha256_digest(&context, sizeof mac, mac);
    hex_text(mac, sizeof mac, text + size);
}

bool ticket_read(const unsigned char secret[TICKET_SECRET_SIZE], const char *text, const char *path, int64_t now, char key[STORE_KEY_ID_SIZE]) {
    char right[TICKET_TEXT_SIZE] = "", *end;
    const char *at = strncmp(text, "bpt_", 4) == 0 ? text + 4 : "";
    const size_t size = strcspn(at, "_");
    if (at[size] != '_' || size >= STORE_KEY_ID_SIZE || strlen(text) >= TICKET_TEXT_SIZE) return false;
    snprintf(key, STORE_KEY_ID_SIZE, "%.*s", (int)size, at);
    const int64_t expires_at = strtoll(at + size + 1, &end, 16);
    if (*end != '_') return false;
    ticket_make(secret, key, path, expires_at, right);
    return strlen(text) == strlen(right) && memeql_sec(text, right, strlen(right)) && now < expires_at;
}
