/* A training step of MobileNetV3 for signals, as one forward and one backward call.

   native.py compiles this file for the machine it finds and calls it; it holds no state.

   Layout. An activation of C channels, N cases and L positions is kept as C / LANES streams; a
   stream holds N * L rows of one vector each (LANES neighbouring channels). So the channels that
   share a vector lie together for the whole batch, and between two matrix products every stream
   goes through batch normalisation, activation and depthwise convolution on its own, by one
   thread, in its cache. No sum is ever split between threads: the numbers do not depend on how
   many there are.

   Letters: N cases, L positions, C channels, E expanded channels, M = N * L rows; z is what a
   convolution gives, y what batch normalisation makes of it, a what the activation makes of y,
   and dz, dy, da are their gradients. b counts streams.

   Weights, their gradients and running statistics are plain row-major arrays in the shapes of
   nn.Conv1d, nn.Linear and nn.BatchNorm1d. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef DOUBLE
typedef double real;
#define REAL_BYTES 8
#else
typedef float real;
#define REAL_BYTES 4
#endif

/* Tiles of the matrix products: as many sums as the registers hold.
   ROWS(panel) rows by `panel` streams; weight gradients: TALL by WIDE streams. */
#if defined(__AVX512VL__)
#define VECTOR_BYTES 32
#define MAX_PANEL 3
#define ROWS(panel) ((panel) == 3 ? 8 : 12)
#define TALL 1
#define WIDE 3
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define MAX_PANEL 3
#define ROWS(panel) ((panel) == 3 ? 4 : (panel) == 2 ? 6 : 8)
#define TALL 1
#define WIDE 1
#elif defined(__aarch64__)
#define VECTOR_BYTES 16
#define MAX_PANEL 4
#define ROWS(panel) ((panel) == 4 ? 6 : (panel) == 3 ? 7 : 8)
#define TALL 2
#define WIDE 3
#else
#define VECTOR_BYTES 16
#define MAX_PANEL 2
#define ROWS(panel) ((panel) == 2 ? 4 : 6)
#define TALL 1
#define WIDE 2
#endif

#define LANES (VECTOR_BYTES / REAL_BYTES)
typedef real vec __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef real loose __attribute__((vector_size(VECTOR_BYTES), may_alias, aligned(REAL_BYTES)));
typedef double wide __attribute__((vector_size(LANES * 8)));
typedef __typeof__((vec){0} > (vec){0}) mask;

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

#ifdef _OPENMP
int omp_get_thread_num(void);
int omp_get_num_threads(void);
#define BARRIER _Pragma("omp barrier")
#else
#define omp_get_thread_num() 0
#define omp_get_num_threads() 1
#define BARRIER
#endif

enum { IDENTITY, RELU, RELU6, HARDSWISH };
enum { BATCH, FROZEN, ABSENT }; /* statistics of the batch, those learnt so far, none at all */
enum { MAX_BLOCKS = 64, CHUNK = 512, MAX_KERNEL = 5, MAX_ROWS = 12 };

static long ceil_div(long a, long b) { return (a + b - 1) / b; }
static long max2(long a, long b) { return a > b ? a : b; }

/* ---------------------------------------------------------------- vectors */

INLINE vec splat(real x) { return x - (vec){0}; }
INLINE vec load(const real *p) { return *(const loose *)p; }
INLINE void store(real *p, vec v) { *(loose *)p = v; }
INLINE vec choose(mask m, vec a, vec b) { return (vec)((m & (mask)a) | (~m & (mask)b)); }

/* Where y is not a number, it stays: a diverged run must show. */
#if defined(__aarch64__)
#include <arm_neon.h>
#ifdef DOUBLE
INLINE vec at_least(vec y, vec low) { return (vec)vmaxq_f64((float64x2_t)y, (float64x2_t)low); }
INLINE vec at_most(vec y, vec high) { return (vec)vminq_f64((float64x2_t)y, (float64x2_t)high); }
#else
INLINE vec at_least(vec y, vec low) { return (vec)vmaxq_f32((float32x4_t)y, (float32x4_t)low); }
INLINE vec at_most(vec y, vec high) { return (vec)vminq_f32((float32x4_t)y, (float32x4_t)high); }
#endif
#elif defined(__AVX__)
#include <immintrin.h>
#ifdef DOUBLE
INLINE vec at_least(vec y, vec low) { return (vec)_mm256_max_pd((__m256d)low, (__m256d)y); }
INLINE vec at_most(vec y, vec high) { return (vec)_mm256_min_pd((__m256d)high, (__m256d)y); }
#else
INLINE vec at_least(vec y, vec low) { return (vec)_mm256_max_ps((__m256)low, (__m256)y); }
INLINE vec at_most(vec y, vec high) { return (vec)_mm256_min_ps((__m256)high, (__m256)y); }
#endif
#else
INLINE vec at_least(vec y, vec low) { return choose(y < low, low, y); }
INLINE vec at_most(vec y, vec high) { return choose(y > high, high, y); }
#endif

INLINE vec hard_sigmoid(vec y) {
    return at_most(at_least(y * (real)(1.0 / 6) + (real)0.5, splat(0)), splat(1));
}

INLINE vec activate(vec y, int act) {
    if (act == RELU) return at_least(y, splat(0));
    if (act == RELU6) return at_most(at_least(y, splat(0)), splat(6));
    if (act == HARDSWISH) return y * hard_sigmoid(y);
    return y;
}

INLINE vec slope(vec y, int act) {
    if (act == RELU) return (vec)((y > 0) & (mask)splat(1));
    if (act == RELU6) return (vec)((y > 0) & (y < 6) & (mask)splat(1));
    if (act == HARDSWISH) {
        vec inner = y * (real)(1.0 / 3) + (real)0.5;
        return (vec)((y > -3) & (mask)choose(y < 3, inner, splat(1)));
    }
    return splat(1);
}

/* Calls body(..., act) with act known to the compiler. */
#define WITH_ACTIVATION(act, body, ...)                               \
    switch (act) {                                                    \
        case RELU: body(__VA_ARGS__, RELU); break;                    \
        case RELU6: body(__VA_ARGS__, RELU6); break;                  \
        case HARDSWISH: body(__VA_ARGS__, HARDSWISH); break;          \
        default: body(__VA_ARGS__, IDENTITY);                         \
    }

/* ---------------------------------------------------------------- streams and threads */

typedef struct {
    vec *data;
    long stride; /* vectors from one stream to the next */
} Streams;

INLINE vec *stream(Streams s, long b) { return s.data + b * s.stride; }
INLINE Streams from(Streams s, long b) { return (Streams){s.data + b * s.stride, s.stride}; }

/* An odd number of cache lines, so that the streams spread over all sets of the cache. */
static long stride_of(long rows) {
    const long rows_a_line = 64 / VECTOR_BYTES;
    return (ceil_div(rows, rows_a_line) | 1) * rows_a_line;
}

typedef struct {
    int rank, size;
    vec *scratch;
} Team;

static void share(Team team, long items, long *begin, long *end) {
    *begin = items * team.rank / team.size;
    *end = items * (team.rank + 1) / team.size;
}

/* ---------------------------------------------------------------- matrix products */

