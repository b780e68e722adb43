/* The kernels in vectors of fp32: NEON (LANES 4) and AVX2 (LANES 8).

   A tile of the products is up to TALL rows by two panels, and keeps its sums in registers. Sums
   are fused multiply-adds in the order of the inputs on every processor, so that the same window
   has the same logits, to the bit, wherever vectors are at work. */

#define INLINE static inline __attribute__((always_inline)) TARGET
#define UNROLL _Pragma("GCC unroll 16")
enum { TALL = 6 };

#if defined(__aarch64__)
enum { LANES = 4 };
typedef float32x4_t vec;
INLINE vec load(const float *p) { return vld1q_f32(p); }
INLINE void store(float *p, vec v) { vst1q_f32(p, v); }
INLINE vec splat(float x) { return vdupq_n_f32(x); }
INLINE vec add(vec a, vec b) { return vaddq_f32(a, b); }
INLINE vec times(vec a, vec b) { return vmulq_f32(a, b); }
INLINE vec fused(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); } /* a b + c */
INLINE vec at_least(vec y, vec low) { return vmaxq_f32(y, low); }
INLINE vec at_most(vec y, vec high) { return vminq_f32(y, high); }
#else
enum { LANES = 8 };
typedef __m256 vec;
INLINE vec load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void store(float *p, vec v) { _mm256_storeu_ps(p, v); }
INLINE vec splat(float x) { return _mm256_set1_ps(x); }
INLINE vec add(vec a, vec b) { return _mm256_add_ps(a, b); }
INLINE vec times(vec a, vec b) { return _mm256_mul_ps(a, b); }
INLINE vec fused(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
/* The second of the two is what comes out where one is not a number. */
INLINE vec at_least(vec y, vec low) { return _mm256_max_ps(low, y); }
INLINE vec at_most(vec y, vec high) { return _mm256_min_ps(high, y); }
#endif
enum { PARTS = PACK / LANES }; /* vectors of a panel */

/* Keeps an address in a register of its own, where the compiler would add it up at every load. */
#define OWN(address) __asm__("" : "+r"(address))

INLINE vec hard_sigmoid(vec y) {
    return at_most(at_least(fused(y, splat(1.0f / 6), splat(0.5f)), splat(0)), splat(1));
}

INLINE vec activate(vec y, const int act) {
    if (act == RELU) return at_least(y, splat(0));
    if (act == RELU6) return at_most(at_least(y, splat(0)), splat(6));
    if (act == HARDSWISH) return times(y, hard_sigmoid(y));
    if (act == HARD_SIGMOID) return hard_sigmoid(y);
    return y;
}

/* ---------------------------------------------------------------- products */

INLINE void put_as(const int rows, const int panels, vec sums[TALL][2 * PARTS], Output y,
                   const int act) {
    UNROLL for (int r = 0; r < rows; r++) {
        float *to = y.rows + r * y.stride;
        UNROLL for (int j = 0; j < panels * PARTS; j++)
            store(to + j * LANES, activate(sums[r][j], act));
    }
}

INLINE void put(const int rows, const int panels, vec sums[TALL][2 * PARTS], Output y) {
    switch (y.act) {
        case RELU: put_as(rows, panels, sums, y, RELU); break;
        case RELU6: put_as(rows, panels, sums, y, RELU6); break;
        case HARDSWISH: put_as(rows, panels, sums, y, HARDSWISH); break;
        case HARD_SIGMOID: put_as(rows, panels, sums, y, HARD_SIGMOID); break;
        default: put_as(rows, panels, sums, y, IDENTITY);
    }
}

INLINE void put_added(const int rows, const int panels, vec sums[TALL][2 * PARTS], Output y) {
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < panels * PARTS; j++) {
            vec value = sums[r][j]; /* an activation before the sum is rare: the blog's network */
            if (y.act == RELU6) value = activate(value, RELU6);
            if (y.act == RELU) value = activate(value, RELU);
            if (y.act == HARDSWISH) value = activate(value, HARDSWISH);
            store(y.rows + r * y.stride + j * LANES,
                  add(value, load(y.residual + r * y.stride + j * LANES)));
        }
}

