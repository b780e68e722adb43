/* One window through a network of layers: each makes one value of others before it. Part of the
   engine (infer.c), and of the C that a model is exported as.

   A value lies in memory with as many rows of zeros before and after it as the layers that read it
   reach beyond its ends, so that a dense convolution is a product of rows that overlap: its kernel
   positions of all channels lie one after another. Where each value lies was planned by graph.py.

   int8: a 1x1 convolution's or linear layer's input has a scale a row; a wider convolution's, whose
   rows overlap, has a single one. What reads the window itself stays fp32. */

/* As graph.py numbers them. */
enum { CONVOLUTION, DEPTHWISE, MAX_POOL, MEAN_POOL, MEAN, ADD, GATE, JOIN };

typedef struct {
    int32_t length, width, before, after;
    int64_t at; /* of the first row of zeros before, in floats of the memory */
} Value;

typedef struct {
    int32_t source, first, count; /* value and columns */
} Run;

typedef struct {
    int32_t kind, source, other, kernel, stride, dilation, left, act, num_runs;
    Linear layer;             /* CONVOLUTION; MEAN and the pools have none */
    const float *taps, *bias; /* DEPTHWISE, [kernel][width] and [width] */
    const Run *runs;          /* JOIN */
} Layer;

typedef struct {
    /* y[l] = act(bias + the sum over k of taps[k] x[l * step + k * dilation]), rows of `width` */
    void (*depthwise)(const Layer *layer, const float *x, long width, long num_rows, float *y);
    void (*largest)(const float *x, long num_rows, long width, float *y);
    void (*add)(const float *x, const float *other, long count, int act, float *y);
    void (*activate)(float *x, long count, int act);
} GraphKernels;

typedef struct {
    Window window;
    int32_t classes, num_layers;
    int64_t scratch; /* where it lies in the memory */
    const Value *values; /* the window, then what each layer makes */
    const Layer *layers;
    const Kernels *kernels;
    const GraphKernels *graph;
    float *memory; /* aligned to 64 bytes */
} Graph;

static float *rows_of(const Graph *graph, long value) {
    const Value *v = &graph->values[value];
    return graph->memory + v->at + (long)v->before * v->width;
}

static void clear(float *x, long count) {
    for (long k = 0; k < count; k++) x[k] = 0;
}

/* The zeros around a value, and what a product that reads four at a time finds behind it. */
static void clear_around(const Value *v, float *rows) {
    clear(rows - (long)v->before * v->width, (long)v->before * v->width);
    clear(rows + (long)v->length * v->width, (long)v->after * v->width + 4);
}

static void copy(const float *from, long count, float *to) {
    for (long k = 0; k < count; k++) to[k] = from[k];
}

static void convolve_dense(const Graph *graph, const Layer *layer, const Value *in, float *x,
                           const Value *out, float *y) {
    const Kernels *kernels = graph->kernels;
    const long W = in->width, L = out->length, reach = (long)layer->kernel * W;
    const int int8 = layer->layer.quantised != NULL;
    const int overlapping = layer->kernel > 1 && layer->dilation == 1;
    float *scratch = graph->memory + graph->scratch, *rows = x - (long)layer->left * W;
    long stride = (long)layer->stride * W;
    if (layer->dilation > 1) {
        for (long l = 0; l < L; l++)
            for (long k = 0; k < layer->kernel; k++)
                copy(rows + l * stride + k * layer->dilation * W, W, scratch + l * reach + k * W);
        clear(scratch + L * reach, 4);
        rows = scratch;
        stride = reach;
        scratch += (L * reach + 4 + 15) / 16 * 16;
    }
    Input input = {rows, stride, NULL, 0, NULL};
    if (int8) {
        const long all = (L - 1) * stride + reach;
        int8_t *quantised = (int8_t *)(scratch + (L + 15) / 16 * 16);
        if (overlapping)
            kernels->quantise(rows, all, 1, all, NULL, quantised, all, scratch);
        else
            kernels->quantise(rows, stride, L, reach, NULL, quantised, reach, scratch);
        for (long l = 1; overlapping && l < L; l++) scratch[l] = scratch[0];
        input.quantised = quantised;
        input.bytes = overlapping ? stride : reach;
        input.scales = scratch;
    }
    const Output output = {y, out->width, layer->act, NULL};
    (int8 ? kernels->multiply_int8 : kernels->multiply)(&layer->layer, input, L, 0,
                                                        out->width / PACK, output);
    if (layer->act > HARD_SIGMOID) graph->graph->activate(y, L * out->width, layer->act);
}

