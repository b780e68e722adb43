/* The innermost tiles for 32-bit floats on 64-bit ARM, written out: 24 sums and what meets them fill
   the 32 registers, which compilers part with loads of one vector each and spills. One load fetches
   two vectors here. The order of additions is that of the tiles in C, so the numbers are the same.

   Strides and steps are bytes. */

#pragma once

#if defined(__aarch64__) && !defined(DOUBLE)
#define HAND_WRITTEN
#define BYTES(stride) ((stride) * (long)sizeof(vec))

#define SIX(a, b, c, d, e, f, w, lane)                     \
    "fmla v" #a ".4s, v" #w ".4s, v24.s[" #lane "]\n\t"    \
    "fmla v" #b ".4s, v" #w ".4s, v25.s[" #lane "]\n\t"    \
    "fmla v" #c ".4s, v" #w ".4s, v26.s[" #lane "]\n\t"    \
    "fmla v" #d ".4s, v" #w ".4s, v27.s[" #lane "]\n\t"    \
    "fmla v" #e ".4s, v" #w ".4s, v28.s[" #lane "]\n\t"    \
    "fmla v" #f ".4s, v" #w ".4s, v29.s[" #lane "]\n\t"
#define SIX_BY_FOUR(lane, first, second)                   \
    "ldp q30, q31, " first "\n\t"                          \
    SIX(0, 1, 2, 3, 4, 5, 30, lane)                        \
    SIX(6, 7, 8, 9, 10, 11, 31, lane)                      \
    "ldp q30, q31, " second "\n\t"                         \
    SIX(12, 13, 14, 15, 16, 17, 30, lane)                  \
    SIX(18, 19, 20, 21, 22, 23, 31, lane)
#define SIX_ROWS(op, a, b, c, d, e, f, at)                 \
    op " q" #a ", q" #b ", [%[" at "]]\n\t"                \
    op " q" #c ", q" #d ", [%[" at "], #32]\n\t"           \
    op " q" #e ", q" #f ", [%[" at "], #64]\n\t"
#define TILE_OF_FOUR(op, at)                               \
    SIX_ROWS(op, 0, 1, 2, 3, 4, 5, at)                     \
    "add %[" at "], %[" at "], %[" at "_stride]\n\t"       \
    SIX_ROWS(op, 6, 7, 8, 9, 10, 11, at)                   \
    "add %[" at "], %[" at "], %[" at "_stride]\n\t"       \
    SIX_ROWS(op, 12, 13, 14, 15, 16, 17, at)               \
    "add %[" at "], %[" at "], %[" at "_stride]\n\t"       \
    SIX_ROWS(op, 18, 19, 20, 21, 22, 23, at)
#define ZERO(a) "movi v" #a ".4s, #0\n\t"
#define ZEROS                                                                                     \
    ZERO(0) ZERO(1) ZERO(2) ZERO(3) ZERO(4) ZERO(5) ZERO(6) ZERO(7) ZERO(8) ZERO(9) ZERO(10)      \
    ZERO(11) ZERO(12) ZERO(13) ZERO(14) ZERO(15) ZERO(16) ZERO(17) ZERO(18) ZERO(19) ZERO(20)     \
    ZERO(21) ZERO(22) ZERO(23)
#define ALL_VECTORS                                                                               \
    "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", \
    "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27",    \
    "v28", "v29", "v30", "v31", "cc", "memory"

/* to[6][4] = first (or zero) + sum over taps and k of x[6][k] * w[k][4]. */
static void tile_6_by_4(const vec *x, long x_stride, long num_k, long num_taps, long tap_step,
                        const vec *w, const vec *first, long first_stride, vec *to,
                        long to_stride) {
    const vec *at;
    long k;
    if (num_k == 0) num_taps = 0;
    w -= LANES * 4; /* which is added before it is read */
    __asm__ volatile(
        "cbz %[first], 1f\n\t"
        TILE_OF_FOUR("ldp", "first")
        "b 2f\n"
        "1:\n\t" ZEROS
        "2:\n\t"
        "cbz %[taps], 5f\n"
        "3:\n\t"
        "mov %[at], %[x]\n\t"
        "mov %[k], %[num_k]\n\t"
        ".p2align 4\n"
        "4:\n\t"
        SIX_ROWS("ldp", 24, 25, 26, 27, 28, 29, "at")
        "add %[at], %[at], %[x_stride]\n\t"
        SIX_BY_FOUR(0, "[%[w], #256]!", "[%[w], #32]")
        SIX_BY_FOUR(1, "[%[w], #64]", "[%[w], #96]")
        SIX_BY_FOUR(2, "[%[w], #128]", "[%[w], #160]")
        SIX_BY_FOUR(3, "[%[w], #192]", "[%[w], #224]")
        "subs %[k], %[k], #1\n\t"
        "b.ne 4b\n\t"
        "add %[x], %[x], %[tap_step]\n\t"
        "subs %[taps], %[taps], #1\n\t"
        "b.ne 3b\n"
        "5:\n\t"
        TILE_OF_FOUR("stp", "to")
        : [x] "+&r"(x), [w] "+&r"(w), [taps] "+&r"(num_taps), [first] "+&r"(first), [to] "+&r"(to),
          [at] "=&r"(at), [k] "=&r"(k)
        : [x_stride] "r"(x_stride), [num_k] "r"(num_k), [tap_step] "r"(tap_step),
          [first_stride] "r"(first_stride), [to_stride] "r"(to_stride)
        : ALL_VECTORS);
}

