/* What has no weights: additions, gates, poolings, channels that move. */

#pragma once

#include "graph.h"

INLINE void add_body(const Graph *g, const Op *op, long b, int act) {
    const Value *y = &g->values[op->y];
    const Rows x = rows_at(g, op->x), other = rows_at(g, op->other), at_y = rows_at(g, op->y);
    for (long n = 0; n < g->header->cases; n++) {
        const vec *first = case_of(x, b, n), *second = case_of(other, b, n);
        vec *sum = case_of(at_y, b, n);
        IN_FOURS(l, y->length, vec each[4];
                 EACH each[u] = activate(first[l + u] + second[l + u], act);
                 EACH sum[l + u] = each[u];)
    }
}

static void add_forward(Team team, const Graph *g, const Op *op) {
    const Value *y = &g->values[op->y];
    long begin, end;
    share(team, streams_of(y), &begin, &end);
    for (long b = begin; b < end; b++) {
        WITH_ACTIVATION(op->act, add_body, g, op, b)
        zero_around(rows_at(g, op->y), b, g->header->cases, y->length);
    }
}

INLINE void receive(vec *to, vec add, int64_t how) {
    if (how == SET) *to = add;
    if (how == INCREASE) *to += add;
}

INLINE void add_gradient_body(const Graph *g, const Op *op, long b, int act) {
    const Value *y = &g->values[op->y];
    const Rows x = rows_at(g, op->x), other = rows_at(g, op->other), dy = gradient_at(g, op->y);
    const Rows dx = gradient_at(g, op->x), dother = gradient_at(g, op->other);
    for (long n = 0; n < g->header->cases; n++) {
        const vec *first = case_of(x, b, n), *second = case_of(other, b, n), *d = case_of(dy, b, n);
        vec *to_x = case_of(dx, b, n), *to_other = case_of(dother, b, n);
        IN_FOURS(l, y->length, vec each[4];
                 EACH each[u] = d[l + u];
                 if (act != IDENTITY) EACH each[u] *= slope(first[l + u] + second[l + u], act);
                 EACH receive(to_x + l + u, each[u], op->dx);
                 EACH receive(to_other + l + u, each[u], op->dother);)
    }
}

static void add_backward(Team team, const Graph *g, const Op *op) {
    long begin, end;
    share(team, streams_of(&g->values[op->y]), &begin, &end);
    for (long b = begin; b < end; b++) WITH_ACTIVATION(op->act, add_gradient_body, g, op, b)
}

/* y = x * other, where other has one row a case */
static void multiply_forward(Team team, const Graph *g, const Op *op) {
    const Value *y = &g->values[op->y];
    const Rows x = rows_at(g, op->x), other = rows_at(g, op->other), at_y = rows_at(g, op->y);
    long begin, end;
    share(team, streams_of(y), &begin, &end);
    for (long b = begin; b < end; b++) {
        for (long n = 0; n < g->header->cases; n++) {
            const vec *a = case_of(x, b, n), factor = *case_of(other, b, n);
            vec *product = case_of(at_y, b, n);
            for (long l = 0; l < y->length; l++) product[l] = a[l] * factor;
        }
        zero_around(at_y, b, g->header->cases, y->length);
    }
}

static void multiply_backward(Team team, const Graph *g, const Op *op) {
    const Value *y = &g->values[op->y];
    const Rows x = rows_at(g, op->x), other = rows_at(g, op->other), dy = gradient_at(g, op->y);
    const Rows dx = gradient_at(g, op->x), dother = gradient_at(g, op->other);
    long begin, end;
    share(team, streams_of(y), &begin, &end);
    for (long b = begin; b < end; b++)
        for (long n = 0; n < g->header->cases; n++) {
            const vec *a = case_of(x, b, n), *d = case_of(dy, b, n), factor = *case_of(other, b, n);
            vec *to = case_of(dx, b, n), sum = {0};
            for (long l = 0; l < y->length; l++) {
                sum += d[l] * a[l];
                receive(to + l, d[l] * factor, op->dx);
            }
            receive(case_of(dother, b, n), sum, op->dother);
        }
}

