/* Convolutions of several taps as matrix products over shifted rows, and the gradients of their
   weights. Nothing is copied into columns: a tap reads the same rows from another place on.

   Rows of a case lie one after another, with zeros around them where a tap may reach over the edge.
   So rows that follow each other in what is computed may lie apart in what is read (a stride, the
   next case); where each lies stands in a table, which all panels of columns share. */

#pragma once

#include "products.h"

enum { BLOCK = 512 }; /* rows whose places are looked up at once; they stay in the second cache */

/* Row o of case n lies at data + first + n * pitch + o * step in every stream. */
typedef struct {
    Streams at;
    long first, pitch, step;
} Rows;

INLINE long row_of(Rows rows, long n, long o) { return rows.first + n * rows.pitch + o * rows.step; }
INLINE vec *case_of(Rows rows, long b, long n) {
    return stream(rows.at, b) + rows.first + n * rows.pitch;
}

/* to[places] = sum over taps and k of x[places + tap * tap_step][k] * packed[tap][k][panel].
   close: the rows that are read follow each other. */
INLINE void tap_tile(const int rows, const int panel, const int close, const vec *x, long x_stride,
                     long num_k, long num_taps, long tap_step, const vec *packed,
                     const int32_t *read, Streams to, const int32_t *written, int add) {
    vec sum[MAX_ROWS][MAX_PANEL];
    UNROLL for (int j = 0; j < panel; j++)
        UNROLL for (int i = 0; i < rows; i++)
            sum[i][j] = add ? stream(to, j)[written[i]] : splat(0);
    long place[MAX_ROWS];
    if (!close)
        UNROLL for (int i = 0; i < rows; i++) place[i] = read[i];
    for (long t = 0; t < num_taps; t++) {
        const vec *from_x = x + t * tap_step + (close ? read[0] : 0);
        for (long k = 0; k < num_k; k++, from_x += x_stride, packed += LANES * panel) {
#define X_ROW(i) (close ? from_x + (i) : from_x + place[i])
#if defined(__aarch64__)
            vec row_x[MAX_ROWS];
            UNROLL for (int i = 0; i < rows; i++) row_x[i] = *X_ROW(i);
            UNROLL for (int lane = 0; lane < LANES; lane++)
                UNROLL for (int j = 0; j < panel; j += 2) {
                    vec w0 = packed[lane * panel + j], w1 = w0;
                    if (j + 1 < panel) w1 = packed[lane * panel + j + 1];
                    UNROLL for (int i = 0; i < rows; i++) sum[i][j] += w0 * row_x[i][lane];
                    if (j + 1 < panel)
                        UNROLL for (int i = 0; i < rows; i++) sum[i][j + 1] += w1 * row_x[i][lane];
                }
#else
            UNROLL for (int lane = 0; lane < LANES; lane++) {
                vec w[MAX_PANEL];
                UNROLL for (int j = 0; j < panel; j++) w[j] = packed[lane * panel + j];
                UNROLL for (int i = 0; i < rows; i++) {
                    const real element = ((const real *)X_ROW(i))[lane];
                    UNROLL for (int j = 0; j < panel; j++) sum[i][j] += w[j] * element;
                }
            }
#endif
#undef X_ROW
        }
    }
    UNROLL for (int j = 0; j < panel; j++)
        UNROLL for (int i = 0; i < rows; i++) stream(to, j)[written[i]] = sum[i][j];
}

INLINE void tap_panel(const int panel, const vec *x, long x_stride, long num_k, long num_taps,
                      long tap_step, const vec *packed, const int32_t *read, Streams to,
                      const int32_t *written, int add, long count) {
    const int rows = ROWS(panel);
    for (long row = 0; row < count; row += rows) { /* behind the last row comes the last row again */
        const int close = row + rows <= count && read[row + rows - 1] - read[row] == rows - 1;
#ifdef HAND_WRITTEN
        if (panel == 4 && close && written[row + rows - 1] - written[row] == rows - 1) {
            vec *at = to.data + written[row];
            tile_6_by_4(x + read[row], BYTES(x_stride), num_k, num_taps, BYTES(tap_step), packed,
                        add ? at : 0, BYTES(to.stride), at, BYTES(to.stride));
            continue;
        }
#endif
        if (close)
            tap_tile(rows, panel, 1, x, x_stride, num_k, num_taps, tap_step, packed, read + row, to,
                     written + row, add);
        else
            tap_tile(rows, panel, 0, x, x_stride, num_k, num_taps, tap_step, packed, read + row, to,
                     written + row, add);
    }
}