INLINE Input input_at(Input x, long row) {
    x.rows += row * x.stride;
    x.quantised += row * x.bytes;
    x.scales += row;
    return x;
}

INLINE Output output_at(Output y, long row, long column) {
    y.rows += row * y.stride + column;
    if (y.residual) y.residual += row * y.stride + column;
    return y;
}

/* body(rows, panels, layer, panel, x, y) for all tiles: rows in portions as equal as can be. */
#define FOR_TILES(body, most)                                                                    \
    const long portions = (num_rows + most - 1) / most;                                          \
    for (long panel = first; panel < last; panel += 2)                                           \
        for (long row = 0, portion = 0; portion < portions; portion++) {                         \
            const long rows = (num_rows + portion) / portions;                                   \
            const Input x_at = input_at(x, row);                                                 \
            const Output y_at = output_at(y, row, (panel - first) * PACK);                       \
            row += rows;                                                                         \
            if (panel + 1 < last) {                                                              \
                TILE_OF(body, most, 2)                                                           \
            } else {                                                                             \
                TILE_OF(body, most, 1)                                                           \
            }                                                                                    \
        }
#define TILE_OF(body, most, panels)                                                              \
    switch (rows) {                                                                              \
        case 1: body(1, panels, layer, panel, x_at, y_at); break;                                \
        case 2: body(2, panels, layer, panel, x_at, y_at); break;                                \
        case 3: if (most >= 3) body(3, panels, layer, panel, x_at, y_at); break;                 \
        case 4: if (most >= 4) body(4, panels, layer, panel, x_at, y_at); break;                 \
        case 5: if (most >= 5) body(5, panels, layer, panel, x_at, y_at); break;                 \
        case 6: if (most >= 6) body(6, panels, layer, panel, x_at, y_at); break;                 \
    }

INLINE void tile(const int rows, const int panels, const Linear *layer, long panel, Input x,
                 Output y) {
    const long K = layer->in;
    const float *weight = layer->weight + panel * K * PACK, *end = weight + K * PACK;
    const float *second = weight + (panels - 1) * K * PACK;
    const float *at[TALL];
    vec sums[TALL][2 * PARTS];
    UNROLL for (int r = 0; r < rows; r++) {
        at[r] = x.rows + r * x.stride;
        UNROLL for (int j = 0; j < panels * PARTS; j++)
            sums[r][j] = load(layer->bias + panel * PACK + j * LANES);
    }
    OWN(second);
    for (; weight < end; weight += 4 * PACK, second += 4 * PACK) {
#if defined(__aarch64__)
        vec four[TALL];
        UNROLL for (int r = 0; r < rows; r++) four[r] = load(at[r]);
#define STEP(k)                                                                                  \
    UNROLL for (int p = 0; p < panels; p++) {                                                    \
        const float *from = (p ? second : weight) + (k) * PACK;                                  \
        const vec w0 = load(from), w1 = load(from + LANES);                                      \
        UNROLL for (int r = 0; r < rows; r++)                                                    \
            sums[r][2 * p] = vfmaq_laneq_f32(sums[r][2 * p], w0, four[r], k);                    \
        UNROLL for (int r = 0; r < rows; r++)                                                    \
            sums[r][2 * p + 1] = vfmaq_laneq_f32(sums[r][2 * p + 1], w1, four[r], k);            \
    }
#else
#define STEP(k)                                                                                  \
    UNROLL for (int r = 0; r < rows; r++) {                                                      \
        const vec element = splat(at[r][k]);                                                     \
        UNROLL for (int p = 0; p < panels; p++)                                                  \
            sums[r][p] = fused(load((p ? second : weight) + (k) * PACK), element, sums[r][p]);   \
    }
#endif
        STEP(0)
        STEP(1)
        STEP(2)
        STEP(3)
#undef STEP
        UNROLL for (int r = 0; r < rows; r++) at[r] += 4;
    }
    if (y.residual)
        put_added(rows, panels, sums, y);
    else
        put(rows, panels, sums, y);
}

