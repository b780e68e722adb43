/* One window through a MobileNetV3 for signals: how it goes through the network, whatever does the
   arithmetic. Part of the engine (infer.c), and of the C that a model is exported as.

   Layout. An activation of C channels and L positions is L rows of C floats. A linear layer's
   weights lie in panels of PACK outputs: [out / PACK][in][PACK] in fp32, and in int8
   [out / PACK][in / 4][PACK][4]; widths are filled up with zeros, to a multiple of PACK for what
   comes out and of 4 (fp32) or 8 (int8) for what goes in.

   A block goes through the expansion and the depthwise convolution a strip of channels at a time,
   so that the expanded activation is never there as a whole before its stride has been taken.

   int8 (Jacob et al. 2018, arXiv:1712.05877, with ranges taken at run time): each row of a 1x1
   convolution's or linear layer's input is scaled by its own largest magnitude, sums are exact
   integers, everything else stays fp32. */

#include <stddef.h>
#include <stdint.h>

enum { PACK = 8, MAX_STRIP = 16 };
enum { BY_CHANNEL, BY_CASE, BY_BOTH };
enum { IDENTITY, RELU, RELU6, HARDSWISH, HARD_SIGMOID };

/* A 1x1 convolution or linear layer; fp32 has `weight`, int8 has `quantised` and `scale`. */
typedef struct {
    int32_t in, out; /* as padded */
    const float *weight, *bias, *scale;
    const int8_t *quantised;
    const int32_t *offset; /* of the sums, where the processor multiplies unsigned by signed */
} Linear;

typedef struct {
    int32_t in, expanded, out, kernel, stride, act, project_act, squeezed, expand, residual;
    int32_t length_in, length_out;
    Linear pw, reduce, excite, pwl;
    const float *taps, *bias; /* of the depthwise convolution, [kernel][expanded] and [expanded] */
} Block;

/* What a linear layer reads: rows of floats, or what was made of them for int8. */
typedef struct {
    const float *rows;
    long stride; /* floats from a row to the next */
    const int8_t *quantised;
    long bytes;          /* from a quantised row to the next */
    const float *scales; /* one a row */
} Input;

/* Where a product goes. */
typedef struct {
    float *rows;
    long stride;
    int act;
    const float *residual; /* of the same stride, added after the activation; or NULL */
} Output;

typedef struct {
    const char *name;
    int strip;   /* channels of an expansion that are gone through at once */
    int offsets; /* whether int8 layers need their offsets */
    /* rows 0 to num_rows of panels first to last of layer(x) */
    void (*multiply)(const Linear *layer, Input x, long num_rows, long first, long last, Output y);
    void (*multiply_int8)(const Linear *layer, Input x, long num_rows, long first, long last,
                          Output y);
    /* x of num_rows rows of `width` floats, times the gates in place where there are some, to
       int8 with a scale a row. A quantised row may begin where its floats do. */
    void (*quantise)(float *x, long stride, long num_rows, long width, const float *gates,
                     int8_t *quantised, long bytes, float *scales);
    void (*scale)(float *x, long stride, long num_rows, long width, const float *gates);
    /* A strip of `width` channels of a depthwise convolution: from rows of `strip` floats, to rows
       of `stride` floats and the means over them. */
    void (*depthwise)(const Block *block, const float *x, long strip, long channel, long width,
                      float *y, float *means);
    /* the means of `width` columns over num_rows rows */
    void (*mean)(const float *x, long stride, long num_rows, long width, float *means);
} Kernels;

typedef struct {
    int32_t channels, length, classes, stem_width, stem_stride, num_blocks, last, hidden;
    int32_t int8, logits_act, last_length;
    int32_t inputs, normalise;         /* channels of a window; `channels` are those of the stem */
    Linear stem, head, fc, classifier; /* fc: the hidden layer */
    const float *mean, *factor;        /* BY_CHANNEL: (x - mean) * factor is what the stem sees */
    const float *amplitudes;           /* BY_BOTH: five numbers a channel, list after list */
    const Block *blocks;
    const Kernels *kernels;
    float *memory; /* as `memory_needed` says, aligned to 64 bytes */
} Network;

