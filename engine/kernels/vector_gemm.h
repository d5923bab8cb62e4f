/* vector_gemm.h - matrix products of small shapes, on the registers of one instruction set. Only vector.c includes it.
 *
 * A tile of up to 8 rows by 2 vectors of C stays in registers while it walks k; it starts from the bias and is rectified as it is
 * stored. A is read number by number in place (strides handle transposition), B vector by vector: in place when it is row-major, else from a packed
 * panel of at most K_BLOCK rows on the stack. The last columns go through masks where the CPU has them (AVX-512), else through a panel padded with
 * zeros. Order: tiles, panels, few columns, batch 1. Vectors are GCC's (clang's too) `vector_size`.
 */
#ifndef BP_KERNELS_VECTOR_GEMM_H
#define BP_KERNELS_VECTOR_GEMM_H

#include "engine/kernels/kernels.h"

#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
enum { LANES = VECTOR_BYTES / sizeof(bp_real), PANEL = 2 * LANES, K_BLOCK = 256, M_BLOCK = 512, REUSE = 32 /* rows from which a copy of B pays */ };
enum { PACKED_ROWS = 240, FAR = 1024, LARGE_C = 1 << 20 };
enum { TILE_ROWS_MAX = 8 };
#if defined(__AVX512F__) || defined(__aarch64__)
enum { TILE_ROWS = TILE_ROWS_MAX }; /* 32 registers: 16 sums, 2 of B, 1 of A */
#else
enum { TILE_ROWS = 6 }; /* 16 registers: 12 sums, 2 of B, 1 of A */
#endif

typedef bp_real vector __attribute__((vector_size(VECTOR_BYTES)));
typedef bp_real vector_unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(bp_real)), may_alias));

#define ALWAYS_INLINE __attribute__((always_inline))
/* The innermost loops of a product: with a sanitizer's checks they would take fifty times as long, so what they read and write is not checked. */
#define UNCHECKED __attribute__((no_sanitize("address"), no_sanitize("thread"), no_sanitize("undefined")))

static inline ALWAYS_INLINE vector load(const bp_real *x) {
    return *(const vector_unaligned *)x;
}
static inline ALWAYS_INLINE void store(bp_real *x, vector v) {
    *(vector_unaligned *)x = v;
}

#if defined(__AVX512F__)
#define MASKED 1
typedef __mmask16 lanes_mask;
static inline ALWAYS_INLINE lanes_mask mask_of(int32_t columns) {
    return (lanes_mask)((1u << columns) - 1u);
}
static inline ALWAYS_INLINE vector load_some(const bp_real *x, lanes_mask mask) {
    return (vector)_mm512_maskz_loadu_ps(mask, x);
}
static inline ALWAYS_INLINE void store_some(bp_real *x, vector v, lanes_mask mask) {
    _mm512_mask_storeu_ps(x, mask, (__m512)v);
}
#else
#define MASKED 0
#endif

#ifdef BP_DOUBLE
typedef int64_t bits __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef int32_t bits __attribute__((vector_size(VECTOR_BYTES)));
#endif

struct tile {
    const bp_real *a, *b;
    size_t a_row, a_step, b_step; /* reals from row to row of the tile, and from one k to the next */
    int32_t k;
    size_t rows[TILE_ROWS_MAX]; /* SLIDING: reals from a to each row of the tile; each of `lines` lines of k; */
    size_t a_line;              /* from the last k of a line to the first one of the next */
    int32_t lines;
    size_t below, high; /* FORM 3: reals from the first to the second half of the rows, and rows of a half */
    bp_real *c;
    size_t c_row;
    const bp_real *bias; /* (columns) the sums start from, or NULL for 0 */
    bool add, rectify;
    bp_real slope;
    int32_t last; /* columns of the last vector */
};

/* slope v where v is negative; 0 * infinity is not a number, so relu has a way of its own. */
static inline ALWAYS_INLINE vector rectified(vector v, bp_real slope) {
#if defined(__AVX512F__) && !defined(BP_DOUBLE)
    const __m512 zero = _mm512_setzero_ps();
    if (slope == 0) return (vector)_mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512)v, zero, _CMP_NLT_UQ), (__m512)v);
    return (vector)_mm512_mask_mul_ps((__m512)v, _mm512_cmp_ps_mask((__m512)v, zero, _CMP_LT_OQ), (__m512)v, _mm512_set1_ps(slope));
