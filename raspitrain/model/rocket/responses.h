/* Responses of the 84 kernels of MiniRocket and MultiRocket, in vectors of numbers.

   They have nine taps: three weigh 2, six weigh -1. A response is therefore -(sum of all nine) + 3
   (sum of three): `alpha` is the first part, the same for all 84, and `gamma` is three times the
   signal. A combination is a dilation and a kernel, dilation by dilation; each looks at channels of
   its own, added up. */

#pragma once

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef DOUBLE
typedef double real;
typedef int64_t whole;
#define REAL_BYTES 8
#else
typedef float real;
typedef int32_t whole;
#define REAL_BYTES 4
#endif

#if defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#if defined(__AVX512VL__) || defined(__aarch64__)
#define ROWS 2 /* vectors of positions that Hydra holds at a time: 32 registers */
#else
#define ROWS 1
#endif

#define LANES (VECTOR_BYTES / REAL_BYTES)
typedef real vec __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef real loose __attribute__((vector_size(VECTOR_BYTES), may_alias, aligned(REAL_BYTES)));
typedef whole ints __attribute__((vector_size(VECTOR_BYTES), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { TAPS = 9, HALF = 4, KERNELS = 84, COMPETING = 8 };

INLINE vec splat(real x) { return x - (vec){0}; }
INLINE vec load(const real *p) { return *(const loose *)p; }
INLINE void store(real *p, vec v) { *(loose *)p = v; }
INLINE vec choose(ints m, vec a, vec b) { return (vec)((m & (ints)a) | (~m & (ints)b)); }
INLINE ints choose_int(ints m, ints a, ints b) { return (m & a) | (~m & b); }

INLINE ints lane_numbers(void) {
    ints numbers;
    for (int i = 0; i < LANES; i++) numbers[i] = i;
    return numbers;
}

INLINE ints first_lanes(long num) { return lane_numbers() < (whole)(num < LANES ? num : LANES); }

/* As many as what they stand for, so that lanes beyond the end may be read and written. */
static long padded(long length) { return (length + 2 * LANES - 1) / LANES * LANES; }

/* ---------------------------------------------------------------- responses of the 84 kernels */

typedef struct {
    int64_t channels, length, num_dilations;
    int64_t delay; /* of the taps before the middle one; see `shift` */
} Shape;

typedef struct {
    const Shape *shape;
    long margin, stride; /* zeros before a channel's gamma; reals from one channel to the next */
    real *gamma, *alpha; /* (C, stride) */
    real *gamma_sum, *alpha_sum, *pair;
} Responses;

/* Where tap number `tap` looks, from the position that it answers for. MultiRocket's own program
   (and whatever was measured with it) moves the first four taps over differences by one. */
INLINE long shift(const Responses *r, long dilation, int tap) {
    return (tap - HALF) * dilation + (tap < HALF ? r->shape->delay : 0);
}

static long responses_size(const Shape *shape, long widest) {
    long stride = padded(shape->length + 2 * HALF * widest);
    return stride * (2 * shape->channels + 3);
}

static Responses make_responses(const Shape *shape, long widest, real *memory) {
    long stride = padded(shape->length + 2 * HALF * widest);
    Responses r = {shape, HALF * widest, stride, memory, 0, 0, 0, 0};
    memset(memory, 0, responses_size(shape, widest) * sizeof(real));
    r.alpha = r.gamma + stride * shape->channels;
    r.gamma_sum = r.alpha + stride * shape->channels;
    r.alpha_sum = r.gamma_sum + stride;
    r.pair = r.alpha_sum + stride;
    return r;
}

static void begin_case(Responses *r, const real *signals) {
    long length = r->shape->length;
    for (long c = 0; c < r->shape->channels; c++) {
        real *gamma = r->gamma + c * r->stride + r->margin;
        for (long t = 0; t < length; t++) gamma[t] = 3 * signals[c * length + t];
    }
}

static void begin_dilation(Responses *r, const real *signals, long dilation) {
    long length = r->shape->length;
    for (long c = 0; c < r->shape->channels; c++) {
        const real *x = signals + c * length;
        real *alpha = r->alpha + c * r->stride;
        for (long t = 0; t < length; t++) alpha[t] = -x[t];
        for (int tap = 0; tap < TAPS; tap++) {
            if (tap == HALF) continue;
            long by = shift(r, dilation, tap);
            long begin = by < 0 ? -by : 0, end = by > 0 ? length - by : length;
            for (long t = begin; t < end; t++) alpha[t] -= x[t + by];
        }
    }
}

/* alpha and gamma of a combination: of its channel, or of its channels added up. */
static void choose_channels(const Responses *r, const uint8_t *channels, const real **alpha,
                            const real **gamma) {
    long num = r->shape->channels, length = r->shape->length, first = -1, many = 0;
    real *alpha_sum = r->alpha_sum, *gamma_sum = r->gamma_sum + r->margin;
    for (long c = 0; c < num; c++) {
        if (!channels[c]) continue;
        const real *a = r->alpha + c * r->stride, *g = r->gamma + c * r->stride + r->margin;
        many++;
        if (many == 1) {
            first = c;
            continue;
        }
        const real *a0 = many == 2 ? r->alpha + first * r->stride : alpha_sum;
        const real *g0 = many == 2 ? r->gamma + first * r->stride + r->margin : gamma_sum;
        for (long t = 0; t < length; t += LANES) {
            store(alpha_sum + t, load(a0 + t) + load(a + t));
            store(gamma_sum + t, load(g0 + t) + load(g + t));
        }
    }
    *alpha = many > 1 ? alpha_sum : r->alpha + first * r->stride;
    *gamma = many > 1 ? gamma_sum : r->gamma + first * r->stride + r->margin;
}

static const uint8_t kernel_taps[KERNELS][3] = {
    {0, 1, 2}, {0, 1, 3}, {0, 1, 4}, {0, 1, 5}, {0, 1, 6}, {0, 1, 7}, {0, 1, 8},
    {0, 2, 3}, {0, 2, 4}, {0, 2, 5}, {0, 2, 6}, {0, 2, 7}, {0, 2, 8}, {0, 3, 4},
    {0, 3, 5}, {0, 3, 6}, {0, 3, 7}, {0, 3, 8}, {0, 4, 5}, {0, 4, 6}, {0, 4, 7},
    {0, 4, 8}, {0, 5, 6}, {0, 5, 7}, {0, 5, 8}, {0, 6, 7}, {0, 6, 8}, {0, 7, 8},
    {1, 2, 3}, {1, 2, 4}, {1, 2, 5}, {1, 2, 6}, {1, 2, 7}, {1, 2, 8}, {1, 3, 4},
    {1, 3, 5}, {1, 3, 6}, {1, 3, 7}, {1, 3, 8}, {1, 4, 5}, {1, 4, 6}, {1, 4, 7},
    {1, 4, 8}, {1, 5, 6}, {1, 5, 7}, {1, 5, 8}, {1, 6, 7}, {1, 6, 8}, {1, 7, 8},
    {2, 3, 4}, {2, 3, 5}, {2, 3, 6}, {2, 3, 7}, {2, 3, 8}, {2, 4, 5}, {2, 4, 6},
    {2, 4, 7}, {2, 4, 8}, {2, 5, 6}, {2, 5, 7}, {2, 5, 8}, {2, 6, 7}, {2, 6, 8},
    {2, 7, 8}, {3, 4, 5}, {3, 4, 6}, {3, 4, 7}, {3, 4, 8}, {3, 5, 6}, {3, 5, 7},
    {3, 5, 8}, {3, 6, 7}, {3, 6, 8}, {3, 7, 8}, {4, 5, 6}, {4, 5, 7}, {4, 5, 8},
    {4, 6, 7}, {4, 6, 8}, {4, 7, 8}, {5, 6, 7}, {5, 6, 8}, {5, 7, 8}, {6, 7, 8},
};


/* alpha and the first two of a kernel's taps, which kernels side by side have in common. */
static void add_pair(const Responses *r, const real *alpha, const real *gamma, long dilation,
                     int kernel) {
    const real *a = gamma + shift(r, dilation, kernel_taps[kernel][0]),
               *b = gamma + shift(r, dilation, kernel_taps[kernel][1]);
    for (long t = 0; t < r->shape->length; t += LANES)
        store(r->pair + t, load(alpha + t) + load(a + t) + load(b + t));
}

static int same_pair(int kernel, int other) {
    return kernel_taps[kernel][0] == kernel_taps[other][0] &&
           kernel_taps[kernel][1] == kernel_taps[other][1];
}

/* row[t], for t below L and up to a vector's end: what the kernel answers. */
static void add_last(const Responses *r, const real *gamma, long dilation, int kernel, real *row) {
    const real *c = gamma + shift(r, dilation, kernel_taps[kernel][2]);
    for (long t = 0; t < r->shape->length; t += LANES)
        store(row + t, load(r->pair + t) + load(c + t));
}

/* Every second kernel is asked only where all of its taps lie on the signal. */
static void positions(const Shape *shape, long dilation, long number, int kernel, long *begin,
                      long *end) {
    long padding = (number + kernel) % 2 ? HALF * dilation : 0;
    *begin = padding;
    *end = shape->length - padding;
}

static long largest(const int64_t *numbers, long num) {
    long most = 0;
    for (long i = 0; i < num; i++) most = numbers[i] > most ? numbers[i] : most;
    return most;
}

/* ---------------------------------------------------------------- sums over lanes */

/* Lane i: the sum of sums[i]. */
INLINE ints add_lanes(const ints *sums) {
#ifdef __clang__ /* it has no __builtin_shuffle */
    ints totals = {0};
    for (int i = 0; i < LANES; i++)
        for (int lane = 0; lane < LANES; lane++) totals[i] += sums[i][lane];
    return totals;
#else
    ints level[LANES];
    UNROLL for (int i = 0; i < LANES; i++) level[i] = sums[i];
    ints even, odd;
    for (int i = 0; i < LANES; i++) even[i] = 2 * i, odd[i] = 2 * i + 1;
    UNROLL for (int num = LANES; num > 1; num /= 2)
        UNROLL for (int i = 0; i < num / 2; i++)
            level[i] = __builtin_shuffle(level[2 * i], level[2 * i + 1], even) +
                       __builtin_shuffle(level[2 * i], level[2 * i + 1], odd);
    return level[0];
#endif
}

INLINE vec as_reals(ints numbers) { return __builtin_convertvector(numbers, vec); }

INLINE void store_first(real *p, vec v, long num) {
    if (num >= LANES) {
        store(p, v);
        return;
    }
    for (long i = 0; i < num; i++) p[i] = v[i];
}
