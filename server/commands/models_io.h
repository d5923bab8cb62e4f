/* models_io.h - what `backpropd export` and `backpropd import` share: files, a data folder, a server. Every function prints its message on stderr. */
#ifndef SERVER_MODELS_IO_H
#define SERVER_MODELS_IO_H

#include "server/commands/client.h"
#include "server/store/store.h"

#include <jansson.h>

/* All bytes of a file ("-": standard input), the caller's; NULL: they cannot be read. */
char *models_read(const char *command, const char *path, size_t *size);
/* Writes a file under a temporary name, which becomes its own at the end; "-": standard output. */
int models_write(const char *command, const char *path, const char *bytes, size_t size);
/* The model file of "name" (its latest version) or "name@2" in a data folder, which a server may be using. The caller's; NULL: there is none. */
char *models_of_folder(const char *command, const char *folder, const char *name, size_t *size);
/* Splits "name@2"; version 0: the latest. -1: it is no name. */
int models_name(const char *command, const char *text, char name[STORE_NAME_SIZE], int64_t *version);

/* A client with its key and certificates. Its key is the caller's. -1: a message was printed. */
int models_connect(const char *command, const char *url, const char *key_file, const char *ca_file, struct client *client);
/* Sends a request; -1: no response, or one with a status of 400 or more, whose detail was printed. */
int models_send(const char *command, const struct client *client, const struct client_request *request, struct client_response *response);
/* Sends a request, with body (NULL: none) as JSON, whose response is JSON, the caller's. NULL: a message was printed. */
json_t *models_ask(const char *command, const struct client *client, const char *method, const char *path, const json_t *body);

#endif
