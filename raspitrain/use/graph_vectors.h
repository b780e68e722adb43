/* The kernels of graph.h in vectors of fp32. */

#if defined(__aarch64__)
INLINE vec over(vec a, vec b) { return vdivq_f32(a, b); }
INLINE vec larger_of(vec a, vec b) { return vmaxq_f32(a, b); }
/* y times two to the power that stands in the last bits of `shifted` */
INLINE vec raised(vec y, vec shifted) {
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(y),
                                           vshlq_n_s32(vreinterpretq_s32_f32(shifted), 23)));
}
#else
INLINE vec over(vec a, vec b) { return _mm256_div_ps(a, b); }
INLINE vec larger_of(vec a, vec b) {
    return _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}
INLINE vec raised(vec y, vec shifted) {
    return _mm256_castsi256_ps(_mm256_add_epi32(
        _mm256_castps_si256(y), _mm256_slli_epi32(_mm256_castps_si256(shifted), 23)));
}
#endif

INLINE vec exponential(vec x) {
    x = at_most(at_least(x, splat(-87)), splat(88));
    const vec shifted = fused(x, splat(1.44269504f), splat(12582912.0f));
    const vec n = add(shifted, splat(-12582912.0f));
    const vec r = fused(n, splat(2.12194440e-4f), fused(n, splat(-0.693359375f), x));
    vec p = fused(splat(1.9875691500e-4f), r, splat(1.3981999507e-3f));
    p = fused(p, r, splat(8.3334519073e-3f));
    p = fused(p, r, splat(4.1665795894e-2f));
    p = fused(p, r, splat(1.6666665459e-1f));
    p = fused(p, r, splat(5.0000001201e-1f));
    return raised(add(fused(p, times(r, r), r), splat(1)), shifted);
}

INLINE vec sigmoid(vec x) {
    return over(splat(1), add(splat(1), exponential(times(x, splat(-1)))));
}

INLINE vec gelu(vec x) {
    const vec magnitude = at_least(x, times(x, splat(-1)));
    const vec t = over(splat(1), fused(magnitude, splat(0.3275911f * 0.70710678f), splat(1)));
    vec p = fused(splat(1.061405429f), t, splat(-1.453152027f));
    p = fused(p, t, splat(1.421413741f));
    p = fused(p, t, splat(-0.284496736f));
    p = fused(p, t, splat(0.254829592f));
    p = times(times(p, t), exponential(times(times(x, x), splat(-0.5f))));
    return fused(times(magnitude, splat(-0.5f)), p, at_least(x, splat(0)));
}

INLINE vec activate_any(vec x, int act) {
    switch (act) {
        case RELU: return activate(x, RELU);
        case RELU6: return activate(x, RELU6);
        case HARDSWISH: return activate(x, HARDSWISH);
        case HARD_SIGMOID: return activate(x, HARD_SIGMOID);
        case SIGMOID: return sigmoid(x);
        case TANH: return fused(sigmoid(add(x, x)), splat(2), splat(-1));
        case SILU: return times(x, sigmoid(x));
        case GELU: return gelu(x);
        default: return x;
    }
}

/* `outs` positions of a vector of channels. */
INLINE void depthwise_tile(const int outs, const Layer *layer, const float *x, long width,
                           const float *taps, vec bias, float *y) {
    const long step = layer->stride * width, tap = layer->dilation * width;
    vec values[4];
    UNROLL for (int l = 0; l < outs; l++) values[l] = bias;
    for (long k = 0; k < layer->kernel; k++, x += tap, taps += width) {
        const vec factor = load(taps);
        UNROLL for (int l = 0; l < outs; l++)
            values[l] = fused(factor, load(x + l * step), values[l]);
    }
    UNROLL for (int l = 0; l < outs; l++)
        store(y + l * width, activate_any(values[l], layer->act));
}

TARGET static void graph_depthwise_vectors(const Layer *layer, const float *x, long width,
                                           long num_rows, float *y) {
    const long step = layer->stride * width;
    for (long c = 0; c < width; c += LANES) {
        const vec bias = load(layer->bias + c);
        const float *from = x + c, *taps = layer->taps + c;
        float *to = y + c;
        long l = 0;
        for (; l + 4 <= num_rows; l += 4, from += 4 * step, to += 4 * width)
            depthwise_tile(4, layer, from, width, taps, bias, to);
        for (; l < num_rows; l++, from += step, to += width)
            depthwise_tile(1, layer, from, width, taps, bias, to);
    }
}

TARGET static void graph_largest_vectors(const float *x, long num_rows, long width, float *y) {
    for (long c = 0; c < width; c += LANES) {
        vec largest = load(x + c);
        for (long row = 1; row < num_rows; row++)
            largest = larger_of(largest, load(x + row * width + c));
        store(y + c, largest);
    }
}

TARGET static void graph_add_vectors(const float *x, const float *other, long count, int act,
                                     float *y) {
    for (long k = 0; k < count; k += LANES)
        store(y + k, activate_any(add(load(x + k), load(other + k)), act));
}

TARGET static void graph_activate_vectors(float *x, long count, int act) {
    for (long k = 0; k < count; k += LANES) store(x + k, activate_any(load(x + k), act));
}

static const GraphKernels graph_vectors = {
    graph_depthwise_vectors,
    graph_largest_vectors,
    graph_add_vectors,
    graph_activate_vectors,
};