TARGET static void multiply_vectors(const Linear *layer, Input x, long num_rows, long first,
                                    long last, Output y) {
    FOR_TILES(tile, TALL)
}

/* ---------------------------------------------------------------- depthwise convolution */

/* `outs` positions of a vector of channels; returns their sum, added to `sum` one by one. */
INLINE vec convolve(const int outs, const int kernel, const int stride, const int act,
                    const vec *taps, vec bias, const float *x, long strip, float *y, long E,
                    vec sum) {
    vec values[4];
    UNROLL for (int l = 0; l < outs; l++) values[l] = bias;
    UNROLL for (int i = 0; i < (outs - 1) * stride + kernel; i++) {
        const vec from = load(x + i * strip);
        UNROLL for (int l = 0; l < outs; l++)
            if (i >= l * stride && i < l * stride + kernel)
                values[l] = fused(taps[i - l * stride], from, values[l]);
    }
    UNROLL for (int l = 0; l < outs; l++) {
        values[l] = activate(values[l], act);
        sum = add(sum, values[l]);
        store(y + l * E, values[l]);
    }
    return sum;
}

INLINE void depthwise_as(const int kernel, const int stride, const int act, const Block *block,
                         const float *x, long strip, long channel, long width, float *y,
                         float *means) {
    const long E = block->expanded, L = block->length_out;
    for (long c = 0; c < width; c += LANES, channel += LANES, x += LANES) {
        const vec bias = load(block->bias + channel);
        const float *from = x;
        float *to = y + channel;
        vec taps[5], sum = splat(0);
        UNROLL for (int k = 0; k < kernel; k++) taps[k] = load(block->taps + k * E + channel);
        long l = 0;
        for (; l + 4 <= L; l += 4, from += 4 * stride * strip, to += 4 * E)
            sum = convolve(4, kernel, stride, act, taps, bias, from, strip, to, E, sum);
        if (L - l >= 2) {
            sum = convolve(2, kernel, stride, act, taps, bias, from, strip, to, E, sum);
            l += 2, from += 2 * stride * strip, to += 2 * E;
        }
        if (l < L) sum = convolve(1, kernel, stride, act, taps, bias, from, strip, to, E, sum);
        store(means + channel, times(sum, splat(1.0f / (float)L)));
    }
}

#define DEPTHWISE(kernel, stride, act)                                                           \
    depthwise_as(kernel, stride, act, block, x, strip, channel, width, y, means)
#define DEPTHWISE_ACT(kernel, stride)                                                            \
    switch (block->act) {                                                                        \
        case RELU: DEPTHWISE(kernel, stride, RELU); break;                                       \
        case RELU6: DEPTHWISE(kernel, stride, RELU6); break;                                     \
        default: DEPTHWISE(kernel, stride, HARDSWISH);                                           \
    }

TARGET static void depthwise_vectors(const Block *block, const float *x, long strip, long channel,
                                     long width, float *y, float *means) {
    if (block->kernel == 3 && block->stride == 1) {
        DEPTHWISE_ACT(3, 1)
    } else if (block->kernel == 3) {
        DEPTHWISE_ACT(3, 2)
    } else if (block->stride == 1) {
        DEPTHWISE_ACT(5, 1)
    } else {
        DEPTHWISE_ACT(5, 2)
    }
}

/* ---------------------------------------------------------------- the rest */

TARGET static void scale_vectors(float *x, long stride, long num_rows, long width,
                                 const float *gates) {
    for (long k = 0; k < width; k += LANES) {
        const vec gate = load(gates + k);
        for (long row = 0; row < num_rows; row++)
            store(x + row * stride + k, times(load(x + row * stride + k), gate));
    }
}

TARGET static void mean_vectors(const float *x, long stride, long num_rows, long width,
                                float *means) {
    for (long k = 0; k < width; k += LANES) {
        vec sum = splat(0);
        for (long row = 0; row < num_rows; row++) sum = add(sum, load(x + row * stride + k));
        store(means + k, times(sum, splat(1.0f / (float)num_rows)));
    }
}