/* ---------------------------------------------------------------- memory */

typedef struct {
    float *base; /* NULL while it is only counted */
    long used, most;
} Arena;

static float *take(Arena *arena, long floats) {
    float *taken = arena->base ? arena->base + arena->used : NULL;
    arena->used += (floats + 15) / 16 * 16;
    if (arena->used > arena->most) arena->most = arena->used;
    return taken;
}

static long larger(long a, long b) { return a > b ? a : b; }

/* Every stage's own memory follows the activation that goes from stage to stage, which is written
   over by its successor: nothing reads it any more by then, but the residual of the same place. */
typedef struct {
    float *y;
    long after_y;
} Stages;

static Stages lay_out_stages(const Network *net, Arena *arena) {
    Stages stages;
    const long stem_length = (net->length + net->stem_stride - 1) / net->stem_stride;
    long most = stem_length * net->stem_width;
    for (int i = 0; i < net->num_blocks; i++)
        most = larger(most, (long)net->blocks[i].length_out * net->blocks[i].out);
    arena->used = 0;
    stages.y = take(arena, most);
    stages.after_y = arena->used;
    return stages;
}

/* The window, normalised, with a row of zeros before and after: three rows in a row are what the
   stem multiplies. Four floats more, as products read four at a time. */
static float *lay_out_stem(const Network *net, Arena *arena, Stages stages) {
    arena->used = stages.after_y;
    return take(arena, (long)(net->length + 2) * net->channels + 4);
}

typedef struct {
    float *strip, *z, *means, *gates, *squeezed, *scales;
    int8_t *quantised;
} BlockMemory;

static BlockMemory lay_out_block(const Network *net, const Block *block, Arena *arena,
                                 Stages stages) {
    BlockMemory m;
    const long padded = block->length_in + 2 * (block->kernel / 2);
    arena->used = stages.after_y;
    m.z = take(arena, (long)block->length_out * block->expanded);
    m.scales = take(arena, larger(block->length_in, block->length_out));
    m.means = take(arena, block->expanded);
    m.gates = take(arena, block->squeezed ? block->expanded : 0);
    m.squeezed = take(arena, block->squeezed);
    /* of the expansion's input, of the means and of the squeezed layer: never two at once */
    m.quantised = (int8_t *)take(
        arena, net->int8 ? larger(block->expand ? (long)block->length_in * block->in : 0,
                                  block->squeezed ? larger(block->expanded, block->squeezed) : 0) /
                                   4 + 1
                         : 0);
    m.strip = take(arena, padded * net->kernels->strip);
    return m;
}

typedef struct {
    float *strip, *pooled, *hidden, *logits, *scales;
    int8_t *quantised;
} HeadMemory;

static HeadMemory lay_out_head(const Network *net, Arena *arena, Stages stages) {
    HeadMemory m;
    const long widest = larger(net->last, net->hidden);
    arena->used = stages.after_y;
    m.strip = take(arena, (long)net->last_length * net->kernels->strip);
    m.pooled = take(arena, net->last);
    m.hidden = take(arena, net->hidden);
    m.logits = take(arena, net->classifier.out);
    m.scales = take(arena, net->last_length);
    m.quantised = (int8_t *)take(
        arena, net->int8 ? larger((long)net->last_length * net->head.in, widest) / 4 + 1 : 0);
    return m;
}

static long memory_needed(const Network *net) {
    Arena arena = {NULL, 0, 0};
    const Stages stages = lay_out_stages(net, &arena);
    lay_out_stem(net, &arena, stages);
    for (int i = 0; i < net->num_blocks; i++)
        lay_out_block(net, &net->blocks[i], &arena, stages);
    lay_out_head(net, &arena, stages);
    return arena.most;
}

/* ---------------------------------------------------------------- the way through */

