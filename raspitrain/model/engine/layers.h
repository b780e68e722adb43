/* Convolution or none, batch normalisation or none, activation: forward and backward. */

#pragma once

#include "graph.h"

/* One stream of a layer as norm.h reads it, as if it were the first; where the channels end inside
   of a vector, its numbers are copies. */
typedef struct {
    Layer layer;
    long channels; /* of the stream */
    int64_t tracked;
    real copies[8][LANES];
} Part;

static const real *part_in(Part *part, int slot, const real *all, long b, real filler) {
    if (all == 0) return 0;
    if (part->channels == LANES) return all + b * LANES;
    for (long lane = 0; lane < LANES; lane++)
        part->copies[slot][lane] = lane < part->channels ? all[b * LANES + lane] : filler;
    return part->copies[slot];
}

static real *part_out(Part *part, int slot, real *all, long b) {
    return all && part->channels == LANES ? all + b * LANES : part->copies[slot];
}

static void copy_back(const Part *part, int slot, real *all, long b) {
    if (all && part->channels < LANES)
        memcpy(all + b * LANES, part->copies[slot], (size_t)part->channels * sizeof(real));
}

static void open_part(Part *part, const Graph *g, const Op *op, long b) {
    const Value *y = &g->values[op->y];
    void *const *tensors = g->tensors + op->tensors;
    part->channels = y->channels - b * LANES < LANES ? y->channels - b * LANES : LANES;
    part->tracked = 0;
    vec *statistics = (vec *)(g->keep + op->statistics);
    Norm *norm = &part->layer.norm;
    *norm = (Norm){.mode = (int)op->mode, .eps = op->eps, .momentum = op->momentum};
    part->layer.conv = (Linear){0, part_in(part, 0, tensors[BIAS], b, 0), 0, 0};
    norm->gamma = part_in(part, 1, tensors[GAMMA], b, 0);
    norm->beta = part_in(part, 2, tensors[BETA], b, 0);
    norm->running_mean = (real *)part_in(part, 3, tensors[RUNNING_MEAN], b, 0);
    norm->running_var = (real *)part_in(part, 4, tensors[RUNNING_VAR], b, 1);
    norm->tracked = b == 0 ? tensors[TRACKED] : &part->tracked;
    norm->mean = statistics + b;
    norm->inverse_std = statistics + streams_of(y) + b;
    if (g->gradients) {
        void *const *gradients = g->gradients + op->gradients;
        part->layer.conv.dbias = part_out(part, 5, gradients[DBIAS], b);
        norm->dgamma = part_out(part, 6, gradients[DGAMMA], b);
        norm->dbeta = part_out(part, 7, gradients[DBETA], b);
    }
}

static void keep_statistics(const Part *part, const Graph *g, const Op *op, long b) {
    if (op->mode != BATCH) return;
    void *const *tensors = g->tensors + op->tensors;
    copy_back(part, 3, tensors[RUNNING_MEAN], b);
    copy_back(part, 4, tensors[RUNNING_VAR], b);
}

static void keep_gradients(const Part *part, const Graph *g, const Op *op, long b) {
    void *const *gradients = g->gradients + op->gradients;
    copy_back(part, 5, gradients[DBIAS], b);
    if (op->mode == ABSENT) return;
    copy_back(part, 6, gradients[DGAMMA], b);
    copy_back(part, 7, gradients[DBETA], b);
}

INLINE Weights weights_of(const Graph *g, const Op *op, int transposed) {
    return (Weights){(g->tensors + op->tensors)[WEIGHT], g->values[op->x].channels,
                     g->values[op->y].channels, op->kernel, op->groups, transposed};
}

/* What a layer's linear part gives: rows of its own, one after another, or those of y. */
INLINE Rows z_of(const Graph *g, const Op *op) {
    if (op->z < 0) return rows_at(g, op->y);
    const long length = g->values[op->y].length;
    const Streams at = {(vec *)(g->keep + op->z), stride_of(g->header->cases * length)};
    return (Rows){at, 0, length, 1};
}

/* Places of x that the first tap meets. */
INLINE Rows read_by(const Graph *g, const Op *op) {
    Rows x = rows_at(g, op->x);
    x.first -= op->pad;
    x.step = op->stride;
    return x;
}

static void share_rows(Team team, long rows, long *begin, long *end) {
    share(team, ceil_div(rows, 8), begin, end);
    *begin *= 8;
    *end = *end * 8 < rows ? *end * 8 : rows;
}

/* Input rows phase, phase + stride, … meet the same taps on the way back: output row m + shift with
   tap first, m + shift + step with tap first + every, and so on. */
typedef struct {
    long first, every, num_taps, shift, step, rows;
} Phase;

static Phase phase_of(const Op *op, long phase, long length) {
    long every = 1, first = 0;
    while (every * op->dilation % op->stride) every++;
    while (first < every && (phase + op->pad - first * op->dilation) % op->stride) first++;
    Phase p = {first, every, 0, 0, -(every * op->dilation / op->stride), 0};
    p.rows = phase < length ? ceil_div(length - phase, op->stride) : 0;
    if (first == every || first >= op->kernel) return p;
    p.num_taps = ceil_div(op->kernel - first, every);
    p.shift = (phase + op->pad - first * op->dilation) / op->stride;
    return p;
}

