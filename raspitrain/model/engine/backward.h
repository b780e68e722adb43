/* From the gradient of the features to those of all weights, part by part. */

#pragma once

#include "network.h"

static wide sum_rows(const vec *v, long rows) {
    wide total = {0};
    for (long r = 0; r < rows; r++) total += widen(v[r]);
    return total;
}

/* Down to dz of the head's convolution (in dz_in), and from there to dx. */
static void head_backward(Team team, const Network *net, Streams x, const real *dfeatures, Streams dx) {
    const long N = net->cases, length = net->last_length, rows = N * length;
    const long num_last = net->last / LANES, num_hidden = net->hidden / LANES, num_x = net->last_in / LANES;
    const Streams dz = {net->dz_in.data, stride_of(rows)};
    long begin, end;
    share(team, num_hidden, &begin, &end);
    for (long b = begin; b < end; b++) {
        vec *dh = stream(net->dpooled, b);
        const vec *z = stream(net->hidden_z, b);
        for (long n = 0; n < N; n++)
            dh[n] = load(dfeatures + n * net->hidden + b * LANES) * slope(z[n], HARDSWISH);
        store(net->hidden_layer.dbias + b * LANES, narrow(sum_rows(dh, N)));
    }
    weight_gradient(from(net->dpooled, begin), end - begin, net->pooled, num_last, N,
                    net->hidden_layer.dweight + begin * LANES * net->last, net->last);
    BARRIER
    share(team, num_last, &begin, &end);
    for (long b0 = begin; b0 < end; b0 += MAX_PANEL) {
        const int panel = panel_at(b0, end);
        const Streams pooled = {team.scratch + panel * net->hidden, stride_of(N)};
        pack_in(team.scratch, net->hidden_layer.weight, net->hidden, net->last, b0, panel);
        multiply(panel, net->dpooled, num_hidden, team.scratch, NONE, pooled, 0, N);
        for (long b = b0; b < b0 + panel; b++) {
            const vec *dpooled = stream(pooled, b - b0), *z = stream(net->head_z, b);
            vec *at = stream(dz, b);
            wide sum, sum_z;
            for (long n = 0; n < N; n++) {
                const vec each = dpooled[n] * (real)(1.0 / (double)length);
                for (long l = 0; l < length; l++) at[n * length + l] = each;
            }
            Affine f = affine(&net->head, b);
            activation_gradient(HARDSWISH, at, z, f, at, 0, rows, &sum, &sum_z);
            Gradient g = settle_gradient(&net->head, b, sum, sum_z, rows);
            apply_gradient(at, at, z, f.mean, g, rows);
        }
    }
    weight_gradient(from(dz, begin), end - begin, x, num_x, rows,
                    net->head.conv.dweight + begin * LANES * net->last_in, net->last_in);
    for (long b = 0, i = 0; b < num_x; b += MAX_PANEL, i++)
        if (i % team.size == team.rank)
            pack_in(net->packed + b * net->last, net->head.conv.weight, net->last, net->last_in, b,
                    panel_at(b, num_x));
    BARRIER
    multiply_rows(team, dz, num_last, net->packed, num_x, NONE, dx, rows);
    BARRIER
}

/* a = act(y) * gate into a; dv = gradient before the gate's hard sigmoid */
INLINE void gate_gradient_body(const vec *da, const vec *z, Affine f, const vec *gate, vec *a, vec *dv,
                               long cases, long length, int act) {
    for (long n = 0; n < cases; n++, da += length, z += length, a += length) {
        vec sum = {0};
        for (long l = 0; l < length; l++) {
            vec value = activate((z[l] - f.mean) * f.scale + f.shift, act);
            sum += da[l] * value;
            a[l] = value * gate[n];
        }
        dv[n] = (vec)((gate[n] > 0) & (gate[n] < 1) & (mask)(sum * (real)(1.0 / 6)));
    }
}

static void gate_gradient(int act, const vec *da, const vec *z, Affine f, const vec *gate, vec *a,
                          vec *dv, long cases, long length) {
    WITH_ACTIVATION(act, gate_gradient_body, da, z, f, gate, a, dv, cases, length)
}

/* A stream of da lies at the end of the one that dz1 is written to. depthwise_backward has read it
   up to wherever it writes, so the same lines of the cache serve for both. */
static Streams da_of(const Network *net, const Block *block) {
    const Depthwise *dw = &block->dw;
    const long rows_in = dw->cases * dw->length_in, rows = dw->cases * dw->length_out;
    return (Streams){net->dz_in.data + (rows_in - rows), stride_of(rows_in)};
}

/* From dz3 and one panel of expanded channels to its da, the projection's weight gradient, and what
   squeeze-excite needs. Returns the panel's scratch in a. */
