/* tls.c - see tls.h. Sections: reading and checking, the current certificate, the handshake. */
#include "server/http/tls.h"

#include "server/clock.h"
#include "server/log.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20, CHAIN_MAX = 16, DAY = 86400, KEPT_MS = 3600000 };

const char tls_priorities[] =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-CIPHER-ALL:+AES-256-GCM:+CHACHA20-POLY1305:"
    "+AES-128-GCM:-MAC-ALL:+AEAD:-SIGN-RSA-SHA1:-SIGN-ECDSA-SHA1:%SERVER_PRECEDENCE";

struct certificate {
    struct certificate *next; /* one before it, which a handshake may still use */
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned count;
    gnutls_privkey_t key;
    int64_t replaced_at;
    time_t expires;
};

/* ---- reading and checking --------------------------------------------------------------------------------------------------------------- */

static void certificate_free(struct certificate *c) {
    if (!c) return;
    for (unsigned i = 0; i < c->count; i++) gnutls_pcert_deinit(&c->chain[i]);
    if (c->key) gnutls_privkey_deinit(c->key);
    free(c);
}

/* The bytes are the caller's, overwritten by bytes_free. */
static int read_file(const char *what, const char *path, bool secret, gnutls_datum_t *bytes, struct bp_error *error) {
    struct stat info;
    *bytes = (gnutls_datum_t){0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return bp_error_io(error, "cannot read --%s %.300s: %s", what, path, strerror(errno));
    const bool known = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
    if (!known || info.st_size > FILE_MAX) {
        bp_error_set(error, "", "--%s %.300s is not a file of at most 1 MB", what, path);
    } else if (secret && info.st_mode & (S_IRWXO | S_IWGRP)) {
        bp_error_set(error, "",
                     "--%s %.300s can be read or changed by other users (its mode is %03o); chmod 600 it, or 640 for a group that may read it", what,
                     path, (unsigned)info.st_mode & 0777);
    } else if ((bytes->data = malloc((size_t)info.st_size + 1))) {
        ssize_t n;
        while (bytes->size < (size_t)info.st_size && (n = read(fd, bytes->data + bytes->size, (size_t)info.st_size - bytes->size)) > 0)
            bytes->size += (unsigned)n;
    } else {
        bp_error_memory(error, "out of memory");
    }
    close(fd);
    return bytes->data ? 0 : -1;
}

static void bytes_free(gnutls_datum_t *bytes) {
    if (bytes->data) explicit_bzero(bytes->data, bytes->size);
    free(bytes->data);
}

/* Each certificate is issued by the next one, the server's own comes first. */
static int chain_check(const char *path, gnutls_x509_crt_t *chain, unsigned count, struct bp_error *error) {
    for (unsigned i = 0; i + 1 < count; i++)
        if (!gnutls_x509_crt_check_issuer(chain[i], chain[i + 1]))
            return bp_error_set(
                error, "",
                "certificate %u of --tls-cert %.300s was not issued by the one after it; expected the certificate of the server, then "
                "its issuer, and so on",
                i + 1, path);
    return 0;
}

static int key_check(gnutls_x509_crt_t certificate, gnutls_privkey_t key, bool *same) {
    unsigned char ids[2][64];
    size_t sizes[2] = {sizeof ids[0], sizeof ids[1]};
    gnutls_pubkey_t of_key = NULL;
    int code = gnutls_x509_crt_get_key_id(certificate, GNUTLS_KEYID_USE_SHA256, ids[0], &sizes[0]);
    if (code >= 0) code = gnutls_pubkey_init(&of_key);
    if (code >= 0) code = gnutls_pubkey_import_privkey(of_key, key, 0, 0);
    if (code >= 0) code = gnutls_pubkey_get_key_id(of_key, GNUTLS_KEYID_USE_SHA256, ids[1], &sizes[1]);
    if (of_key) gnutls_pubkey_deinit(of_key);
    *same = code >= 0 && sizes[0] == sizes[1] && memcmp(ids[0], ids[1], sizes[0]) == 0;
    return code;
}

static int chain_read(struct certificate *c, const char *path, const gnutls_datum_t *bytes, gnutls_x509_crt_t **chain, struct bp_error *error) {
    unsigned count = 0;
    int code = gnutls_x509_crt_list_import2(chain, &count, bytes, GNUTLS_X509_FMT_PEM, 0);
    if (code < 0 || count == 0)
        return bp_error_set(error, "", "--tls-cert %.300s has no certificate in PEM form (-----BEGIN CERTIFICATE-----): %s", path,
                            gnutls_strerror(code));
    int failed = count > CHAIN_MAX ? bp_error_set(error, "", "--tls-cert %.300s has %u certificates, at most %d are used", path, count, CHAIN_MAX)
                                   : chain_check(path, *chain, count, error);
    for (unsigned i = 0; !failed && i < count; i++) {
        code = gnutls_pcert_import_x509(&c->chain[i], (*chain)[i], 0);
        if (code < 0) failed = bp_error_set(error, "", "--tls-cert %.300s: %s", path, gnutls_strerror(code));
        else c->count++;
    }
    c->expires = gnutls_x509_crt_get_expiration_time((*chain)[0]);
    for (unsigned i = 1; i < count; i++) gnutls_x509_crt_deinit((*chain)[i]);
    return failed;
}

static int key_read(struct certificate *c, const char *certificate_file, const char *path, const gnutls_datum_t *bytes, gnutls_x509_crt_t first,
                    struct bp_error *error) {
    bool same;
    int code = gnutls_privkey_init(&c->key);
    if (code >= 0) code = gnutls_privkey_import_x509_raw(c->key, bytes, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (code == GNUTLS_E_DECRYPTION_FAILED)
        return bp_error_set(error, "", "--tls-key %.300s is encrypted; expected a key without a passphrase", path);
    if (code < 0) return bp_error_set(error, "", "--tls-key %.300s has no private key in PEM form: %s", path, gnutls_strerror(code));
    if ((code = key_check(first, c->key, &same)) < 0) return bp_error_set(error, "", "--tls-key %.300s: %s", path, gnutls_strerror(code));
    if (same) return 0;
    return bp_error_set(error, "", "--tls-key %.300s is not the key of the first certificate of --tls-cert %.300s", path, certificate_file);
}

/* NULL with the error. */
static struct certificate *certificate_read(const char *certificate_file, const char *key_file, struct bp_error *error) {
    struct certificate *c = calloc(1, sizeof *c);
    gnutls_datum_t certificates = {0}, key = {0};
    gnutls_x509_crt_t *chain = NULL;
    if (!c) {
        bp_error_memory(error, "out of memory");
        return NULL;
    }
    int failed = read_file("tls-cert", certificate_file, false, &certificates, error);
    if (!failed) failed = read_file("tls-key", key_file, true, &key, error);
    if (!failed) failed = chain_read(c, certificate_file, &certificates, &chain, error);
    if (!failed) failed = key_read(c, certificate_file, key_file, &key, chain[0], error);
    if (chain) gnutls_x509_crt_deinit(chain[0]);
    gnutls_free(chain);
    bytes_free(&certificates);
    bytes_free(&key);
    if (!failed) return c;
    certificate_free(c);
    return NULL;
}

static int64_t days_left(const struct certificate *c) {
    const int64_t seconds = (int64_t)c->expires - (int64_t)time(NULL);
    return seconds < 0 ? -1 : seconds / DAY;
}

int tls_check(const char *certificate_file, const char *key_file, int64_t *days, struct bp_error *error) {
    struct certificate *c = certificate_read(certificate_file, key_file, error);
    if (c) *days = days_left(c);
    const int failed = c ? 0 : -1;
    certificate_free(c);
    return failed;
}

/* ---- the current certificate ---------------------------------------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct certificate *current;
static char *loaded_certificate_file, *loaded_key_file; /* of the thread that loads */

/* Those that were replaced an hour ago: no handshake takes so long. Lock held. */
static void old_ones_free(void) {
    for (struct certificate **at = &current->next; *at;) {
        struct certificate *old = *at;
        if (clock_ms() - old->replaced_at < KEPT_MS) {
            at = &old->next;
            continue;
        }
        *at = old->next;
        certificate_free(old);
    }
}

int tls_load(const char *certificate_file, const char *key_file, struct bp_error *error) {
    char days[24];
    struct certificate *c = certificate_read(certificate_file, key_file, error);
    if (!c) return -1;
    char *files[2] = {strdup(certificate_file), strdup(key_file)};
    if (!files[0] || !files[1]) {
        free(files[0]);
        free(files[1]);
        certificate_free(c);
        return bp_error_memory(error, "out of memory");
    }
    free(loaded_certificate_file);
    free(loaded_key_file);
    loaded_certificate_file = files[0];
    loaded_key_file = files[1];
    snprintf(days, sizeof days, "%lld", (long long)days_left(c));
    if (days_left(c) < 14)
        log_line(LOG_WARNING, days_left(c) < 0 ? "certificate_expired" : "certificate_expires", "file", certificate_file, "days", days, NULL);
    pthread_mutex_lock(&lock);
    if (current) current->replaced_at = clock_ms();
    c->next = current;
    current = c;
    old_ones_free();
    pthread_mutex_unlock(&lock);
    return 0;
}

void tls_reload(void) {
    struct bp_error error = {0};
    if (!loaded_certificate_file) return;
    char *certificate_file = strdup(loaded_certificate_file), *key_file = strdup(loaded_key_file);
    if (!certificate_file || !key_file) bp_error_memory(&error, "out of memory");
    else if (tls_load(certificate_file, key_file, &error) == 0) log_line(LOG_INFO, "certificate_loaded", "file", certificate_file, NULL);
    if (error.message[0]) log_line(LOG_ERROR, "certificate_refused", "error", error.message, "consequence", "the one before stays", NULL);
    free(certificate_file);
    free(key_file);
}

/* ---- the handshake -------------------------------------------------------------------------------------------------------------------------- */

static int retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **chain, unsigned *count,
                    gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count, gnutls_privkey_t *key, unsigned *flags) {
    (void)session;
    (void)info;
    pthread_mutex_lock(&lock);
    *chain = current->chain;
    *count = current->count;
    *key = current->key;
    pthread_mutex_unlock(&lock);
    *ocsp = NULL;
    *ocsp_count = 0;
    *flags = 0;
    return 0;
}

void *tls_retrieve_function(void) {
    gnutls_certificate_retrieve_function3 *function = retrieve;
    void *pointer;
    memcpy(&pointer, &function, sizeof pointer);
    return pointer;
}