/* Rows of stream b times dropout's factors, an array (N, C, L), or times one where there are none. */
static void drop(const Graph *g, const Op *op, long b, Rows rows, Rows to, int64_t how) {
    const Value *y = &g->values[op->y];
    const real *factors = (g->tensors + op->tensors)[WEIGHT];
    for (long n = 0; n < g->header->cases; n++) {
        const vec *a = case_of(rows, b, n);
        vec *at = case_of(to, b, n);
        for (long l = 0; l < y->length; l++) {
            vec factor = splat(factors ? 0 : 1);
            for (long c = b * LANES; factors && c < y->channels && c < (b + 1) * LANES; c++)
                factor[c - b * LANES] = factors[(n * y->channels + c) * y->length + l];
            receive(at + l, a[l] * factor, how);
        }
    }
}

static void drop_forward(Team team, const Graph *g, const Op *op) {
    const Value *y = &g->values[op->y];
    long begin, end;
    share(team, streams_of(y), &begin, &end);
    for (long b = begin; b < end; b++) {
        drop(g, op, b, rows_at(g, op->x), rows_at(g, op->y), SET);
        zero_around(rows_at(g, op->y), b, g->header->cases, y->length);
    }
}

static void drop_backward(Team team, const Graph *g, const Op *op) {
    long begin, end;
    share(team, streams_of(&g->values[op->y]), &begin, &end);
    for (long b = begin; b < end; b++)
        drop(g, op, b, gradient_at(g, op->y), gradient_at(g, op->x), op->dx);
}

/* Channels from, from + 1, … of x become channels to, to + spread, … of y, or take back their
   gradients. Threads share the cases: two copies may fill one vector. */
static void copy_forward(Team team, const Graph *g, const Op *op) {
    const Value *x = &g->values[op->x], *y = &g->values[op->y];
    const Rows at_x = rows_at(g, op->x), at_y = rows_at(g, op->y);
    const int straight = op->spread == 1 && op->from % LANES == 0 && op->to % LANES == 0;
    long begin, end;
    share(team, g->header->cases, &begin, &end);
    if (op->whole) /* the first of several copies */
        for (long n = begin; n < end; n++)
            for (long b = 0; b < streams_of(y); b++)
                memset(case_of(at_y, b, n) - y->left, 0, (size_t)y->pitch * sizeof(vec));
    for (long n = begin; n < end; n++) {
        long c = 0;
        if (straight)
            for (; c + LANES <= op->count; c += LANES)
                memcpy(case_of(at_y, (op->to + c) / LANES, n), case_of(at_x, (op->from + c) / LANES, n),
                       (size_t)x->length * sizeof(vec));
        for (; c < op->count; c++) {
            const long p = op->from + c, q = op->to + c * op->spread;
            const real *a = (const real *)case_of(at_x, p / LANES, n) + p % LANES;
            real *to = (real *)case_of(at_y, q / LANES, n) + q % LANES;
            for (long l = 0; l < x->length; l++) to[l * LANES] = a[l * LANES];
        }
    }
}

static void copy_backward(Team team, const Graph *g, const Op *op) {
    const Value *x = &g->values[op->x];
    const Rows dx = gradient_at(g, op->x), dy = gradient_at(g, op->y);
    const int straight = op->spread == 1 && op->from % LANES == 0 && op->to % LANES == 0;
    long begin, end;
    if (op->dx == NOT_WANTED) return;
    share(team, g->header->cases, &begin, &end);
    for (long n = begin; n < end; n++) {
        if (op->dx == SET)
            for (long b = 0; b < streams_of(x); b++)
                memset(case_of(dx, b, n), 0, (size_t)x->length * sizeof(vec));
        long c = 0;
        if (straight)
            for (; c + LANES <= op->count; c += LANES) {
                const vec *d = case_of(dy, (op->to + c) / LANES, n);
                vec *to = case_of(dx, (op->from + c) / LANES, n);
                for (long l = 0; l < x->length; l++) to[l] += d[l];
            }
        for (; c < op->count; c++) {
            const long p = op->from + c, q = op->to + c * op->spread;
            const real *d = (const real *)case_of(dy, q / LANES, n) + q % LANES;
            real *to = (real *)case_of(dx, p / LANES, n) + p % LANES;
            for (long l = 0; l < x->length; l++) to[l * LANES] += d[l * LANES];
        }
    }
}

