/* From signals to features, part by part. */

#pragma once

#include "network.h"

/* column[c * 3 + j] = the signal of channel c, shifted by j - 1 */
static void fill_column(Team team, const Network *net, const real *signals) {
    const long L = net->length, C = net->channels, out = net->stem_length, stride = net->stem_stride;
    long begin, end;
    share(team, net->cases, &begin, &end);
    for (long b = 0; b < ceil_div(C * 3, LANES); b++)
        for (long n = begin; n < end; n++) {
            real *at = (real *)(stream(net->column, b) + n * out);
            for (int lane = 0; lane < LANES; lane++) {
                const long k = b * LANES + lane, shift = k % 3 - 1;
                const real *signal = signals + (n * C + k / 3) * L;
                for (long o = 0; o < out; o++) {
                    long l = o * stride + shift;
                    at[o * LANES + lane] = k < C * 3 && l >= 0 && l < L ? signal[l] : 0;
                }
            }
        }
}

static void stem_forward(Team team, const Network *net, const real *signals) {
    const long rows = net->cases * net->stem_length;
    long begin, end;
    fill_column(team, net, signals);
    BARRIER
    share(team, net->stem_width / LANES, &begin, &end);
    multiply_columns(team, net->column, net->channels * 3, net->stem.conv.weight, net->stem_z, rows,
                     begin, end);
    for (long b = begin; b < end; b++) {
        Affine f = settle(&net->stem, b, stream(net->stem_z, b), rows);
        normalise(HARDSWISH, stream(net->stem_z, b), f, 0, stream(net->stem_y, b), rows);
    }
    BARRIER
}

INLINE void add_bias_body(vec *z, const real *bias, long rows, int gate) {
    const vec add = load(bias);
    for (long r = 0; r < rows; r++)
        z[r] = gate ? hard_sigmoid(z[r] + add) : activate(z[r] + add, RELU);
}

static void squeeze_excite(Team team, const Block *block, Streams a) {
    const long N = block->dw.cases, length = block->dw.length_out;
    long begin, end;
    share(team, block->squeezed / LANES, &begin, &end);
    multiply_columns(team, block->squeeze, block->expanded, block->reduce.weight, block->hidden, N,
                     begin, end);
    for (long b = begin; b < end; b++)
        add_bias_body(stream(block->hidden, b), block->reduce.bias + b * LANES, N, 0);
    BARRIER
    share(team, block->expanded / LANES, &begin, &end);
    multiply_columns(team, block->hidden, block->squeezed, block->excite.weight, block->gate, N,
                     begin, end);
    for (long b = end - 1; b >= begin; b--) { /* the last ones are still in the cache */
        vec *gate = stream(block->gate, b), *at = stream(a, b);
        add_bias_body(gate, block->excite.bias + b * LANES, N, 1);
        for (long n = 0; n < N; n++, at += length)
            for (long l = 0; l < length; l++) at[l] *= gate[n];
    }
    BARRIER
}

static void block_forward(Team team, const Network *net, const Block *block) {
    const Depthwise *dw = &block->dw;
    const long rows_in = dw->cases * dw->length_in, rows = dw->cases * dw->length_out;
    const long num_e = block->expanded / LANES, num_out = block->out / LANES;
    const Streams a = {net->a.data, stride_of(rows)};
    long begin, end;

    /* expanded channels on their own: expand, normalise, depthwise, normalise */
    share(team, num_e, &begin, &end);
    for (long b0 = begin; b0 < end; b0 += MAX_PANEL) {
        const int panel = panel_at(b0, end);
        if (block->expand)
            multiply_columns(team, block->x, block->in, block->pw.conv.weight, block->z1, rows_in, b0,
                             b0 + panel);
        for (long b = b0; b < b0 + panel; b++) {
            const vec *z1 = block->expand ? stream(block->z1, b) : stream(block->x, b);
            vec *z2 = stream(block->z2, b);
            Affine f1 = settle(&block->pw, b, z1, rows_in);
            depthwise_forward(team, dw, block->expand ? block->act : IDENTITY, z1, f1,
                              block->depthwise.conv.weight, b, z2);
            Affine f2 = settle(&block->depthwise, b, z2, rows);
            if (block->squeezed)
                normalise_mean(block->act, z2, f2, stream(a, b), stream(block->squeeze, b), dw->cases,
                               dw->length_out);
            else
                normalise(block->act, z2, f2, 0, stream(a, b), rows);
        }
    }
    for (long b = 0, i = 0; b < num_out; b += MAX_PANEL, i++)
        if (i % team.size == team.rank)
            pack_out(net->packed + b * block->expanded, block->pwl.conv.weight, block->expanded, b,
                     panel_at(b, num_out));
    BARRIER
    if (block->squeezed) squeeze_excite(team, block, a);

    multiply_rows(team, a, num_e, net->packed, num_out, NONE, block->z3, rows);
    BARRIER
    share(team, num_out, &begin, &end);
    for (long b = begin; b < end; b++) {
        Affine f = settle(&block->pwl, b, stream(block->z3, b), rows);
        normalise(block->project_act, stream(block->z3, b), f,
                  block->residual ? stream(block->x, b) : 0, stream(block->y, b), rows);
    }
    BARRIER
}

static void head_forward(Team team, const Network *net, Streams x, real *features) {
    const long N = net->cases, rows = N * net->last_length;
    long begin, end;
    share(team, net->last / LANES, &begin, &end);
    for (long b0 = begin; b0 < end; b0 += MAX_PANEL) {
        const int panel = panel_at(b0, end);
        multiply_columns(team, x, net->last_in, net->head.conv.weight, net->head_z, rows, b0, b0 + panel);
        for (long b = b0; b < b0 + panel; b++) {
            Affine f = settle(&net->head, b, stream(net->head_z, b), rows);
            normalise_mean(HARDSWISH, stream(net->head_z, b), f, 0, stream(net->pooled, b), N,
                           net->last_length);
        }
    }
    BARRIER
    share(team, net->hidden / LANES, &begin, &end);
    multiply_columns(team, net->pooled, net->last, net->hidden_layer.weight, net->hidden_z, N, begin, end);
    for (long b = begin; b < end; b++) {
        vec *z = stream(net->hidden_z, b);
        const vec bias = load(net->hidden_layer.bias + b * LANES);
        for (long n = 0; n < N; n++) {
            z[n] += bias;
            store(features + n * net->hidden + b * LANES, activate(z[n], HARDSWISH));
        }
    }
}