static void tap_columns(int panel, const vec *x, long x_stride, long num_k, long num_taps,
                        long tap_step, const vec *packed, const int32_t *read, Streams to,
                        const int32_t *written, int add, long count) {
#define PANEL(n)                                                                                 \
    case n:                                                                                      \
        tap_panel(n, x, x_stride, num_k, num_taps, tap_step, packed, read, to, written, add, count); \
        break;
    switch (panel) {
        PANEL(1)
#if MAX_PANEL >= 2
        PANEL(2)
#endif
#if MAX_PANEL >= 3
        PANEL(3)
#endif
#if MAX_PANEL >= 4
        PANEL(4)
#endif
    }
#undef PANEL
}

/* A convolution's weights (out, in / groups, taps), and what of them a product reads: columns of
   `to` channels from `of` channels, taps tap, tap + every, … */
typedef struct {
    const real *weight;
    long in, out, taps, groups;
    int transposed; /* columns are the input channels, as for the gradient of the input */
} Weights;

INLINE long channels_of(const Weights *w) { return w->transposed ? w->in : w->out; }
INLINE long channels_from(const Weights *w) { return w->transposed ? w->out : w->in; }

/* The streams that columns of a panel read: those of its groups. */
static void streams_read(const Weights *w, long b, int panel, long *begin, long *end) {
    const long to = channels_of(w) / w->groups, of = channels_from(w) / w->groups;
    const long last = (b + panel) * LANES < channels_of(w) ? (b + panel) * LANES : channels_of(w);
    *begin = b * LANES / to * of / LANES;
    *end = ceil_div(((last - 1) / to + 1) * of, LANES);
}

#ifdef HAS_TRANSPOSE
/* Four columns at once: to[tap][k], which lie tap_step and k_step apart. */
static void pack_four(vec *to, long tap_step, long k_step, const real *const column[4], long of,
                      long along_k, long num_taps) {
    long k = 0;
    if (num_taps == 1 && along_k == 1)
        for (; k + 4 <= of; k += 4) {
            vec r[4];
            UNROLL for (int i = 0; i < 4; i++) r[i] = load(column[i] + k);
            transpose(r);
            UNROLL for (int i = 0; i < 4; i++) to[(k + i) * k_step] = r[i];
        }
    for (; k < of; k++) {
        const long from = k * along_k;
        vec *at = to + k * k_step;
        long t = 0;
        for (; t + 4 <= num_taps; t += 4, at += 4 * tap_step) {
            vec r[4];
            UNROLL for (int i = 0; i < 4; i++) r[i] = load(column[i] + from + t);
            transpose(r);
            UNROLL for (int i = 0; i < 4; i++) at[i * tap_step] = r[i];
        }
        for (; t < num_taps; t++, at += tap_step)
            *at = (vec){column[0][from + t], column[1][from + t], column[2][from + t],
                        column[3][from + t]};
    }
}
#endif

/* Where the numbers of column c begin; each further channel of its group is along_k further. */
INLINE const real *column_of(const Weights *w, long c) {
    const long each_out = w->in / w->groups * w->taps; /* numbers of an output channel */
    const long to = w->in / w->groups, group = c / to;
    if (!w->transposed) return w->weight + c * each_out;
    return w->weight + group * (w->out / w->groups) * each_out + c % to * w->taps;
}

/* Packs [tap][k][panel] for the streams that are read. */
static void pack_taps(vec *packed, const Weights *w, long b, int panel, long tap, long every,
                      long num_taps) {
    const long to = channels_of(w) / w->groups, of = channels_from(w) / w->groups;
    const long along_k = w->transposed ? w->in / w->groups * w->taps : w->taps;
    long begin, end;
    streams_read(w, b, panel, &begin, &end);
    const long num_k = (end - begin) * LANES, first = b * LANES;
    const long last = first + panel * LANES < channels_of(w) ? first + panel * LANES : channels_of(w);
    if (of < num_k || last < first + panel * LANES)
        memset(packed, 0, (size_t)(num_taps * num_k * panel) * sizeof(vec));
    for (long c = first; c < last;) {
        const long group = c / to, first_k = group * of - begin * LANES;
#ifdef HAS_TRANSPOSE
        if (every == 1 && c % 4 == 0 && c + 4 <= last && (c + 3) / to == group) {
            const real *column[4];
            for (int i = 0; i < 4; i++) column[i] = column_of(w, c + i) + tap;
            pack_four(packed + first_k * panel + (c - first) / LANES, num_k * panel, panel, column, of,
                      along_k, num_taps);
            c += 4;
            continue;
        }
#endif
        const real *column = column_of(w, c);
        for (long t = 0; t < num_taps; t++) {
            const real *number = column + tap + t * every;
            real *at = (real *)(packed + (t * num_k + first_k) * panel) + (c - first);
            for (long k = 0; k < of; k++, at += panel * LANES, number += along_k) *at = *number;
        }
        c++;
    }
}

