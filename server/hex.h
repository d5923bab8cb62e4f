/* hex.h - bytes as hexadecimal digits, and SHA-256 as such a text. */
#ifndef SERVER_HEX_H
#define SERVER_HEX_H

#include <nettle/sha2.h>
#include <stddef.h>
#include <stdint.h>

enum { HEX_SHA256_SIZE = 2 * SHA256_DIGEST_SIZE + 1 };

/* Two digits a byte, small letters, and a NUL: text has room for 2 * size + 1. */
static inline void hex_text(const void *bytes, size_t size, char *text) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *byte = bytes;
    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[byte[i] >> 4];
        text[2 * i + 1] = digits[byte[i] & 15];
    }
    text[2 * size] = '\0';
}

/* The end of a hash; the context begins anew. */
static inline void hex_sha256_end(struct sha256_ctx *hash, char text[HEX_SHA256_SIZE]) {
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(hash, sizeof digest, digest);
    hex_text(digest, sizeof digest, text);
}

/* The first `kept` bytes of the SHA-256 of some bytes. */
static inline void hex_sha256(const void *bytes, size_t size, size_t kept, char *text) {
    struct sha256_ctx hash;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&hash);
    sha256_update(&hash, size, bytes);
    sha256_digest(&hash, sizeof digest, digest);
    hex_text(digest, kept, text);
}

#endif
