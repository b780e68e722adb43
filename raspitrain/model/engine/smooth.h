/* Activations that are built on exp and erf, and their slopes; included by vectors.h. */

#pragma once

/* e^x: 2^n times the series of the rest, which lies between -ln 2 / 2 and ln 2 / 2. */
INLINE vec exponential(vec x) {
#ifdef DOUBLE
    enum { TERMS = 14, BIAS = 1023, SHIFT = 52 };
    const real most = 708;
#else
    enum { TERMS = 8, BIAS = 127, SHIFT = 23 };
    const real most = 87;
#endif
    x = at_most(at_least(x, splat(-most)), splat(most));
    const vec big = splat(REAL_BYTES == 8 ? (real)6755399441055744.0 : (real)12582912.0);
    const vec n = (x * (real)1.4426950408889634074 + big) - big; /* rounded to a whole number */
    const vec r = (x - n * (real)0.693145751953125) - n * (real)1.42860682030941723212e-6;
    vec sum = splat(1);
    UNROLL for (int i = TERMS - 1; i > 0; i--) sum = sum * (r * (real)(1.0 / i)) + splat(1);
    const mask power = (__builtin_convertvector(n, mask) + BIAS) << SHIFT;
    return sum * (vec)power;
}

INLINE vec sigmoid(vec y) { return splat(1) / (splat(1) + exponential(-y)); }

/* The share of a standard normal distribution that lies below y. */
INLINE vec normal_share(vec y) {
    vec share;
    for (int lane = 0; lane < LANES; lane++)
        share[lane] = (real)(0.5 * erfc(-0.70710678118654752440 * (double)y[lane]));
    return share;
}

INLINE vec smooth(vec y, int act) {
    if (act == SIGMOID) return sigmoid(y);
    if (act == SILU) return y * sigmoid(y);
    return y * normal_share(y);
}

INLINE vec smooth_slope(vec y, int act) {
    if (act == GELU)
        return normal_share(y) + y * ((real)0.39894228040143267794 * exponential(y * y * (real)-0.5));
    const vec s = sigmoid(y), rising = s * (splat(1) - s);
    if (act == SIGMOID) return rising;
    return s + y * rising;
}