static void project_backward(Team team, const Network *net, const Block *block, Streams dz3, long b0,
                             int panel, wide *sum_dy, wide *sum_dy_z) {
    const long rows = block->dw.cases * block->dw.length_out, num_out = block->out / LANES;
    const Streams da = da_of(net, block);
    const Streams a = {team.scratch + panel * block->out, stride_of(rows)};
    pack_in(team.scratch, block->pwl.conv.weight, block->out, block->expanded, b0, panel);
    multiply(panel, dz3, num_out, team.scratch, NONE, from(da, b0), 0, rows);
    for (int j = 0; j < panel; j++) {
        const long b = b0 + j;
        const vec *z2 = stream(block->z2, b);
        Affine f = affine(&block->depthwise, b);
        if (block->squeezed)
            gate_gradient(block->act, stream(da, b), z2, f, stream(block->gate, b), stream(a, j),
                          stream(net->dv, b), block->dw.cases, block->dw.length_out);
        else
            activation_gradient(block->act, stream(da, b), z2, f, stream(da, b), stream(a, j), rows,
                                &sum_dy[j], &sum_dy_z[j]);
    }
    weight_gradient(dz3, num_out, a, panel, rows, block->pwl.conv.dweight + b0 * LANES, block->expanded);
}

/* dy = (da * gate + dsqueeze / L) * act'(y), in place of da. */
INLINE void gated_gradient_body(vec *da, const vec *z, Affine f, const vec *gate, const vec *dsqueeze,
                                long cases, long length, wide *sum_dy, wide *sum_dy_z, int act) {
    wide total = {0}, total_z = {0};
    const real share_of_one = (real)(1.0 / (double)length);
    for (long n = 0; n < cases; n++, da += length, z += length) {
        const vec factor = gate[n], add = dsqueeze[n] * share_of_one;
        vec s = {0}, s_z = {0};
        for (long l = 0; l < length; l++) {
            vec d = z[l] - f.mean;
            vec g = (da[l] * factor + add) * slope(d * f.scale + f.shift, act);
            da[l] = g;
            s += g;
            s_z += g * d;
        }
        total += widen(s);
        total_z += widen(s_z);
    }
    *sum_dy = total;
    *sum_dy_z = total_z;
}

static void gated_gradient(int act, vec *da, const vec *z, Affine f, const vec *gate, const vec *dsqueeze,
                           long cases, long length, wide *sum_dy, wide *sum_dy_z) {
    WITH_ACTIVATION(act, gated_gradient_body, da, z, f, gate, dsqueeze, cases, length, sum_dy, sum_dy_z)
}

/* The other half of a panel: through the depthwise convolution and, where there is one, to the
   weights of the expansion. */
static void expand_backward(Team team, const Network *net, const Block *block, Streams dout, Streams dx,
                            long b0, int panel, const wide *sum_dy, const wide *sum_dy_z) {
    const Depthwise *dw = &block->dw;
    const long rows_in = dw->cases * dw->length_in, rows = dw->cases * dw->length_out;
    const Streams da = da_of(net, block), dz1 = {net->dz_in.data, stride_of(rows_in)};
    for (int j = 0; j < panel; j++) {
        const long b = b0 + j;
        const Affine f1 = affine(&block->pw, b);
        Gradient g = settle_gradient(&block->depthwise, b, sum_dy[j], sum_dy_z[j], rows);
        const vec *z1 = block->expand ? stream(block->z1, b) : stream(block->x, b);
        vec *dy1 = block->expand ? stream(dz1, b) : stream(dx, b);
        wide sum, sum_z;
        depthwise_backward(team, dw, block->expand ? block->act : IDENTITY, stream(da, b),
                           stream(block->z2, b), affine(&block->depthwise, b).mean, g, z1, f1,
                           &block->depthwise.conv, b, dy1, &sum, &sum_z);
        if (block->expand) {
            g = settle_gradient(&block->pw, b, sum, sum_z, rows_in);
            apply_gradient(dy1, dy1, z1, f1.mean, g, rows_in);
        } else if (block->residual) {
            const vec *skip = stream(dout, b);
            for (long r = 0; r < rows_in; r++) dy1[r] += skip[r];
        }
    }
    if (block->expand)
        weight_gradient(from(dz1, b0), panel, block->x, block->in / LANES, rows_in,
                        block->pw.conv.dweight + b0 * LANES * block->in, block->in);
}

/* From the gradient of the gates to that of the squeezed hidden layer. */
static void squeeze_backward(Team team, const Network *net, const Block *block) {
    const long N = block->dw.cases, num_e = block->expanded / LANES;
    long begin, end;
    share(team, block->squeezed / LANES, &begin, &end);
    for (long b0 = begin; b0 < end; b0 += MAX_PANEL) {
        const int panel = panel_at(b0, end);
        pack_in(team.scratch, block->excite.weight, block->expanded, block->squeezed, b0, panel);
        multiply(panel, net->dv, num_e, team.scratch, NONE, from(net->dh, b0), 0, N);
    }
    for (long b = begin; b < end; b++) {
        vec *dh = stream(net->dh, b);
        const vec *hidden = stream(block->hidden, b);
        for (long n = 0; n < N; n++) dh[n] *= slope(hidden[n], RELU);
        store(block->reduce.dbias + b * LANES, narrow(sum_rows(dh, N)));
    }
    weight_gradient(from(net->dh, begin), end - begin, block->squeeze, num_e, N,
                    block->reduce.dweight + begin * LANES * block->expanded, block->expanded);
}

