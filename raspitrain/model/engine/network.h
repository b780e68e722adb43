/* The network, as it is called, and where its parts lie in memory. */

#pragma once

#include "products.h" /* first: see kernels.c */
#include "norm.h"
#include "depthwise.h"

typedef struct {
    long in, expanded, out, squeezed; /* channels; squeezed 0: no squeeze-excite */
    int act, project_act, expand, residual;
    Depthwise dw;
    Layer pw, depthwise, pwl;
    Linear reduce, excite;
    Streams x, z1, z2, z3, y;                 /* y: the block's output */
    Streams squeeze, hidden, gate; /* one row a case */
} Block;

typedef struct {
    long cases, length, channels, num_blocks, last, last_length, last_in, hidden;
    int training;
    long stem_width, stem_stride, stem_length;
    Layer stem, head;
    Linear hidden_layer;
    Block blocks[MAX_BLOCKS];
    Streams column, stem_z, stem_y, head_z, pooled, hidden_z;
    /* passing use */
    Streams a, dz_in, dz_out, dx[2], dv, dh, dpooled;
    vec *packed;
    real *stem_dweight;
    vec *scratch;
    long scratch_size; /* vectors a thread */
} Network;

typedef struct {
    char *base; /* 0: only the size is wanted */
    size_t used;
} Arena;

static void *take(Arena *arena, long bytes) {
    void *at = arena->base ? arena->base + arena->used : 0;
    arena->used += ((size_t)bytes + 63) / 64 * 64;
    return at;
}

static Streams take_streams(Arena *arena, long channels, long rows) {
    long stride = stride_of(rows);
    return (Streams){take(arena, ceil_div(channels, LANES) * stride * VECTOR_BYTES), stride};
}

/* Fixed-size numbers of one call, as native.py lays them out. */
typedef struct {
    int64_t cases, length, channels, stem_width, stem_stride, num_blocks, last, hidden, training,
        skip_norm_at_length_1;
    double eps, momentum;
} Header;

typedef struct {
    int64_t expanded, out, kernel, stride, act, project_act, squeezed, expand, residual;
} Row;

typedef struct {
    void *const *tensors, *const *gradients;
} Reader;

static Linear read_linear(Reader *reader) {
    Linear linear = {0};
    if (reader->tensors) {
        linear.weight = *reader->tensors++;
        linear.bias = *reader->tensors++;
    }
    if (reader->gradients) {
        linear.dweight = *reader->gradients++;
        linear.dbias = *reader->gradients++;
    }
    return linear;
}

static Layer read_layer(Reader *reader, const Header *header, Arena *keep, long channels, long length) {
    Layer layer = {read_linear(reader), {0}};
    Norm *norm = &layer.norm;
    norm->mode = header->training && header->cases * length > 1 ? BATCH : FROZEN;
    if (header->skip_norm_at_length_1 && length == 1) norm->mode = ABSENT;
    norm->eps = header->eps;
    norm->momentum = header->momentum;
    if (reader->tensors) {
        norm->gamma = *reader->tensors++;
        norm->beta = *reader->tensors++;
        norm->running_mean = *reader->tensors++;
        norm->running_var = *reader->tensors++;
        norm->tracked = *reader->tensors++;
    }
    if (reader->gradients) {
        norm->dgamma = *reader->gradients++;
        norm->dbeta = *reader->gradients++;
    }
    norm->mean = take(keep, channels * REAL_BYTES);
    norm->inverse_std = take(keep, channels * REAL_BYTES);
    return layer;
}

/* Lays the network out. Tensors come in forward order: of each convolution weight and bias, of each
   batch normalisation weight, bias, running mean, running variance, count; of each linear layer
   weight and bias. `keep` is what backward needs, `work` what one call needs. */