/* Rows begin to end of a product with the packed weights of all columns. */
static void multiply_taps(const Weights *w, Rows x, Rows to, long length, long num_taps,
                          long tap_step, const vec *packed, int add, long begin, long end) {
    const long columns = ceil_div(channels_of(w), LANES);
    int32_t read[BLOCK + MAX_ROWS], written[BLOCK + MAX_ROWS];
    for (long row = begin; row < end; row += BLOCK) {
        const long count = end - row < BLOCK ? end - row : BLOCK;
        long n = row / length, o = row % length;
        for (long i = 0; i < count; i++) {
            read[i] = (int32_t)row_of(x, n, o);
            written[i] = (int32_t)row_of(to, n, o);
            if (++o == length) o = 0, n++;
        }
        for (long i = count; i < count + MAX_ROWS; i++) {
            read[i] = read[count - 1];
            written[i] = written[count - 1];
        }
        const vec *weights = packed;
        for (long b = 0; b < columns; b += MAX_PANEL) {
            const int panel = panel_at(b, columns);
            long k, last_k;
            streams_read(w, b, panel, &k, &last_k);
            tap_columns(panel, stream(x.at, k), x.at.stride, last_k - k, num_taps, tap_step, weights,
                        read, from(to.at, b), written, add, count);
            weights += num_taps * (last_k - k) * LANES * panel;
        }
    }
}

/* Where the packed weights of a panel begin. */
static long packed_before(const Weights *w, long panel_begin, long num_taps) {
    const long columns = ceil_div(channels_of(w), LANES);
    long total = 0;
    for (long b = 0; b < panel_begin; b += MAX_PANEL) {
        long k, last_k;
        streams_read(w, b, panel_at(b, columns), &k, &last_k);
        total += num_taps * (last_k - k) * LANES * panel_at(b, columns);
    }
    return total;
}

/* dw[p][q] (+)= sum over rows of g[row][p] * x[row * step][q]; see weight_tile. */
INLINE void tap_weight_tile(const int tall, const int across, const int close, Rows g, Rows x,
                            long begin, long end, long length, int add, real *dw, long num_q) {
#ifdef HAND_WRITTEN
    if (close && tall + across == 5) {
        for (long n = begin; n < end; n++)
            (tall == 2 ? weight_tile_2_by_3 : weight_tile_3_by_2)(
                case_of(g, 0, n), BYTES(g.at.stride), case_of(x, 0, n), BYTES(x.at.stride), length,
                add || n > begin, dw, num_q * REAL_BYTES);
        return;
    }
#endif
    vec sum[MAX_TALL * LANES][WIDE];
    UNROLL for (int i = 0; i < tall * LANES; i++)
        UNROLL for (int j = 0; j < across; j++)
            sum[i][j] = add ? load(dw + i * num_q + j * LANES) : splat(0);
    const long step = close ? 1 : x.step;
    for (long n = begin; n < end; n++) {
        const vec *at_g[MAX_TALL], *at_x[WIDE];
        UNROLL for (int i = 0; i < tall; i++) at_g[i] = case_of(g, i, n);
        UNROLL for (int j = 0; j < across; j++) at_x[j] = case_of(x, j, n);
        long row = 0;
        for (; row + 8 <= length; row += 8) {
            UNROLL for (int u = 0; u < 8; u++) { WEIGHT_ROW(step) }
            UNROLL for (int i = 0; i < tall; i++) at_g[i] += 8;
            UNROLL for (int j = 0; j < across; j++) at_x[j] += 8 * step;
        }
        for (int u = 0; u < length - row; u++) { WEIGHT_ROW(step) }
    }
    UNROLL for (int i = 0; i < tall * LANES; i++)
        UNROLL for (int j = 0; j < across; j++) store(dw + i * num_q + j * LANES, sum[i][j]);
}

