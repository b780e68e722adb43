/* MiniRocket's features of a case: of each response, the share above each of some biases. */

#include "responses.h"

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

/* Features (F,) of signals (C, L), of the responses `r`. Channels (D * 84, C), biases (F,);
   `per_dilation`: features of a kernel at each dilation. */
static void minirocket_case(Responses *r, const real *x, const int64_t *dilations,
                            const int64_t *per_dilation, const uint8_t *channels,
                            const real *biases, real *features) {
    const Shape *shape = r->shape;
    const real *alpha, *gamma;
    begin_case(r, x);
    for (long d = 0; d < shape->num_dilations; d++) {
        begin_dilation(r, x, dilations[d]);
        for (int k = 0; k < KERNELS; k++, channels += shape->channels) {
            if (k == 0 || shape->channels > 1) choose_channels(r, channels, &alpha, &gamma);
            if (k == 0 || shape->channels > 1 || !same_pair(k, k - 1))
                add_pair(r, alpha, gamma, dilations[d], k);
            const real *last = gamma + shift(r, dilations[d], kernel_taps[k][2]);
            long begin, end;
            positions(shape, dilations[d], d, k, &begin, &end);
            count_above(r->pair, last, begin, end, biases, per_dilation[d], features);
            biases += per_dilation[d];
            features += per_dilation[d];
        }
    }
}