/* Rows as a linear layer of this network reads them. */
static Input input(const Network *net, float *rows, long stride, long num_rows, long width,
                   const float *gates, int8_t *quantised, long bytes, float *scales) {
    Input x = {rows, stride, quantised, bytes, scales};
    if (net->int8)
        net->kernels->quantise(rows, stride, num_rows, width, gates, quantised, bytes, scales);
    else if (gates)
        net->kernels->scale(rows, stride, num_rows, width, gates);
    return x;
}

static void multiply(const Network *net, const Linear *layer, Input x, long num_rows, long first,
                     long last, Output y) {
    (net->int8 ? net->kernels->multiply_int8 : net->kernels->multiply)(layer, x, num_rows, first,
                                                                       last, y);
}

/* A linear layer of one row. */
static void linear(const Network *net, const Linear *layer, float *x, long width,
                   int8_t *quantised, float *scales, float *to, int act) {
    const Input row = input(net, x, width, 1, width, NULL, quantised, width, scales);
    const Output y = {to, layer->out, act, NULL};
    multiply(net, layer, row, 1, 0, layer->out / PACK, y);
}

/* Channel c by its own mean and deviation, to rows of `stride` floats; with both of them, as the
   training part's cases have made them alike, in columns of their own. A channel that is flat but
   for rounding becomes 0. */
static void normalise_case(const Network *net, const float *from, long sample_stride, long c,
                           float *rows) {
    const long L = net->length, stride = net->channels, C = net->inputs;
    const double first = from[0];
    double sum = 0, squares = 0;
    for (long l = 0; l < L; l++) sum += from[l * sample_stride] - first;
    const double offset = sum / (double)L, mean = first + offset;
    for (long l = 0; l < L; l++) {
        const double away = from[l * sample_stride] - first - offset;
        squares += away * away;
    }
    double spread = square_root(squares / (double)L);
    const double digit = FLT_EPSILON * (mean < 0 ? -mean : mean);
    if (spread <= (digit > FLT_MIN ? digit : FLT_MIN)) spread = 0;
    const float factor = spread == 0 ? 0 : (float)(1 / spread);
    for (long l = 0; l < L; l++)
        rows[l * stride + c] = (float)(from[l * sample_stride] - first - offset) * factor;
    if (net->normalise != BY_BOTH) return;
    const float *a = net->amplitudes + c;
    const double least = a[4 * C], log = natural_logarithm(spread > least ? spread : least);
    const float level = (float)((mean - a[0]) * a[C]);
    const float loudness = (float)((log - a[2 * C]) * a[3 * C]);
    for (long l = 0; l < L; l++) {
        rows[l * stride + C + c] = level;
        rows[l * stride + 2 * C + c] = loudness;
    }
}

/* Whether every value is finite. */
static int stem(const Network *net, const float *window, long channel_stride, long sample_stride,
                Stages stages, float *rows) {
    const long C = net->channels, L = net->length;
    const Input x = {rows, net->stem_stride * C, NULL, 0, NULL};
    const Output y = {stages.y, net->stem_width, HARDSWISH, NULL};
    float wrong = 0; /* becomes NaN with the first value that is not finite, and stays so */
    for (long c = 0; c < C; c++) rows[c] = rows[(L + 1) * C + c] = 0;
    for (long k = 0; k < 4; k++) rows[(L + 2) * C + k] = 0;
    for (long c = 0; net->normalise != BY_CHANNEL && c < net->inputs; c++) {
        normalise_case(net, window + c * channel_stride, sample_stride, c, rows + C);
        for (long l = 0; l < L; l++) wrong += rows[(l + 1) * C + c] * 0;
    }
    for (long c = 0; net->normalise == BY_CHANNEL && c < C; c++) {
        const float mean = net->mean[c], factor = net->factor[c];
        const float *from = window + c * channel_stride;
        float *to = rows + C + c;
        for (long l = 0; l < L; l++) {
            const float value = (from[l * sample_stride] - mean) * factor;
            wrong += value * 0;
            to[l * C] = value;
        }
    }
    net->kernels->multiply(&net->stem, x, (L + net->stem_stride - 1) / net->stem_stride, 0,
                           net->stem_width / PACK, y);
    return wrong == 0;
}

