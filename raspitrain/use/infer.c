/* The engine behind raspitrain.use: logits of one window, on one thread, in memory that is given
   once. engine.py compiles this file and calls it; which kernels do the work is decided when a
   network is prepared, by what the processor has.

   Compile with -ffp-contract=off: what is fused is written so. */

#include <float.h>
#include <math.h>
#include <string.h>

#include "layers.h"
#include "roots.h"
#include "window.h"
#include "network.h"
#include "graph.h"
#include "plain.h"
#include "graph_plain.h"

/* How bytes are multiplied: see int8.h. */
#define DOT_LANE 0
#define DOT_PAIRS 1
#define DOT_SIGN 2
#define DOT_VNNI 3

#if defined(__aarch64__)
#include <arm_neon.h>
#ifdef __linux__
#include <sys/auxv.h>
#endif

#define TARGET
#include "vectors.h"
#include "graph_vectors.h"
#define NAME "NEON"
#define DOT DOT_PAIRS
#define SET(name) name##_pairs
#include "int8.h"
#undef TARGET
#undef NAME
#undef DOT
#undef SET
#define TARGET __attribute__((target("arch=armv8.2-a+dotprod")))
#define NAME "NEON with SDOT"
#define DOT DOT_LANE
#define SET(name) name##_lane
#include "int8.h"

static int has_dot(void) {
#ifdef __linux__
    return getauxval(AT_HWCAP) >> 20 & 1; /* HWCAP_ASIMDDP */
#elif defined(__ARM_FEATURE_DOTPROD)
    return 1;
#else
    return 0;
#endif
}

static const Kernels *kernels_at(int rank) {
    const Kernels *found[] = {&kernels_lane, &kernels_pairs, &plain, NULL};
    return found[has_dot() ? rank : rank + 1];
}

#elif defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx2,fma")))
#include "vectors.h"
#include "graph_vectors.h"
#define NAME "AVX2"
#define DOT DOT_SIGN
#define SET(name) name##_sign
#include "int8.h"
#undef TARGET
#undef NAME
#undef DOT
#undef SET
#define TARGET __attribute__((target("avx2,fma,avx512vl,avx512vnni")))
#define NAME "AVX2 with VNNI"
#define DOT DOT_VNNI
#define SET(name) name##_vnni
INLINE __m256i dot_vnni(__m256i sums, __m256i x, __m256i weight) {
    return _mm256_dpbusd_epi32(sums, x, weight);
}
#include "int8.h"

static const Kernels *kernels_at(int rank) {
    const Kernels *found[] = {&kernels_vnni, &kernels_sign, &plain, NULL};
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return found[rank + 2];
    if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512vl"))
        return found[rank + 1];
    return found[rank];
}

#else
static const Kernels *kernels_at(int rank) { return rank == 0 ? &plain : NULL; }
#endif

static const GraphKernels *graph_kernels_of(const Kernels *kernels) {
#if defined(__aarch64__) || defined(__x86_64__)
    if (kernels != &plain) return &graph_vectors;
#else
    (void)kernels;
#endif
    return &graph_plain;
}

#include "sha256.h"

enum { MAX_BLOCKS = 64 };
typedef struct {
    Network net;
    Block blocks[MAX_BLOCKS];
} Prepared;

/* ---------------------------------------------------------------- what is given */

typedef struct {
    const void *const *at; /* NULL while only numbers are asked for */
    int wants_offsets;
    int32_t *offsets; /* of all layers; NULL while they are only counted */
    long num_offsets;
} Tensors;

static const float *next_floats(Tensors *tensors) {
    return tensors->at ? (const float *)*tensors->at++ : NULL;
}

static Linear linear_layer(Tensors *tensors, int64_t in, int64_t out, int int8) {
    Linear layer = {(int32_t)in, (int32_t)out, NULL, NULL, NULL, NULL, NULL};
    if (int8) {
        layer.quantised = (const int8_t *)(const void *)next_floats(tensors);
        layer.scale = next_floats(tensors);
    } else
        layer.weight = next_floats(tensors);
    layer.bias = next_floats(tensors);
    if (!int8 || !tensors->wants_offsets) return layer;
    if (tensors->offsets) {
        int32_t *offset = tensors->offsets + tensors->num_offsets;
        for (int64_t o = 0; o < out; o++) {
            const int8_t *from = layer.quantised + o / PACK * in * PACK + o % PACK * 4;
            offset[o] = 0;
            for (int64_t k = 0; k < in; k++) offset[o] -= 128 * from[k / 4 * 4 * PACK + k % 4];
        }
        layer.offset = offset;
    }
    tensors->num_offsets += out;
    return layer;
}

/* `description`: twelve numbers of the network, then nine of each block (network.py writes them);
   tensors in the order in which a window meets them. */