/* Rows of a window of `kernel` at output l that lie from `low` to `high`; returns how many. */
static long clipped(const Layer *layer, long l, long low, long high, long *first) {
    const long start = l * layer->stride - layer->left, end = start + layer->kernel;
    *first = start < low ? low : start;
    return (end > high ? high : end) - *first;
}

static void pool(const Graph *graph, const Layer *layer, const Value *in, const float *x,
                 const Value *out, float *y) {
    const long W = in->width, L = in->length;
    for (long l = 0; l < out->length; l++) {
        long first, count;
        if (layer->kind == MAX_POOL) {
            count = clipped(layer, l, 0, L, &first);
            graph->graph->largest(x + first * W, count, W, y + l * W);
            continue;
        }
        if (layer->kind == MEAN) { /* position l of out->length: all that it touches */
            first = (long)((int64_t)l * L / out->length);
            count = (long)(((int64_t)(l + 1) * L + out->length - 1) / out->length) - first;
        } else
            count = clipped(layer, l, -layer->left, L + layer->left, &first);
        graph->kernels->mean(x + first * W, W, count, W, y + l * W);
    }
    if (layer->act != IDENTITY) graph->graph->activate(y, out->length * W, layer->act);
}

/* Rows times those of the other value, which has as many or one for all. */
static void gate(const Graph *graph, const Layer *layer, const Value *out, float *y) {
    const long W = out->width, other = graph->values[layer->other].length, by = out->length / other;
    const float *factors = rows_of(graph, layer->other);
    for (long l = 0; l < other; l++) graph->kernels->scale(y + l * by * W, W, by, W, factors + l * W);
}

static void join(const Graph *graph, const Layer *layer, const Value *out, float *y) {
    long column = 0;
    for (long r = 0; r < layer->num_runs; r++) {
        const Run run = layer->runs[r];
        const long from = graph->values[run.source].width;
        const float *x = rows_of(graph, run.source) + run.first;
        for (long l = 0; l < out->length; l++)
            copy(x + l * from, run.count, y + l * out->width + column);
        column += run.count;
    }
    for (long l = 0; l < out->length; l++)
        clear(y + l * out->width + column, out->width - column);
}

/* Logits of a window: sample l of channel c is window[c * channel_stride + l * sample_stride].
   Returns whether every value of the window, normalised, is finite; logits are written if so. */
static int run_graph(const Graph *graph, const float *window, long channel_stride,
                     long sample_stride, float *logits) {
    float *rows = rows_of(graph, 0);
    if (!normalise(&graph->window, window, channel_stride, sample_stride, rows)) return 0;
    clear_around(&graph->values[0], rows);
    for (long i = 0; i < graph->num_layers; i++) {
        const Layer *layer = &graph->layers[i];
        const Value *in = &graph->values[layer->source], *out = &graph->values[i + 1];
        const long count = (long)out->length * out->width;
        float *x = rows_of(graph, layer->source), *y = rows_of(graph, i + 1);
        clear_around(out, y);
        switch (layer->kind) {
            case CONVOLUTION: convolve_dense(graph, layer, in, x, out, y); break;
            case DEPTHWISE:
                graph->graph->depthwise(layer, x - (long)layer->left * in->width, in->width,
                                        out->length, y);
                break;
            case ADD:
                graph->graph->add(x, rows_of(graph, layer->other), count, layer->act, y);
                break;
            case GATE:
                copy(x, count, y);
                gate(graph, layer, out, y);
                break;
            case JOIN: join(graph, layer, out, y); break;
            default: pool(graph, layer, in, x, out, y);
        }
    }
    copy(rows_of(graph, graph->num_layers), graph->classes, logits);
    return 1;
}
