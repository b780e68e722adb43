/* The kernels of graph.h in plain C99; the sums and the steps of graph_vectors.h. */

typedef union {
    float value;
    uint32_t bits;
} Float;

/* Coefficients of Cephes' expf (S. Moshier). */
static float exponential_plain(float x) {
    x = x < -87 ? -87 : x > 88 ? 88 : x;
    const Float shifted = {FMA(x, 1.44269504f, 12582912.0f)}; /* its last bits: the power of two */
    const float n = shifted.value - 12582912.0f;
    float r = FMA(n, -0.693359375f, x);
    r = FMA(n, 2.12194440e-4f, r);
    float p = FMA(1.9875691500e-4f, r, 1.3981999507e-3f);
    p = FMA(p, r, 8.3334519073e-3f);
    p = FMA(p, r, 4.1665795894e-2f);
    p = FMA(p, r, 1.6666665459e-1f);
    p = FMA(p, r, 5.0000001201e-1f);
    Float y = {FMA(p, r * r, r) + 1};
    y.bits += shifted.bits << 23;
    return y.value;
}

static float sigmoid_plain(float x) { return 1 / (1 + exponential_plain(-x)); }

/* By the error function of Abramowitz and Stegun, 7.1.26. */
static float gelu_plain(float x) {
    const float magnitude = x < 0 ? -x : x;
    const float t = 1 / FMA(magnitude, 0.3275911f * 0.70710678f, 1);
    float p = FMA(1.061405429f, t, -1.453152027f);
    p = FMA(p, t, 1.421413741f);
    p = FMA(p, t, -0.284496736f);
    p = FMA(p, t, 0.254829592f);
    p = p * t * exponential_plain(x * x * -0.5f);
    return FMA(magnitude * -0.5f, p, x < 0 ? 0 : x);
}

static float activate_any_plain(float x, int act) {
    switch (act) {
        case SIGMOID: return sigmoid_plain(x);
        case TANH: return FMA(sigmoid_plain(x + x), 2, -1);
        case SILU: return x * sigmoid_plain(x);
        case GELU: return gelu_plain(x);
        default: return activate_plain(x, act);
    }
}

static void graph_depthwise_plain(const Layer *layer, const float *x, long width, long num_rows,
                                  float *y) {
    const long step = layer->stride * width, tap = layer->dilation * width;
    for (long l = 0; l < num_rows; l++, x += step, y += width)
        for (long c = 0; c < width; c++) {
            float value = layer->bias[c];
            for (long k = 0; k < layer->kernel; k++)
                value = FMA(layer->taps[k * width + c], x[k * tap + c], value);
            y[c] = activate_any_plain(value, layer->act);
        }
}

static void graph_largest_plain(const float *x, long num_rows, long width, float *y) {
    for (long c = 0; c < width; c++) {
        float largest = x[c];
        for (long row = 1; row < num_rows; row++) /* what is not a number stays so */
            if (!(x[row * width + c] <= largest) && largest == largest)
                largest = x[row * width + c];
        y[c] = largest;
    }
}

static void graph_add_plain(const float *x, const float *other, long count, int act, float *y) {
    for (long k = 0; k < count; k++) y[k] = activate_any_plain(x[k] + other[k], act);
}

static void graph_activate_plain(float *x, long count, int act) {
    for (long k = 0; k < count; k++) x[k] = activate_any_plain(x[k], act);
}

static const GraphKernels graph_plain = {
    graph_depthwise_plain,
    graph_largest_plain,
    graph_add_plain,
    graph_activate_plain,
};
