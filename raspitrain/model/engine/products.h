/* Matrix products of streams: forward, backward, and gradients of weights. */

#pragma once

#include "vectors.h"
#include "neon.h"

/* c[rows][panel] = sum over k of a[rows][k] * packed[k][panel], from first (or zero). */
INLINE void tile(const int rows, const int panel, Streams a, long num_k, const vec *packed,
                 Streams first, Streams c, long row) {
#ifdef HAND_WRITTEN
    if (rows == 6 && panel == 4) {
        tile_6_by_4(a.data + row, BYTES(a.stride), num_k, 1, 0, packed,
                    first.data ? first.data + row : 0, BYTES(first.stride), c.data + row,
                    BYTES(c.stride));
        return;
    }
#endif
    vec sum[MAX_ROWS][MAX_PANEL];
    if (first.data) {
        UNROLL for (int j = 0; j < panel; j++)
            UNROLL for (int i = 0; i < rows; i++) sum[i][j] = stream(first, j)[row + i];
    } else {
        UNROLL for (int j = 0; j < panel; j++)
            UNROLL for (int i = 0; i < rows; i++) sum[i][j] = splat(0);
    }
    const vec *from_a = a.data + row;
    for (long k = 0; k < num_k; k++, from_a += a.stride, packed += LANES * panel) {
#if defined(__aarch64__)
        /* lanes of a vector of a, against two vectors of W that one load fetches */
        vec row_a[MAX_ROWS];
        UNROLL for (int i = 0; i < rows; i++) row_a[i] = from_a[i];
        UNROLL for (int lane = 0; lane < LANES; lane++)
            UNROLL for (int j = 0; j < panel; j += 2) {
                vec w0 = packed[lane * panel + j], w1 = w0;
                if (j + 1 < panel) w1 = packed[lane * panel + j + 1];
                UNROLL for (int i = 0; i < rows; i++) sum[i][j] += w0 * row_a[i][lane];
                if (j + 1 < panel)
                    UNROLL for (int i = 0; i < rows; i++) sum[i][j + 1] += w1 * row_a[i][lane];
            }
#else
        /* elements of a, spread by the load */
        UNROLL for (int lane = 0; lane < LANES; lane++) {
            vec w[MAX_PANEL];
            UNROLL for (int j = 0; j < panel; j++) w[j] = packed[lane * panel + j];
            UNROLL for (int i = 0; i < rows; i++) {
                const real element = ((const real *)(from_a + i))[lane];
                UNROLL for (int j = 0; j < panel; j++) sum[i][j] += w[j] * element;
            }
        }
#endif
    }
    UNROLL for (int j = 0; j < panel; j++)
        UNROLL for (int i = 0; i < rows; i++) stream(c, j)[row + i] = sum[i][j];
}

INLINE void rows_of_panel(const int panel, Streams a, long num_k, const vec *packed,
                          Streams first, Streams c, long begin, long end) {
    const int rows = ROWS(panel);
    if (end - begin < rows) {
        for (long row = begin; row < end; row++) tile(1, panel, a, num_k, packed, first, c, row);
        return;
    }
    for (long row = begin; row < end; row += rows) /* the last tile may repeat some rows */
        tile(rows, panel, a, num_k, packed, first, c, row + rows <= end ? row : end - rows);
}

/* c = a W for rows begin to end and `panel` streams of c; num_k streams of a; W is packed. */
static void multiply(int panel, Streams a, long num_k, const vec *packed, Streams first,
                     Streams c, long begin, long end) {
    switch (panel) {
        case 1: rows_of_panel(1, a, num_k, packed, first, c, begin, end); break;
#if MAX_PANEL >= 2
        case 2: rows_of_panel(2, a, num_k, packed, first, c, begin, end); break;
#endif
#if MAX_PANEL >= 3
        case 3: rows_of_panel(3, a, num_k, packed, first, c, begin, end); break;
#endif
#if MAX_PANEL >= 4
        case 4: rows_of_panel(4, a, num_k, packed, first, c, begin, end); break;
#endif
    }
}

static const Streams NONE = {0, 0};

/* Columns of the transposed weight (out, in): what a forward product reads. */
static void pack_out(vec *packed, const real *weight, long num_in, long b, int panel) {
    const long padded = ceil_div(num_in, LANES) * LANES;
    for (int j = 0; j < panel; j++) {
        const real *rows = weight + (b + j) * LANES * num_in;
        long k = 0;
#ifdef HAS_TRANSPOSE
        for (; k + 4 <= num_in; k += 4) {
            vec r[4];
            UNROLL for (int i = 0; i < 4; i++) r[i] = load(rows + i * num_in + k);
            transpose(r);
            UNROLL for (int i = 0; i < 4; i++) packed[(k + i) * panel + j] = r[i];
        }
#endif
        for (; k < padded; k++) {
            vec column = splat(0);
            if (k < num_in)
                UNROLL for (int lane = 0; lane < LANES; lane++) column[lane] = rows[lane * num_in + k];
            packed[k * panel + j] = column;
        }
    }
}

/* Columns of the weight (out, in) as it is: what a backward product reads. */
static void pack_in(vec *packed, const real *weight, long num_out, long num_in, long b, int panel) {
    for (long k = 0; k < num_out; k++)
        for (int j = 0; j < panel; j++)
            packed[k * panel + j] = load(weight + k * num_in + (b + j) * LANES);
}

INLINE int panel_at(long b, long end) { return end - b < MAX_PANEL ? (int)(end - b) : MAX_PANEL; }

