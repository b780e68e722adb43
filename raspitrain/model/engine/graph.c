/* A training step of any network of rows, as one forward and one backward call.

   graph.py compiles this file for the machine it finds, lays out the rows and calls it; it holds no
   state. Layout, letters and threads are as in kernels.c, but that rows may have zeros around each
   case (graph.h) and channels may be no multiple of LANES: zeros fill them up.

   From the ground up: vectors.h, products.h, norm.h, taps.h, graph.h, layers.h, shapes.h. */

#include "layers.h"
#include "shapes.h"

long lanes(void) { return LANES; }

/* Vectors that a value of so many rows has from one stream to the next. */
long stream_stride(long rows) { return stride_of(rows); }

static void op_forward(Team team, const Graph *g, const Op *op) {
    switch (op->kind) {
        case LAYER: layer_forward(team, g, op); return;
        case ADD: add_forward(team, g, op); break;
        case MULTIPLY: multiply_forward(team, g, op); break;
        case COPY: copy_forward(team, g, op); break;
        case MEAN: mean_forward(team, g, op); break;
        case DROP: drop_forward(team, g, op); break;
        default: pool_forward(team, g, op);
    }
    BARRIER
}

static void op_backward(Team team, const Graph *g, const Op *op) {
    switch (op->kind) {
        case LAYER: layer_backward(team, g, op); return;
        case ADD: add_backward(team, g, op); break;
        case MULTIPLY: multiply_backward(team, g, op); break;
        case COPY: copy_backward(team, g, op); break;
        case MEAN: mean_backward(team, g, op); break;
        case DROP: drop_backward(team, g, op); break;
        default: pool_backward(team, g, op);
    }
    BARRIER
}

INLINE Team team_of(const Graph *g) {
    const int rank = omp_get_thread_num();
    char *scratch = g->work + g->header->scratch + rank * g->header->scratch_size;
    return (Team){rank, omp_get_num_threads(), (vec *)scratch};
}

/* The last value of signals (N, C, L). */
void graph_forward(const Header *header, const Value *values, const Op *ops, void *const *tensors,
                   const real *signals, real *out, void *keep, void *work, int num_threads) {
    const Graph graph = {header, values, ops, tensors, 0, keep, work}, *g = &graph;
#pragma omp parallel num_threads(num_threads)
    {
        const Team team = team_of(g);
        const Value *last = &values[header->num_values - 1];
        gather(team, rows_at(g, 0), signals, header->cases, values->channels, values->length);
        BARRIER
        for (long i = 0; i < header->num_ops; i++) op_forward(team, g, &ops[i]);
        scatter(team, rows_at(g, header->num_values - 1), out, header->cases, last->channels,
                last->length);
    }
}

/* Gradients of the weights from that of the last value; and of the signals, unless dsignals is 0. */
void graph_backward(const Header *header, const Value *values, const Op *ops, void *const *tensors,
                    void *const *gradients, const real *dout, real *dsignals, void *keep,
                    void *work, int num_threads) {
    const Graph graph = {header, values, ops, tensors, gradients, keep, work}, *g = &graph;
#pragma omp parallel num_threads(num_threads)
    {
        const Team team = team_of(g);
        const Value *last = &values[header->num_values - 1];
        gather(team, gradient_at(g, header->num_values - 1), dout, header->cases, last->channels,
               last->length);
        BARRIER
        for (long i = header->num_ops - 1; i >= 0; i--)
            if (ops[i].trained || ops[i].dx != NOT_WANTED || ops[i].dother != NOT_WANTED)
                op_backward(team, g, &ops[i]);
        if (dsignals)
            scatter(team, gradient_at(g, 0), dsignals, header->cases, values->channels,
                    values->length);
    }
}