/* Weight gradients: 8 rows of dw by 3 vectors, or 12 by 2. They begin with dw or zeros, and take
   eight rows of g and x a turn, two at once, then one by one. */
#define WEIGHT_TILE(load_dw, two_rows, one_row, store_dw)  \
    "cbz %w[add], 1f\n\t"                                  \
    load_dw                                                \
    "b 2f\n"                                               \
    "1:\n\t" ZEROS                                         \
    "2:\n\t"                                               \
    "cbz %[eights], 4f\n\t"                                \
    ".p2align 4\n"                                         \
    "3:\n\t"                                               \
    two_rows two_rows two_rows two_rows                    \
    "subs %[eights], %[eights], #1\n\t"                    \
    "b.ne 3b\n"                                            \
    "4:\n\t"                                               \
    "cbz %[rest], 6f\n"                                    \
    "5:\n\t"                                               \
    one_row                                                \
    "subs %[rest], %[rest], #1\n\t"                        \
    "b.ne 5b\n"                                            \
    "6:\n\t"                                               \
    store_dw

#define THREE(a, b, c, x0, x1, x2, g, lane)                \
    "fmla v" #a ".4s, v" #x0 ".4s, v" #g ".s[" #lane "]\n\t" \
    "fmla v" #b ".4s, v" #x1 ".4s, v" #g ".s[" #lane "]\n\t" \
    "fmla v" #c ".4s, v" #x2 ".4s, v" #g ".s[" #lane "]\n\t"
#define UPPER_BY_3(x0, x1, x2, g)                          \
    THREE(0, 1, 2, x0, x1, x2, g, 0) THREE(3, 4, 5, x0, x1, x2, g, 1) \
    THREE(6, 7, 8, x0, x1, x2, g, 2) THREE(9, 10, 11, x0, x1, x2, g, 3)
#define LOWER_BY_3(x0, x1, x2, g)                          \
    THREE(12, 13, 14, x0, x1, x2, g, 0) THREE(15, 16, 17, x0, x1, x2, g, 1) \
    THREE(18, 19, 20, x0, x1, x2, g, 2) THREE(21, 22, 23, x0, x1, x2, g, 3)
#define TWO_ROWS_2_BY_3                                    \
    "ldp q24, q25, [%[x0]], #32\n\t"                       \
    "ldp q26, q27, [%[x1]], #32\n\t"                       \
    "ldp q28, q29, [%[x2]], #32\n\t"                       \
    "ldp q30, q31, [%[g0]], #32\n\t"                       \
    UPPER_BY_3(24, 26, 28, 30) UPPER_BY_3(25, 27, 29, 31)  \
    "ldp q30, q31, [%[g1]], #32\n\t"                       \
    LOWER_BY_3(24, 26, 28, 30) LOWER_BY_3(25, 27, 29, 31)
#define ONE_ROW_2_BY_3                                     \
    "ldr q24, [%[x0]], #16\n\t"                            \
    "ldr q26, [%[x1]], #16\n\t"                            \
    "ldr q28, [%[x2]], #16\n\t"                            \
    "ldr q30, [%[g0]], #16\n\t"                            \
    "ldr q31, [%[g1]], #16\n\t"                            \
    UPPER_BY_3(24, 26, 28, 30) LOWER_BY_3(24, 26, 28, 31)
#define DW_BY_3(op, opp, a, b, c)                          \
    opp " q" #a ", q" #b ", [%[at]]\n\t"                   \
    op " q" #c ", [%[at], #32]\n\t"                        \
    "add %[at], %[at], %[dw_stride]\n\t"
#define ALL_DW_BY_3(op, opp)                               \
    "mov %[at], %[dw]\n\t"                                 \
    DW_BY_3(op, opp, 0, 1, 2) DW_BY_3(op, opp, 3, 4, 5) DW_BY_3(op, opp, 6, 7, 8)           \
    DW_BY_3(op, opp, 9, 10, 11) DW_BY_3(op, opp, 12, 13, 14) DW_BY_3(op, opp, 15, 16, 17)   \
    DW_BY_3(op, opp, 18, 19, 20) DW_BY_3(op, opp, 21, 22, 23)