#else
    const bits negative = v < 0;
    if (slope == 0) return (vector)((bits)v & ~negative);
    return (vector)(((bits)v & ~negative) | ((bits)(v * slope) & negative));
#endif
}

#define ROWS1(X) X(0)
#define ROWS2(X) ROWS1(X) X(1)
#define ROWS3(X) ROWS2(X) X(2)
#define ROWS4(X) ROWS3(X) X(3)
#define ROWS5(X) ROWS4(X) X(4)
#define ROWS6(X) ROWS5(X) X(5)
#define ROWS7(X) ROWS6(X) X(6)
#define ROWS8(X) ROWS7(X) X(7)

/* The last vector of a row, of which there may be less than the whole. */
#define LAST_ALL
#define LAST_PART        const lanes_mask mask = mask_of(tile->last);
#define LOAD_ALL(x)      load(x)
#define LOAD_PART(x)     load_some(x, mask)
#define STORE_ALL(x, v)  store(x, v)
#define STORE_PART(x, v) store_some(x, v, mask)

/* FORM 1: one vector wide. */
#define BEGIN1(KIND)  const vector start0 = tile->bias ? LOAD_##KIND(tile->bias) : (vector){0};
#define SUMS1(i)      vector s##i = start0;
#define READ1(KIND)   const vector b0 = LOAD_##KIND(b);
#define WALK1(i)      s##i += a[r##i] * b0;
#define ADD1_ALL(i)   s##i += load(&c[i * c_row]);
#define ADD1_PART(i)  s##i += load_some(&c[i * c_row], mask);
#define CUT1(i)       s##i = rectified(s##i, slope);
#define KEEP1_ALL(i)  store(&c[i * c_row], s##i);
#define KEEP1_PART(i) store_some(&c[i * c_row], s##i, mask);

/* FORM 2: two vectors wide. */
#define BEGIN2(KIND)                                                                                                                                 \
    const vector start0 = tile->bias ? load(tile->bias) : (vector){0}, start1 = tile->bias ? LOAD_##KIND(tile->bias + LANES) : (vector){0};
#define SUMS2(i)      vector s##i = start0, t##i = start1;
#define READ2(KIND)   const vector b0 = load(b), b1 = LOAD_##KIND(b + LANES);
#define WALK2(i)      s##i += a[r##i] * b0, t##i += a[r##i] * b1;
#define ADD2_ALL(i)   s##i += load(&c[i * c_row]), t##i += load(&c[i * c_row + LANES]);
#define ADD2_PART(i)  s##i += load(&c[i * c_row]), t##i += load_some(&c[i * c_row + LANES], mask);
#define CUT2(i)       s##i = rectified(s##i, slope), t##i = rectified(t##i, slope);
#define KEEP2_ALL(i)  store(&c[i * c_row], s##i), store(&c[i * c_row + LANES], t##i);
#define KEEP2_PART(i) store(&c[i * c_row], s##i), store_some(&c[i * c_row + LANES], t##i, mask);

/* FORM 3: one vector wide, and twice the rows: so many sums that none waits for itself. For SLIDING only. */
#define BEGIN3(KIND)                                                                                                                                 \
    const vector start0 = tile->bias ? LOAD_##KIND(tile->bias) : (vector){0};                                                                        \
    const size_t below = tile->below;                                                                                                                \
    bp_real *const low = c + tile->high * c_row;
#define SUMS3(i) vector s##i = start0, t##i = start0;
#define READ3(KIND)                                                                                                                                  \
    const vector b0 = LOAD_##KIND(b);                                                                                                                \
    const bp_real *restrict under = a + below;
#define WALK3(i)      s##i += a[r##i] * b0, t##i += under[r##i] * b0;
#define ADD3_ALL(i)   s##i += load(&c[i * c_row]), t##i += load(&low[i * c_row]);
#define ADD3_PART(i)  s##i += load_some(&c[i * c_row], mask), t##i += load_some(&low[i * c_row], mask);
#define CUT3(i)       CUT2(i)
#define KEEP3_ALL(i)  store(&c[i * c_row], s##i), store(&low[i * c_row], t##i);
#define KEEP3_PART(i) store_some(&c[i * c_row], s##i, mask), store_some(&low[i * c_row], t##i, mask);

/* WAY PLAIN: rows of A that lie a_row apart. SLIDING: rows anywhere, of several lines each. They are one loop, which is faster than one in another:
 * the ends of short loops are often predicted wrongly. */
