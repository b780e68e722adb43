/* The kernels in plain C99, for any processor.

   Sums are fused multiply-adds, as in vectors.h: an int8 network rounds what it adds up, and a last
   bit that differs may become a step. An old PC takes double instead, which differs from it once in
   hundreds of millions; a processor without floating point does neither. */

#if defined(FP_FAST_FMAF) || defined(__FP_FAST_FMAF)
#define FMA(a, b, c) fmaf(a, b, c)
#elif defined(__x86_64__)
#define FMA(a, b, c) (float)((double)(a) * (b) + (c))
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif

static float hard_sigmoid_plain(float y) {
    y = FMA(y, 1.0f / 6, 0.5f);
    return y < 0 ? 0 : y > 1 ? 1 : y; /* what is not a number stays so */
}

static float activate_plain(float y, int act) {
    switch (act) {
        case RELU: return y < 0 ? 0 : y;
        case RELU6: return y < 0 ? 0 : y > 6 ? 6 : y;
        case HARDSWISH: return y * hard_sigmoid_plain(y);
        case HARD_SIGMOID: return hard_sigmoid_plain(y);
        default: return y;
    }
}

static void put_plain(const float *sums, Output y, long row, long column) {
    float *to = y.rows + row * y.stride + column;
    const float *residual = y.residual ? y.residual + row * y.stride + column : NULL;
    for (int o = 0; o < PACK; o++) {
        const float value = activate_plain(sums[o], y.act);
        to[o] = residual ? value + residual[o] : value;
    }
}

static void multiply_plain(const Linear *layer, Input x, long num_rows, long first, long last,
                           Output y) {
    const long K = layer->in;
    for (long panel = first; panel < last; panel++)
        for (long row = 0; row < num_rows; row++) {
            const float *at = x.rows + row * x.stride, *weight = layer->weight + panel * K * PACK;
            float sums[PACK];
            for (int o = 0; o < PACK; o++) sums[o] = layer->bias[panel * PACK + o];
            for (long k = 0; k < K; k++, weight += PACK)
                for (int o = 0; o < PACK; o++) sums[o] = FMA(weight[o], at[k], sums[o]);
            put_plain(sums, y, row, (panel - first) * PACK);
        }
}

static void multiply_int8_plain(const Linear *layer, Input x, long num_rows, long first, long last,
                                Output y) {
    const long K = layer->in;
    for (long panel = first; panel < last; panel++)
        for (long row = 0; row < num_rows; row++) {
            const int8_t *at = x.quantised + row * x.bytes;
            const int8_t *weight = layer->quantised + panel * K * PACK;
            int32_t counts[PACK] = {0};
            float sums[PACK];
            for (long k = 0; k < K; k += 4, weight += 4 * PACK)
                for (int o = 0; o < PACK; o++)
                    counts[o] += weight[4 * o] * at[k] + weight[4 * o + 1] * at[k + 1] +
                                 weight[4 * o + 2] * at[k + 2] + weight[4 * o + 3] * at[k + 3];
            for (int o = 0; o < PACK; o++) {
                const long out = panel * PACK + o;
                sums[o] = FMA((float)counts[o], layer->scale[out] * x.scales[row], layer->bias[out]);
            }
            put_plain(sums, y, row, (panel - first) * PACK);
        }
}

/* What a row's values are multiplied by, from the largest magnitude among them. A row with an
   infinite value, or one that is no number, makes its sums such, too. */
static float row_factor(float largest, float *scale) {
    *scale = largest < 1e-30f ? 0 : largest / 127;
    return largest < 1e-30f || !(largest <= FLT_MAX) ? 0 : 127 / largest;
}

/* The nearest integer, the even one of two: what is added leaves no bits for a fraction. */
static int8_t nearest_int8(float x) {
    const float shifted = x + 12582912.0f;
    return (int8_t)(shifted - 12582912.0f);
}

static void quantise_plain(float *x, long stride, long num_rows, long width, const float *gates,
                           int8_t *quantised, long bytes, float *scales) {
    for (long row = 0; row < num_rows; row++, x += stride, quantised += bytes) {
        float largest = 0;
        for (long k = 0; k < width; k++) {
            if (gates) x[k] *= gates[k];
            const float magnitude = x[k] < 0 ? -x[k] : x[k];
            if (!(magnitude <= largest) && largest == largest) largest = magnitude;
        }
        const float factor = row_factor(largest, &scales[row]);
        for (long k = 0; k < width; k++)
            quantised[k] = factor == 0 ? 0 : nearest_int8(x[k] * factor);
    }
}

static void scale_plain(float *x, long stride, long num_rows, long width, const float *gates) {
    for (long row = 0; row < num_rows; row++, x += stride)
        for (long k = 0; k < width; k++) x[k] *= gates[k];
}

static void depthwise_plain(const Block *block, const float *x, long strip, long channel,
                            long width, float *y, float *means) {
    const long E = block->expanded, L = block->length_out;
    for (long c = 0; c < width; c++) {
        const float *taps = block->taps + channel + c;
        float *to = y + channel + c, sum = 0;
        for (long l = 0; l < L; l++) {
            float value = block->bias[channel + c];
            const float *from = x + l * block->stride * strip + c;
            for (long k = 0; k < block->kernel; k++)
                value = FMA(taps[k * E], from[k * strip], value);
            to[l * E] = value = activate_plain(value, block->act);
            sum += value;
        }
        means[channel + c] = sum * (1.0f / (float)L);
    }
}

static void mean_plain(const float *x, long stride, long num_rows, long width, float *means) {
    for (long c = 0; c < width; c++) {
        float sum = 0;
        for (long row = 0; row < num_rows; row++) sum += x[row * stride + c];
        means[c] = sum * (1.0f / (float)num_rows);
    }
}

static const Kernels plain = {
    "plain C",      PACK,           0,           multiply_plain,  multiply_int8_plain,
    quantise_plain, scale_plain, depthwise_plain, mean_plain,
};
