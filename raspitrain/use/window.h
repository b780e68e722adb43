/* A window, as it is given, to what a network sees of it. Part of the engine (infer.c), and of the
   C that a model is exported as. */

enum { BY_CHANNEL, BY_CASE, BY_BOTH };

typedef struct {
    int32_t channels, length;   /* as the network sees them */
    int32_t inputs, normalise;  /* channels that are given */
    const float *mean, *factor; /* BY_CHANNEL: (x - mean) * factor is what the network sees */
    const float *amplitudes;    /* BY_BOTH: five numbers a channel, list after list */
} Window;

/* Channel c by its own mean and deviation, to rows of `stride` floats; with both of them, as the
   training part's cases have made them alike, in columns of their own. A channel that is flat but
   for rounding becomes 0. */
static void normalise_case(const Window *window, const float *from, long sample_stride, long c,
                           float *rows) {
    const long L = window->length, stride = window->channels, C = window->inputs;
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
    if (window->normalise != BY_BOTH) return;
    const float *a = window->amplitudes + c;
    const double least = a[4 * C], log = natural_logarithm(spread > least ? spread : least);
    const float level = (float)((mean - a[0]) * a[C]);
    const float loudness = (float)((log - a[2 * C]) * a[3 * C]);
    for (long l = 0; l < L; l++) {
        rows[l * stride + C + c] = level;
        rows[l * stride + 2 * C + c] = loudness;
    }
}

/* Sample l of channel c is given[c * channel_stride + l * sample_stride]; to rows of `channels`
   floats. Returns whether every value is finite. */
static int normalise(const Window *window, const float *given, long channel_stride,
                     long sample_stride, float *rows) {
    const long C = window->channels, L = window->length;
    float wrong = 0; /* becomes NaN with the first value that is not finite, and stays so */
    for (long c = 0; window->normalise != BY_CHANNEL && c < window->inputs; c++) {
        normalise_case(window, given + c * channel_stride, sample_stride, c, rows);
        for (long l = 0; l < L; l++) wrong += rows[l * C + c] * 0;
    }
    for (long c = 0; window->normalise == BY_CHANNEL && c < C; c++) {
        const float mean = window->mean[c], factor = window->factor[c];
        const float *from = given + c * channel_stride;
        float *to = rows + c;
        for (long l = 0; l < L; l++) {
            const float value = (from[l * sample_stride] - mean) * factor;
            wrong += value * 0;
            to[l * C] = value;
        }
    }
    return wrong == 0;
}