#define BEGIN_PLAIN    const size_t a_row = tile->a_row, count = (size_t)tile->k;
#define PLACE_PLAIN(i) const size_t r##i = i * a_row;
#define STEP_PLAIN     a += a_step;
#define BEGIN_SLIDING                                                                                                                                \
    const size_t a_line = tile->a_line, line = (size_t)tile->k, count = (size_t)tile->lines * line;                                                  \
    size_t left = line;
#define PLACE_SLIDING(i) const size_t r##i = tile->rows[i];
#define STEP_SLIDING                                                                                                                                 \
    const bp_real *next = a + a_line;                                                                                                                \
    a += a_step;                                                                                                                                     \
    left--;                                                                                                                                          \
    a = left ? a : next;                                                                                                                             \
    left = left ? left : line;

#define TILE(rows, FORM, KIND, WAY)                                                                                                                  \
    static UNCHECKED void tile_##rows##x##FORM##_##KIND##_##WAY(const struct tile *tile) {                                                           \
        const bp_real *restrict a = tile->a, *restrict b = tile->b;                                                                                  \
        const size_t a_step = tile->a_step, b_step = tile->b_step, c_row = tile->c_row;                                                              \
        const bp_real slope = tile->slope;                                                                                                           \
        bp_real *c = tile->c;                                                                                                                        \
        BEGIN_##WAY;                                                                                                                                 \
        LAST_##KIND BEGIN##FORM(KIND) ROWS##rows(PLACE_##WAY) ROWS##rows(SUMS##FORM);                                                                \
        (void)c_row;                                                                                                                                 \
        for (size_t p = 0; p < count; p++, b += b_step) {                                                                                            \
            READ##FORM(KIND) ROWS##rows(WALK##FORM);                                                                                                 \
            STEP_##WAY                                                                                                                               \
        }                                                                                                                                            \
        if (tile->add) {                                                                                                                             \
            ROWS##rows(ADD##FORM##_##KIND)                                                                                                           \
        }                                                                                                                                            \
        if (tile->rectify) {                                                                                                                         \
            ROWS##rows(CUT##FORM)                                                                                                                    \
        }                                                                                                                                            \
        ROWS##rows(KEEP##FORM##_##KIND)                                                                                                              \
    }
#define TILES(FORM, KIND, WAY)                                                                                                                       \
    TILE(1, FORM, KIND, WAY)                                                                                                                         \
    TILE(2, FORM, KIND, WAY)                                                                                                                         \
    TILE(3, FORM, KIND, WAY)                                                                                                                         \
    TILE(4, FORM, KIND, WAY)                                                                                                                         \
    TILE(5, FORM, KIND, WAY)                                                                                                                         \
    TILE(6, FORM, KIND, WAY)                                                                                                                         \
    TILE(7, FORM, KIND, WAY)                                                                                                                         \
    TILE(8, FORM, KIND, WAY)
#define TILE_NAME(rows, FORM, KIND, WAY) tile_##rows##x##FORM##_##KIND##_##WAY
#define TILE_LIST(FORM, KIND, WAY)                                                                                                                   \
    {                                                                                                                                                \
        [1] = TILE_NAME(1, FORM, KIND, WAY), [2] = TILE_NAME(2, FORM, KIND, WAY), [3] = TILE_NAME(3, FORM, KIND, WAY),                               \
        [4] = TILE_NAME(4, FORM, KIND, WAY), [5] = TILE_NAME(5, FORM, KIND, WAY), [6] = TILE_NAME(6, FORM, KIND, WAY),                               \
        [7] = TILE_NAME(7, FORM, KIND, WAY), [8] = TILE_NAME(8, FORM, KIND, WAY),                                                                    \
    }

/* Shapes: of FORM 1 and 2, PLAIN and SLIDING, and FORM 3. */
enum { NARROW, WIDE, SLIDING_NARROW, SLIDING_WIDE, SLIDING_TALL, SHAPES };
#define ALL_TILES(KIND)                                                                                                                              \
    TILES(1, KIND, PLAIN)                                                                                                                            \
    TILES(2, KIND, PLAIN)                                                                                                                            \
    TILES(1, KIND, SLIDING)                                                                                                                          \
    TILES(2, KIND, SLIDING)                                                                                                                          \
    TILES(3, KIND, SLIDING)
