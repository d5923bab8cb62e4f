/* tls.h - the certificate of the server: loaded, checked, and changed while connections are open. One certificate for the program. */
#ifndef SERVER_TLS_H
#define SERVER_TLS_H

#include "engine/base/base.h"

#include <stdbool.h>

/* What new connections speak: TLS 1.3 and 1.2, with forward secrecy and authenticated ciphers only (GnuTLS priority string). */
extern const char tls_priorities[];
/* Reads PEM files, checks them, and uses them for new connections; open ones keep theirs. Errors: a file cannot be read, others may read the key, the
 * key is not that of the certificate, the chain is not in order. On failure the certificate before stays. */
int tls_load(const char *certificate_file, const char *key_file, struct bp_error *error);
/* The same for the files that were loaded last: for SIGHUP. Logs the result. Nothing is done without TLS. */
void tls_reload(void);
/* Only reads and checks them. days: until the first certificate expires, negative when it has. */
int tls_check(const char *certificate_file, const char *key_file, int64_t *days, struct bp_error *error);
/* For MHD_OPTION_HTTPS_CERT_CALLBACK2. */
void *tls_retrieve_function(void);

#endif
