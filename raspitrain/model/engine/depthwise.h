/* Depthwise convolution of one stream, with the activation before it. */

#pragma once

#include "norm.h"

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
