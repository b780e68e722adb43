/* Batch normalisation with what follows it: activation, addition, means; and their gradients. */

#pragma once

#include "vectors.h"

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

/* Four rows at once, then the rest one by one: what is loaded before anything is stored comes two
   vectors to a load. The body does EACH `u` of `fours` rows. */
#define EACH UNROLL for (int u = 0; u < fours; u++)
#define IN_FOURS(r, rows, ...)                                   \
    {                                                            \
        long r = 0;                                              \
        for (; r + 4 <= (rows); r += 4) {                        \
            enum { fours = 4 };                                  \
            __VA_ARGS__                                          \
        }                                                        \
        for (; r < (rows); r++) {                                \
            enum { fours = 1 };                                  \
            __VA_ARGS__                                          \
        }                                                        \
    }

/* a = act(y) + residual */
INLINE void normalise_body(const vec *z, Affine f, const vec *residual, vec *a, long rows, int act) {
    IN_FOURS(r, rows, vec y[4];
             EACH y[u] = activate((z[r + u] - f.mean) * f.scale + f.shift, act);
             if (residual) EACH y[u] += residual[r + u];
             EACH a[r + u] = y[u];)
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
        const vec *from_da = da + begin, *from_z = z + begin;
        vec *to_dy = dy + begin, *to_a = a ? a + begin : 0;
        IN_FOURS(r, end - begin, vec d[4]; vec g[4]; vec y[4];
                 EACH d[u] = from_z[r + u] - f.mean;
                 EACH y[u] = d[u] * f.scale + f.shift;
                 EACH g[u] = from_da[r + u];
                 if (act != IDENTITY) EACH g[u] *= slope(y[u], act);
                 if (a) EACH to_a[r + u] = activate(y[u], act);
                 EACH to_dy[r + u] = g[u];
                 EACH s += g[u];
                 EACH s_z += g[u] * d[u];)
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
    IN_FOURS(r, rows, vec each[4];
             EACH each[u] = dy[r + u] * g.a + ((z[r + u] - mean) * g.b + g.c);
             EACH dz[r + u] = each[u];)
}
