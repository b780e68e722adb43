/* Roots and logarithms without the C library: the same to the bit everywhere, and on a
   microcontroller that has none. */

#include <stdint.h>

typedef union {
    double value;
    uint64_t bits;
} Double;

static double square_root(double x) {
    Double root = {x};
    if (!(x > 0) || x - x != 0) return x;
    root.bits = (root.bits >> 1) + ((uint64_t)1023 << 51); /* half the exponent: 6 % off at most */
    for (int k = 0; k < 5; k++) root.value = 0.5 * (root.value + x / root.value);
    return root.value;
}

/* Of a normal number above 0. */
static double natural_logarithm(double x) {
    Double mantissa = {x};
    int exponent = (int)(mantissa.bits >> 52) - 1023;
    mantissa.bits = (mantissa.bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1023 << 52;
    if (mantissa.value > 1.4142135623730951) {
        mantissa.value /= 2;
        exponent++;
    }
    const double s = (mantissa.value - 1) / (mantissa.value + 1);
    double sum = 0;
    for (int k = 19; k > 0; k -= 2) sum = sum * s * s + 1.0 / k; /* log((1 + s) / (1 - s)) */
    return 2 * s * sum + 0.6931471805599453 * exponent;
}
