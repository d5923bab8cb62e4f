/* gzip.c - zlib, at its fastest level: a client that requests compression waits for the network, and the thread serves other clients. */
#include "schema/gzip.h"

#include <stdlib.h>
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16 /* 16: with the header and trailer of gzip */, MEMORY_LEVEL = 8, FLUSH_BYTES = 64 /* of markers and trailer */ };

struct schema_gzip {
    z_stream stream;
    unsigned char *out;
    size_t room;
};

struct schema_gzip *schema_gzip_new(void) {
    struct schema_gzip *gzip = calloc(1, sizeof *gzip);
    if (!gzip) return NULL;
    if (deflateInit2(&gzip->stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK) return gzip;
    free(gzip);
    return NULL;
}

int schema_gzip_add(struct schema_gzip *gzip, const char *bytes, size_t size, const char **out, size_t *out_size) {
    z_stream *z = &gzip->stream;
    if (size > UINT32_MAX / 2) return -1;
    const size_t most = deflateBound(z, size) + FLUSH_BYTES;
    if (most > gzip->room) {
        unsigned char *grown = realloc(gzip->out, most);
        if (!grown) return -1;
        gzip->out = grown, gzip->room = most;
    }
    z->next_in = (Bytef *)(uintptr_t)bytes, z->avail_in = (uInt)size;
    z->next_out = gzip->out, z->avail_out = (uInt)gzip->room;
    const int code = deflate(z, size ? Z_SYNC_FLUSH : Z_FINISH);
    if (code != (size ? Z_OK : Z_STREAM_END) || z->avail_in > 0) return -1;
    *out = (const char *)gzip->out, *out_size = gzip->room - z->avail_out;
    return 0;
}

void schema_gzip_free(struct schema_gzip *gzip) {
    if (!gzip) return;
    deflateEnd(&gzip->stream);
    free(gzip->out);
    free(gzip);
}