#define TILE_TABLE(KIND)                                                                                                                             \
    {                                                                                                                                                \
        [NARROW] = TILE_LIST(1, KIND, PLAIN), [WIDE] = TILE_LIST(2, KIND, PLAIN), [SLIDING_NARROW] = TILE_LIST(1, KIND, SLIDING),                    \
        [SLIDING_WIDE] = TILE_LIST(2, KIND, SLIDING), [SLIDING_TALL] = TILE_LIST(3, KIND, SLIDING),                                                  \
    }
/* By shape and number of rows, of FORM 3 of half of them. */
typedef void (*const tile_table[SHAPES][TILE_ROWS_MAX + 1])(const struct tile *);
ALL_TILES(ALL)
static tile_table tiles = TILE_TABLE(ALL);
#if MASKED
ALL_TILES(PART)
static tile_table tiles_some = TILE_TABLE(PART);
#endif

typedef bp_real quad __attribute__((vector_size(4 * sizeof(bp_real))));
typedef bp_real quad_unaligned __attribute__((vector_size(4 * sizeof(bp_real)), aligned(sizeof(bp_real)), may_alias));

/* to (4 rows, `width` apart) = from (4 rows, `ld` apart), transposed. */
static inline void transpose_quad(const bp_real *from, size_t ld, bp_real *to, size_t width) {
    const quad a = *(const quad_unaligned *)from, b = *(const quad_unaligned *)(from + ld);
    const quad c = *(const quad_unaligned *)(from + 2 * ld), d = *(const quad_unaligned *)(from + 3 * ld);
    const quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const quad ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(quad_unaligned *)to = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(quad_unaligned *)(to + width) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(quad_unaligned *)(to + 2 * width) = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    *(quad_unaligned *)(to + 3 * width) = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

/* panel[p][j] = rows[j][p]: `columns` rows of B, k long and ldb apart. */
static void pack_transposed(const bp_real *rows, size_t ldb, bp_real *restrict panel, const size_t size[2], size_t width) {
    const size_t k = size[0], columns = size[1];
    size_t j = 0;
    for (; j + 4 <= columns; j += 4) {
        const bp_real *from = rows + j * ldb;
        size_t p = 0;
        for (; p + 4 <= k; p += 4) transpose_quad(from + p, ldb, panel + p * width + j, width);
        for (; p < k; p++)
            for (size_t l = 0; l < 4; l++) panel[p * width + j + l] = from[l * ldb + p];
    }
    for (; j < columns; j++)
        for (size_t p = 0; p < k; p++) panel[p * width + j] = rows[j * ldb + p];
}

/* panel (k, width) = rows p0.. and columns j0.. of B; columns beyond `columns` are zero, or not to be read (MASKED). */
static void pack(const struct bp_gemm *call, bp_real *restrict panel, const int32_t from[2], const int32_t size[2], int32_t width) {
    const size_t p0 = (size_t)from[0], j0 = (size_t)from[1], k = (size_t)size[0], columns = (size_t)size[1], stride = (size_t)width;
    const size_t ldb = (size_t)call->ldb;
    if (columns < stride && !MASKED) memset(panel, 0, k * stride * sizeof *panel);
    if (call->transpose_b) pack_transposed(call->B + j0 * ldb + p0, ldb, panel, (const size_t[]){k, columns}, stride);
    else if (columns == PANEL)
        for (size_t p = 0; p < k; p++) memcpy(panel + p * PANEL, call->B + (p0 + p) * ldb + j0, PANEL * sizeof *panel);
    else
        for (size_t p = 0; p < k; p++) memcpy(panel + p * stride, call->B + (p0 + p) * ldb + j0, columns * sizeof *panel);
}

#if !MASKED
/* Rows of a tile whose last columns are not a vector, without masks: computed aside, then the numbers that there are. */
static void cut_tile(const struct tile *tile, int32_t rows, int32_t columns, int shape, int32_t width) {
    bp_real edge[TILE_ROWS_MAX * PANEL], bias[PANEL] = {0};
    struct tile aside = *tile;
    if (tile->bias) memcpy(bias, tile->bias, (size_t)columns * sizeof *bias);
    aside.bias = bias;
    aside.c = edge;
    aside.c_row = (size_t)width;
    aside.add = aside.rectify = false;
    tiles[shape][rows](&aside);
    for (int32_t r = 0; r < rows; r++)
        for (int32_t j = 0; j < columns; j++) {
            bp_real *out = &tile->c[(size_t)r * tile->c_row + (size_t)j], sum = edge[r * width + j];
            if (tile->add) sum = *out + sum;
            *out = tile->rectify && sum < 0 ? (tile->slope == 0 ? 0 : tile->slope * sum) : sum;
        }
}
#endif

/* Asks for the tile of C below one of that height, while that one is computed: C is too large for the caches, and a store that misses them waits. */
static inline void prefetch_below(const struct tile *tile, int32_t high) {
    for (int32_t i = high; i < high + TILE_ROWS; i++) {
        __builtin_prefetch(tile->c + (size_t)i * tile->c_row, 1, 3);
        __builtin_prefetch(tile->c + (size_t)i * tile->c_row + PANEL - 1, 1, 3);
    }
}

/* That many rows of a tile of `columns` columns. */
static inline void run_tile(const struct tile *tile, int32_t rows, int32_t columns, int shape) {
    const int32_t width = shape == WIDE || shape == SLIDING_WIDE ? PANEL : LANES;
    if (columns == width) tiles[shape][rows](tile);
#if MASKED
    else tiles_some[shape][rows](tile);
#else
    else cut_tile(tile, rows, columns, shape, width); /* no sliding one: without masks those are of whole vectors (any_filters) */
#endif
}

/* All `rows` of C below tile->a and tile->c, which end beyond them: `columns` columns, one block of k; `next`: reals of A from one tile of full
 * height to the one below. The tile is changed in place and the call never copied: a vector read of what has just been written byte by byte waits for
 * all of it. */
static void walk_panel(struct tile *tile, int32_t rows, size_t next, int32_t columns, bool large) {
    while (rows) {
        const int32_t high = rows < TILE_ROWS ? rows : TILE_ROWS;
        if (large && rows >= high + TILE_ROWS) prefetch_below(tile, high);
        run_tile(tile, high, columns, columns > LANES ? WIDE : NARROW);
        rows -= high;
        tile->a += next;
        tile->c += (size_t)high * tile->c_row;
    }
}

/* packed: for each TILE_ROWS columns of the stored A, which are rows of the product, the block's k rows of them, one after the other. */
static void pack_tiles(const bp_real *from, size_t lda, int32_t k, int32_t rows, bp_real *restrict packed) {
    for (int32_t i = 0; i < rows; i += TILE_ROWS, from += TILE_ROWS) {
        const size_t count = (size_t)(rows - i < TILE_ROWS ? rows - i : TILE_ROWS);
        for (int32_t p = 0; p < k; p++, packed += TILE_ROWS) memcpy(packed, from + (size_t)p * lda, count * sizeof *packed);
    }
}

/* Rows of C from `first`, `rows` of them: that part of A stays in the second cache while all panels of B pass by. packed: room for a copy of it, or
 * NULL: it is read in place. */
static void walk_block(const struct bp_gemm *call, int32_t first, int32_t rows, bp_real *panel, bp_real *packed) {
    const size_t lda = (size_t)call->lda, ldb = (size_t)call->ldb, a_row = call->transpose_a ? 1 : lda;
    const bp_real *a = call->A + (size_t)first * a_row;
    bp_real *c = call->C + (size_t)first * (size_t)call->ldc;
    struct tile tile = {.a_row = packed ? 1 : a_row,
                        .a_step = packed              ? TILE_ROWS
                                  : call->transpose_a ? lda
                                                      : 1,
                        .c_row = (size_t)call->ldc,
                        .slope = call->slope};
    const bool large = (int64_t)call->m * call->n > LARGE_C;
    for (int32_t p = 0; p < call->k; p += K_BLOCK) {
        tile.k = call->k - p < K_BLOCK ? call->k - p : K_BLOCK;
        tile.add = call->add || p > 0;
        tile.rectify = call->rectify && p + tile.k == call->k;
        const bp_real *block = packed ? packed : a + (size_t)p * tile.a_step;
        const size_t next = TILE_ROWS * (packed ? (size_t)tile.k : a_row);
        if (packed) pack_tiles(a + (size_t)p * lda, lda, tile.k, rows, packed);
        for (int32_t j = 0; j < call->n; j += PANEL) {
            const int32_t columns = call->n - j < PANEL ? call->n - j : PANEL;
            const int32_t width = columns > LANES ? PANEL : LANES;
            tile.a = block;
            tile.c = c + j;
            tile.bias = call->bias && p == 0 ? call->bias + j : NULL;
            tile.last = columns - (width - LANES);
            if (call->transpose_b || (columns < width && !MASKED) || (rows >= REUSE && call->ldb > K_BLOCK)) {
                pack(call, panel, (const int32_t[]){p, j}, (const int32_t[]){tile.k, columns}, width);
                tile.b = panel;
                tile.b_step = (size_t)width;
            } else {
                tile.b = call->B + (size_t)p * ldb + (size_t)j;
                tile.b_step = ldb;
            }
            walk_panel(&tile, rows, next, columns, large);
        }
    }
}

/* ---- what a product without tiles leaves to be done --------------------------------------------------------------- */

/* C = C + bias, rectified. */
static void finish(const struct bp_gemm *call) {
    if (!call->bias && !call->rectify) return;
    for (int32_t i = 0; i < call->m; i++) {
        bp_real *c = call->C + (size_t)i * (size_t)call->ldc;
        if (call->rectify) rectify(1, (size_t)call->n, call->slope, call->bias, c, c);
        else add_bias(1, (size_t)call->n, call->bias, c);
    }
}

/* ---- few columns --------------------------------------------------------------------------------------------------- */

#if MASKED
enum { SLIM = 4 };

/* Up to SLIM columns of C as A^T B, where A is stored as (k, m): with rows of C side by side in the vectors, two of them, no lanes are idle. */
static inline __attribute__((always_inline)) void slim_rows(const struct bp_gemm *call, int32_t first, const lanes_mask mask[2], int32_t n,
                                                            bp_real *to) {
    vector sums[2][SLIM] = {{{0}}};
    const bp_real *a = call->A + first, *b = call->B;
    for (int32_t p = 0; p < call->k; p++, a += call->lda, b += call->ldb) {
        const vector a0 = load_some(a, mask[0]), a1 = load_some(a + LANES, mask[1]);
        for (int32_t j = 0; j < n; j++) {
            sums[0][j] += a0 * b[j];
            sums[1][j] += a1 * b[j];
        }
    }
    for (int32_t j = 0; j < n; j++) {
        store(to + j * 2 * LANES, sums[0][j]);
        store(to + j * 2 * LANES + LANES, sums[1][j]);
    }
}

static void slim_gemm(const struct bp_gemm *call) {
    bp_real columns[SLIM][2 * LANES];
    for (int32_t i = 0; i < call->m; i += 2 * LANES) {
        const int32_t rows = call->m - i < 2 * LANES ? call->m - i : 2 * LANES;
        const lanes_mask mask[2] = {mask_of(rows < LANES ? rows : LANES), mask_of(rows > LANES ? rows - LANES : 0)};
        if (call->n == 1) slim_rows(call, i, mask, 1, columns[0]);
        else if (call->n == 2) slim_rows(call, i, mask, 2, columns[0]);
        else if (call->n == 3) slim_rows(call, i, mask, 3, columns[0]);
        else slim_rows(call, i, mask, 4, columns[0]);
        for (int32_t r = 0; r < rows; r++)
            for (int32_t j = 0; j < call->n; j++) {
                bp_real *c = &call->C[(size_t)(i + r) * (size_t)call->ldc + (size_t)j];
                *c = call->add ? *c + columns[j][r] : columns[j][r];
            }
    }
    finish(call);
}
#endif

/* A^T B where the rows of the stored A are far apart: a tile would read each from another page, all of them into the same few lines of the first
 * cache. */
static void gemm_packed(const struct bp_gemm *call, bp_real *panel) {
    bp_real packed[PACKED_ROWS * K_BLOCK] __attribute__((aligned(BP_ALIGNMENT)));
    for (int32_t i = 0; i < call->m; i += PACKED_ROWS) walk_block(call, i, call->m - i < PACKED_ROWS ? call->m - i : PACKED_ROWS, panel, packed);
}

static void gemm(const struct bp_gemm *call) {
    bp_real panel[K_BLOCK * PANEL] __attribute__((aligned(BP_ALIGNMENT)));
#if MASKED
    if (call->n <= SLIM && call->transpose_a && !call->transpose_b) {
        slim_gemm(call);
        return;
    }
#endif
    if (call->transpose_a && call->lda >= FAR && call->n >= 8 * PANEL) {
        gemm_packed(call, panel);
        return;
    }
    for (int32_t i = 0; i < call->m; i += M_BLOCK) walk_block(call, i, call->m - i < M_BLOCK ? call->m - i : M_BLOCK, panel, NULL);
}

/* ---- batch 1 ----------------------------------------------------------------------------------------------------- */

/* c[j] (+)= sum over p of a[p] B[j][p]: one dot product a column, summed in 4 vectors. */
static void gemv_dots(const struct bp_gemm *call) {
    const size_t k = (size_t)call->k;
    for (int32_t j = 0; j < call->n; j++) {
        const bp_real *b = call->B + (size_t)j * (size_t)call->ldb, *a = call->A;
        vector s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        size_t p = 0;
        for (; p + 4 * LANES <= k; p += 4 * LANES) {
            s0 += load(a + p) * load(b + p);
            s1 += load(a + p + LANES) * load(b + p + LANES);
            s2 += load(a + p + 2 * LANES) * load(b + p + 2 * LANES);
            s3 += load(a + p + 3 * LANES) * load(b + p + 3 * LANES);
        }
        for (; p + LANES <= k; p += LANES) s0 += load(a + p) * load(b + p);
        s0 = (s0 + s1) + (s2 + s3);
        bp_real sum = 0;
        for (; p < k; p++) sum += a[p] * b[p];
        for (int l = 0; l < LANES; l++) sum += s0[l];
        call->C[j] = call->add ? call->C[j] + sum : sum;
    }
}

/* The positions of the numbers of x that are not 0; not a number is none. */
static inline size_t not_zero(size_t n, const bp_real *x, uint32_t *at) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        at[count] = (uint32_t)i;
        count += x[i] != 0;
    }
    return count;
}

