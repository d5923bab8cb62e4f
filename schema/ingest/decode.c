/* decode.c - gzip and zstd as streams of members (frames): several may follow each other, nothing else may.
 *
 * Three limits against bombs: the decoded bytes as a whole; their ratio to the bytes that came, once there are many; and the window that a zstd frame
 * may ask memory for. */
#include "schema/ingest/decode.h"

#include "schema/ingest/ingest.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

enum { PIECE = 1 << 16, RATIO_MAX = 500, RATIO_FROM = 16 << 20, WINDOW_LOG_MAX = 25 };

/* What one step did with input and output. */
struct step {
    const char *in;
    size_t in_size, used;
    char *out;
    size_t made;       /* of PIECE bytes */
    bool member_ended; /* what follows is another member */
    const char *fault; /* why the stream is damaged, or NULL */
    bool no_memory;
};

struct codec {
    const char *name, *also;
    void *(*open)(void);
    void (*step)(void *state, struct step *step);
    void (*close)(void *state);
};

/* ---- gzip ---- */

static void *gzip_open(void) {
    z_stream *z = calloc(1, sizeof *z);
    if (z && inflateInit2(z, 15 + 16) != Z_OK) {
        free(z);
        z = NULL;
    }
    return z;
}

static void gzip_step(void *state, struct step *step) {
    z_stream *z = state;
    z->next_in = (unsigned char *)(uintptr_t)step->in, z->avail_in = (unsigned)(step->in_size < PIECE ? step->in_size : PIECE);
    z->next_out = (unsigned char *)step->out, z->avail_out = PIECE;
    const unsigned before = z->avail_in;
    const int result = inflate(z, Z_NO_FLUSH);
    step->used = before - z->avail_in, step->made = PIECE - z->avail_out;
    if (result == Z_STREAM_END) {
        step->member_ended = true;
        inflateReset(z);
    } else if (result == Z_MEM_ERROR) step->no_memory = true;
    else if (result != Z_OK && result != Z_BUF_ERROR) step->fault = z->msg ? z->msg : "unknown fault";
}

static void gzip_close(void *state) {
    inflateEnd(state);
    free(state);
}

/* ---- zstd ---- */

static void *zstd_open(void) {
    ZSTD_DCtx *z = ZSTD_createDCtx();
    if (z) ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    return z;
}

static void zstd_step(void *state, struct step *step) {
    ZSTD_inBuffer in = {step->in, step->in_size, 0};
    ZSTD_outBuffer out = {step->out, PIECE, 0};
    const size_t left = ZSTD_decompressStream(state, &out, &in);
    step->used = in.pos, step->made = out.pos;
    step->member_ended = left == 0;
    step->no_memory = ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation;
    if (ZSTD_isError(left) && !step->no_memory) {
        const bool window = ZSTD_getErrorCode(left) == ZSTD_error_frameParameter_windowTooLarge;
        step->fault = window ? "it needs a window of more than 32 MiB; compress without --ultra and --long" : ZSTD_getErrorName(left);
    }
}

static void zstd_close(void *state) {
    ZSTD_freeDCtx(state);
}

/* ---- both ---- */

static const struct codec codecs[] = {{"gzip", "x-gzip", gzip_open, gzip_step, gzip_close}, {"zstd", NULL, zstd_open, zstd_step, zstd_close}};

struct schema_decoder {
    const struct codec *codec;
    void *state;
    const char *setting; /* the name of the limit */
    int64_t max, in, out;
    int64_t members;
    bool inside; /* of a member */
    char piece[PIECE];
};

static const struct codec *codec_for(const char *encoding) {
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
        if (strcasecmp(encoding, codecs[i].name) == 0 || (codecs[i].also && strcasecmp(encoding, codecs[i].also) == 0)) return &codecs[i];
    return NULL;
}

bool schema_encoding_known(const char *encoding) {
    return schema_encoding_identity(encoding) || codec_for(encoding);
}

bool schema_encoding_identity(const char *encoding) {
    return !encoding || !*encoding || strcasecmp(encoding, "identity") == 0;
}

int schema_decoder_open(const char *encoding, int64_t max, const char *setting, struct schema_decoder **decoder, struct schema_problems *problems) {
    struct schema_decoder *d = calloc(1, sizeof *d);
    if (d) d->codec = codec_for(encoding), d->max = max, d->setting = setting, d->state = d->codec->open();
    if (d && d->state) {
        *decoder = d;
        return 0;
    }
    free(d);
    return schema_problem_no_memory(problems);
}

/* Hands on what a step made, up to the limits. */
static int pass_on(struct schema_decoder *d, size_t made, schema_decoded *sink, void *context, struct schema_problems *problems) {
    const int64_t room = d->max > 0 ? d->max - d->out : INT64_MAX;
    const size_t allowed = (int64_t)made <= room ? made : (size_t)room;
    if (allowed && sink(context, d->piece, allowed, problems)) return -1;
    d->out += (int64_t)allowed;
    if (allowed == made && (d->out < RATIO_FROM || d->out / RATIO_MAX < d->in)) return 0;
    problems->too_large = true;
    if (allowed < made)
        return schema_problem_add(problems, NULL, "the body decoded from %s is larger than the limit, %lld bytes (setting %s)", d->codec->name,
                                  (long long)d->max, d->setting);
    return schema_problem_add(
        problems, NULL, "the body decoded from %s is more than %d times as large as received; if it is valid data, send it without Content-Encoding",
        d->codec->name, RATIO_MAX);
}

static int damaged(const struct schema_decoder *d, const char *fault, struct schema_problems *problems) {
    if (d->members > 0)
        return schema_problem_add(problems, NULL,
                                  "bytes after the end of the %s stream are not %s, or are damaged (%s); send only the compressed file",
                                  d->codec->name, d->codec->name, fault);
    return schema_problem_add(problems, NULL, "the body is not %s, which Content-Encoding declares, or it is damaged (%s)", d->codec->name, fault);
}

int schema_decoder_feed(struct schema_decoder *d, const char *bytes, size_t size, schema_decoded *sink, void *context,
                        struct schema_problems *problems) {
    struct step step = {.made = 0};
    while (size > 0 || step.made == PIECE) { /* a full piece: there may be more of it without any input */
        step = (struct step){.in = bytes, .in_size = size, .out = d->piece};
        d->codec->step(d->state, &step);
        bytes += step.used, size -= step.used, d->in += (int64_t)step.used;
        if (pass_on(d, step.made, sink, context, problems)) return -1;
        if (step.no_memory) return schema_problem_no_memory(problems);
        if (step.fault) return damaged(d, step.fault, problems);
        if (step.member_ended && (d->inside || step.used)) d->members++, d->inside = false;
        else if (step.used || step.made) d->inside = true;
        else if (size > 0) return damaged(d, "no progress", problems);
    }
    return 0;
}

int schema_decoder_finish(const struct schema_decoder *d, struct schema_problems *problems) {
    if (d->members > 0 && !d->inside) return 0;
    if (d->members > 0)
        return schema_problem_add(problems, NULL,
                                  "bytes after the end of the %s stream are truncated, or not %s; send only the complete compressed file",
                                  d->codec->name, d->codec->name);
    return schema_problem_add(problems, NULL, "the %s stream is truncated after %lld bytes; send the whole file", d->codec->name, (long long)d->in);
}

void schema_decoder_close(struct schema_decoder *d) {
    if (!d) return;
    d->codec->close(d->state);
    free(d);
}
