/* Hydra's features of a case: how groups of eight kernels compete at every position. */

#include "responses.h"

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

/* Reals of memory that `hydra_case` takes: zeros, the signal, zeros. */
static long hydra_size(long length, long widest) {
    return padded(length + 2 * HALF * widest) + LANES * ROWS;
}

/* Features (D, 2, groups * 8) of signals (C, L): sums of greatest answers, then how often an answer
   is the smallest. weights (D, groups * 8, 9), channels (D, groups, per_group): which are added up
   for a group. `memory` holds zeros at first, and afterwards where it did not hold the signal. */
static void hydra_case(const real *x, long num_channels, long length, long num_dilations,
                       const int64_t *dilations, long groups, const real *weights,
                       const int64_t *channels, long per_group, real *memory, real *features) {
    real *series = memory + HALF * largest(dilations, num_dilations);
    if (num_channels == 1) memcpy(series, x, length * sizeof(real));
    for (long d = 0; d < num_dilations; d++, features += groups * COMPETING)
        for (long g = 0; g < groups; g++, features += COMPETING) {
            const real *w = weights + (d * groups + g) * COMPETING * TAPS;
            const int64_t *chosen = channels + (d * groups + g) * per_group;
            if (num_channels > 1) {
                memcpy(series, x + chosen[0] * length, length * sizeof(real));
                for (long i = 1; i < per_group; i++)
                    for (long t = 0; t < length; t++) series[t] += x[chosen[i] * length + t];
            }
            Scores scores;
            memset(&scores, 0, sizeof scores);
            ints inside[ROWS];
            for (long t = 0; t < length; t += ROWS * LANES) {
                for (int i = 0; i < ROWS; i++) inside[i] = first_lanes(length - t - i * LANES);
                compete(ROWS, series + t, dilations[d], w, inside, &scores);
            }
            for (int k = 0; k < COMPETING; k++) {
                double greatest = 0, smallest = 0;
                for (int lane = 0; lane < LANES; lane++) {
                    greatest += scores.greatest[k][lane];
                    smallest += scores.smallest[k][lane];
                }
                features[k] = (real)greatest;
                features[groups * COMPETING + k] = (real)smallest;
            }
        }
}
