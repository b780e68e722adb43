/* What a network sees of sound and vibration: the logarithms of their powers in bands, window after
   window, as raspitrain/data/frontend.py has them in training. In double, one thread, with no
   function of the C library. Part of the engine (frontend.c), and of the C that a model is exported
   as. */

typedef struct {
    int64_t channels, frames, window, hop, points, bands;
    const double *hann;     /* window */
    const double *twiddles; /* cos and sin of each of points / 2 */
    const int64_t *first;   /* of each band, its first frequency */
    const int64_t *count;   /* how many from there on */
    const double *weights;  /* theirs, band after band */
    double floor;
    double *work; /* 2 * points */
} Frontend;

static int64_t mirrored(int64_t index, int64_t points) {
    int64_t out = 0;
    for (; points > 1; points >>= 1, index >>= 1) out = out << 1 | (index & 1);
    return out;
}

/* The transform of what lies in mirrored order, in place: Cooley and Tukey's, by halves. */
static void transform(double *z, int64_t points, const double *twiddles) {
    for (int64_t half = 1; half < points; half *= 2) {
        int64_t step = points / (2 * half);
        for (int64_t begin = 0; begin < points; begin += 2 * half)
            for (int64_t k = 0; k < half; k++) {
                double c = twiddles[2 * k * step], s = twiddles[2 * k * step + 1];
                double *a = z + 2 * (begin + k), *b = a + 2 * half;
                double re = c * b[0] + s * b[1], im = c * b[1] - s * b[0];
                b[0] = a[0] - re;
                b[1] = a[1] - im;
                a[0] += re;
                a[1] += im;
            }
    }
}

/* Fills seen (channels * bands, frames) with what a window is; sample l of channel c lies
   c * channel_stride + l * sample_stride floats on. */
static void spectra_of(const Frontend *f, const float *window, int64_t channel_stride,
                       int64_t sample_stride, float *seen) {
    for (int64_t c = 0; c < f->channels; c++)
        for (int64_t t = 0; t < f->frames; t++) {
            const float *x = window + c * channel_stride + t * f->hop * sample_stride;
            for (int64_t k = 0; k < 2 * f->points; k++) f->work[k] = 0;
            for (int64_t k = 0; k < f->window; k++)
                f->work[2 * mirrored(k, f->points)] = f->hann[k] * (double)x[k * sample_stride];
            transform(f->work, f->points, f->twiddles);
            const double *weight = f->weights;
            for (int64_t b = 0; b < f->bands; b++) {
                double power = f->floor;
                for (int64_t k = 0; k < f->count[b]; k++) {
                    const double *z = f->work + 2 * (f->first[b] + k);
                    power += *weight++ * (z[0] * z[0] + z[1] * z[1]);
                }
                /* What is no number stays so. */
                seen[(c * f->bands + b) * f->frames + t] =
                    (float)(power - power == 0 ? natural_logarithm(power) : power);
            }
        }
}