/* The positions first, first + dilation, … below last that the window of output o meets. */
INLINE void window(const Op *op, long length, long o, long *first, long *last) {
    const long begin = o * op->stride - op->pad, end = begin + (op->kernel - 1) * op->dilation + 1;
    *first = begin < 0 ? begin + ceil_div(-begin, op->dilation) * op->dilation : begin;
    *last = end < length ? end : length;
}

/* The greatest, and where it is first met; what is not a number is greater than all. */
INLINE vec greatest(const vec *a, long first, long last, long step, vec *where) {
    vec most = a[first];
    *where = splat((real)first);
    for (long l = first + step; l < last; l += step) {
        const mask better = (a[l] > most) | (a[l] != a[l]);
        most = choose(better, a[l], most);
        *where = choose(better, splat((real)l), *where);
    }
    return most;
}

/* One by how many the sum over a window is divided: the padding counts if `whole`, as in torch. */
INLINE real window_share(const Op *op, long length, long o, long first, long last) {
    if (!op->whole) return (real)(1.0 / (double)(last - first));
    const long begin = o * op->stride - op->pad, end = begin + op->kernel;
    const long padded = length + op->to; /* to: zeros on the right */
    return (real)(1.0 / (double)((end < padded ? end : padded) - begin));
}

/* Outputs whose whole window lies inside of the signal, begin to end. */
INLINE void inner_outputs(const Op *op, long length, long outputs, long *begin, long *end) {
    const long reach = length + op->pad - ((op->kernel - 1) * op->dilation + 1);
    *begin = ceil_div(op->pad, op->stride);
    *end = reach < 0 ? 0 : reach / op->stride + 1;
    if (*end > outputs) *end = outputs;
    if (*begin > *end) *begin = *end;
}

INLINE void greatest_inside(const int kernel, const vec *a, long stride, vec *to, long rows) {
    for (long o = 0; o < rows; o++, a += stride) {
        vec most = a[0];
        UNROLL for (int t = 1; t < kernel; t++) most = greater(most, a[t]);
        to[o] = most;
    }
}

/* Gives each gradient to the first position that is the greatest. */
INLINE void greatest_gradient(const int kernel, const vec *a, long stride, const vec *d, vec *to,
                              long rows) {
    for (long o = 0; o < rows; o++, a += stride, to += stride) {
        vec most = a[0];
        UNROLL for (int t = 1; t < kernel; t++) most = greater(most, a[t]);
        mask open = (vec){0} == (vec){0};
        UNROLL for (int t = 0; t < kernel - 1; t++) {
            const mask hit = (a[t] == most) & open;
            to[t] += (vec)(hit & (mask)d[o]);
            open &= ~hit;
        }
        to[kernel - 1] += (vec)(open & (mask)d[o]);
    }
}

static void pool_forward(Team team, const Graph *g, const Op *op) {
    const Value *x = &g->values[op->x], *y = &g->values[op->y];
    const Rows at_x = rows_at(g, op->x), at_y = rows_at(g, op->y);
    long begin, end, first, last, inner, outer;
    share(team, streams_of(y), &begin, &end);
    inner_outputs(op, x->length, y->length, &inner, &outer);
    const int quick = op->kind == MAXIMUM && op->dilation == 1 && (op->kernel == 2 || op->kernel == 3);
    for (long b = begin; b < end; b++) {
        for (long n = 0; n < g->header->cases; n++) {
            const vec *a = case_of(at_x, b, n);
            vec *to = case_of(at_y, b, n);
            for (long o = 0; o < y->length; o++) {
                if (quick && o == inner && inner < outer) {
                    const vec *from_a = a + o * op->stride - op->pad;
                    if (op->kernel == 2) greatest_inside(2, from_a, op->stride, to + o, outer - o);
                    else greatest_inside(3, from_a, op->stride, to + o, outer - o);
                    o = outer - 1;
                    continue;
                }
                window(op, x->length, o, &first, &last);
                if (op->kind == MAXIMUM) {
                    vec where;
                    to[o] = greatest(a, first, last, op->dilation, &where);
                } else {
                    vec sum = {0};
                    for (long l = first; l < last; l++) sum += a[l];
                    to[o] = sum * window_share(op, x->length, o, first, last);
                }
            }
        }
        zero_around(at_y, b, g->header->cases, y->length);
    }
}

