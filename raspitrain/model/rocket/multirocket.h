/* MultiRocket's features of a case: four of every response and bias. */

#include "responses.h"

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

/* Reals of memory that `multirocket_case` takes, to begin at a multiple of 64 bytes. */
static long multirocket_size(const Shape *shape) {
    return LANES * shape->length + padded(shape->length);
}

/* As minirocket_case, but features (4, F) are four of every response: the share of positions above
   the bias, the longest stretch not below it, the mean of response and bias where it is above, and
   the mean of those positions. */
static void multirocket_case(Responses *r, const real *x, const int64_t *dilations,
                             const int64_t *per_dilation, const uint8_t *channels,
                             const real *biases, real *memory, real *features, long num_features) {
    const Shape *shape = r->shape;
    const real *alpha, *gamma;
    vec *together = (vec *)memory;
    real *row = (real *)(together + shape->length);
    begin_case(r, x);
    for (long d = 0; d < shape->num_dilations; d++) {
        long per_kernel = per_dilation[d];
        begin_dilation(r, x, dilations[d]);
        for (int parity = 0; parity < 2; parity++)
            for (int first = parity; first < KERNELS; first += 2 * LANES) {
                int many = (KERNELS - first + 1) / 2;
                if (many > LANES) many = LANES;
                long begin, end;
                positions(shape, dilations[d], d, first, &begin, &end);
                for (int lane = 0; lane < many; lane++) {
                    int k = first + 2 * lane;
                    choose_channels(r, channels + k * shape->channels, &alpha, &gamma);
                    add_pair(r, alpha, gamma, dilations[d], k);
                    add_last(r, gamma, dilations[d], k, row);
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
                            these[i][lane] = biases[(first + 2 * lane) * per_kernel + f + i];
                    if (num == 2)
                        pool(2, together, end - begin, these, pools);
                    else
                        pool(1, together, end - begin, these, pools);
                    for (int i = 0; i < num; i++)
                        store_pools(&pools[i], end - begin, &these[i], many, 2 * per_kernel,
                                    features + first * per_kernel + f + i, num_features);
                }
            }
        channels += KERNELS * shape->channels;
        biases += KERNELS * per_kernel;
        features += KERNELS * per_kernel;
    }
}