/* c[rows][panel] = sum over k of a[rows][k] * packed[k][panel], from first (or zero). */
INLINE void tile(const int rows, const int panel, Streams a, long num_k, const vec *packed,
                 Streams first, Streams c, long row) {
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
#if VECTOR_BYTES == 16 && REAL_BYTES == 4 && defined(__GNUC__) && !defined(__clang__)
        typedef int32_t picks __attribute__((vector_size(16)));
        const picks low = {0, 4, 1, 5}, high = {2, 6, 3, 7};
        for (; k + 4 <= num_in; k += 4) { /* four by four, transposed in registers */
            const vec r0 = load(rows + k), r1 = load(rows + num_in + k);
            const vec r2 = load(rows + 2 * num_in + k), r3 = load(rows + 3 * num_in + k);
            const vec low0 = __builtin_shuffle(r0, r2, low);
            const vec low1 = __builtin_shuffle(r1, r3, low);
            const vec high0 = __builtin_shuffle(r0, r2, high);
            const vec high1 = __builtin_shuffle(r1, r3, high);
            vec *at = packed + k * panel + j;
            at[0] = __builtin_shuffle(low0, low1, low);
            at[panel] = __builtin_shuffle(low0, low1, high);
            at[2 * panel] = __builtin_shuffle(high0, high1, low);
            at[3 * panel] = __builtin_shuffle(high0, high1, high);
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

/* dw[p][q] (+)= sum over rows of g[row][p] * x[row][q]: `tall` streams p, `across` streams q. */
INLINE void weight_tile(const int tall, const int across, Streams g, Streams x, long begin, long end,
                        int add, real *dw, long num_q) {
    vec sum[TALL * LANES][WIDE];
    UNROLL for (int i = 0; i < tall * LANES; i++)
        UNROLL for (int j = 0; j < across; j++)
            sum[i][j] = add ? load(dw + i * num_q + j * LANES) : splat(0);
    const vec *at_g[TALL], *at_x[WIDE];
    UNROLL for (int i = 0; i < tall; i++) at_g[i] = stream(g, i) + begin;
    UNROLL for (int j = 0; j < across; j++) at_x[j] = stream(x, j) + begin;
#if defined(__aarch64__)
#define ELEMENT(i, lane) row_g[lane]
#else
#define ELEMENT(i, lane) ((const real *)(at_g[i] + u))[lane]
#endif
#define WEIGHT_ROW                                                              \
    vec row_x[WIDE];                                                            \
    UNROLL for (int j = 0; j < across; j++) row_x[j] = at_x[j][u];               \
    UNROLL for (int i = 0; i < tall; i++) {                                     \
        vec row_g __attribute__((unused)) = at_g[i][u];                         \
        UNROLL for (int lane = 0; lane < LANES; lane++)                         \
            UNROLL for (int j = 0; j < across; j++)                              \
                sum[i * LANES + lane][j] += row_x[j] * ELEMENT(i, lane);        \
    }
    long row = begin;
    for (; row + 8 <= end; row += 8) {
        UNROLL for (int u = 0; u < 8; u++) { WEIGHT_ROW }
        UNROLL for (int i = 0; i < tall; i++) at_g[i] += 8;
        UNROLL for (int j = 0; j < across; j++) at_x[j] += 8;
    }
    for (int u = 0; u < end - row; u++) { WEIGHT_ROW }
#undef WEIGHT_ROW
#undef ELEMENT
    UNROLL for (int i = 0; i < tall * LANES; i++)
        UNROLL for (int j = 0; j < across; j++) store(dw + i * num_q + j * LANES, sum[i][j]);
}

INLINE void weight_strip(const int across, Streams g, long num_g, Streams x, long begin, long end,
                         int add, real *dw, long num_q) {
    long p = 0;
    for (; p + TALL <= num_g; p += TALL)
        weight_tile(TALL, across, from(g, p), x, begin, end, add, dw + p * LANES * num_q, num_q);
    for (; p < num_g; p++)
        weight_tile(1, across, from(g, p), x, begin, end, add, dw + p * LANES * num_q, num_q);
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

/* ---------------------------------------------------------------- batch normalisation */

typedef struct {
    const real *weight, *bias; /* of the convolution or linear layer; bias may be 0 */
    real *dweight, *dbias;
} Linear;

typedef struct {
    int mode;
    double eps, momentum;
    const real *gamma, *beta;
    real *running_mean, *running_var;
    int64_t *tracked;
    real *dgamma, *dbeta;
    vec *mean, *inverse_std; /* of z without the convolution's bias, kept for backward */
} Norm;

typedef struct {
    Linear conv;
    Norm norm;
} Layer;

/* y = (z - mean) * scale + shift */
typedef struct {
    vec mean, scale, shift;
} Affine;

INLINE wide widen(vec v) { return __builtin_convertvector(v, wide); }
INLINE vec narrow(wide v) { return __builtin_convertvector(v, vec); }

/* In two passes, with sums of a few hundred rows handed on in double precision. */
static void moments(const vec *z, long rows, vec *mean, wide *var) {
    wide total = {0}, squares = {0};
    for (long begin = 0; begin < rows; begin += CHUNK) {
        long end = begin + CHUNK < rows ? begin + CHUNK : rows, row = begin;
        vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        for (; row + 4 <= end; row += 4)
            s0 += z[row], s1 += z[row + 1], s2 += z[row + 2], s3 += z[row + 3];
        for (; row < end; row++) s0 += z[row];
        total += widen((s0 + s1) + (s2 + s3));
    }
    *mean = narrow(total / (double)rows);
    const vec centre = *mean;
    for (long begin = 0; begin < rows; begin += CHUNK) {
        long end = begin + CHUNK < rows ? begin + CHUNK : rows, row = begin;
        vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
        for (; row + 4 <= end; row += 4) {
            vec d0 = z[row] - centre, d1 = z[row + 1] - centre;
            vec d2 = z[row + 2] - centre, d3 = z[row + 3] - centre;
            s0 += d0 * d0, s1 += d1 * d1, s2 += d2 * d2, s3 += d3 * d3;
        }
        for (; row < end; row++) s0 += (z[row] - centre) * (z[row] - centre);
        squares += widen((s0 + s1) + (s2 + s3));
    }
    *var = squares / (double)rows;
}

static Affine affine(const Layer *layer, long b) {
    const Norm *norm = &layer->norm;
    const real *bias = layer->conv.bias;
    if (norm->mode == ABSENT)
        return (Affine){splat(0), splat(1), bias ? load(bias + b * LANES) : splat(0)};
    return (Affine){norm->mean[b], load(norm->gamma + b * LANES) * norm->inverse_std[b],
                    load(norm->beta + b * LANES)};
}

/* Settles the statistics of stream b, once its z is there. */
static Affine settle(const Layer *layer, long b, const vec *z, long rows) {
    const Norm *norm = &layer->norm;
    const real *bias = layer->conv.bias;
    if (norm->mode == BATCH) {
        wide var;
        moments(z, rows, &norm->mean[b], &var);
        const double momentum = norm->momentum;
        for (int lane = 0; lane < LANES; lane++) {
            long c = b * LANES + lane;
            double mean = norm->mean[b][lane] + (bias ? bias[c] : 0);
            double unbiased = var[lane] * ((double)rows / (double)(rows - 1));
            norm->inverse_std[b][lane] = (real)(1 / sqrt(var[lane] + norm->eps));
            norm->running_mean[c] = (real)((1 - momentum) * norm->running_mean[c] + momentum * mean);
            norm->running_var[c] = (real)((1 - momentum) * norm->running_var[c] + momentum * unbiased);
        }
        if (b == 0) ++*norm->tracked;
    } else if (norm->mode == FROZEN) {
        for (int lane = 0; lane < LANES; lane++) {
            long c = b * LANES + lane;
            norm->mean[b][lane] = norm->running_mean[c] - (bias ? bias[c] : 0);
            norm->inverse_std[b][lane] = (real)(1 / sqrt(norm->running_var[c] + norm->eps));
        }
    }
    return affine(layer, b);
}

/* dz = dy * a + (z - mean) * b + c */
typedef struct {
    vec a, b, c;
} Gradient;

/* From sum(dy) and sum(dy * (z - mean)): the layer's own gradients, and how dz comes from dy. */
static Gradient settle_gradient(const Layer *layer, long b, wide sum_dy, wide sum_dy_z, long rows) {
    const Norm *norm = &layer->norm;
    real *dbias = layer->conv.dbias;
    if (norm->mode == ABSENT) {
        if (dbias) store(dbias + b * LANES, narrow(sum_dy));
        return (Gradient){splat(1), splat(0), splat(0)};
    }
    const vec scale = load(norm->gamma + b * LANES) * norm->inverse_std[b];
    const wide inverse = widen(norm->inverse_std[b]), wide_scale = widen(scale);
    store(norm->dgamma + b * LANES, narrow(sum_dy_z * inverse));
    store(norm->dbeta + b * LANES, narrow(sum_dy));
    if (norm->mode == FROZEN) {
        if (dbias) store(dbias + b * LANES, narrow(sum_dy * wide_scale));
        return (Gradient){scale, splat(0), splat(0)};
    }
    /* the mean of the batch takes the bias away again */
    if (dbias) store(dbias + b * LANES, splat(0));
    return (Gradient){scale, narrow(-wide_scale * inverse * inverse * sum_dy_z / (double)rows),
                      narrow(-wide_scale * sum_dy / (double)rows)};
}

/* a = act(y) + residual */
INLINE void normalise_body(const vec *z, Affine f, const vec *residual, vec *a, long rows, int act) {
    if (residual)
        for (long r = 0; r < rows; r++)
            a[r] = activate((z[r] - f.mean) * f.scale + f.shift, act) + residual[r];
    else
        for (long r = 0; r < rows; r++) a[r] = activate((z[r] - f.mean) * f.scale + f.shift, act);
}

static void normalise(int act, const vec *z, Affine f, const vec *residual, vec *a, long rows) {
    WITH_ACTIVATION(act, normalise_body, z, f, residual, a, rows)
}

/* The same, with the mean over each case's positions in means[case]; a may be 0. */
INLINE void normalise_mean_body(const vec *z, Affine f, vec *a, vec *means, long cases, long length,
                                int act) {
    const real share_of_one = (real)(1.0 / (double)length);
    for (long n = 0; n < cases; n++, z += length) {
        vec sum = {0};
        if (a) {
            for (long l = 0; l < length; l++) {
                vec value = activate((z[l] - f.mean) * f.scale + f.shift, act);
                sum += value;
                a[l] = value;
            }
            a += length;
        } else {
            for (long l = 0; l < length; l++)
                sum += activate((z[l] - f.mean) * f.scale + f.shift, act);
        }
        means[n] = sum * share_of_one;
    }
}

static void normalise_mean(int act, const vec *z, Affine f, vec *a, vec *means, long cases,
                           long length) {
    WITH_ACTIVATION(act, normalise_mean_body, z, f, a, means, cases, length)
}

/* dy = da * act'(y), its sums; a = act(y) too where asked for. dy may be da. */
INLINE void activation_gradient_body(const vec *da, const vec *z, Affine f, vec *dy, vec *a,
                                     long rows, wide *sum_dy, wide *sum_dy_z, int act) {
    wide total = {0}, total_z = {0};
    for (long begin = 0; begin < rows; begin += CHUNK) {
        long end = begin + CHUNK < rows ? begin + CHUNK : rows;
        vec s = {0}, s_z = {0};
        for (long r = begin; r < end; r++) {
            vec d = z[r] - f.mean, y = d * f.scale + f.shift;
            vec g = da[r];
            if (act != IDENTITY) g *= slope(y, act);
            if (a) a[r] = activate(y, act);
            dy[r] = g;
            s += g;
            s_z += g * d;
        }
        total += widen(s);
        total_z += widen(s_z);
    }
    *sum_dy = total;
    *sum_dy_z = total_z;
}

static void activation_gradient(int act, const vec *da, const vec *z, Affine f, vec *dy, vec *a,
                                long rows, wide *sum_dy, wide *sum_dy_z) {
    if (a)
        WITH_ACTIVATION(act, activation_gradient_body, da, z, f, dy, a, rows, sum_dy, sum_dy_z)
    else
        WITH_ACTIVATION(act, activation_gradient_body, da, z, f, dy, 0, rows, sum_dy, sum_dy_z)
}

static void apply_gradient(vec *dz, const vec *dy, const vec *z, vec mean, Gradient g, long rows) {
    for (long r = 0; r < rows; r++) dz[r] = dy[r] * g.a + ((z[r] - mean) * g.b + g.c);
}

/* ---------------------------------------------------------------- depthwise convolution */

typedef struct {
    long cases, length_in, length_out, pad, chunk; /* chunk: cases whose rows stay in cache */
    int kernel, stride;
} Depthwise;

static long chunk_cases(long length, long pad) { return max2(1, CHUNK / (length + 2 * pad)); }

/* Rows of each case between `pad` zeros on either side. */
INLINE vec *padded(vec *rows, const Depthwise *d, long n, long length) {
    vec *row = rows + n * (length + 2 * d->pad);
    for (long i = 0; i < d->pad; i++) row[i] = row[d->pad + length + i] = splat(0);
    return row + d->pad;
}

INLINE void activate_padded_body(const vec *z, Affine f, const Depthwise *d, long cases, vec *rows,
                                 vec *slopes, int act) {
    for (long n = 0; n < cases; n++, z += d->length_in) {
        vec *a = padded(rows, d, n, d->length_in);
        if (slopes) {
            for (long l = 0; l < d->length_in; l++) {
                vec y = (z[l] - f.mean) * f.scale + f.shift;
                a[l] = activate(y, act);
                slopes[l] = slope(y, act);
            }
            slopes += d->length_in;
        } else
            for (long l = 0; l < d->length_in; l++)
                a[l] = activate((z[l] - f.mean) * f.scale + f.shift, act);
    }
}

static void activate_padded(int act, const vec *z, Affine f, const Depthwise *d, long cases,
                            vec *rows, vec *slopes) {
    if (slopes)
        WITH_ACTIVATION(act, activate_padded_body, z, f, d, cases, rows, slopes)
    else
        WITH_ACTIVATION(act, activate_padded_body, z, f, d, cases, rows, 0)
}

INLINE void gradient_padded(const vec *dy, const vec *z, vec mean, Gradient g, const Depthwise *d,
                            long cases, vec *rows) {
    for (long n = 0; n < cases; n++, z += d->length_out, dy += d->length_out)
        apply_gradient(padded(rows, d, n, d->length_out), dy, z, mean, g, d->length_out);
}

/* Calls body(..., kernel, stride) with both known to the compiler. */
#define WITH_KERNEL(d, body, ...)                              \
    switch ((d)->kernel * 2 + (d)->stride) {                   \
        case 3 * 2 + 1: body(__VA_ARGS__, 3, 1); break;        \
        case 3 * 2 + 2: body(__VA_ARGS__, 3, 2); break;        \
        case 5 * 2 + 1: body(__VA_ARGS__, 5, 1); break;        \
        case 5 * 2 + 2: body(__VA_ARGS__, 5, 2); break;        \
    }

INLINE void taps_of(vec *taps, const real *weight, long b, int kernel) {
    UNROLL for (int j = 0; j < kernel; j++) {
        vec tap = splat(0);
        UNROLL for (int lane = 0; lane < LANES; lane++)
            tap[lane] = weight[(b * LANES + lane) * kernel + j];
        taps[j] = tap;
    }
}

INLINE void convolve_some(const int count, const vec *taps, const vec *a, vec *z, int kernel,
                          int stride) {
    vec sum[4];
    UNROLL for (int u = 0; u < count; u++) {
        sum[u] = taps[0] * a[stride * u];
        UNROLL for (int j = 1; j < kernel; j++) sum[u] += taps[j] * a[stride * u + j];
    }
    UNROLL for (int u = 0; u < count; u++) z[u] = sum[u];
}

INLINE void convolve_body(const real *weight, long b, const Depthwise *d, long cases, const vec *a,
                          vec *z, int kernel, int stride) {
    vec taps[MAX_KERNEL];
    taps_of(taps, weight, b, kernel);
    for (long n = 0; n < cases; n++, a += d->length_in + 2 * d->pad) {
        long o = 0;
        for (; o + 4 <= d->length_out; o += 4)
            convolve_some(4, taps, a + stride * o, z + o, kernel, stride);
        for (; o < d->length_out; o++)
            convolve_some(1, taps, a + stride * o, z + o, kernel, stride);
        z += d->length_out;
    }
}

/* z = depthwise(act(y)) of stream b */
static void depthwise_forward(Team team, const Depthwise *d, int act, const vec *z_in, Affine f,
                              const real *weight, long b, vec *z) {
    for (long n = 0; n < d->cases; n += d->chunk) {
        long cases = d->cases - n < d->chunk ? d->cases - n : d->chunk;
        activate_padded(act, z_in + n * d->length_in, f, d, cases, team.scratch, 0);
        WITH_KERNEL(d, convolve_body, weight, b, d, cases, team.scratch, z + n * d->length_out)
    }
}

/* Gradients of `count` inputs from l on; l is a multiple of the stride. g has zeros around. */
INLINE void spread_some(const int count, const vec *taps, const vec *g, const vec *slopes,
                        const vec *z_in, vec mean, vec *dy, vec *sum_dy, vec *sum_dy_z, int kernel,
                        int stride) {
    const int pad = kernel / 2;
    UNROLL for (int u = 0; u < count; u++) {
        vec sum = {0};
        UNROLL for (int j = 0; j < kernel; j++)
            if ((u + pad - j) % stride == 0) sum += taps[j] * g[(u + pad - j) / stride];
        sum *= slopes[u];
        dy[u] = sum;
        *sum_dy += sum;
        *sum_dy_z += sum * (z_in[u] - mean);
    }
}

INLINE void spread_body(const real *weight, long b, const Depthwise *d, long cases, const vec *g,
                        const vec *slopes, const vec *z_in, vec mean, vec *dy, vec *sum_dy,
                        vec *sum_dy_z, int kernel, int stride) {
    vec taps[MAX_KERNEL], s = *sum_dy, s_z = *sum_dy_z;
    taps_of(taps, weight, b, kernel);
    const long length = d->length_in;
    for (long n = 0; n < cases; n++, g += d->length_out + 2 * d->pad) {
        const vec *inner = g + d->pad;
        long l = 0;
        for (; l + 4 <= length; l += 4)
            spread_some(4, taps, inner + l / stride, slopes + l, z_in + l, mean, dy + l, &s, &s_z,
                        kernel, stride);
        for (; l + stride <= length; l += stride)
            spread_some(stride, taps, inner + l / stride, slopes + l, z_in + l, mean, dy + l, &s,
                        &s_z, kernel, stride);
        if (l < length)
            spread_some(1, taps, inner + l / stride, slopes + l, z_in + l, mean, dy + l, &s, &s_z,
                        kernel, stride);
        slopes += length, z_in += length, dy += length;
    }
    *sum_dy = s;
    *sum_dy_z = s_z;
}

INLINE void tap_gradient_body(const Depthwise *d, long cases, const vec *g, const vec *a, wide *total,
                              int kernel, int stride) {
    vec sum[MAX_KERNEL];
    UNROLL for (int j = 0; j < kernel; j++) sum[j] = splat(0);
    for (long n = 0; n < cases; n++) {
        const vec *inner = g + d->pad;
        long o = 0;
        for (; o + 4 <= d->length_out; o += 4)
            UNROLL for (int u = 0; u < 4; u++)
                UNROLL for (int j = 0; j < kernel; j++)
                    sum[j] += inner[o + u] * a[stride * (o + u) + j];
        for (; o < d->length_out; o++)
            UNROLL for (int j = 0; j < kernel; j++) sum[j] += inner[o] * a[stride * o + j];
        g += d->length_out + 2 * d->pad;
        a += d->length_in + 2 * d->pad;
    }
    UNROLL for (int j = 0; j < kernel; j++) total[j] += widen(sum[j]);
}

/* From dy behind the depthwise convolution to dy before it (written to dy_in, with its sums) and
   the gradient of the taps. */
static void depthwise_backward(Team team, const Depthwise *d, int act, const vec *dy, const vec *z,
                               vec mean, Gradient g, const vec *z_in, Affine f_in,
                               const Linear *conv, long b, vec *dy_in, wide *sum_dy, wide *sum_dy_z) {
    vec *rows_a = team.scratch;
    vec *slopes = rows_a + d->chunk * (d->length_in + 2 * d->pad);
    vec *rows_g = slopes + d->chunk * d->length_in;
    wide taps[MAX_KERNEL] = {{0}}, total = {0}, total_z = {0};
    for (long n = 0; n < d->cases; n += d->chunk) {
        long cases = d->cases - n < d->chunk ? d->cases - n : d->chunk;
        long in = n * d->length_in, out = n * d->length_out;
        vec s = {0}, s_z = {0};
        gradient_padded(dy + out, z + out, mean, g, d, cases, rows_g);
        activate_padded(act, z_in + in, f_in, d, cases, rows_a, slopes);
        WITH_KERNEL(d, tap_gradient_body, d, cases, rows_g, rows_a, taps)
        WITH_KERNEL(d, spread_body, conv->weight, b, d, cases, rows_g, slopes, z_in + in, f_in.mean,
                    dy_in + in, &s, &s_z)
        total += widen(s);
        total_z += widen(s_z);
    }
    for (int j = 0; j < d->kernel; j++)
        for (int lane = 0; lane < LANES; lane++)
            conv->dweight[(b * LANES + lane) * d->kernel + j] = (real)taps[j][lane];
    *sum_dy = total;
    *sum_dy_z = total_z;
}

/* ---------------------------------------------------------------- the network, as it is called */

typedef struct {
    long in, expanded, out, squeezed; /* channels; squeezed 0: no squeeze-excite */
    int act, project_act, expand, residual;
    Depthwise dw;
    Layer pw, depthwise, pwl;
    Linear reduce, excite;
    Streams x, z1, z2, z3, y;                 /* y: the block's output */
    Streams squeeze, hidden, gate; /* one row a case */
} Block;

typedef struct {
    long cases, length, channels, num_blocks, last, last_length, last_in, hidden;
    int training;
    long stem_width, stem_stride, stem_length;
    Layer stem, head;
    Linear hidden_layer;
    Block blocks[MAX_BLOCKS];
    Streams column, stem_z, stem_y, head_z, pooled, hidden_z;
    /* passing use */
    Streams a, da, dz_in, dz_out, dx[2], dv, dh, dpooled;
    vec *packed;
    real *stem_dweight;
    vec *scratch;
    long scratch_size; /* vectors a thread */
} Network;

typedef struct {
    char *base; /* 0: only the size is wanted */
    size_t used;
} Arena;

static void *take(Arena *arena, long bytes) {
    void *at = arena->base ? arena->base + arena->used : 0;
    arena->used += ((size_t)bytes + 63) / 64 * 64;
    return at;
}

static Streams take_streams(Arena *arena, long channels, long rows) {
    long stride = stride_of(rows);
    return (Streams){take(arena, ceil_div(channels, LANES) * stride * VECTOR_BYTES), stride};
}

/* Fixed-size numbers of one call, as native.py lays them out. */
typedef struct {
    int64_t cases, length, channels, stem_width, stem_stride, num_blocks, last, hidden, training,
        skip_norm_at_length_1;
    double eps, momentum;
} Header;

typedef struct {
    int64_t expanded, out, kernel, stride, act, project_act, squeezed, expand, residual;
} Row;

typedef struct {
    void *const *tensors, *const *gradients;
} Reader;

static Linear read_linear(Reader *reader) {
    Linear linear = {0};
    if (reader->tensors) {
        linear.weight = *reader->tensors++;
        linear.bias = *reader->tensors++;
    }
    if (reader->gradients) {
        linear.dweight = *reader->gradients++;
        linear.dbias = *reader->gradients++;
    }
    return linear;
}

static Layer read_layer(Reader *reader, const Header *header, Arena *keep, long channels, long length) {
    Layer layer = {read_linear(reader), {0}};
    Norm *norm = &layer.norm;
    norm->mode = header->training && header->cases * length > 1 ? BATCH : FROZEN;
    if (header->skip_norm_at_length_1 && length == 1) norm->mode = ABSENT;
    norm->eps = header->eps;
    norm->momentum = header->momentum;
    if (reader->tensors) {
        norm->gamma = *reader->tensors++;
        norm->beta = *reader->tensors++;
        norm->running_mean = *reader->tensors++;
        norm->running_var = *reader->tensors++;
        norm->tracked = *reader->tensors++;
    }
    if (reader->gradients) {
        norm->dgamma = *reader->gradients++;
        norm->dbeta = *reader->gradients++;
    }
    norm->mean = take(keep, channels * REAL_BYTES);
    norm->inverse_std = take(keep, channels * REAL_BYTES);
    return layer;
}

/* Lays the network out. Tensors come in forward order: of each convolution weight and bias, of each
   batch normalisation weight, bias, running mean, running variance, count; of each linear layer
   weight and bias. `keep` is what backward needs, `work` what one call needs. */
static void lay_out(Network *net, const Header *header, const Row *rows, void *const *tensors,
                    void *const *gradients, Arena *keep, Arena *work, int num_threads) {
    Reader reader = {tensors, gradients};
    const int training = (int)header->training;
    const long N = header->cases;
    memset(net, 0, sizeof *net);
    net->cases = N;
    net->length = header->length;
    net->channels = header->channels;
    net->num_blocks = header->num_blocks;
    net->training = training;
    net->stem_width = header->stem_width;
    net->stem_stride = header->stem_stride;
    net->last = header->last;
    net->hidden = header->hidden;

    long length = ceil_div(header->length, header->stem_stride), channels = header->stem_width;
    long column = header->channels * 3, most_z = 0, most_a = 0, most_y = channels * stride_of(N * length);
    long most_x = most_y, most_in = max2(column + LANES, max2(header->hidden, header->last));
    long packed = 0, dw_rows = 0, most_rows = 0, squeezed = LANES;
    net->stem_length = length;
    net->stem = read_layer(&reader, header, keep, channels, length);
    net->column = take_streams(keep, column, N * length);
    net->stem_z = take_streams(keep, channels, N * length);
    net->stem_y = take_streams(keep, channels, N * length);
    Streams x = net->stem_y;
    for (long i = 0; i < header->num_blocks; i++) {
        Block *block = &net->blocks[i];
        const Row *row = &rows[i];
        const long in = length, out = ceil_div(length, row->stride), E = row->expanded;
        block->in = channels;
        block->expanded = E;
        block->out = row->out;
        block->squeezed = row->squeezed;
        block->act = (int)row->act;
        block->project_act = (int)row->project_act;
        block->expand = (int)row->expand;
        block->residual = (int)row->residual;
        const long pad = row->kernel / 2;
        block->dw = (Depthwise){N, in, out, pad, chunk_cases(in, pad), (int)row->kernel, (int)row->stride};
        block->x = x;
        if (row->expand) {
            block->pw = read_layer(&reader, header, keep, E, in);
            if (training) block->z1 = take_streams(keep, E, N * in);
        } else
            block->pw.norm.mode = ABSENT;
        block->depthwise = read_layer(&reader, header, keep, E, out);
        if (training) block->z2 = take_streams(keep, E, N * out);
        if (row->squeezed) {
            block->reduce = read_linear(&reader);
            block->excite = read_linear(&reader);
            block->squeeze = take_streams(keep, E, N);
            block->hidden = take_streams(keep, row->squeezed, N);
            block->gate = take_streams(keep, E, N);
        }
        block->pwl = read_layer(&reader, header, keep, row->out, out);
        if (training) {
            block->z3 = take_streams(keep, row->out, N * out);
            block->y = x = take_streams(keep, row->out, N * out);
        }
        most_z = max2(most_z, E * stride_of(N * in));
        most_a = max2(most_a, E * stride_of(N * out));
        most_y = max2(most_y, row->out * stride_of(N * out));
        most_x = max2(most_x, channels * stride_of(N * in));
        most_in = max2(most_in, max2(row->out, max2(E, row->squeezed)));
        squeezed = max2(squeezed, max2(row->squeezed, E));
        packed = max2(packed, max2(E * row->out, E * channels));
        dw_rows = max2(dw_rows, block->dw.chunk * (2 * in + out + 4 * pad));
        most_rows = max2(most_rows, max2(stride_of(N * out), stride_of(N)));
        channels = row->out;
        length = out;
    }
    net->last_in = channels;
    net->last_length = length;
    net->head = read_layer(&reader, header, keep, header->last, length);
    if (training) net->head_z = take_streams(keep, header->last, N * length);
    net->pooled = take_streams(keep, header->last, N);
    net->hidden_layer = read_linear(&reader);
    net->hidden_z = take_streams(keep, header->hidden, N);

    most_y = max2(most_y, most_x);
    net->a.data = take(work, most_a * REAL_BYTES);
    packed = max2(packed, channels * header->last);
    most_z = max2(most_z, header->last * stride_of(N * length));
    net->dz_in.data = take(work, most_z * REAL_BYTES); /* forward: z1 of an inference */
    net->da.data = take(work, most_a * REAL_BYTES);    /* forward: z2 of an inference */
    net->dz_out.data = take(work, most_y * REAL_BYTES);
    net->dx[0].data = take(work, most_y * REAL_BYTES);
    net->dx[1].data = take(work, most_y * REAL_BYTES);
    net->packed = take(work, packed * REAL_BYTES);
    if (training) {
        net->dv = take_streams(work, squeezed, N);
        net->dh = take_streams(work, squeezed, N);
        net->dpooled = take_streams(work, header->hidden, N);
        net->stem_dweight = take(work, net->stem_width * (column + LANES) * REAL_BYTES);
    } else { /* nothing is kept: blocks take turns in the same memory */
        Streams current = net->stem_y;
        for (long i = 0; i < net->num_blocks; i++) {
            Block *block = &net->blocks[i];
            const long in = stride_of(N * block->dw.length_in), out = stride_of(N * block->dw.length_out);
            block->x = current;
            block->z1 = (Streams){net->dz_in.data, in};
            block->z2 = (Streams){net->da.data, out};
            block->z3 = (Streams){net->dz_out.data, out};
            block->y = current = (Streams){net->dx[i % 2].data, out};
        }
        net->head_z = (Streams){net->dz_in.data, stride_of(N * net->last_length)};
    }
    /* a thread's own: a packed panel, then rows of a panel, or what the depthwise passes need */
    net->scratch_size =
        max2(MAX_PANEL * (most_in + LANES) + MAX_PANEL * (most_rows + stride_of(N)), dw_rows);
    net->scratch = take(work, net->scratch_size * VECTOR_BYTES * num_threads);
}

/* ---------------------------------------------------------------- forward */

/* column[c * 3 + j] = the signal of channel c, shifted by j - 1 */
static void fill_column(Team team, const Network *net, const real *signals) {
    const long L = net->length, C = net->channels, out = net->stem_length, stride = net->stem_stride;
    long begin, end;
    share(team, net->cases, &begin, &end);
    for (long b = 0; b < ceil_div(C * 3, LANES); b++)
        for (long n = begin; n < end; n++) {
            real *at = (real *)(stream(net->column, b) + n * out);
            for (int lane = 0; lane < LANES; lane++) {
                const long k = b * LANES + lane, shift = k % 3 - 1;
                const real *signal = signals + (n * C + k / 3) * L;
                for (long o = 0; o < out; o++) {
                    long l = o * stride + shift;
                    at[o * LANES + lane] = k < C * 3 && l >= 0 && l < L ? signal[l] : 0;
                }
            }
        }
}

static void stem_forward(Team team, const Network *net, const real *signals) {
    const long rows = net->cases * net->stem_length;
    long begin, end;
    fill_column(team, net, signals);
    BARRIER
    share(team, net->stem_width / LANES, &begin, &end);
    multiply_columns(team, net->column, net->channels * 3, net->stem.conv.weight, net->stem_z, rows,
                     begin, end);
    for (long b = begin; b < end; b++) {
        Affine f = settle(&net->stem, b, stream(net->stem_z, b), rows);
        normalise(HARDSWISH, stream(net->stem_z, b), f, 0, stream(net->stem_y, b), rows);
    }
    BARRIER
}

INLINE void add_bias_body(vec *z, const real *bias, long rows, int gate) {
    const vec add = load(bias);
    for (long r = 0; r < rows; r++)
        z[r] = gate ? hard_sigmoid(z[r] + add) : activate(z[r] + add, RELU);
}

static void squeeze_excite(Team team, const Block *block, Streams a) {
    const long N = block->dw.cases, length = block->dw.length_out;
    long begin, end;
    share(team, block->squeezed / LANES, &begin, &end);
    multiply_columns(team, block->squeeze, block->expanded, block->reduce.weight, block->hidden, N,
                     begin, end);
    for (long b = begin; b < end; b++)
        add_bias_body(stream(block->hidden, b), block->reduce.bias + b * LANES, N, 0);
    BARRIER
    share(team, block->expanded / LANES, &begin, &end);
    multiply_columns(team, block->hidden, block->squeezed, block->excite.weight, block->gate, N,
                     begin, end);
    for (long b = begin; b < end; b++) {
        vec *gate = stream(block->gate, b), *at = stream(a, b);
        add_bias_body(gate, block->excite.bias + b * LANES, N, 1);
        for (long n = 0; n < N; n++, at += length)
            for (long l = 0; l < length; l++) at[l] *= gate[n];
    }
    BARRIER
}

static void block_forward(Team team, const Network *net, const Block *block) {
    const Depthwise *dw = &block->dw;
    const long rows_in = dw->cases * dw->length_in, rows = dw->cases * dw->length_out;
    const long num_e = block->expanded / LANES, num_out = block->out / LANES;
    const Streams a = {net->a.data, stride_of(rows)};
    long begin, end;

    /* expanded channels on their own: expand, normalise, depthwise, normalise */
    share(team, num_e, &begin, &end);
    for (long b0 = begin; b0 < end; b0 += MAX_PANEL) {
        const int panel = panel_at(b0, end);
        if (block->expand)
            multiply_columns(team, block->x, block->in, block->pw.conv.weight, block->z1, rows_in, b0,
                             b0 + panel);
        for (long b = b0; b < b0 + panel; b++) {
            const vec *z1 = block->expand ? stream(block->z1, b) : stream(block->x, b);
            vec *z2 = stream(block->z2, b);
            Affine f1 = settle(&block->pw, b, z1, rows_in);
            depthwise_forward(team, dw, block->expand ? block->act : IDENTITY, z1, f1,
                              block->depthwise.conv.weight, b, z2);
            Affine f2 = settle(&block->depthwise, b, z2, rows);
            if (block->squeezed)
                normalise_mean(block->act, z2, f2, stream(a, b), stream(block->squeeze, b), dw->cases,
                               dw->length_out);
            else
                normalise(block->act, z2, f2, 0, stream(a, b), rows);
        }
    }
    for (long b = 0, i = 0; b < num_out; b += MAX_PANEL, i++)
        if (i % team.size == team.rank)
            pack_out(net->packed + b * block->expanded, block->pwl.conv.weight, block->expanded, b,
                     panel_at(b, num_out));
    BARRIER
    if (block->squeezed) squeeze_excite(team, block, a);

    multiply_rows(team, a, num_e, net->packed, num_out, NONE, block->z3, rows);
    BARRIER
    share(team, num_out, &begin, &end);
    for (long b = begin; b < end; b++) {
        Affine f = settle(&block->pwl, b, stream(block->z3, b), rows);
        normalise(block->project_act, stream(block->z3, b), f,
                  block->residual ? stream(block->x, b) : 0, stream(block->y, b), rows);
    }
    BARRIER
}

static void head_forward(Team team, const Network *net, Streams x, real *features) {
    const long N = net->cases, rows = N * net->last_length;
    long begin, end;
    share(team, net->last / LANES, &begin, &end);
    for (long b0 = begin; b0 < end; b0 += MAX_PANEL) {
        const int panel = panel_at(b0, end);
        multiply_columns(team, x, net->last_in, net->head.conv.weight, net->head_z, rows, b0, b0 + panel);
        for (long b = b0; b < b0 + panel; b++) {
            Affine f = settle(&net->head, b, stream(net->head_z, b), rows);
            normalise_mean(HARDSWISH, stream(net->head_z, b), f, 0, stream(net->pooled, b), N,
                           net->last_length);
        }
    }
    BARRIER
    share(team, net->hidden / LANES, &begin, &end);
    multiply_columns(team, net->pooled, net->last, net->hidden_layer.weight, net->hidden_z, N, begin, end);
    for (long b = begin; b < end; b++) {
        vec *z = stream(net->hidden_z, b);
        const vec bias = load(net->hidden_layer.bias + b * LANES);
        for (long n = 0; n < N; n++) {
            z[n] += bias;
            store(features + n * net->hidden + b * LANES, activate(z[n], HARDSWISH));
        }
    }
}

/* ---------------------------------------------------------------- backward */

static wide sum_rows(const vec *v, long rows) {
    wide total = {0};
    for (long r = 0; r < rows; r++) total += widen(v[r]);
    return total;
}

/* Down to dz of the head's convolution (in dz_in), and from there to dx. */
static void head_backward(Team team, const Network *net, Streams x, const real *dfeatures, Streams dx) {
    const long N = net->cases, length = net->last_length, rows = N * length;
    const long num_last = net->last / LANES, num_hidden = net->hidden / LANES, num_x = net->last_in / LANES;
    const Streams dz = {net->dz_in.data, stride_of(rows)};
    long begin, end;
    share(team, num_hidden, &begin, &end);
    for (long b = begin; b < end; b++) {
        vec *dh = stream(net->dpooled, b);
        const vec *z = stream(net->hidden_z, b);
        for (long n = 0; n < N; n++)
            dh[n] = load(dfeatures + n * net->hidden + b * LANES) * slope(z[n], HARDSWISH);
        store(net->hidden_layer.dbias + b * LANES, narrow(sum_rows(dh, N)));
    }
    weight_gradient(from(net->dpooled, begin), end - begin, net->pooled, num_last, N,
                    net->hidden_layer.dweight + begin * LANES * net->last, net->last);
    BARRIER
    share(team, num_last, &begin, &end);
    for (long b0 = begin; b0 < end; b0 += MAX_PANEL) {
        const int panel = panel_at(b0, end);
        const Streams pooled = {team.scratch + panel * net->hidden, stride_of(N)};
        pack_in(team.scratch, net->hidden_layer.weight, net->hidden, net->last, b0, panel);
        multiply(panel, net->dpooled, num_hidden, team.scratch, NONE, pooled, 0, N);
        for (long b = b0; b < b0 + panel; b++) {
            const vec *dpooled = stream(pooled, b - b0), *z = stream(net->head_z, b);
            vec *at = stream(dz, b);
            wide sum, sum_z;
            for (long n = 0; n < N; n++) {
                const vec each = dpooled[n] * (real)(1.0 / (double)length);
                for (long l = 0; l < length; l++) at[n * length + l] = each;
            }
            Affine f = affine(&net->head, b);
            activation_gradient(HARDSWISH, at, z, f, at, 0, rows, &sum, &sum_z);
            Gradient g = settle_gradient(&net->head, b, sum, sum_z, rows);
            apply_gradient(at, at, z, f.mean, g, rows);
        }
    }
    weight_gradient(from(dz, begin), end - begin, x, num_x, rows,
                    net->head.conv.dweight + begin * LANES * net->last_in, net->last_in);
    for (long b = 0, i = 0; b < num_x; b += MAX_PANEL, i++)
        if (i % team.size == team.rank)
            pack_in(net->packed + b * net->last, net->head.conv.weight, net->last, net->last_in, b,
                    panel_at(b, num_x));
    BARRIER
    multiply_rows(team, dz, num_last, net->packed, num_x, NONE, dx, rows);
    BARRIER
}

/* a = act(y) * gate into a; dv = gradient before the gate's hard sigmoid */
INLINE void gate_gradient_body(const vec *da, const vec *z, Affine f, const vec *gate, vec *a, vec *dv,
                               long cases, long length, int act) {
    for (long n = 0; n < cases; n++, da += length, z += length, a += length) {
        vec sum = {0};
        for (long l = 0; l < length; l++) {
            vec value = activate((z[l] - f.mean) * f.scale + f.shift, act);
            sum += da[l] * value;
            a[l] = value * gate[n];
        }
        dv[n] = (vec)((gate[n] > 0) & (gate[n] < 1) & (mask)(sum * (real)(1.0 / 6)));
    }
}

static void gate_gradient(int act, const vec *da, const vec *z, Affine f, const vec *gate, vec *a,
                          vec *dv, long cases, long length) {
    WITH_ACTIVATION(act, gate_gradient_body, da, z, f, gate, a, dv, cases, length)
}

/* From dz3 and one panel of expanded channels to its da, the projection's weight gradient, and what
   squeeze-excite needs. Returns the panel's scratch in a. */
static void project_backward(Team team, const Network *net, const Block *block, Streams dz3, long b0,
                             int panel, wide *sum_dy, wide *sum_dy_z) {
    const long rows = block->dw.cases * block->dw.length_out, num_out = block->out / LANES;
    const Streams da = {net->da.data, stride_of(rows)};
    const Streams a = {team.scratch + panel * block->out, stride_of(rows)};
    pack_in(team.scratch, block->pwl.conv.weight, block->out, block->expanded, b0, panel);
    multiply(panel, dz3, num_out, team.scratch, NONE, from(da, b0), 0, rows);
    for (int j = 0; j < panel; j++) {
        const long b = b0 + j;
        const vec *z2 = stream(block->z2, b);
        Affine f = affine(&block->depthwise, b);
        if (block->squeezed)
            gate_gradient(block->act, stream(da, b), z2, f, stream(block->gate, b), stream(a, j),
                          stream(net->dv, b), block->dw.cases, block->dw.length_out);
        else
            activation_gradient(block->act, stream(da, b), z2, f, stream(da, b), stream(a, j), rows,
                                &sum_dy[j], &sum_dy_z[j]);
    }
    weight_gradient(dz3, num_out, a, panel, rows, block->pwl.conv.dweight + b0 * LANES, block->expanded);
}

/* dy = (da * gate + dsqueeze / L) * act'(y), in place of da. */
INLINE void gated_gradient_body(vec *da, const vec *z, Affine f, const vec *gate, const vec *dsqueeze,
                                long cases, long length, wide *sum_dy, wide *sum_dy_z, int act) {
    wide total = {0}, total_z = {0};
    const real share_of_one = (real)(1.0 / (double)length);
    for (long n = 0; n < cases; n++, da += length, z += length) {
        const vec factor = gate[n], add = dsqueeze[n] * share_of_one;
        vec s = {0}, s_z = {0};
        for (long l = 0; l < length; l++) {
            vec d = z[l] - f.mean;
            vec g = (da[l] * factor + add) * slope(d * f.scale + f.shift, act);
            da[l] = g;
            s += g;
            s_z += g * d;
        }
        total += widen(s);
        total_z += widen(s_z);
    }
    *sum_dy = total;
    *sum_dy_z = total_z;
}

static void gated_gradient(int act, vec *da, const vec *z, Affine f, const vec *gate, const vec *dsqueeze,
                           long cases, long length, wide *sum_dy, wide *sum_dy_z) {
    WITH_ACTIVATION(act, gated_gradient_body, da, z, f, gate, dsqueeze, cases, length, sum_dy, sum_dy_z)
}

/* The other half of a panel: through the depthwise convolution and, where there is one, to the
   weights of the expansion. */
static void expand_backward(Team team, const Network *net, const Block *block, Streams dout, Streams dx,
                            long b0, int panel, const wide *sum_dy, const wide *sum_dy_z) {
    const Depthwise *dw = &block->dw;
    const long rows_in = dw->cases * dw->length_in, rows = dw->cases * dw->length_out;
    const Streams da = {net->da.data, stride_of(rows)}, dz1 = {net->dz_in.data, stride_of(rows_in)};
    for (int j = 0; j < panel; j++) {
        const long b = b0 + j;
        const Affine f1 = affine(&block->pw, b);
        Gradient g = settle_gradient(&block->depthwise, b, sum_dy[j], sum_dy_z[j], rows);
        const vec *z1 = block->expand ? stream(block->z1, b) : stream(block->x, b);
        vec *dy1 = block->expand ? stream(dz1, b) : stream(dx, b);
        wide sum, sum_z;
        depthwise_backward(team, dw, block->expand ? block->act : IDENTITY, stream(da, b),
                           stream(block->z2, b), affine(&block->depthwise, b).mean, g, z1, f1,
                           &block->depthwise.conv, b, dy1, &sum, &sum_z);
        if (block->expand) {
            g = settle_gradient(&block->pw, b, sum, sum_z, rows_in);
            apply_gradient(dy1, dy1, z1, f1.mean, g, rows_in);
        } else if (block->residual) {
            const vec *skip = stream(dout, b);
            for (long r = 0; r < rows_in; r++) dy1[r] += skip[r];
        }
    }
    if (block->expand)
        weight_gradient(from(dz1, b0), panel, block->x, block->in / LANES, rows_in,
                        block->pw.conv.dweight + b0 * LANES * block->in, block->in);
}

/* From the gradient of the gates to that of the squeezed hidden layer. */
static void squeeze_backward(Team team, const Network *net, const Block *block) {
    const long N = block->dw.cases, num_e = block->expanded / LANES;
    long begin, end;
    share(team, block->squeezed / LANES, &begin, &end);
    for (long b0 = begin; b0 < end; b0 += MAX_PANEL) {
        const int panel = panel_at(b0, end);
        pack_in(team.scratch, block->excite.weight, block->expanded, block->squeezed, b0, panel);
        multiply(panel, net->dv, num_e, team.scratch, NONE, from(net->dh, b0), 0, N);
    }
    for (long b = begin; b < end; b++) {
        vec *dh = stream(net->dh, b);
        const vec *hidden = stream(block->hidden, b);
        for (long n = 0; n < N; n++) dh[n] *= slope(hidden[n], RELU);
        store(block->reduce.dbias + b * LANES, narrow(sum_rows(dh, N)));
    }
    weight_gradient(from(net->dh, begin), end - begin, block->squeeze, num_e, N,
                    block->reduce.dweight + begin * LANES * block->expanded, block->expanded);
}

static void block_backward(Team team, const Network *net, const Block *block, Streams dout, Streams dx) {
    const Depthwise *dw = &block->dw;
    const long N = dw->cases, rows_in = N * dw->length_in, rows = N * dw->length_out;
    const long num_e = block->expanded / LANES, num_out = block->out / LANES, num_in = block->in / LANES;
    const Streams dz3 = {net->dz_out.data, stride_of(rows)}, dz1 = {net->dz_in.data, stride_of(rows_in)};
    long begin, end;
    wide sum_dy[MAX_PANEL], sum_dy_z[MAX_PANEL];

    share(team, num_out, &begin, &end);
    for (long b = begin; b < end; b++) {
        vec *at = stream(dz3, b);
        const vec *z = stream(block->z3, b);
        Affine f = affine(&block->pwl, b);
        activation_gradient(block->project_act, stream(dout, b), z, f, at, 0, rows, sum_dy, sum_dy_z);
        Gradient g = settle_gradient(&block->pwl, b, *sum_dy, *sum_dy_z, rows);
        apply_gradient(at, at, z, f.mean, g, rows);
    }
    BARRIER

    share(team, num_e, &begin, &end);
    if (block->squeezed) {
        for (long b0 = begin; b0 < end; b0 += MAX_PANEL)
            project_backward(team, net, block, dz3, b0, panel_at(b0, end), 0, 0);
        for (long b = begin; b < end; b++)
            store(block->excite.dbias + b * LANES, narrow(sum_rows(stream(net->dv, b), N)));
        weight_gradient(from(net->dv, begin), end - begin, block->hidden, block->squeezed / LANES, N,
                        block->excite.dweight + begin * LANES * block->squeezed, block->squeezed);
        BARRIER
        squeeze_backward(team, net, block);
        BARRIER
        share(team, num_e, &begin, &end);
    }
    for (long b0 = begin; b0 < end; b0 += MAX_PANEL) {
        const int panel = panel_at(b0, end);
        if (block->squeezed) {
            const Streams da = {net->da.data, stride_of(rows)};
            const Streams dsqueeze = {team.scratch + panel * block->squeezed, stride_of(N)};
            pack_in(team.scratch, block->reduce.weight, block->squeezed, block->expanded, b0, panel);
            multiply(panel, net->dh, block->squeezed / LANES, team.scratch, NONE, dsqueeze, 0, N);
            for (int j = 0; j < panel; j++)
                gated_gradient(block->act, stream(da, b0 + j), stream(block->z2, b0 + j),
                               affine(&block->depthwise, b0 + j), stream(block->gate, b0 + j),
                               stream(dsqueeze, j), N, dw->length_out, &sum_dy[j], &sum_dy_z[j]);
        } else
            project_backward(team, net, block, dz3, b0, panel, sum_dy, sum_dy_z);
        expand_backward(team, net, block, dout, dx, b0, panel, sum_dy, sum_dy_z);
    }
    if (block->expand) {
        for (long b = 0, i = 0; b < num_in; b += MAX_PANEL, i++)
            if (i % team.size == team.rank)
                pack_in(net->packed + b * block->expanded, block->pw.conv.weight, block->expanded,
                        block->in, b, panel_at(b, num_in));
        BARRIER
        multiply_rows(team, dz1, num_e, net->packed, num_in, block->residual ? dout : NONE, dx, rows_in);
    }
    BARRIER
}

static void stem_backward(Team team, const Network *net, Streams dy) {
    const long rows = net->cases * net->stem_length, K = net->channels * 3;
    const long padded_k = ceil_div(K, LANES) * LANES;
    long begin, end;
    share(team, net->stem_width / LANES, &begin, &end);
    for (long b = begin; b < end; b++) {
        vec *at = stream(dy, b);
        const vec *z = stream(net->stem_z, b);
        wide sum, sum_z;
        Affine f = affine(&net->stem, b);
        activation_gradient(HARDSWISH, at, z, f, at, 0, rows, &sum, &sum_z);
        Gradient g = settle_gradient(&net->stem, b, sum, sum_z, rows);
        apply_gradient(at, at, z, f.mean, g, rows);
    }
    real *dweight = net->stem_dweight + begin * LANES * padded_k;
    weight_gradient(from(dy, begin), end - begin, net->column, padded_k / LANES, rows, dweight, padded_k);
    for (long c = begin * LANES; c < end * LANES; c++, dweight += padded_k)
        memcpy(net->stem.conv.dweight + c * K, dweight, (size_t)K * sizeof(real));
}

/* ---------------------------------------------------------------- entry points */

/* Bytes that a call keeps for backward (sizes[0]) and that it needs while it runs (sizes[1]). */
void sizes(const Header *header, const Row *rows, int num_threads, int64_t *bytes) {
    Network net;
    Arena keep = {0, 0}, work = {0, 0};
    lay_out(&net, header, rows, 0, 0, &keep, &work, num_threads);
    bytes[0] = (int64_t)keep.used;
    bytes[1] = (int64_t)work.used;
}

/* features (N, hidden) of signals (N, C, L): everything before the classifier. */
void forward(const Header *header, const Row *rows, void *const *tensors, const real *signals,
             real *features, void *keep_memory, void *work_memory, int num_threads) {
    Network net;
    Arena keep = {keep_memory, 0}, work = {work_memory, 0};
    lay_out(&net, header, rows, tensors, 0, &keep, &work, num_threads);
#pragma omp parallel num_threads(num_threads)
    {
        Team team = {omp_get_thread_num(), omp_get_num_threads(), 0};
        team.scratch = net.scratch + team.rank * net.scratch_size;
        stem_forward(team, &net, signals);
        for (long i = 0; i < net.num_blocks; i++) block_forward(team, &net, &net.blocks[i]);
        head_forward(team, &net, net.blocks[net.num_blocks - 1].y, features);
    }
}

/* Gradients of every parameter from that of the features. */
void backward(const Header *header, const Row *rows, void *const *tensors, void *const *gradients,
              const real *dfeatures, void *keep_memory, void *work_memory, int num_threads) {
    Network net;
    Arena keep = {keep_memory, 0}, work = {work_memory, 0};
    lay_out(&net, header, rows, tensors, gradients, &keep, &work, num_threads);
#pragma omp parallel num_threads(num_threads)
    {
        Team team = {omp_get_thread_num(), omp_get_num_threads(), 0};
        team.scratch = net.scratch + team.rank * net.scratch_size;
        Streams dout = {net.dx[0].data, stride_of(net.cases * net.last_length)};
        head_backward(team, &net, net.blocks[net.num_blocks - 1].y, dfeatures, dout);
        for (long i = net.num_blocks - 1; i >= 0; i--) {
            const Block *block = &net.blocks[i];
            Streams dx = {net.dx[(net.num_blocks - i) % 2].data,
                          stride_of(net.cases * block->dw.length_in)};
            block_backward(team, &net, block, dout, dx);
            dout = dx;
        }
        stem_backward(team, &net, dout);
    }
}