/* c (width) += sum over p of a[p] B[p], of those k rows of B that are named. */
static void add_rows(size_t k, const uint32_t *at, const bp_real *a, const bp_real *B, size_t ldb, size_t width, bp_real *restrict c) {
    size_t p = 0;
    for (; p + 8 <= k; p += 8) {
        const uint32_t *row = at + p;
        const bp_real *restrict b0 = B + row[0] * ldb, *restrict b1 = B + row[1] * ldb, *restrict b2 = B + row[2] * ldb;
        const bp_real *restrict b3 = B + row[3] * ldb, *restrict b4 = B + row[4] * ldb, *restrict b5 = B + row[5] * ldb;
        const bp_real *restrict b6 = B + row[6] * ldb, *restrict b7 = B + row[7] * ldb;
        const bp_real a0 = a[row[0]], a1 = a[row[1]], a2 = a[row[2]], a3 = a[row[3]];
        const bp_real a4 = a[row[4]], a5 = a[row[5]], a6 = a[row[6]], a7 = a[row[7]];
        for (size_t j = 0; j < width; j++)
            c[j] += ((a0 * b0[j] + a1 * b1[j]) + (a2 * b2[j] + a3 * b3[j])) + ((a4 * b4[j] + a5 * b5[j]) + (a6 * b6[j] + a7 * b7[j]));
    }
    for (; p < k; p++) {
        const bp_real *restrict b = B + at[p] * ldb;
        const bp_real one = a[at[p]];
        for (size_t j = 0; j < width; j++) c[j] += one * b[j];
    }
}