static void pool_backward(Team team, const Graph *g, const Op *op) {
    const Value *x = &g->values[op->x], *y = &g->values[op->y];
    const Rows at_x = rows_at(g, op->x), dx = gradient_at(g, op->x), dy = gradient_at(g, op->y);
    long begin, end, first, last, inner, outer;
    if (op->dx == NOT_WANTED) return;
    share(team, streams_of(y), &begin, &end);
    inner_outputs(op, x->length, y->length, &inner, &outer);
    const int quick = op->kind == MAXIMUM && op->dilation == 1 && (op->kernel == 2 || op->kernel == 3);
    for (long b = begin; b < end; b++)
        for (long n = 0; n < g->header->cases; n++) {
            const vec *a = case_of(at_x, b, n), *d = case_of(dy, b, n);
            vec *to = case_of(dx, b, n);
            if (op->dx == SET) memset(to, 0, (size_t)x->length * sizeof(vec));
            for (long o = 0; o < y->length; o++) {
                if (quick && o == inner && inner < outer) {
                    const long at = o * op->stride - op->pad, rows = outer - o;
                    if (op->kernel == 2)
                        greatest_gradient(2, a + at, op->stride, d + o, to + at, rows);
                    else
                        greatest_gradient(3, a + at, op->stride, d + o, to + at, rows);
                    o = outer - 1;
                    continue;
                }
                window(op, x->length, o, &first, &last);
                if (op->kind == MAXIMUM) {
                    vec where;
                    greatest(a, first, last, op->dilation, &where);
                    for (long l = first; l < last; l += op->dilation)
                        to[l] += (vec)((where == (real)l) & (mask)d[o]);
                } else {
                    const vec each = d[o] * window_share(op, x->length, o, first, last);
                    for (long l = first; l < last; l++) to[l] += each;
                }
            }
        }
}

static void mean_forward(Team team, const Graph *g, const Op *op) {
    const Value *x = &g->values[op->x];
    const Rows at_x = rows_at(g, op->x), at_y = rows_at(g, op->y);
    const real share_of_one = (real)(1.0 / (double)x->length);
    long begin, end;
    share(team, streams_of(x), &begin, &end);
    for (long b = begin; b < end; b++) {
        for (long n = 0; n < g->header->cases; n++) {
            const vec *a = case_of(at_x, b, n);
            vec sum = {0};
            for (long l = 0; l < x->length; l++) sum += a[l];
            *case_of(at_y, b, n) = sum * share_of_one;
        }
        zero_around(at_y, b, g->header->cases, 1);
    }
}

static void mean_backward(Team team, const Graph *g, const Op *op) {
    const Value *x = &g->values[op->x];
    const Rows dx = gradient_at(g, op->x), dy = gradient_at(g, op->y);
    const real share_of_one = (real)(1.0 / (double)x->length);
    long begin, end;
    if (op->dx == NOT_WANTED) return;
    share(team, streams_of(x), &begin, &end);
    for (long b = begin; b < end; b++)
        for (long n = 0; n < g->header->cases; n++) {
            const vec each = *case_of(dy, b, n) * share_of_one;
            vec *to = case_of(dx, b, n);
            for (long l = 0; l < x->length; l++) receive(to + l, each, op->dx);
        }
}

/* An array (N, C, L) into streams, or streams into one. */
static void gather(Team team, Rows to, const real *array, long cases, long channels, long length) {
    long begin, end;
    share(team, cases, &begin, &end);
    for (long b = 0; b < ceil_div(channels, LANES); b++)
        for (long n = begin; n < end; n++) {
            real *at = (real *)case_of(to, b, n);
            memset(at - to.first * LANES, 0, (size_t)to.pitch * sizeof(vec));
            for (long lane = 0; lane < LANES && b * LANES + lane < channels; lane++) {
                const real *one = array + (n * channels + b * LANES + lane) * length;
                for (long l = 0; l < length; l++) at[l * LANES + lane] = one[l];
            }
        }
}

static void scatter(Team team, Rows rows, real *array, long cases, long channels, long length) {
    long begin, end;
    share(team, cases, &begin, &end);
    for (long n = begin; n < end; n++)
        for (long c = 0; c < channels; c++) {
            const real *at = (const real *)case_of(rows, c / LANES, n) + c % LANES;
            real *one = array + (n * channels + c) * length;
            for (long l = 0; l < length; l++) one[l] = at[l * LANES];
        }
}
