/* The types that networks and kernels share. Part of the engine (infer.c), and of the C that a
   model is exported as.

   Layout. An activation of C channels and L positions is L rows of C floats. A linear layer's
   weights lie in panels of PACK outputs: [out / PACK][in][PACK] in fp32, and in int8
   [out / PACK][in / 4][PACK][4]; widths are filled up with zeros, to a multiple of PACK for what
   comes out and of 4 (fp32) or 8 (int8) for what goes in.

   int8 (Jacob et al. 2018, arXiv:1712.05877, with ranges taken at run time): each row of a 1x1
   convolution's or linear layer's input is scaled by its own largest magnitude, sums are exact
   integers, everything else stays fp32. */

#include <stddef.h>
#include <stdint.h>

enum { PACK = 8, MAX_STRIP = 16 };
enum { IDENTITY, RELU, RELU6, HARDSWISH, HARD_SIGMOID }; /* those that products end with */
enum { SIGMOID = HARD_SIGMOID + 1, TANH, SILU, GELU };

/* A 1x1 convolution or linear layer; fp32 has `weight`, int8 has `quantised` and `scale`. */
typedef struct {
    int32_t in, out; /* as padded */
    const float *weight, *bias, *scale;
    const int8_t *quantised;
    const int32_t *offset; /* of the sums, where the processor multiplies unsigned by signed */
} Linear;

typedef struct {
    int32_t in, expanded, out, kernel, stride, act, project_act, squeezed, expand, residual;
    int32_t length_in, length_out;
    Linear pw, reduce, excite, pwl;
    const float *taps, *bias; /* of the depthwise convolution, [kernel][expanded] and [expanded] */
} Block;

/* What a linear layer reads: rows of floats, or what was made of them for int8. */
typedef struct {
    const float *rows;
    long stride; /* floats from a row to the next */
    const int8_t *quantised;
    long bytes;          /* from a quantised row to the next */
    const float *scales; /* one a row */
} Input;

/* Where a product goes. */
typedef struct {
    float *rows;
    long stride;
    int act;
    const float *residual; /* of the same stride, added after the activation; or NULL */
} Output;

typedef struct {
    const char *name;
    int strip;   /* channels of an expansion that are gone through at once */
    int offsets; /* whether int8 layers need their offsets */
    /* rows 0 to num_rows of panels first to last of layer(x) */
    void (*multiply)(const Linear *layer, Input x, long num_rows, long first, long last, Output y);
    void (*multiply_int8)(const Linear *layer, Input x, long num_rows, long first, long last,
                          Output y);
    /* x of num_rows rows of `width` floats, times the gates in place where there are some, to
       int8 with a scale a row. A quantised row may begin where its floats do. */
    void (*quantise)(float *x, long stride, long num_rows, long width, const float *gates,
                     int8_t *quantised, long bytes, float *scales);
    void (*scale)(float *x, long stride, long num_rows, long width, const float *gates);
    /* A strip of `width` channels of a depthwise convolution: from rows of `strip` floats, to rows
       of `stride` floats and the means over them. */
    void (*depthwise)(const Block *block, const float *x, long strip, long channel, long width,
                      float *y, float *means);
    /* the means of `width` columns over num_rows rows */
    void (*mean)(const float *x, long stride, long num_rows, long width, float *means);
} Kernels;
