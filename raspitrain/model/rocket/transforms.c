/* Features of signals by fixed convolutions, case by case: MiniRocket, MultiRocket and Hydra.

   native.py compiles this file for the machine it finds and calls it; it holds no state. Every
   case is one thread's work, so the numbers do not depend on how many threads there are. The
   features of a case stand in headers, which the engine of a model file has, too.

   Letters: N cases, C channels, L length, D dilations, F features. Every function returns 0, or 1
   where memory is short. */

#include "minirocket.h"
#include "multirocket.h"
#include "hydra.h"

/* signals (N, C, L), channels (D * 84, C), biases (F,) -> features (N, F): see minirocket.h. */
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
        for (long n = 0; n < num_cases; n++)
            if (memory)
                minirocket_case(&r, signals + n * shape->channels * shape->length, dilations,
                                per_dilation, channels, biases, features + n * num_features);
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

/* As minirocket, but features (N, 4, F) are four of every response: see multirocket.h. */
int multirocket(const Shape *shape, long num_cases, const real *signals, const int64_t *dilations,
                const int64_t *per_dilation, const uint8_t *channels, const real *biases,
                real *features, long num_features, int num_threads) {
    long widest = largest(dilations, shape->num_dilations);
    long size = (responses_size(shape, widest) + LANES - 1) / LANES * LANES;
    int failed = 0;
    (void)num_threads;
#ifdef _OPENMP
#pragma omp parallel num_threads(num_threads) reduction(| : failed)
#endif
    {
        real *memory = NULL;
        failed = posix_memalign((void **)&memory, 64,
                                (size + multirocket_size(shape)) * sizeof(real)) != 0;
        Responses r = {0};
        if (!failed) r = make_responses(shape, widest, memory);
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
        for (long n = 0; n < num_cases; n++)
            if (!failed)
                multirocket_case(&r, signals + n * shape->channels * shape->length, dilations,
                                 per_dilation, channels, biases, memory + size,
                                 features + n * 4 * num_features, num_features);
        free(memory);
    }
    return failed;
}

/* features (N, D, 2, groups * 8) of signals (N, C, L): see hydra.h. */
int hydra(long num_cases, long num_channels, long length, const real *signals, long num_dilations,
          const int64_t *dilations, long groups, const real *weights, const int64_t *channels,
          long per_group, real *features, int num_threads) {
    long size = hydra_size(length, largest(dilations, num_dilations));
    int failed = 0;
    (void)num_threads;
#ifdef _OPENMP
#pragma omp parallel num_threads(num_threads) reduction(| : failed)
#endif
    {
        real *memory = calloc(size, sizeof(real));
        failed = memory == NULL;
#ifdef _OPENMP
#pragma omp for schedule(static)
#endif
        for (long n = 0; n < num_cases; n++)
            if (!failed)
                hydra_case(signals + n * num_channels * length, num_channels, length,
                           num_dilations, dilations, groups, weights, channels, per_group, memory,
                           features + n * num_dilations * 2 * groups * COMPETING);
        free(memory);
    }
    return failed;
}
