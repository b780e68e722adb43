/* Features of signals by fixed convolutions: MiniRocket, MultiRocket and Hydra.

   native.py compiles this file for the machine it finds and calls it; it holds no state. Every
   case is one thread's work, so the numbers do not depend on how many threads there are.

   Letters: N cases, C channels, L length, D dilations, F features.

   The 84 kernels of MiniRocket and MultiRocket have nine taps: three weigh 2, six weigh -1. A
   response is therefore -(sum of all nine) + 3 (sum of three): `alpha` is the first part, the same
   for all 84, and `gamma` is three times the signal. A combination is a dilation and a kernel,
   dilation by dilation; each looks at channels of its own, added up. */

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
    ints level[LANES];
    UNROLL for (int i = 0; i < LANES; i++) level[i] = sums[i];
    ints even, odd;
    for (int i = 0; i < LANES; i++) even[i] = 2 * i, odd[i] = 2 * i + 1;
    UNROLL for (int num = LANES; num > 1; num /= 2)
        UNROLL for (int i = 0; i < num / 2; i++)
            level[i] = __builtin_shuffle(level[2 * i], level[2 * i + 1], even) +
                       __builtin_shuffle(level[2 * i], level[2 * i + 1], odd);
    return level[0];
}

INLINE vec as_reals(ints numbers) { return __builtin_convertvector(numbers, vec); }

INLINE void store_first(real *p, vec v, long num) {
    if (num >= LANES) {
        store(p, v);
        return;
    }
    for (long i = 0; i < num; i++) p[i] = v[i];
}

/* ---------------------------------------------------------------- MiniRocket */

/* Which share of the responses a + b lies above each of some biases. */
INLINE void count_few(const int num, const real *a, const real *b, long begin, long end,
                        const real *biases, real *features) {
    vec bias[LANES];
    ints count[LANES];
    UNROLL for (int i = 0; i < LANES; i++) {
        bias[i] = splat(biases[i < num ? i : 0]);
        count[i] = (ints){0};
    }
    long t = begin;
    for (; t + LANES <= end; t += LANES) {
        vec c = load(a + t) + load(b + t);
        UNROLL for (int i = 0; i < num; i++) count[i] -= c > bias[i];
    }
    if (t < end) {
        vec c = choose(first_lanes(end - t), load(a + t) + load(b + t), splat(-(real)INFINITY));
        UNROLL for (int i = 0; i < num; i++) count[i] -= c > bias[i];
    }
    store_first(features, as_reals(add_lanes(count)) / splat((real)(end - begin)), num);
}

#define FEW(num) \
    count_few((num) < LANES ? (num) : 1, a, b, begin, end, biases + done, features + done)

static void count_above(const real *a, const real *b, long begin, long end, const real *biases,
                        long num, real *features) {
    long done = 0;
    for (; num - done >= LANES; done += LANES)
        count_few(LANES, a, b, begin, end, biases + done, features + done);
    switch (num - done) {
        case 7: FEW(7); break;
        case 6: FEW(6); break;
        case 5: FEW(5); break;
        case 4: FEW(4); break;
        case 3: FEW(3); break;
        case 2: FEW(2); break;
        case 1: FEW(1); break;
    }
}

/* signals (N, C, L), channels (D * 84, C), biases (F,) -> features (N, F); 0, or 1 where memory
   is short. `per_dilation`: features of a kernel at each dilation. */
