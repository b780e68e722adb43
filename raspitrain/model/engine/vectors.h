/* Vectors of neighbouring channels, streams of them, and the threads that share them out. */

#pragma once

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
   ROWS(panel) rows by `panel` streams; weight gradients: TALL(across) by `across` streams, WIDE of
   them at most. */
#if defined(__AVX512VL__)
#define VECTOR_BYTES 32
#define MAX_PANEL 3
#define ROWS(panel) ((panel) == 3 ? 8 : 12)
#define MAX_TALL 1
#define TALL(across) 1
#define WIDE 3
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#define MAX_PANEL 3
#define ROWS(panel) ((panel) == 3 ? 4 : (panel) == 2 ? 6 : 8)
#define MAX_TALL 1
#define TALL(across) 1
#define WIDE 1
#elif defined(__aarch64__)
#define VECTOR_BYTES 16
#define MAX_PANEL 4
#define ROWS(panel) ((panel) == 4 ? 6 : (panel) == 3 ? 7 : 8)
#define MAX_TALL 3
#define TALL(across) ((across) == 3 ? 2 : 3)
#define WIDE 3
#else
#define VECTOR_BYTES 16
#define MAX_PANEL 2
#define ROWS(panel) ((panel) == 2 ? 4 : 6)
#define MAX_TALL 1
#define TALL(across) 1
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

enum { IDENTITY, RELU, RELU6, HARDSWISH, SIGMOID, SILU, GELU };
enum { BATCH, FROZEN, ABSENT }; /* statistics of the batch, those learnt so far, none at all */
enum { MAX_BLOCKS = 64, CHUNK = 512, MAX_KERNEL = 5, MAX_ROWS = 12 };

static long ceil_div(long a, long b) { return (a + b - 1) / b; }
static long max2(long a, long b) { return a > b ? a : b; }

INLINE vec splat(real x) { return x - (vec){0}; }
INLINE vec load(const real *p) { return *(const loose *)p; }
INLINE void store(real *p, vec v) { *(loose *)p = v; }
INLINE vec choose(mask m, vec a, vec b) { return (vec)((m & (mask)a) | (~m & (mask)b)); }

/* Four vectors of four numbers as rows become columns. */
#if VECTOR_BYTES == 16 && REAL_BYTES == 4 && defined(__GNUC__) && !defined(__clang__)
#define HAS_TRANSPOSE
INLINE void transpose(vec r[4]) {
    typedef int32_t picks __attribute__((vector_size(16)));
    const picks low = {0, 4, 1, 5}, high = {2, 6, 3, 7};
    const vec low0 = __builtin_shuffle(r[0], r[2], low), low1 = __builtin_shuffle(r[1], r[3], low);
    const vec high0 = __builtin_shuffle(r[0], r[2], high);
    const vec high1 = __builtin_shuffle(r[1], r[3], high);
    r[0] = __builtin_shuffle(low0, low1, low);
    r[1] = __builtin_shuffle(low0, low1, high);
    r[2] = __builtin_shuffle(high0, high1, low);
    r[3] = __builtin_shuffle(high0, high1, high);
}
#endif

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

/* Where one of them is not a number, neither is the greater. */
#if defined(__aarch64__)
INLINE vec greater(vec a, vec b) { return at_least(a, b); }
#else
INLINE vec greater(vec a, vec b) { return choose((b > a) | (b != b), b, a); }
#endif

INLINE vec hard_sigmoid(vec y) {
    return at_most(at_least(y * (real)(1.0 / 6) + (real)0.5, splat(0)), splat(1));
}

#ifdef ALL_ACTIVATIONS
#include "smooth.h"
#define WITH_SMOOTH(body, ...)                                        \
        case SIGMOID: body(__VA_ARGS__, SIGMOID); break;              \
        case SILU: body(__VA_ARGS__, SILU); break;                    \
        case GELU: body(__VA_ARGS__, GELU); break;
#else
#define WITH_SMOOTH(body, ...)
#endif

INLINE vec activate(vec y, int act) {
    if (act == RELU) return at_least(y, splat(0));
    if (act == RELU6) return at_most(at_least(y, splat(0)), splat(6));
    if (act == HARDSWISH) return y * hard_sigmoid(y);
#ifdef ALL_ACTIVATIONS
    if (act >= SIGMOID) return smooth(y, act);
#endif
    return y;
}

INLINE vec slope(vec y, int act) {
    if (act == RELU) return (vec)((y > 0) & (mask)splat(1));
    if (act == RELU6) return (vec)((y > 0) & (y < 6) & (mask)splat(1));
    if (act == HARDSWISH) {
        vec inner = y * (real)(1.0 / 3) + (real)0.5;
        return (vec)((y > -3) & (mask)choose(y < 3, inner, splat(1)));
    }
#ifdef ALL_ACTIVATIONS
    if (act >= SIGMOID) return smooth_slope(y, act);
#endif
    return splat(1);
}

/* Calls body(..., act) with act known to the compiler. */
#define WITH_ACTIVATION(act, body, ...)                               \
    switch (act) {                                                    \
        case RELU: body(__VA_ARGS__, RELU); break;                    \
        case RELU6: body(__VA_ARGS__, RELU6); break;                  \
        case HARDSWISH: body(__VA_ARGS__, HARDSWISH); break;          \
        WITH_SMOOTH(body, __VA_ARGS__)                                \
        default: body(__VA_ARGS__, IDENTITY);                         \
    }

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