/* Columns begin to end of the forward product x W' for all rows. */
static void multiply_columns(Team team, Streams x, long num_in, const real *weight, Streams z,
                             long rows, long begin, long end) {
    for (long b = begin; b < end; b += MAX_PANEL) {
        int panel = panel_at(b, end);
        pack_out(team.scratch, weight, num_in, b, panel);
        multiply(panel, x, ceil_div(num_in, LANES), team.scratch, NONE, from(z, b), 0, rows);
    }
}

/* A thread's rows of x W over all columns; W was packed, panel after panel. */
static void multiply_rows(Team team, Streams x, long num_k, const vec *packed, long columns,
                          Streams first, Streams z, long rows) {
    long begin, end;
    share(team, ceil_div(rows, 8), &begin, &end);
    begin *= 8;
    end = end * 8 < rows ? end * 8 : rows;
    if (begin >= end) return;
    for (long b = 0; b < columns; b += MAX_PANEL)
        multiply(panel_at(b, columns), x, num_k, packed + b * num_k * LANES,
                 first.data ? from(first, b) : NONE, from(z, b), begin, end);
}

/* What row u of a weight tile adds to its sums; x has it `step` rows on. */
#if defined(__aarch64__)
#define ELEMENT(i, lane) row_g[lane]
#else
#define ELEMENT(i, lane) ((const real *)(at_g[i] + u))[lane]
#endif
#define WEIGHT_ROW(step)                                                        \
    vec row_x[WIDE];                                                            \
    UNROLL for (int j = 0; j < across; j++) row_x[j] = at_x[j][u * (step)];      \
    UNROLL for (int i = 0; i < tall; i++) {                                     \
        vec row_g __attribute__((unused)) = at_g[i][u];                         \
        UNROLL for (int lane = 0; lane < LANES; lane++)                         \
            UNROLL for (int j = 0; j < across; j++)                              \
                sum[i * LANES + lane][j] += row_x[j] * ELEMENT(i, lane);        \
    }

/* dw[p][q] (+)= sum over rows of g[row][p] * x[row][q]: `tall` streams p, `across` streams q. */
INLINE void weight_tile(const int tall, const int across, Streams g, Streams x, long begin, long end,
                        int add, real *dw, long num_q) {
#ifdef HAND_WRITTEN
    if (tall == 2 && across == 3) {
        weight_tile_2_by_3(g.data + begin, BYTES(g.stride), x.data + begin, BYTES(x.stride),
                           end - begin, add, dw, num_q * REAL_BYTES);
        return;
    }
    if (tall == 3 && across == 2) {
        weight_tile_3_by_2(g.data + begin, BYTES(g.stride), x.data + begin, BYTES(x.stride),
                           end - begin, add, dw, num_q * REAL_BYTES);
        return;
    }
#endif
    vec sum[MAX_TALL * LANES][WIDE];
    UNROLL for (int i = 0; i < tall * LANES; i++)
        UNROLL for (int j = 0; j < across; j++)
            sum[i][j] = add ? load(dw + i * num_q + j * LANES) : splat(0);
    const vec *at_g[MAX_TALL], *at_x[WIDE];
    UNROLL for (int i = 0; i < tall; i++) at_g[i] = stream(g, i) + begin;
    UNROLL for (int j = 0; j < across; j++) at_x[j] = stream(x, j) + begin;
    long row = begin;
    for (; row + 8 <= end; row += 8) {
        UNROLL for (int u = 0; u < 8; u++) { WEIGHT_ROW(1) }
        UNROLL for (int i = 0; i < tall; i++) at_g[i] += 8;
        UNROLL for (int j = 0; j < across; j++) at_x[j] += 8;
    }
    for (int u = 0; u < end - row; u++) { WEIGHT_ROW(1) }
    UNROLL for (int i = 0; i < tall * LANES; i++)
        UNROLL for (int j = 0; j < across; j++) store(dw + i * num_q + j * LANES, sum[i][j]);
}

/* Tiles that are as tall as the next: 4 = 2 + 2. */
INLINE void weight_strip(const int across, Streams g, long num_g, Streams x, long begin, long end,
                         int add, real *dw, long num_q) {
    const long tiles = ceil_div(num_g, TALL(across));
    for (long i = 0; i < tiles; i++) {
        const long p = i * num_g / tiles, tall = (i + 1) * num_g / tiles - p;
        real *at = dw + p * LANES * num_q;
        if (tall == 1) weight_tile(1, across, from(g, p), x, begin, end, add, at, num_q);
#if MAX_TALL >= 2
        if (tall == 2) weight_tile(2, across, from(g, p), x, begin, end, add, at, num_q);
#endif
#if MAX_TALL >= 3
        if (tall == 3) weight_tile(3, across, from(g, p), x, begin, end, add, at, num_q);
#endif
    }
}

/* dw = g' x: (num_g streams, num_x streams) in a row-major array num_q wide. */
static void weight_gradient(Streams g, long num_g, Streams x, long num_x, long rows, real *dw,
                            long num_q) {
    for (long begin = 0; begin < rows; begin += CHUNK) {
        long end = begin + CHUNK < rows ? begin + CHUNK : rows;
        int add = begin > 0;
        for (long q = 0; q < num_x;) {
            real *at = dw + q * LANES;
            long left = num_x - q;
            /* 4 = 2 + 2: a strip of one reads twice as much for a product */
            int width = left >= WIDE && left != WIDE + 1 ? WIDE : left > 1 && WIDE > 1 ? 2 : 1;
            switch (width) {
                case 1: weight_strip(1, g, num_g, from(x, q), begin, end, add, at, num_q); break;
#if WIDE >= 2
                case 2: weight_strip(2, g, num_g, from(x, q), begin, end, add, at, num_q); break;
#endif
#if WIDE >= 3
                case 3: weight_strip(3, g, num_g, from(x, q), begin, end, add, at, num_q); break;
#endif
            }
            q += width;
        }
    }
}