int minirocket(const Shape *shape, long num_cases, const real *signals, const int64_t *dilations,
               const int64_t *per_dilation, const uint8_t *channels, const real *biases,
               real *features, long num_features, int num_threads) {
    long widest = largest(dilations, shape->num_dilations);
    long size = responses_size(shape, widest);
    int failed = 0;
    (void)num_threads;
#ifdef _OPENMP
#pragma omp parallel num_threads(num_threads) reduction(| : failed)
#endif
    {
        real *memory = malloc(size * sizeof(real));
        failed = memory == NULL;
        Responses r = {0};
        if (memory) r = make_responses(shape, widest, memory);
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
        for (long n = 0; n < num_cases; n++) {
            if (!memory) continue;
            const real *x = signals + n * shape->channels * shape->length;
            const real *bias = biases, *alpha, *gamma;
            const uint8_t *chosen = channels;
            real *feature = features + n * num_features;
            begin_case(&r, x);
            for (long d = 0; d < shape->num_dilations; d++) {
                begin_dilation(&r, x, dilations[d]);
                for (int k = 0; k < KERNELS; k++, chosen += shape->channels) {
                    if (k == 0 || shape->channels > 1)
                        choose_channels(&r, chosen, &alpha, &gamma);
                    if (k == 0 || shape->channels > 1 || !same_pair(k, k - 1))
                        add_pair(&r, alpha, gamma, dilations[d], k);
                    const real *last = gamma + shift(&r, dilations[d], kernel_taps[k][2]);
                    long begin, end;
                    positions(shape, dilations[d], d, k, &begin, &end);
                    count_above(r.pair, last, begin, end, bias, per_dilation[d], feature);
                    bias += per_dilation[d];
                    feature += per_dilation[d];
                }
            }
        }
        free(memory);
    }
    return failed;
}

/* One signal (C, L) and one row (L,) for each combination: what biases are taken from. */
int responses(const Shape *shape, const real *signals, const int64_t *dilations,
              const uint8_t *channels, real *rows) {
    long widest = largest(dilations, shape->num_dilations);
    long size = responses_size(shape, widest), length = shape->length;
    real *memory = malloc((size + padded(length)) * sizeof(real));
    if (!memory) return 1;
    Responses r = make_responses(shape, widest, memory);
    real *row = memory + size;
    const real *alpha, *gamma;
    for (long d = 0; d < shape->num_dilations; d++)
        for (int k = 0; k < KERNELS; k++) {
            begin_case(&r, signals);
            begin_dilation(&r, signals, dilations[d]);
            choose_channels(&r, channels, &alpha, &gamma);
            add_pair(&r, alpha, gamma, dilations[d], k);
            add_last(&r, gamma, dilations[d], k, row);
            memcpy(rows, row, length * sizeof(real));
            signals += shape->channels * length;
            channels += shape->channels;
            rows += length;
        }
    free(memory);
    return 0;
}

/* ---------------------------------------------------------------- MultiRocket */

enum { BLOCK = 1024 }; /* positions after which whole numbers and sums move into doubles */

typedef struct {
    double above[LANES], index[LANES], sum[LANES]; /* of positions above the bias */
    ints longest;                                  /* stretch of positions not below it */
} Pools;

/* Lanes over kernels: what MultiRocket asks of rows[t], for some biases a kernel. The stretch is
   as its program counts it: from one position below the bias to the next, where the first and the
   last position count as if they were below. */
INLINE void pool(const int num, const vec *rows, long length, const vec *biases, Pools *pools) {
    vec bias[2];
    ints run[2], longest[2];
    UNROLL for (int i = 0; i < num; i++) {
        bias[i] = biases[i];
        run[i] = longest[i] = (ints){0};
        memset(&pools[i], 0, sizeof(Pools));
    }
    for (long begin = 0; begin < length; begin += BLOCK) {
        long end = begin + BLOCK < length ? begin + BLOCK : length;
        ints above[2], later[2];
        vec sum[2];
        UNROLL for (int i = 0; i < num; i++) {
            above[i] = later[i] = (ints){0};
            sum[i] = splat(0);
        }
        for (long t = begin; t < end; t++) {
            vec c = rows[t];
            ints inner = (ints){0} - (whole)(t > 0 && t < length - 1);
            UNROLL for (int i = 0; i < num; i++) {
                ints is_above = c > bias[i];
                above[i] -= is_above;
                later[i] += above[i]; /* in the end, each one times the positions after it */
                sum[i] += (vec)(is_above & (ints)c);
                run[i] = (run[i] + 1) & ~(c < bias[i]) & inner;
                longest[i] = choose_int(run[i] > longest[i], run[i], longest[i]);
            }
        }
        UNROLL for (int i = 0; i < num; i++)
            for (int lane = 0; lane < LANES; lane++) {
                double many = above[i][lane];
                pools[i].above[lane] += many;
                pools[i].index[lane] += many * end - later[i][lane];
                pools[i].sum[lane] += sum[i][lane];
            }
    }
    UNROLL for (int i = 0; i < num; i++) pools[i].longest = longest[i] + (length > 1);
}