static void read_taps(vec *taps, const real *weight, long b, long channels, long kernel) {
    for (long t = 0; t < kernel; t++) {
        taps[t] = splat(0);
        for (long lane = 0; lane < channels; lane++)
            taps[t][lane] = weight[(b * LANES + lane) * kernel + t];
    }
}

/* to[m] (+)= sum over taps of tap[j * every] * from[m * stride + j * step] */
static void meet_taps(vec *to, long to_step, const vec *from_x, long stride, const vec *taps,
                      long every, long num_taps, long step, long rows, int add) {
    long m = 0;
    for (; m + 4 <= rows; m += 4) {
        vec sum[4];
        for (int u = 0; u < 4; u++) sum[u] = add ? to[(m + u) * to_step] : splat(0);
        for (long j = 0; j < num_taps; j++)
            UNROLL for (int u = 0; u < 4; u++)
                sum[u] += taps[j * every] * from_x[(m + u) * stride + j * step];
        for (int u = 0; u < 4; u++) to[(m + u) * to_step] = sum[u];
    }
    for (; m < rows; m++) {
        vec sum = add ? to[m * to_step] : splat(0);
        for (long j = 0; j < num_taps; j++) sum += taps[j * every] * from_x[m * stride + j * step];
        to[m * to_step] = sum;
    }
}

static void layer_forward(Team team, const Graph *g, const Op *op) {
    const Value *y = &g->values[op->y], *x = &g->values[op->x];
    const long N = g->header->cases, rows = N * y->length;
    const Rows z = z_of(g, op), at_y = rows_at(g, op->y);
    long begin, end;
    if (op->linear == DENSE) {
        const Weights w = weights_of(g, op, 0);
        vec *packed = (vec *)(g->work + g->header->packed);
        for (long b = 0, i = 0; b < streams_of(y); b += MAX_PANEL, i++)
            if (i % team.size == team.rank)
                pack_taps(packed + packed_before(&w, b, op->kernel), &w, b,
                          panel_at(b, streams_of(y)), 0, 1, op->kernel);
        BARRIER
        share_rows(team, rows, &begin, &end);
        multiply_taps(&w, read_by(g, op), z, y->length, op->kernel, op->dilation, packed, 0, begin, end);
        BARRIER
    }
    share(team, streams_of(y), &begin, &end);
    for (long b = begin; b < end; b++) {
        Part part;
        open_part(&part, g, op, b);
        if (op->linear == DEPTHWISE) {
            const Rows at_x = read_by(g, op);
            read_taps(team.scratch, (g->tensors + op->tensors)[WEIGHT], b, part.channels, op->kernel);
            for (long n = 0; n < N; n++)
                meet_taps(case_of(z, b, n), 1, case_of(at_x, b, n), op->stride, team.scratch, 1,
                          op->kernel, op->dilation, y->length, 0);
        } else if (op->linear == NO_WEIGHTS && op->z != x->data) {
            const Rows at_x = rows_at(g, op->x);
            for (long n = 0; n < N; n++)
                memcpy(case_of(z, b, n), case_of(at_x, b, n), (size_t)x->length * sizeof(vec));
        }
        if (op->z >= 0) {
            const Affine f = settle(&part.layer, 0, case_of(z, b, 0), rows);
            keep_statistics(&part, g, op, b);
            if (at_y.pitch == y->length)
                normalise((int)op->act, case_of(z, b, 0), f, 0, case_of(at_y, b, 0), rows);
            else
                for (long n = 0; n < N; n++)
                    normalise((int)op->act, case_of(z, b, n), f, 0, case_of(at_y, b, n), y->length);
        }
        zero_around(at_y, b, N, y->length);
    }
    BARRIER
}

static wide sum_of(const vec *v, long rows) {
    wide total = {0};
    for (long begin = 0; begin < rows; begin += CHUNK) {
        const long end = begin + CHUNK < rows ? begin + CHUNK : rows;
        vec sum = {0};
        for (long r = begin; r < end; r++) sum += v[r];
        total += widen(sum);
    }
    return total;
}

