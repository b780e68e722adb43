/* The products of int8 in vectors, for one way a processor has of multiplying bytes. Included once
   for each: SET(name) gives its names, DOT says how.

   DOT_LANE   SDOT (Armv8.2): four products a sum, one row's bytes by lane
   DOT_PAIRS  SMULL, SMLAL, SADALP (Armv8.0): |w|, |x| <= 127, so two products fit 16 bits
   DOT_SIGN   VPMADDUBSW (AVX2): |x| unsigned, w with x's sign
   DOT_VNNI   VPDPBUSD: x + 128 unsigned, the sums less 128 times those of w: Linear.offset */

/* ---------------------------------------------------------------- rows to int8 */

#if defined(__aarch64__)
INLINE int16x8_t SET(eight)(const float *x, vec factor) {
    const int32x4_t low = vcvtnq_s32_f32(times(load(x), factor));
    const int32x4_t high = vcvtnq_s32_f32(times(load(x + 4), factor));
    return vuzp1q_s16(vreinterpretq_s16_s32(low), vreinterpretq_s16_s32(high));
}
INLINE void SET(put_eight)(const float *x, vec factor, int8_t *to) {
    vst1_s8(to, vmovn_s16(SET(eight)(x, factor)));
}
INLINE void SET(put_sixteen)(const float *x, vec factor, int8_t *to) {
    vst1q_s8(to, vuzp1q_s8(vreinterpretq_s8_s16(SET(eight)(x, factor)),
                           vreinterpretq_s8_s16(SET(eight)(x + 8, factor))));
}
INLINE vec SET(larger_magnitude)(vec a, vec v) { return vmaxq_f32(a, vabsq_f32(v)); }
INLINE float SET(largest)(vec v) { return vmaxvq_f32(v); }
#else
INLINE __m128i SET(eight)(const float *x, vec factor) {
    const __m256i words = _mm256_cvtps_epi32(times(load(x), factor));
    return _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}
#if DOT == DOT_VNNI
#define UNSIGNED(bytes) _mm_xor_si128(bytes, _mm_set1_epi8(-128))
#else
#define UNSIGNED(bytes) bytes
#endif
INLINE void SET(put_eight)(const float *x, vec factor, int8_t *to) {
    const __m128i words = SET(eight)(x, factor);
    _mm_storel_epi64((__m128i *)to, UNSIGNED(_mm_packs_epi16(words, words)));
}
INLINE void SET(put_sixteen)(const float *x, vec factor, int8_t *to) {
    const __m128i words = SET(eight)(x, factor);
    _mm_storeu_si128((__m128i *)to,
                     UNSIGNED(_mm_packs_epi16(words, SET(eight)(x + 8, factor))));
}
#undef UNSIGNED
/* As integers, where what is no number is larger than all numbers. */
INLINE vec SET(larger_magnitude)(vec a, vec v) {
    const __m256i bits = _mm256_castps_si256(_mm256_andnot_ps(splat(-0.0f), v));
    return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), bits));
}
INLINE float SET(largest)(vec v) {
    float each[LANES], largest = 0;
    store(each, v);
    for (int i = 0; i < LANES; i++)
        if (!(each[i] <= largest) && largest == largest) largest = each[i];
    return largest;
}
#endif

INLINE vec SET(gated)(float *x, const float *gates, vec largest) {
    vec value = load(x);
    if (gates) {
        value = times(value, load(gates));
        store(x, value);
    }
    return SET(larger_magnitude)(largest, value);
}

INLINE void SET(quantise_row)(float *x, long width, const float *gates, int8_t *quantised,
                              float *scale) {
    vec largest = splat(0), also = splat(0);
    long k = 0;
    for (; k + 16 <= width; k += 16)
        UNROLL for (int i = 0; i < 16; i += 2 * LANES) {
            largest = SET(gated)(x + k + i, gates ? gates + k + i : NULL, largest);
            also = SET(gated)(x + k + i + LANES, gates ? gates + k + i + LANES : NULL, also);
        }
    for (; k < width; k += LANES)
        largest = SET(gated)(x + k, gates ? gates + k : NULL, largest);
    const vec factor = splat(row_factor(SET(largest)(SET(larger_magnitude)(largest, also)), scale));
    for (k = 0; k + 16 <= width; k += 16) SET(put_sixteen)(x + k, factor, quantised + k);
    if (k < width) SET(put_eight)(x + k, factor, quantised + k);
}