static void store_pools(const Pools *pools, long length, const vec *bias, int num, long step,
                        real *features, long num_features) {
    for (int lane = 0; lane < num; lane++, features += step) {
        double above = pools->above[lane];
        features[0] = (real)(above / length);
        features[num_features] = (real)pools->longest[lane];
        features[2 * num_features] = above > 0 ? (real)(pools->sum[lane] / above + (*bias)[lane]) : 0;
        features[3 * num_features] = above > 0 ? (real)(pools->index[lane] / above) : -1;
    }
}

/* As minirocket, but features (N, 4, F) are four of every response: the share of positions
   above the bias, the longest stretch not below it, the mean of response and bias where it is
   above, and the mean of those positions. */
int multirocket(const Shape *shape, long num_cases, const real *signals, const int64_t *dilations,
                const int64_t *per_dilation, const uint8_t *channels, const real *biases,
                real *features, long num_features, int num_threads) {
    long widest = largest(dilations, shape->num_dilations);
    long size = responses_size(shape, widest), row_size = padded(shape->length);
    int failed = 0;
    (void)num_threads;
#ifdef _OPENMP
#pragma omp parallel num_threads(num_threads) reduction(| : failed)
#endif
    {
        long total = (size + row_size * (LANES + 2) + LANES) * sizeof(real);
        real *memory = NULL;
        failed = posix_memalign((void **)&memory, 64, total) != 0;
        Responses r = {0};
        if (!failed) r = make_responses(shape, widest, memory);
        vec *together = (vec *)(memory + (size + LANES - 1) / LANES * LANES);
        real *row = (real *)(together + shape->length);
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
        for (long n = 0; n < num_cases; n++) {
            if (failed) continue;
            const real *x = signals + n * shape->channels * shape->length;
            const real *bias = biases, *alpha, *gamma;
            const uint8_t *chosen = channels;
            real *feature = features + n * 4 * num_features;
            begin_case(&r, x);
            for (long d = 0; d < shape->num_dilations; d++) {
                long per_kernel = per_dilation[d];
                begin_dilation(&r, x, dilations[d]);
                for (int parity = 0; parity < 2; parity++)
                    for (int first = parity; first < KERNELS; first += 2 * LANES) {
                        int many = (KERNELS - first + 1) / 2;
                        if (many > LANES) many = LANES;
                        long begin, end;
                        positions(shape, dilations[d], d, first, &begin, &end);
                        for (int lane = 0; lane < many; lane++) {
                            int k = first + 2 * lane;
                            choose_channels(&r, chosen + k * shape->channels, &alpha, &gamma);
                            add_pair(&r, alpha, gamma, dilations[d], k);
                            add_last(&r, gamma, dilations[d], k, row);
                            real *to = (real *)together + lane;
                            for (long t = begin; t < end; t++) to[(t - begin) * LANES] = row[t];
                        }
                        if (many < LANES)
                            for (long t = 0; t < end - begin; t++)
                                for (int lane = many; lane < LANES; lane++)
                                    ((real *)(together + t))[lane] = 0;
                        for (long f = 0; f < per_kernel; f += 2) {
                            int num = f + 1 < per_kernel ? 2 : 1;
                            vec these[2] = {{0}};
                            Pools pools[2];
                            for (int i = 0; i < num; i++)
                                for (int lane = 0; lane < many; lane++)
                                    these[i][lane] = bias[(first + 2 * lane) * per_kernel + f + i];
                            if (num == 2)
                                pool(2, together, end - begin, these, pools);
                            else
                                pool(1, together, end - begin, these, pools);
                            for (int i = 0; i < num; i++)
                                store_pools(&pools[i], end - begin, &these[i], many, 2 * per_kernel,
                                            feature + first * per_kernel + f + i, num_features);
                        }
                    }
                chosen += KERNELS * shape->channels;
                bias += KERNELS * per_kernel;
                feature += KERNELS * per_kernel;
            }
        }
        free(memory);
    }
    return failed;
}