static void weight_tile_2_by_3(const vec *g0, long g_stride, const vec *x0, long x_stride, long rows,
                               int add, real *dw, long dw_stride) {
    const vec *g1 = (const vec *)((const char *)g0 + g_stride);
    const vec *x1 = (const vec *)((const char *)x0 + x_stride);
    const vec *x2 = (const vec *)((const char *)x1 + x_stride);
    long eights = rows / 8, rest = rows % 8;
    real *at;
    __asm__ volatile(
        WEIGHT_TILE(ALL_DW_BY_3("ldr", "ldp"), TWO_ROWS_2_BY_3, ONE_ROW_2_BY_3,
                    ALL_DW_BY_3("str", "stp"))
        : [g0] "+&r"(g0), [g1] "+&r"(g1), [x0] "+&r"(x0), [x1] "+&r"(x1), [x2] "+&r"(x2),
          [eights] "+&r"(eights), [rest] "+&r"(rest), [at] "=&r"(at)
        : [add] "r"(add), [dw] "r"(dw), [dw_stride] "r"(dw_stride)
        : ALL_VECTORS);
}

#define PAIR(a, b, x0, x1, g, lane)                        \
    "fmla v" #a ".4s, v" #x0 ".4s, v" #g ".s[" #lane "]\n\t" \
    "fmla v" #b ".4s, v" #x1 ".4s, v" #g ".s[" #lane "]\n\t"
#define UPPER_BY_2(x0, x1, g)                              \
    PAIR(0, 1, x0, x1, g, 0) PAIR(2, 3, x0, x1, g, 1)      \
    PAIR(4, 5, x0, x1, g, 2) PAIR(6, 7, x0, x1, g, 3)
#define MIDDLE_BY_2(x0, x1, g)                             \
    PAIR(8, 9, x0, x1, g, 0) PAIR(10, 11, x0, x1, g, 1)    \
    PAIR(12, 13, x0, x1, g, 2) PAIR(14, 15, x0, x1, g, 3)
#define LOWER_BY_2(x0, x1, g)                              \
    PAIR(16, 17, x0, x1, g, 0) PAIR(18, 19, x0, x1, g, 1)  \
    PAIR(20, 21, x0, x1, g, 2) PAIR(22, 23, x0, x1, g, 3)
#define TWO_ROWS_3_BY_2                                    \
    "ldp q24, q25, [%[x0]], #32\n\t"                       \
    "ldp q26, q27, [%[x1]], #32\n\t"                       \
    "ldp q28, q29, [%[g0]], #32\n\t"                       \
    UPPER_BY_2(24, 26, 28) UPPER_BY_2(25, 27, 29)          \
    "ldp q30, q31, [%[g1]], #32\n\t"                       \
    MIDDLE_BY_2(24, 26, 30) MIDDLE_BY_2(25, 27, 31)        \
    "ldp q28, q29, [%[g2]], #32\n\t"                       \
    LOWER_BY_2(24, 26, 28) LOWER_BY_2(25, 27, 29)
#define ONE_ROW_3_BY_2                                     \
    "ldr q24, [%[x0]], #16\n\t"                            \
    "ldr q26, [%[x1]], #16\n\t"                            \
    "ldr q28, [%[g0]], #16\n\t"                            \
    "ldr q29, [%[g1]], #16\n\t"                            \
    "ldr q30, [%[g2]], #16\n\t"                            \
    UPPER_BY_2(24, 26, 28) MIDDLE_BY_2(24, 26, 29) LOWER_BY_2(24, 26, 30)
#define DW_BY_2(opp, a, b)                                 \
    opp " q" #a ", q" #b ", [%[at]]\n\t"                   \
    "add %[at], %[at], %[dw_stride]\n\t"
#define ALL_DW_BY_2(opp)                                   \
    "mov %[at], %[dw]\n\t"                                 \
    DW_BY_2(opp, 0, 1) DW_BY_2(opp, 2, 3) DW_BY_2(opp, 4, 5) DW_BY_2(opp, 6, 7)             \
    DW_BY_2(opp, 8, 9) DW_BY_2(opp, 10, 11) DW_BY_2(opp, 12, 13) DW_BY_2(opp, 14, 15)       \
    DW_BY_2(opp, 16, 17) DW_BY_2(opp, 18, 19) DW_BY_2(opp, 20, 21) DW_BY_2(opp, 22, 23)

static void weight_tile_3_by_2(const vec *g0, long g_stride, const vec *x0, long x_stride, long rows,
                               int add, real *dw, long dw_stride) {
    const vec *g1 = (const vec *)((const char *)g0 + g_stride);
    const vec *g2 = (const vec *)((const char *)g1 + g_stride);
    const vec *x1 = (const vec *)((const char *)x0 + x_stride);
    long eights = rows / 8, rest = rows % 8;
    real *at;
    __asm__ volatile(
        WEIGHT_TILE(ALL_DW_BY_2("ldp"), TWO_ROWS_3_BY_2, ONE_ROW_3_BY_2, ALL_DW_BY_2("stp"))
        : [g0] "+&r"(g0), [g1] "+&r"(g1), [g2] "+&r"(g2), [x0] "+&r"(x0), [x1] "+&r"(x1),
          [eights] "+&r"(eights), [rest] "+&r"(rest), [at] "=&r"(at)
        : [add] "r"(add), [dw] "r"(dw), [dw_stride] "r"(dw_stride)
        : ALL_VECTORS);
}
#endif