static void describe(Prepared *p, const int64_t *description, Tensors *tensors) {
    Network *net = &p->net;
    const int64_t *d = description;
    net->window.channels = (int32_t)d[0];
    net->window.length = (int32_t)d[1];
    net->classes = (int32_t)d[2];
    net->stem_width = (int32_t)d[3];
    net->stem_stride = (int32_t)d[4];
    net->num_blocks = (int32_t)d[5];
    net->last = (int32_t)d[6];
    net->hidden = (int32_t)d[7];
    net->int8 = (int32_t)d[8];
    net->logits_act = (int32_t)d[9];
    net->window.inputs = (int32_t)d[10];
    net->window.normalise = (int32_t)d[11];
    net->blocks = p->blocks;
    net->window.mean = next_floats(tensors);
    net->window.factor = next_floats(tensors);
    net->window.amplitudes = net->window.normalise == BY_BOTH ? next_floats(tensors) : NULL;
    net->stem = linear_layer(tensors, (net->window.channels * 3 + 3) / 4 * 4, net->stem_width, 0);
    int32_t width = net->stem_width;
    int32_t length = (net->window.length + net->stem_stride - 1) / net->stem_stride;
    d += 12;
    for (int i = 0; i < net->num_blocks; i++, d += 9) {
        Block *block = &p->blocks[i];
        block->in = width;
        block->expanded = (int32_t)d[0];
        block->out = width = (int32_t)d[1];
        block->kernel = (int32_t)d[2];
        block->stride = (int32_t)d[3];
        block->act = (int32_t)d[4];
        block->project_act = (int32_t)d[5];
        block->squeezed = (int32_t)d[6];
        block->expand = (int32_t)d[7];
        block->residual = (int32_t)d[8];
        block->length_in = length;
        block->length_out = length = (length + block->stride - 1) / block->stride;
        if (block->expand)
            block->pw = linear_layer(tensors, block->in, block->expanded, net->int8);
        block->taps = next_floats(tensors);
        block->bias = next_floats(tensors);
        if (block->squeezed) {
            block->reduce = linear_layer(tensors, block->expanded, block->squeezed, net->int8);
            block->excite = linear_layer(tensors, block->squeezed, block->expanded, net->int8);
        }
        block->pwl = linear_layer(tensors, block->expanded, block->out, net->int8);
    }
    net->last_length = length;
    net->head = linear_layer(tensors, width, net->last, net->int8);
    net->fc = linear_layer(tensors, net->last, net->hidden, net->int8);
    net->classifier = linear_layer(tensors, net->hidden, (net->classes + PACK - 1) / PACK * PACK,
                                   net->int8);
}

/* Numbers of a graph, of each value and of each layer, as graph.py writes them. */
enum { OF_GRAPH = 9, OF_VALUE = 5, OF_LAYER = 10 };

static void describe_graph(Graph *graph, Value *values, Layer *layers, Run *runs,
                           const int64_t *d, Tensors *tensors) {
    Window *window = &graph->window;
    window->inputs = (int32_t)d[0];
    window->channels = (int32_t)d[1];
    window->length = (int32_t)d[2];
    window->normalise = (int32_t)d[3];
    graph->classes = (int32_t)d[4];
    graph->num_layers = (int32_t)d[5];
    graph->scratch = d[7];
    window->mean = next_floats(tensors);
    window->factor = next_floats(tensors);
    window->amplitudes = window->normalise == BY_BOTH ? next_floats(tensors) : NULL;
    d += OF_GRAPH;
    for (int i = 0; i <= graph->num_layers; i++, d += OF_VALUE) {
        const Value value = {(int32_t)d[0], (int32_t)d[1], (int32_t)d[2], (int32_t)d[3], d[4]};
        values[i] = value;
    }
    for (int i = 0; i < graph->num_layers; i++, d += OF_LAYER) {
        Layer *layer = &layers[i];
        const int64_t in = values[d[1]].width, out = values[i + 1].width;
        layer->kind = (int32_t)d[0];
        layer->source = (int32_t)d[1];
        layer->other = (int32_t)d[2];
        layer->kernel = (int32_t)d[3];
        layer->stride = (int32_t)d[4];
        layer->dilation = (int32_t)d[5];
        layer->left = (int32_t)d[6];
        layer->act = (int32_t)d[7];
        layer->num_runs = (int32_t)d[9];
        if (layer->kind == CONVOLUTION)
            layer->layer =
                linear_layer(tensors, (in * layer->kernel + 3) / 4 * 4, out, (int)d[8]);
        if (layer->kind == DEPTHWISE) {
            layer->taps = next_floats(tensors);
            layer->bias = next_floats(tensors);
        }
        layer->runs = runs;
        for (int r = 0; r < layer->num_runs; r++, d += 3) {
            const Run run = {(int32_t)d[OF_LAYER], (int32_t)d[OF_LAYER + 1],
                             (int32_t)d[OF_LAYER + 2]};
            *runs++ = run;
        }
    }
    graph->values = values;
    graph->layers = layers;
}

