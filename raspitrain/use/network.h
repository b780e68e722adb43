/* One window through a MobileNetV3 for signals: how it goes through the network, whatever does the
   arithmetic. Part of the engine (infer.c), and of the C that a model is exported as.

   A block goes through the expansion and the depthwise convolution a strip of channels at a time,
   so that the expanded activation is never there as a whole before its stride has been taken. */

typedef struct {
    Window window; /* its channels are those of the stem */
    int32_t classes, stem_width, stem_stride, num_blocks, last, hidden;
    int32_t int8, logits_act, last_length;
    Linear stem, head, fc, classifier; /* fc: the hidden layer */
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
    const long stem_length = (net->window.length + net->stem_stride - 1) / net->stem_stride;
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
    return take(arena, (long)(net->window.length + 2) * net->window.channels + 4);
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

/* Whether every value is finite. */
static int stem(const Network *net, const float *window, long channel_stride, long sample_stride,
                Stages stages, float *rows) {
    const long C = net->window.channels, L = net->window.length;
    const Input x = {rows, net->stem_stride * C, NULL, 0, NULL};
    const Output y = {stages.y, net->stem_width, HARDSWISH, NULL};
    for (long c = 0; c < C; c++) rows[c] = rows[(L + 1) * C + c] = 0;
    for (long k = 0; k < 4; k++) rows[(L + 2) * C + k] = 0;
    const int finite = normalise(&net->window, window, channel_stride, sample_stride, rows + C);
    net->kernels->multiply(&net->stem, x, (L + net->stem_stride - 1) / net->stem_stride, 0,
                           net->stem_width / PACK, y);
    return finite;
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