static void lay_out(Network *net, const Header *header, const Row *rows, void *const *tensors,
                    void *const *gradients, Arena *keep, Arena *work, int num_threads) {
    Reader reader = {tensors, gradients};
    const int training = (int)header->training;
    const long N = header->cases;
    memset(net, 0, sizeof *net);
    net->cases = N;
    net->length = header->length;
    net->channels = header->channels;
    net->num_blocks = header->num_blocks;
    net->training = training;
    net->stem_width = header->stem_width;
    net->stem_stride = header->stem_stride;
    net->last = header->last;
    net->hidden = header->hidden;

    long length = ceil_div(header->length, header->stem_stride), channels = header->stem_width;
    long column = header->channels * 3, most_z = 0, most_a = 0, most_y = channels * stride_of(N * length);
    long most_x = most_y, most_in = max2(column + LANES, max2(header->hidden, header->last));
    long packed = 0, dw_rows = 0, most_rows = 0, squeezed = LANES;
    net->stem_length = length;
    net->stem = read_layer(&reader, header, keep, channels, length);
    net->column = take_streams(keep, column, N * length);
    net->stem_z = take_streams(keep, channels, N * length);
    net->stem_y = take_streams(keep, channels, N * length);
    Streams x = net->stem_y;
    for (long i = 0; i < header->num_blocks; i++) {
        Block *block = &net->blocks[i];
        const Row *row = &rows[i];
        const long in = length, out = ceil_div(length, row->stride), E = row->expanded;
        block->in = channels;
        block->expanded = E;
        block->out = row->out;
        block->squeezed = row->squeezed;
        block->act = (int)row->act;
        block->project_act = (int)row->project_act;
        block->expand = (int)row->expand;
        block->residual = (int)row->residual;
        const long pad = row->kernel / 2;
        block->dw = (Depthwise){N, in, out, pad, chunk_cases(in, pad), (int)row->kernel, (int)row->stride};
        block->x = x;
        if (row->expand) {
            block->pw = read_layer(&reader, header, keep, E, in);
            if (training) block->z1 = take_streams(keep, E, N * in);
        } else
            block->pw.norm.mode = ABSENT;
        block->depthwise = read_layer(&reader, header, keep, E, out);
        if (training) block->z2 = take_streams(keep, E, N * out);
        if (row->squeezed) {
            block->reduce = read_linear(&reader);
            block->excite = read_linear(&reader);
            block->squeeze = take_streams(keep, E, N);
            block->hidden = take_streams(keep, row->squeezed, N);
            block->gate = take_streams(keep, E, N);
        }
        block->pwl = read_layer(&reader, header, keep, row->out, out);
        if (training) {
            block->z3 = take_streams(keep, row->out, N * out);
            block->y = x = take_streams(keep, row->out, N * out);
        }
        most_z = max2(most_z, E * stride_of(N * in));
        most_a = max2(most_a, E * stride_of(N * out));
        most_y = max2(most_y, row->out * stride_of(N * out));
        most_x = max2(most_x, channels * stride_of(N * in));
        most_in = max2(most_in, max2(row->out, max2(E, row->squeezed)));
        squeezed = max2(squeezed, max2(row->squeezed, E));
        packed = max2(packed, max2(E * row->out, E * channels));
        dw_rows = max2(dw_rows, block->dw.chunk * (2 * in + out + 4 * pad));
        most_rows = max2(most_rows, max2(stride_of(N * out), stride_of(N)));
        channels = row->out;
        length = out;
    }
    net->last_in = channels;
    net->last_length = length;
    net->head = read_layer(&reader, header, keep, header->last, length);
    if (training) net->head_z = take_streams(keep, header->last, N * length);
    net->pooled = take_streams(keep, header->last, N);
    net->hidden_layer = read_linear(&reader);
    net->hidden_z = take_streams(keep, header->hidden, N);

    most_y = max2(most_y, most_x);
    packed = max2(packed, channels * header->last);
    most_z = max2(most_z, header->last * stride_of(N * length));
    net->dz_in.data = net->a.data = take(work, most_z * REAL_BYTES); /* forward: a */
    net->dz_out.data = take(work, most_y * REAL_BYTES);
    net->dx[0].data = take(work, most_y * REAL_BYTES);
    net->dx[1].data = take(work, most_y * REAL_BYTES);
    net->packed = take(work, packed * REAL_BYTES);
    if (training) {
        net->dv = take_streams(work, squeezed, N);
        net->dh = take_streams(work, squeezed, N);
        net->dpooled = take_streams(work, header->hidden, N);
        net->stem_dweight = take(work, net->stem_width * (column + LANES) * REAL_BYTES);
    } else { /* nothing is kept: blocks take turns in the same memory */
        vec *z1 = take(work, most_z * REAL_BYTES), *z2 = take(work, most_a * REAL_BYTES);
        Streams current = net->stem_y;
        for (long i = 0; i < net->num_blocks; i++) {
            Block *block = &net->blocks[i];
            const long in = stride_of(N * block->dw.length_in), out = stride_of(N * block->dw.length_out);
            block->x = current;
            block->z1 = (Streams){z1, in};
            block->z2 = (Streams){z2, out};
            block->z3 = (Streams){net->dz_out.data, out};
            block->y = current = (Streams){net->dx[i % 2].data, out};
        }
        net->head_z = (Streams){net->dz_in.data, stride_of(N * net->last_length)};
    }
    /* a thread's own: a packed panel, then rows of a panel, or what the depthwise passes need */
    net->scratch_size =
        max2(MAX_PANEL * (most_in + LANES) + MAX_PANEL * (most_rows + stride_of(N)), dw_rows);
    net->scratch = take(work, net->scratch_size * VECTOR_BYTES * num_threads);
}
