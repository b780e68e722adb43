/* A training step of MobileNetV3 for signals, as one forward and one backward call.

   native.py compiles this file for the machine it finds and calls it; it holds no state.

   Layout. An activation of C channels, N cases and L positions is kept as C / LANES streams; a
   stream holds N * L rows of one vector each (LANES neighbouring channels). So the channels that
   share a vector lie together for the whole batch, and between two matrix products every stream
   goes through batch normalisation, activation and depthwise convolution on its own, by one
   thread, in its cache. No sum is ever split between threads: the numbers do not depend on how
   many there are.

   Letters: N cases, L positions, C channels, E expanded channels, M = N * L rows; z is what a
   convolution gives, y what batch normalisation makes of it, a what the activation makes of y,
   and dz, dy, da are their gradients. b counts streams.

   From the ground up: vectors.h, products.h, norm.h, depthwise.h, network.h, forward.h, backward.h.

   Weights, their gradients and running statistics are plain row-major arrays in the shapes of
   nn.Conv1d, nn.Linear and nn.BatchNorm1d. */

/* In this order: GCC decides by it what to inline. */
#include "forward.h"
#include "backward.h"

/* Bytes that a call keeps for backward (sizes[0]) and that it needs while it runs (sizes[1]). */
void sizes(const Header *header, const Row *rows, int num_threads, int64_t *bytes) {
    Network net;
    Arena keep = {0, 0}, work = {0, 0};
    lay_out(&net, header, rows, 0, 0, &keep, &work, num_threads);
    bytes[0] = (int64_t)keep.used;
    bytes[1] = (int64_t)work.used;
}

/* features (N, hidden) of signals (N, C, L): everything before the classifier. */
void forward(const Header *header, const Row *rows, void *const *tensors, const real *signals,
             real *features, void *keep_memory, void *work_memory, int num_threads) {
    Network net;
    Arena keep = {keep_memory, 0}, work = {work_memory, 0};
    lay_out(&net, header, rows, tensors, 0, &keep, &work, num_threads);
#pragma omp parallel num_threads(num_threads)
    {
        Team team = {omp_get_thread_num(), omp_get_num_threads(), 0};
        team.scratch = net.scratch + team.rank * net.scratch_size;
        stem_forward(team, &net, signals);
        for (long i = 0; i < net.num_blocks; i++) block_forward(team, &net, &net.blocks[i]);
        head_forward(team, &net, net.blocks[net.num_blocks - 1].y, features);
    }
}

/* Gradients of every parameter from that of the features. */
void backward(const Header *header, const Row *rows, void *const *tensors, void *const *gradients,
              const real *dfeatures, void *keep_memory, void *work_memory, int num_threads) {
    Network net;
    Arena keep = {keep_memory, 0}, work = {work_memory, 0};
    lay_out(&net, header, rows, tensors, gradients, &keep, &work, num_threads);
#pragma omp parallel num_threads(num_threads)
    {
        Team team = {omp_get_thread_num(), omp_get_num_threads(), 0};
        team.scratch = net.scratch + team.rank * net.scratch_size;
        Streams dout = {net.dx[0].data, stride_of(net.cases * net.last_length)};
        head_backward(team, &net, net.blocks[net.num_blocks - 1].y, dfeatures, dout);
        for (long i = net.num_blocks - 1; i >= 0; i--) {
            const Block *block = &net.blocks[i];
            Streams dx = {net.dx[(net.num_blocks - i) % 2].data,
                          stride_of(net.cases * block->dw.length_in)};
            block_backward(team, &net, block, dout, dx);
            dout = dx;
        }
        stem_backward(team, &net, dout);
    }
}
