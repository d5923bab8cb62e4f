/* key.h - the text of an API key: bpd_ID_SECRET. The id finds its row, the secret has 260 random bits, and only a hash of the whole is stored. */
#ifndef SERVER_KEY_H
#define SERVER_KEY_H

#include "server/store/access.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { KEY_TEXT_SIZE = 66, KEY_HASH_SIZE = 32 };

/* Makes a key: its text, and the id and hash of its row. id "": a new one. */
void key_make(struct store_key *key, char text[KEY_TEXT_SIZE]);
/* The id within a text that has the form of a key. False: it has not. */
bool key_id(const char *text, char id[STORE_KEY_ID_SIZE]);
/* SHA-256. A fast hash is right for a secret that cannot be guessed; it would be wrong for a password. */
void key_hash(const char *text, unsigned char hash[KEY_HASH_SIZE]);
void key_hash_hex(const unsigned char hash[KEY_HASH_SIZE], char hex[STORE_SHA256_SIZE]);
/* False: hex is no hash. */
bool key_hash_parse(const char *hex, unsigned char hash[KEY_HASH_SIZE]);
/* In the same time whatever differs. */
bool key_hash_same(const unsigned char a[KEY_HASH_SIZE], const unsigned char b[KEY_HASH_SIZE]);

#endif