TARGET static void SET(quantise)(float *x, long stride, long num_rows, long width,
                                 const float *gates, int8_t *quantised, long bytes,
                                 float *scales) {
    for (long row = 0; row < num_rows; row++, x += stride, quantised += bytes) {
        if (gates)
            SET(quantise_row)(x, width, gates, quantised, scales + row);
        else
            SET(quantise_row)(x, width, NULL, quantised, scales + row);
    }
}

/* ---------------------------------------------------------------- products */

#if defined(__aarch64__)
INLINE vec SET(scaled)(int32x4_t sums, const Linear *layer, long out, float scale) {
    return fused(vcvtq_f32_s32(sums), vmulq_n_f32(load(layer->scale + out), scale),
               load(layer->bias + out));
}
#else
INLINE vec SET(scaled)(__m256i sums, const Linear *layer, long out, float scale) {
    return fused(_mm256_cvtepi32_ps(sums), times(load(layer->scale + out), splat(scale)),
               load(layer->bias + out));
}
#endif

#if DOT == DOT_LANE
enum { SET(tall) = 6 };
INLINE void load_two(const int8_t *from, int8x16_t *w0, int8x16_t *w1) {
#if defined(__clang__)
    *w0 = vld1q_s8(from);
    *w1 = vld1q_s8(from + 16);
#else /* GCC sees no pair in the two loads */
    __asm__("ldp %q0, %q1, %2"
            : "=w"(*w0), "=w"(*w1)
            : "Ump"(*(const int8x16_t *)from), "m"(*(const int8x16_t *)(from + 16)));
#endif
}
#define SDOT(quad)                                                                               \
    UNROLL for (int p = 0; p < panels; p++) {                                                    \
        const int8_t *from = (p ? second : weight) + (quad) * 4 * PACK;                          \
        int8x16_t w0, w1;                                                                        \
        load_two(from, &w0, &w1);                                                                \
        UNROLL for (int r = 0; r < rows; r++)                                                    \
            counts[r][2 * p] = vdotq_laneq_s32(counts[r][2 * p], w0, bytes[r], quad);            \
        UNROLL for (int r = 0; r < rows; r++)                                                    \
            counts[r][2 * p + 1] = vdotq_laneq_s32(counts[r][2 * p + 1], w1, bytes[r], quad);    \
    }
INLINE void SET(tile)(const int rows, const int panels, const Linear *layer, long panel, Input x,
                      Output y) {
    const long K = layer->in;
    const int8_t *weight = layer->quantised + panel * K * PACK, *at[TALL];
    const int8_t *second = weight + (panels - 1) * K * PACK;
    int32x4_t counts[TALL][4];
    int8x16_t bytes[TALL];
    vec sums[TALL][2 * PARTS];
    UNROLL for (int r = 0; r < rows; r++) {
        at[r] = x.quantised + r * x.bytes;
        UNROLL for (int j = 0; j < 2 * panels; j++) counts[r][j] = vdupq_n_s32(0);
    }
    long k = 0;
    OWN(second);
    for (; k + 16 <= K; k += 16, weight += 16 * PACK, second += 16 * PACK) {
        UNROLL for (int r = 0; r < rows; r++) bytes[r] = vld1q_s8(at[r] + k);
        SDOT(0)
        SDOT(1)
        SDOT(2)
        SDOT(3)
    }
    if (k < K) {
        UNROLL for (int r = 0; r < rows; r++)
            bytes[r] = vcombine_s8(vld1_s8(at[r] + k), vdup_n_s8(0));
        SDOT(0)
        SDOT(1)
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < 2 * panels; j++)
            sums[r][j] = SET(scaled)(counts[r][j], layer, panel * PACK + j * LANES, x.scales[r]);
    if (y.residual)
        put_added(rows, panels, sums, y);
    else
        put(rows, panels, sums, y);
}
#undef SDOT