static void block_backward(Team team, const Network *net, const Block *block, Streams dout, Streams dx) {
    const Depthwise *dw = &block->dw;
    const long N = dw->cases, rows_in = N * dw->length_in, rows = N * dw->length_out;
    const long num_e = block->expanded / LANES, num_out = block->out / LANES, num_in = block->in / LANES;
    /* dout is wanted once more where there is a way around the block, else it makes room for dz3 */
    const Streams dz3 = {block->residual ? net->dz_out.data : dout.data, stride_of(rows)};
    const Streams dz1 = {net->dz_in.data, stride_of(rows_in)};
    long begin, end;
    wide sum_dy[MAX_PANEL], sum_dy_z[MAX_PANEL];

    share(team, num_out, &begin, &end);
    for (long b = begin; b < end; b++) {
        vec *at = stream(dz3, b);
        const vec *z = stream(block->z3, b);
        Affine f = affine(&block->pwl, b);
        activation_gradient(block->project_act, stream(dout, b), z, f, at, 0, rows, sum_dy, sum_dy_z);
        Gradient g = settle_gradient(&block->pwl, b, *sum_dy, *sum_dy_z, rows);
        apply_gradient(at, at, z, f.mean, g, rows);
    }
    BARRIER

    share(team, num_e, &begin, &end);
    if (block->squeezed) {
        for (long b0 = begin; b0 < end; b0 += MAX_PANEL)
            project_backward(team, net, block, dz3, b0, panel_at(b0, end), 0, 0);
        for (long b = begin; b < end; b++)
            store(block->excite.dbias + b * LANES, narrow(sum_rows(stream(net->dv, b), N)));
        weight_gradient(from(net->dv, begin), end - begin, block->hidden, block->squeezed / LANES, N,
                        block->excite.dweight + begin * LANES * block->squeezed, block->squeezed);
        BARRIER
        squeeze_backward(team, net, block);
        BARRIER
        share(team, num_e, &begin, &end);
    }
    /* From the last panel to the first: what the pass before wrote last is still in the cache. */
    for (long i = ceil_div(end - begin, MAX_PANEL) - 1; i >= 0; i--) {
        const long b0 = begin + i * MAX_PANEL;
        const int panel = panel_at(b0, end);
        if (block->squeezed) {
            const Streams da = da_of(net, block);
            const Streams dsqueeze = {team.scratch + panel * block->squeezed, stride_of(N)};
            pack_in(team.scratch, block->reduce.weight, block->squeezed, block->expanded, b0, panel);
            multiply(panel, net->dh, block->squeezed / LANES, team.scratch, NONE, dsqueeze, 0, N);
            for (int j = 0; j < panel; j++)
                gated_gradient(block->act, stream(da, b0 + j), stream(block->z2, b0 + j),
                               affine(&block->depthwise, b0 + j), stream(block->gate, b0 + j),
                               stream(dsqueeze, j), N, dw->length_out, &sum_dy[j], &sum_dy_z[j]);
        } else
            project_backward(team, net, block, dz3, b0, panel, sum_dy, sum_dy_z);
        expand_backward(team, net, block, dout, dx, b0, panel, sum_dy, sum_dy_z);
    }
    if (block->expand) {
        for (long b = 0, i = 0; b < num_in; b += MAX_PANEL, i++)
            if (i % team.size == team.rank)
                pack_in(net->packed + b * block->expanded, block->pw.conv.weight, block->expanded,
                        block->in, b, panel_at(b, num_in));
        BARRIER
        multiply_rows(team, dz1, num_e, net->packed, num_in, block->residual ? dout : NONE, dx, rows_in);
    }
    BARRIER
}

static void stem_backward(Team team, const Network *net, Streams dy) {
    const long rows = net->cases * net->stem_length, K = net->channels * 3;
    const long padded_k = ceil_div(K, LANES) * LANES;
    long begin, end;
    share(team, net->stem_width / LANES, &begin, &end);
    for (long b = begin; b < end; b++) {
        vec *at = stream(dy, b);
        const vec *z = stream(net->stem_z, b);
        wide sum, sum_z;
        Affine f = affine(&net->stem, b);
        activation_gradient(HARDSWISH, at, z, f, at, 0, rows, &sum, &sum_z);
        Gradient g = settle_gradient(&net->stem, b, sum, sum_z, rows);
        apply_gradient(at, at, z, f.mean, g, rows);
    }
    real *dweight = net->stem_dweight + begin * LANES * padded_k;
    weight_gradient(from(dy, begin), end - begin, net->column, padded_k / LANES, rows, dweight, padded_k);
    for (long c = begin * LANES; c < end * LANES; c++, dweight += padded_k)
        memcpy(net->stem.conv.dweight + c * K, dweight, (size_t)K * sizeof(real));
}