static void depthwise_gradients(Team team, const Graph *g, const Op *op, long b, long channels,
                                Rows dz) {
    const Value *y = &g->values[op->y], *x = &g->values[op->x];
    const long N = g->header->cases;
    real *dweight = (g->gradients + op->gradients)[DWEIGHT];
    vec *taps = team.scratch;
    if (dweight) {
        const Rows at_x = read_by(g, op);
        for (long t = 0; t < op->kernel; t++) {
            wide total = {0};
            for (long n = 0; n < N; n++) {
                const vec *d = case_of(dz, b, n), *a = case_of(at_x, b, n) + t * op->dilation;
                for (long begin = 0; begin < y->length; begin += CHUNK) {
                    const long end = begin + CHUNK < y->length ? begin + CHUNK : y->length;
                    vec sum = {0};
                    for (long o = begin; o < end; o++) sum += d[o] * a[o * op->stride];
                    total += widen(sum);
                }
            }
            for (long lane = 0; lane < channels; lane++)
                dweight[(b * LANES + lane) * op->kernel + t] = (real)total[lane];
        }
    }
    if (op->dx == NOT_WANTED) return;
    const Rows dx = gradient_at(g, op->x);
    read_taps(taps, (g->tensors + op->tensors)[WEIGHT], b, channels, op->kernel);
    for (long phase = 0; phase < op->stride; phase++) {
        const Phase p = phase_of(op, phase, x->length);
        for (long n = 0; n < N; n++)
            meet_taps(case_of(dx, b, n) + phase, op->stride, case_of(dz, b, n) + p.shift, 1,
                      taps + p.first, p.every, p.num_taps, p.step, p.rows, op->dx == INCREASE);
    }
}

static void layer_backward(Team team, const Graph *g, const Op *op) {
    const Value *y = &g->values[op->y], *x = &g->values[op->x];
    const long N = g->header->cases, rows = N * y->length;
    const Rows z = z_of(g, op), dy = gradient_at(g, op->y);
    const int apart = op->dz_pitch != y->length; /* dz does not take the place of dy */
    Rows dz = dy;
    if (apart) {
        const Streams at = {(vec *)(g->work + g->header->dz), stride_of(N * op->dz_pitch)};
        dz = (Rows){at, op->dz_left, op->dz_pitch, 1};
    }
    real *dweight = (g->gradients + op->gradients)[DWEIGHT];
    const Weights back = weights_of(g, op, 1);
    vec *packed = (vec *)(g->work + g->header->packed);
    long begin, end;
    share(team, streams_of(y), &begin, &end);
    for (long b = begin; b < end; b++) {
        Part part;
        open_part(&part, g, op, b);
        const Affine f = affine(&part.layer, 0);
        vec *at_dy = case_of(dy, b, 0);
        wide sum, sum_z = {0};
        if (op->z < 0)
            sum = sum_of(at_dy, rows);
        else
            activation_gradient((int)op->act, at_dy, case_of(z, b, 0), f, at_dy, 0, rows, &sum, &sum_z);
        const Gradient gradient = settle_gradient(&part.layer, 0, sum, sum_z, rows);
        keep_gradients(&part, g, op, b);
        if (op->mode != ABSENT && !apart)
            apply_gradient(at_dy, at_dy, case_of(z, b, 0), f.mean, gradient, rows);
        if (apart) {
            for (long n = 0; n < N; n++)
                if (op->mode == ABSENT)
                    memcpy(case_of(dz, b, n), case_of(dy, b, n), (size_t)y->length * sizeof(vec));
                else
                    apply_gradient(case_of(dz, b, n), case_of(dy, b, n), case_of(z, b, n), f.mean,
                                   gradient, y->length);
            zero_around(dz, b, N, y->length);
        }
        if (op->linear == DEPTHWISE) depthwise_gradients(team, g, op, b, part.channels, dz);
        if (op->linear == NO_WEIGHTS && op->dx != NOT_WANTED) {
            vec *dx = case_of(gradient_at(g, op->x), b, 0);
            if (op->dx == SET)
                memcpy(dx, at_dy, (size_t)rows * sizeof(vec));
            else
                for (long r = 0; r < rows; r++) dx[r] += at_dy[r];
        }
    }
    if (op->linear == DENSE && op->dx != NOT_WANTED) {
        vec *at = packed;
        for (long phase = 0, i = 0; phase < op->stride; phase++) {
            const Phase p = phase_of(op, phase, x->length);
            for (long b = 0; b < streams_of(x); b += MAX_PANEL, i++)
                if (i % team.size == team.rank)
                    pack_taps(at + packed_before(&back, b, p.num_taps), &back, b,
                              panel_at(b, streams_of(x)), p.first, p.every, p.num_taps);
            at += packed_before(&back, streams_of(x), p.num_taps);
        }
    }
    BARRIER
    if (op->linear != DENSE) return;
    real *dw = (real *)(g->work + g->header->dweight);
    if (dweight) {
        const Weights w = weights_of(g, op, 0);
        tap_weight_gradient(team, &w, dz, read_by(g, op), op->dilation, N, y->length, dw);
    }
    if (op->dx != NOT_WANTED) {
        for (long phase = 0; phase < op->stride; phase++) {
            const Phase p = phase_of(op, phase, x->length);
            Rows from_dz = dz, dx = gradient_at(g, op->x);
            from_dz.first += p.shift;
            dx.first += phase;
            dx.step = op->stride;
            share_rows(team, N * p.rows, &begin, &end);
            multiply_taps(&back, from_dz, dx, p.rows, p.num_taps, p.step, packed,
                          op->dx == INCREASE, begin, end);
            packed += packed_before(&back, streams_of(x), p.num_taps);
        }
    }
    BARRIER
    if (dweight) {
        const Weights w = weights_of(g, op, 0);
        share(team, y->channels, &begin, &end);
        store_tap_weights(&w, dw, dweight, begin, end);
    }
}
