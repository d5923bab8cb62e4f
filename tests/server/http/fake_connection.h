/* fake_connection.h - the header fields and query parameters that libmicrohttpd would give, for units of http/. The test program is linked with
 * --wrap for the three functions that ask for them. Globals: Check runs each test in a process of its own. */
#ifndef TESTS_FAKE_CONNECTION_H
#define TESTS_FAKE_CONNECTION_H

#include "server/http/private.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

void fake_header(const char *name, const char *value);
void fake_query(const char *name, const char *value);
/* A request with these and nothing else. Release it with fake_request_clear. */
void fake_request(struct request *request, struct server *server, const char *method, const char *path);
void fake_request_clear(struct request *request);
/* The `code` and `detail` of the problem that was answered; "" when nothing was. */
void fake_problem(const struct request *request, char code[64], char detail[400]);

#endif