static void block_forward(const Network *net, const Block *block, Stages stages, BlockMemory m) {
    const Kernels *kernels = net->kernels;
    const long E = block->expanded, pad = block->kernel / 2, strip = kernels->strip;
    float *const inner = m.strip + pad * strip;
    Input x = {stages.y, block->in, NULL, 0, NULL};
    if (block->expand)
        x = input(net, stages.y, block->in, block->length_in, block->in, NULL, m.quantised,
                  block->in, m.scales);
    for (long k = 0; k < pad * strip; k++)
        m.strip[k] = inner[(long)block->length_in * strip + k] = 0;
    for (long channel = 0; channel < E; channel += strip) {
        const long width = E - channel < strip ? E - channel : strip;
        const Output to_strip = {inner, strip, block->act, NULL};
        if (block->expand)
            multiply(net, &block->pw, x, block->length_in, channel / PACK,
                     (channel + width) / PACK, to_strip);
        else
            for (long l = 0; l < block->length_in; l++)
                for (long c = 0; c < width; c++)
                    inner[l * strip + c] = stages.y[l * block->in + channel + c];
        kernels->depthwise(block, m.strip, strip, channel, width, m.z, m.means);
    }
    if (block->squeezed) {
        linear(net, &block->reduce, m.means, E, m.quantised, m.scales, m.squeezed, RELU);
        linear(net, &block->excite, m.squeezed, block->squeezed, m.quantised, m.scales, m.gates,
               HARD_SIGMOID);
    }
    x = input(net, m.z, E, block->length_out, E, block->squeezed ? m.gates : NULL, (int8_t *)m.z,
              E * (long)sizeof(float), m.scales);
    const Output y = {stages.y, block->out, block->project_act, block->residual ? stages.y : NULL};
    multiply(net, &block->pwl, x, block->length_out, 0, block->out / PACK, y);
}

static void head_forward(const Network *net, Stages stages, HeadMemory m, float *logits) {
    const Kernels *kernels = net->kernels;
    const long L = net->last_length, strip = kernels->strip;
    const Input x = input(net, stages.y, net->head.in, L, net->head.in, NULL, m.quantised,
                          net->head.in, m.scales);
    for (long channel = 0; channel < net->last; channel += strip) {
        const long width = net->last - channel < strip ? net->last - channel : strip;
        const Output to_strip = {m.strip, strip, HARDSWISH, NULL};
        multiply(net, &net->head, x, L, channel / PACK, (channel + width) / PACK, to_strip);
        kernels->mean(m.strip, strip, L, width, m.pooled + channel);
    }
    linear(net, &net->fc, m.pooled, net->last, m.quantised, m.scales, m.hidden, HARDSWISH);
    linear(net, &net->classifier, m.hidden, net->hidden, m.quantised, m.scales, m.logits,
           net->logits_act);
    for (long k = 0; k < net->classes; k++) logits[k] = m.logits[k];
}

/* Logits of a window: sample l of channel c is window[c * channel_stride + l * sample_stride].
   Returns whether every value of the window, normalised, is finite; logits are written if so. */
static int run(const Network *net, const float *window, long channel_stride, long sample_stride,
               float *logits) {
    Arena arena = {net->memory, 0, 0};
    const Stages stages = lay_out_stages(net, &arena);
    if (!stem(net, window, channel_stride, sample_stride, stages,
              lay_out_stem(net, &arena, stages)))
        return 0;
    for (int i = 0; i < net->num_blocks; i++)
        block_forward(net, &net->blocks[i], stages,
                      lay_out_block(net, &net->blocks[i], &arena, stages));
    head_forward(net, stages, lay_out_head(net, &arena, stages), logits);
    return 1;
}