/* ---------------------------------------------------------------- Hydra */

typedef struct {
    vec greatest[COMPETING];
    ints smallest[COMPETING];
} Scores;

/* Eight kernels on ROWS vectors of positions: who answers most adds its answer to its score, who
   answers least adds one. Of equals, the first. */
INLINE void compete(const int rows, const real *x, long dilation, const real *weights,
                    const ints *inside, Scores *scores) {
    vec z[ROWS][COMPETING];
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int k = 0; k < COMPETING; k++) z[i][k] = splat(0);
    for (int tap = 0; tap < TAPS; tap++)
        UNROLL for (int i = 0; i < rows; i++) {
            vec here = load(x + (tap - HALF) * dilation + i * LANES);
            UNROLL for (int k = 0; k < COMPETING; k++) z[i][k] += here * weights[k * TAPS + tap];
        }
    UNROLL for (int i = 0; i < rows; i++) {
        vec most = z[i][0], least = z[i][0];
        ints which_most = {0}, which_least = {0};
        UNROLL for (int k = 1; k < COMPETING; k++) {
            ints more = z[i][k] > most, less = z[i][k] < least;
            most = choose(more, z[i][k], most);
            which_most = choose_int(more, (ints){0} + k, which_most);
            least = choose(less, z[i][k], least);
            which_least = choose_int(less, (ints){0} + k, which_least);
        }
        UNROLL for (int k = 0; k < COMPETING; k++) {
            scores->greatest[k] += (vec)((which_most == k) & inside[i] & (ints)most);
            scores->smallest[k] -= (which_least == k) & inside[i];
        }
    }
}

/* signals (N, C, L), weights (D, groups * 8, 9), channels (D, groups, per_group): which are added
   up for a group. features (N, D, 2, groups * 8): sums of greatest answers, then how often an
   answer is the smallest. */
int hydra(long num_cases, long num_channels, long length, const real *signals, long num_dilations,
          const int64_t *dilations, long groups, const real *weights, const int64_t *channels,
          long per_group, real *features, int num_threads) {
    long margin = HALF * largest(dilations, num_dilations);
    long size = padded(length + 2 * margin) + LANES * ROWS;
    int failed = 0;
    (void)num_threads;
#ifdef _OPENMP
#pragma omp parallel num_threads(num_threads) reduction(| : failed)
#endif
    {
        real *memory = calloc(size, sizeof(real)), *series = memory + margin;
        failed = memory == NULL;
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
        for (long n = 0; n < num_cases; n++) {
            if (failed) continue;
            const real *x = signals + n * num_channels * length;
            if (num_channels == 1) memcpy(series, x, length * sizeof(real));
            for (long d = 0; d < num_dilations; d++) {
                real *feature = features + (n * num_dilations + d) * 2 * groups * COMPETING;
                for (long g = 0; g < groups; g++, feature += COMPETING) {
                    const real *w = weights + (d * groups + g) * COMPETING * TAPS;
                    const int64_t *chosen = channels + (d * groups + g) * per_group;
                    if (num_channels > 1) {
                        memcpy(series, x + chosen[0] * length, length * sizeof(real));
                        for (long i = 1; i < per_group; i++)
                            for (long t = 0; t < length; t++)
                                series[t] += x[chosen[i] * length + t];
                    }
                    Scores scores;
                    memset(&scores, 0, sizeof scores);
                    ints inside[ROWS];
                    for (long t = 0; t < length; t += ROWS * LANES) {
                        for (int i = 0; i < ROWS; i++)
                            inside[i] = first_lanes(length - t - i * LANES);
                        compete(ROWS, series + t, dilations[d], w, inside, &scores);
                    }
                    for (int k = 0; k < COMPETING; k++) {
                        double greatest = 0, smallest = 0;
                        for (int lane = 0; lane < LANES; lane++) {
                            greatest += scores.greatest[k][lane];
                            smallest += scores.smallest[k][lane];
                        }
                        feature[k] = (real)greatest;
                        feature[groups * COMPETING + k] = (real)smallest;
                    }
                }
            }
        }
        free(memory);
    }
    return failed;
}