/* c (+)= sum over p of a[p] B[p]: rows of B added up, eight at a time, in stretches of C that stay in the first cache. The time is that of reading B,
 * so rows for a 0 are not read (B is assumed finite): in an image most numbers are 0, after a relu half of them. */
static void gemv_rows(const struct bp_gemm *call) {
    enum { STRETCH = 1024, ROWS = 512 };
    const size_t k = (size_t)call->k, n = (size_t)call->n, ldb = (size_t)call->ldb;
    uint32_t at[ROWS];
    for (size_t from = 0; from < n; from += STRETCH) {
        const size_t width = n - from < STRETCH ? n - from : STRETCH;
        bp_real *c = call->C + from;
        if (!call->add) memset(c, 0, width * sizeof *c);
        for (size_t p = 0; p < k; p += ROWS) {
            const size_t count = not_zero(k - p < ROWS ? k - p : ROWS, call->A + p, at);
            add_rows(count, at, call->A + p, call->B + p * ldb + from, ldb, width, c);
        }
    }
}

static void gemv(const struct bp_gemm *call) {
    if (call->transpose_a && call->lda != 1) { /* A is a strided column: rare, and not worth a separate loop */
        gemm(call);
        return;
    }
    if (call->transpose_b) gemv_dots(call);
    else gemv_rows(call);
    finish(call);
}

#endif