static int64_t rounded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

/* ---------------------------------------------------------------- entry points */

/* Names of the kernels that this processor can use, the best first; NULL after the last. */
const char *raspitrain_kernels(int rank) {
    const Kernels *kernels = kernels_at(rank);
    return kernels ? kernels->name : NULL;
}

/* Bytes of memory, aligned to 64, that a network of this description is prepared in. */
int64_t raspitrain_bytes(const int64_t *description, int rank) {
    Prepared p;
    Tensors tensors = {NULL, kernels_at(rank)->offsets, NULL, 0};
    describe(&p, description, &tensors);
    p.net.kernels = kernels_at(rank);
    return rounded(sizeof p) + rounded(4 * tensors.num_offsets) + rounded(4 * memory_needed(&p.net));
}

/* Floats that a network of this description works in, with these kernels: its Network.memory. */
int64_t raspitrain_floats(const int64_t *description, int rank) {
    Prepared p;
    Tensors tensors = {NULL, 0, NULL, 0};
    describe(&p, description, &tensors);
    p.net.kernels = kernels_at(rank);
    return memory_needed(&p.net);
}

void raspitrain_prepare(void *memory, const int64_t *description, const void *const *tensors,
                        int rank) {
    Prepared *p = memory;
    Tensors all = {tensors, kernels_at(rank)->offsets,
                   (int32_t *)(void *)((char *)memory + rounded(sizeof *p)), 0};
    memset(p, 0, sizeof *p);
    describe(p, description, &all);
    p->net.kernels = kernels_at(rank);
    p->net.memory = (float *)(void *)((char *)memory + rounded(sizeof *p) +
                                      rounded(4 * all.num_offsets));
}

/* Logits of a window; sample l of channel c is window[c * channel_stride + l * sample_stride].
   Returns 0 and writes none if a value, normalised, is infinite or no number. */
int raspitrain_run(const void *memory, const float *window, int64_t channel_stride,
                   int64_t sample_stride, float *logits) {
    const Prepared *p = memory;
    return run(&p->net, window, (long)channel_stride, (long)sample_stride, logits);
}

/* The same three of a network of layers: `description` as graph.py writes it. */
typedef struct {
    int64_t values, layers, runs, offsets, memory, end; /* where they lie, in bytes */
} Places;

static Places places_of(const int64_t *d, int rank) {
    Places at;
    at.values = rounded(sizeof(Graph));
    at.layers = at.values + rounded((d[5] + 1) * (int64_t)sizeof(Value));
    at.runs = at.layers + rounded(d[5] * (int64_t)sizeof(Layer));
    at.offsets = at.runs + rounded(d[8] * (int64_t)sizeof(Run));
    at.memory = at.offsets;
    if (kernels_at(rank)->offsets) { /* one an output of each convolution in int8 */
        const int64_t *value = d + OF_GRAPH + OF_VALUE, *layer = d + OF_GRAPH;
        int64_t count = 0;
        layer += (d[5] + 1) * OF_VALUE;
        for (int64_t i = 0; i < d[5]; i++, value += OF_VALUE) {
            if (layer[0] == CONVOLUTION && layer[8]) count += value[1];
            layer += OF_LAYER + 3 * layer[9];
        }
        at.memory += rounded(4 * count);
    }
    at.end = at.memory + rounded(4 * d[6]);
    return at;
}

int64_t raspitrain_graph_bytes(const int64_t *description, int rank) {
    return places_of(description, rank).end;
}

void raspitrain_graph_prepare(void *memory, const int64_t *description, const void *const *tensors,
                              int rank) {
    const Places at = places_of(description, rank);
    char *start = memory;
    Graph *graph = memory;
    Tensors all = {tensors, kernels_at(rank)->offsets, (int32_t *)(void *)(start + at.offsets), 0};
    memset(memory, 0, (size_t)at.end);
    describe_graph(graph, (Value *)(void *)(start + at.values),
                   (Layer *)(void *)(start + at.layers), (Run *)(void *)(start + at.runs),
                   description, &all);
    graph->kernels = kernels_at(rank);
    graph->graph = graph_kernels_of(graph->kernels);
    graph->memory = (float *)(void *)(start + at.memory);
}

int raspitrain_graph_run(const void *memory, const float *window, int64_t channel_stride,
                         int64_t sample_stride, float *logits) {
    return run_graph(memory, window, (long)channel_stride, (long)sample_stride, logits);
}

void raspitrain_sha256(const void *data, int64_t size, uint8_t *digest) {
    sha256(data, (size_t)size, digest);
}
