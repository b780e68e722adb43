/* A network as a list of operations on values, and where everything lies in memory: graph.py lays
   it out and hands it over with each call. */

#pragma once

#define ALL_ACTIVATIONS
#include "taps.h"
#include "norm.h"

/* (N, channels, length). Each case has `left` zeros before its rows and pitch - left - length behind
   them, for the taps of whoever reads it; channels that fill up a vector are numbers, never NaN of
   their own. `data` and `gradient` are bytes from the beginning of what is kept and of the working
   memory; the gradient's rows lie one after another. */
typedef struct {
    int64_t channels, length, left, pitch, data, gradient;
} Value;

enum { LAYER, ADD, MULTIPLY, COPY, MAXIMUM, AVERAGE, MEAN, DROP };
enum { NO_WEIGHTS, DENSE, DEPTHWISE };
enum { NOT_WANTED, SET, INCREASE }; /* a gradient: nobody asks for it, first to write it, further */

typedef struct {
    int64_t kind, x, other, y, act;
    int64_t dx, dother; /* NOT_WANTED, SET or INCREASE */
    int64_t trained;    /* whether any weight of it wants a gradient */
    int64_t linear, kernel, stride, dilation, pad, groups;
    int64_t mode, tensors, gradients; /* its first tensor of NUM_TENSORS, of NUM_GRADIENTS */
    int64_t z, statistics;   /* bytes of what is kept; z -1: y's own rows */
    int64_t dz_left, dz_pitch; /* zeros around the rows of dz, for the taps on the way back */
    int64_t from, to, count, spread, whole; /* COPY: channels; poolings: whole: divide by the padded window */
    double eps, momentum;
} Op;

enum { WEIGHT, BIAS, GAMMA, BETA, RUNNING_MEAN, RUNNING_VAR, TRACKED, NUM_TENSORS };
enum { DWEIGHT, DBIAS, DGAMMA, DBETA, NUM_GRADIENTS };

typedef struct {
    int64_t cases, num_values, num_ops, packed, dweight, dz, scratch, scratch_size; /* bytes */
} Header;

typedef struct {
    const Header *header;
    const Value *values;
    const Op *ops;
    void *const *tensors, *const *gradients;
    char *keep, *work;
} Graph;

INLINE Rows rows_at(const Graph *g, int64_t value) {
    const Value *v = &g->values[value];
    const Streams at = {(vec *)(g->keep + v->data), stride_of(g->header->cases * v->pitch)};
    return (Rows){at, v->left, v->pitch, 1};
}

INLINE Rows gradient_at(const Graph *g, int64_t value) {
    const Value *v = &g->values[value];
    const Streams at = {(vec *)(g->work + v->gradient), stride_of(g->header->cases * v->length)};
    return (Rows){at, 0, v->length, 1};
}

INLINE long streams_of(const Value *v) { return ceil_div(v->channels, LANES); }

/* Zeros around the rows of every case of stream b. */
static void zero_around(Rows rows, long b, long cases, long length) {
    for (long n = 0; n < cases; n++) {
        vec *row = case_of(rows, b, n);
        for (long i = 1; i <= rows.first; i++) row[-i] = splat(0);
        for (long i = length; i < rows.pitch - rows.first; i++) row[i] = splat(0);
    }
}