#elif DOT == DOT_PAIRS
enum { SET(tall) = 2 };
INLINE int8x16_t SET(spread)(const int8_t *at) {
    return vreinterpretq_s8_s32(vld1q_dup_s32((const int32_t *)(const void *)at));
}
INLINE void SET(tile)(const int rows, const int panels, const Linear *layer, long panel, Input x,
                      Output y) {
    const long K = layer->in;
    const int8_t *weight = layer->quantised + panel * K * PACK, *at[TALL];
    const int8_t *second = weight + (panels - 1) * K * PACK;
    int32x4_t counts[TALL][8]; /* two sums an output, side by side */
    vec sums[TALL][2 * PARTS];
    UNROLL for (int r = 0; r < rows; r++) {
        at[r] = x.quantised + r * x.bytes;
        UNROLL for (int j = 0; j < 4 * panels; j++) counts[r][j] = vdupq_n_s32(0);
    }
    OWN(second);
    for (long k = 0; k < K; k += 8, weight += 8 * PACK, second += 8 * PACK) {
        int8x16_t even[TALL], odd[TALL];
        UNROLL for (int r = 0; r < rows; r++) {
            even[r] = SET(spread)(at[r] + k);
            odd[r] = SET(spread)(at[r] + k + 4);
        }
        UNROLL for (int p = 0; p < panels; p++)
            UNROLL for (int half = 0; half < 2; half++) {
                const int8_t *from = (p ? second : weight) + 16 * half;
                const int8x16_t w0 = vld1q_s8(from), w1 = vld1q_s8(from + 4 * PACK);
                UNROLL for (int r = 0; r < rows; r++) {
                    int32x4_t *to = counts[r] + 4 * p + 2 * half;
                    int16x8_t low = vmull_s8(vget_low_s8(w0), vget_low_s8(even[r]));
                    int16x8_t high = vmull_high_s8(w0, even[r]);
                    low = vmlal_s8(low, vget_low_s8(w1), vget_low_s8(odd[r]));
                    high = vmlal_high_s8(high, w1, odd[r]);
                    to[0] = vpadalq_s16(to[0], low);
                    to[1] = vpadalq_s16(to[1], high);
                }
            }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int j = 0; j < 2 * panels; j++)
            sums[r][j] = SET(scaled)(vpaddq_s32(counts[r][2 * j], counts[r][2 * j + 1]), layer,
                                     panel * PACK + j * LANES, x.scales[r]);
    if (y.residual)
        put_added(rows, panels, sums, y);
    else
        put(rows, panels, sums, y);
}

#else
enum { SET(tall) = 6 };
#if DOT == DOT_SIGN
INLINE __m256i SET(dot)(__m256i sums, __m256i x, __m256i weight) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(weight, x));
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#endif
INLINE void SET(tile)(const int rows, const int panels, const Linear *layer, long panel, Input x,
                      Output y) {
    const long K = layer->in;
    const int8_t *weight = layer->quantised + panel * K * PACK, *at[TALL];
    const int8_t *second = weight + (panels - 1) * K * PACK;
    __m256i counts[TALL][2];
    vec sums[TALL][2 * PARTS];
    UNROLL for (int r = 0; r < rows; r++) {
        at[r] = x.quantised + r * x.bytes;
        UNROLL for (int p = 0; p < panels; p++)
#if DOT == DOT_VNNI
            counts[r][p] = _mm256_loadu_si256(
                (const __m256i *)(const void *)(layer->offset + (panel + p) * PACK));
#else
            counts[r][p] = _mm256_setzero_si256();
#endif
    }
    OWN(second);
    for (long k = 0; k < K; k += 4, weight += 4 * PACK, second += 4 * PACK) {
        __m256i w[2];
        UNROLL for (int p = 0; p < panels; p++)
            w[p] = _mm256_loadu_si256((const __m256i *)(const void *)(p ? second : weight));
        UNROLL for (int r = 0; r < rows; r++) {
            int32_t four;
            __builtin_memcpy(&four, at[r] + k, 4);
            const __m256i spread = _mm256_set1_epi32(four);
            UNROLL for (int p = 0; p < panels; p++)
                counts[r][p] = SET(dot)(counts[r][p], spread, w[p]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++)
        UNROLL for (int p = 0; p < panels; p++)
            sums[r][p] = SET(scaled)(counts[r][p], layer, (panel + p) * PACK, x.scales[r]);
    if (y.residual)
        put_added(rows, panels, sums, y);
    else
        put(rows, panels, sums, y);
}
#endif

TARGET static void SET(multiply_int8)(const Linear *layer, Input x, long num_rows, long first,
                                      long last, Output y) {
    FOR_TILES(SET(tile), SET(tall))
}

static const Kernels SET(kernels) = {
    NAME,
    MAX_STRIP,
    DOT == DOT_VNNI,
    multiply_vectors,
    SET(multiply_int8),
    SET(quantise),
    scale_vectors,
    depthwise_vectors,
    mean_vectors,
};