INLINE void tap_weight_any(const int tall, const int across, Rows g, Rows x, long begin, long end,
                           long length, int add, real *dw, long num_q) {
    if (x.step == 1)
        tap_weight_tile(tall, across, 1, g, x, begin, end, length, add, dw, num_q);
    else
        tap_weight_tile(tall, across, 0, g, x, begin, end, length, add, dw, num_q);
}

static void tap_weights(int tall, int across, Rows g, Rows x, long begin, long end, long length,
                        int add, real *dw, long num_q) {
#define TILE(t, a)                                                                      \
    if (tall == t && across == a)                                                       \
        return tap_weight_any(t, a, g, x, begin, end, length, add, dw, num_q);
    TILE(1, 1)
#if WIDE >= 2
    TILE(1, 2)
#endif
#if WIDE >= 3
    TILE(1, 3)
#endif
#if MAX_TALL >= 3
    TILE(2, 1)
    TILE(2, 2)
    TILE(2, 3)
    TILE(3, 1)
    TILE(3, 2)
#endif
#undef TILE
}

/* A thread's part of dw[tap][p][q] from g (length rows a case) and x at its first tap. The parts
   are whole numbers: each is summed by one thread, over all cases in their order. */
static void tap_weight_gradient(Team team, const Weights *w, Rows g, Rows x, long tap_step,
                                long cases, long length, real *dw) {
    const long num_p = ceil_div(w->out, LANES), num_q = ceil_div(w->in, LANES);
    const long strips = ceil_div(num_q, WIDE), each_tap = num_p * num_q * LANES * LANES;
    const long chunk = max2(1, CHUNK / length);
    long items = 0, first, last;
    for (long s = 0; s < strips; s++)
        items += ceil_div(num_p, TALL((s + 1) * num_q / strips - s * num_q / strips));
    share(team, w->taps * items, &first, &last);
    for (long begin = 0; begin < cases; begin += chunk) {
        const long end = begin + chunk < cases ? begin + chunk : cases;
        for (long tap = first / items, item = tap * items; item < last; tap++)
            for (long s = 0; s < strips; s++) {
                /* as even as they can be: 4 = 2 + 2 */
                const long q = s * num_q / strips, across = (s + 1) * num_q / strips - q;
                const long tiles = ceil_div(num_p, TALL(across));
                for (long i = 0; i < tiles; i++, item++) {
                    if (item < first || item >= last) continue;
                    const long p = i * num_p / tiles, tall = (i + 1) * num_p / tiles - p;
                    long k, last_k;
                    streams_read(w, p, (int)tall, &k, &last_k);
                    if (q >= last_k || q + across <= k) continue; /* of other groups */
                    Rows at_g = g, at_x = x;
                    at_g.at = from(g.at, p);
                    at_x.at = from(x.at, q);
                    at_x.first += tap * tap_step;
                    tap_weights((int)tall, (int)across, at_g, at_x, begin, end, length, begin > 0,
                                dw + tap * each_tap + (p * num_q * LANES + q) * LANES,
                                num_q * LANES);
                }
            }
    }
}

/* From there to the weights' own order, (out, in / groups, taps), for channels begin to end. */
static void store_tap_weights(const Weights *w, const real *dw, real *dweight, long begin, long end) {
    const long num_p = ceil_div(w->out, LANES) * LANES, num_q = ceil_div(w->in, LANES) * LANES;
    const long of = w->in / w->groups, to = w->out / w->groups, each_tap = num_p * num_q;
    for (long p = begin; p < end; p++) {
        const real *from_p = dw + p * num_q + p / to * of;
        real *at = dweight + p * of * w->taps;
        long q = 0;
        if (w->taps == 1) {
            memcpy(at, from_p, (size_t)of * sizeof(real));
            continue;
        }
#ifdef HAS_TRANSPOSE
        for (; q + 4 <= of; q += 4, at += 4 * w->taps) {
            const real *from_q = from_p + q;
            long tap = 0;
            for (; tap + 4 <= w->taps; tap += 4, from_q += 4 * each_tap) {
                vec r[4];
                UNROLL for (int i = 0; i < 4; i++) r[i] = load(from_q + i * each_tap);
                transpose(r);
                UNROLL for (int i = 0; i < 4; i++) store(at + i * w->taps + tap, r[i]);
            }
            for (; tap < w->taps; tap++, from_q += each_tap) {
                const vec r = load(from_q);
                UNROLL for (int i = 0; i < 4; i++) at[i * w->taps + tap] = r[i];
            }
        }
#endif
        for (; q < of; q++)
            for (long tap = 0; tap < w->taps; tap++) *at++ = from_p[tap * each_tap + q];
    }
}
