/* The engine for fixed features and a linear head: MiniRocket, MultiRocket with Hydra.

   The features of a window are those of training, by the same source (raspitrain/model/rocket/).
   They are counts and means over positions, so a window must be normalised as in training to the
   last bit: where a signal stands still, a response that equals its bias and one that lies an ulp
   above it are features apart. Nothing is fused, and vectors have 16 bytes on every processor: the
   same window has the same logits, to the bit, wherever this is compiled. */

#include <float.h>

#include "roots.h"

#include "../model/rocket/minirocket.h"
#include "../model/rocket/multirocket.h"
#include "../model/rocket/hydra.h"

enum { MINIROCKET, MULTIROCKET, HYDRA };
enum { BY_CHANNEL, BY_CASE, BY_BOTH };
enum { MAX_PARTS = 8, ALIGNED = 16 }; /* reals that memory and rows of weights are filled up to */

/* Features of one kind, of the window or of its differences. */
typedef struct {
    int64_t kind, difference, num_dilations, num_biases, groups, per_group;
    const int64_t *dilations, *per_dilation;
    const uint8_t *channels;         /* (D * 84, C) */
    const int64_t *group_channels;   /* HYDRA: (D, groups, per_group) */
    const float *numbers;            /* biases; HYDRA: weights */
    Shape shape;
} Part;

typedef struct {
    int64_t channels, length, classes, inputs, normalise, num_parts, num_features;
    Part parts[MAX_PARTS];
    const double *mean, *std, *amplitudes;
    const float *middle, *weight, *bias; /* of the head: (F,), (K, F) and (K,), F filled up */
    float *signals, *differences, *features, *work;
} Rocket;

static int64_t filled(int64_t reals) { return (reals + ALIGNED - 1) / ALIGNED * ALIGNED; }

static int64_t features_of(const Part *part) {
    if (part->kind == HYDRA) return part->num_dilations * 2 * part->groups * COMPETING;
    return part->num_biases * (part->kind == MULTIROCKET ? 4 : 1);
}

static int64_t work_of(const Part *part) {
    const long widest = largest(part->dilations, part->num_dilations);
    if (part->kind == HYDRA) return hydra_size(part->shape.length, widest);
    const int64_t responses = filled(responses_size(&part->shape, widest));
    return responses + (part->kind == MULTIROCKET ? multirocket_size(&part->shape) : 0);
}

/* `d`: channels, length, classes, inputs, normalise, parts; of each part kind, difference, biases,
   groups, channels of a group, dilations, then these and, but for HYDRA, features of a kernel at
   each (rocket.py writes them). */
static void describe(Rocket *r, const int64_t *d) {
    memset(r, 0, sizeof *r);
    r->channels = d[0];
    r->length = d[1];
    r->classes = d[2];
    r->inputs = d[3];
    r->normalise = d[4];
    r->num_parts = d[5];
    d += 6;
    for (Part *part = r->parts; part < r->parts + r->num_parts; part++) {
        part->kind = d[0];
        part->difference = d[1];
        part->num_biases = d[2];
        part->groups = d[3];
        part->per_group = d[4];
        part->num_dilations = d[5];
        part->dilations = d += 6;
        d += part->num_dilations;
        if (part->kind != HYDRA) {
            part->per_dilation = d;
            d += part->num_dilations;
        }
        part->shape = (Shape){r->channels, r->length - part->difference, part->num_dilations,
                              part->difference};
        r->num_features += features_of(part);
    }
}

/* Where memory of a model lies, in reals after its Rocket; the end of it. */
static int64_t lay_out(Rocket *r, float *base) {
    int64_t work = 0;
    for (int64_t i = 0; i < r->num_parts; i++) {
        const int64_t own = work_of(&r->parts[i]);
        work = own > work ? own : work;
    }
    const int64_t sizes[] = {r->channels * r->length, r->channels * r->length,
                             filled(r->num_features), work};
    float **places[] = {&r->signals, &r->differences, &r->features, &r->work};
    int64_t at = 0;
    for (int i = 0; i < 4; i++) {
        if (base) *places[i] = base + at;
        at += filled(sizes[i]);
    }
    return at;
}

static int64_t own_bytes(void) { return (sizeof(Rocket) + 63) / 64 * 64; }

/* Whether the channels that are added up are there: a file may say anything. */
static int is_sound(const Rocket *r, const Part *part) {
    if (part->kind == HYDRA) {
        const int64_t many = part->num_dilations * part->groups * part->per_group;
        for (int64_t i = 0; i < many; i++)
            if (part->group_channels[i] < 0 || part->group_channels[i] >= r->channels) return 0;
        return 1;
    }
    for (int64_t i = 0; i < part->num_dilations * KERNELS; i++) {
        int any = 0;
        for (int64_t c = 0; c < r->channels; c++) any |= part->channels[i * r->channels + c];
        if (!any) return 0;
    }
    return 1;
}

/* ---------------------------------------------------------------- normalisation */

/* Row c of the signals as raspitrain.data.normalise makes it, in double until it is done. */
static void normalise(const Rocket *r, const float *from, int64_t stride, int64_t c) {
    const int64_t L = r->length, C = r->inputs;
    float *to = r->signals + c * L;
    if (r->normalise == BY_CHANNEL) {
        for (int64_t l = 0; l < L; l++)
            to[l] = (float)(((double)from[l * stride] - r->mean[c]) / r->std[c]);
        return;
    }
    const double first = from[0];
    double sum = 0, squares = 0;
    for (int64_t l = 0; l < L; l++) sum += from[l * stride] - first;
    const double offset = sum / (double)L, mean = offset + first;
    for (int64_t l = 0; l < L; l++) {
        const double away = from[l * stride] - first - offset;
        squares += away * away;
    }
    double spread = sqrt(squares / (double)L);
    const double digit = FLT_EPSILON * fabs(mean);
    if (spread <= (digit > FLT_MIN ? digit : FLT_MIN)) spread = 0;
    for (int64_t l = 0; l < L; l++) {
        const double away = from[l * stride] - first - offset;
        to[l] = (float)(away / (spread > 0 ? spread : 1));
    }
    if (r->normalise != BY_BOTH) return;
    const double *a = r->amplitudes + c;
    const double least = a[4 * C];
    const float level = (float)((mean - a[0]) / a[C]);
    const double loud = natural_logarithm(spread > least ? spread : least);
    const float loudness = (float)((loud - a[2 * C]) / a[3 * C]);
    for (int64_t l = 0; l < L; l++) {
        to[C * L + l] = level;
        to[2 * C * L + l] = loudness;
    }
}

/* ---------------------------------------------------------------- features and head */

static void compute(const Rocket *r, const Part *part, float *features) {
    const float *x = part->difference ? r->differences : r->signals;
    const long length = part->shape.length;
    const long widest = largest(part->dilations, part->num_dilations);
    if (part->kind == HYDRA) {
        memset(r->work, 0, hydra_size(length, widest) * sizeof(float));
        hydra_case(x, r->channels, length, part->num_dilations, part->dilations, part->groups,
                   part->numbers, part->group_channels, part->per_group, r->work, features);
        return;
    }
    Responses responses = make_responses(&part->shape, widest, r->work);
    if (part->kind == MINIROCKET)
        minirocket_case(&responses, x, part->dilations, part->per_dilation, part->channels,
                        part->numbers, features);
    else
        multirocket_case(&responses, x, part->dilations, part->per_dilation, part->channels,
                         part->numbers, r->work + filled(responses_size(&part->shape, widest)),
                         features, part->num_biases);
}

typedef float sums __attribute__((vector_size(4 * ALIGNED), may_alias));

/* logits (K,) of features that are less their middles. */
static void head(const Rocket *r, float *logits) {
    const int64_t padded_features = filled(r->num_features);
    for (int64_t k = 0; k < r->classes; k++) {
        const float *weight = r->weight + k * padded_features;
        sums total = {0};
        for (int64_t f = 0; f < padded_features; f += ALIGNED)
            total += *(const sums *)(const void *)(r->features + f) *
                     *(const sums *)(const void *)(weight + f);
        for (int half = ALIGNED / 2; half > 0; half /= 2)
            for (int i = 0; i < half; i++) total[i] += total[i + half];
        logits[k] = total[0] + r->bias[k];
    }
}

/* ---------------------------------------------------------------- entry points */

/* Bytes of memory, aligned to 64, that a model of this description is prepared in. */
int64_t raspitrain_rocket_bytes(const int64_t *description) {
    Rocket r;
    describe(&r, description);
    return own_bytes() + 4 * lay_out(&r, NULL);
}

/* `tensors`: mean and std of the inputs, and amplitudes where there are any, in double; those of
   the parts; middle, weight and bias of the head. The description must outlive the memory. Returns
   0 where a part adds up no channel, or one that is not there. */
int raspitrain_rocket_prepare(void *memory, const int64_t *description,
                              const void *const *tensors) {
    Rocket *r = memory;
    describe(r, description);
    r->mean = *tensors++;
    r->std = *tensors++;
    if (r->normalise == BY_BOTH) r->amplitudes = *tensors++;
    for (Part *part = r->parts; part < r->parts + r->num_parts; part++) {
        if (part->kind == HYDRA)
            part->group_channels = *tensors++;
        else
            part->channels = *tensors++;
        part->numbers = *tensors++;
        if (!is_sound(r, part)) return 0;
    }
    r->middle = *tensors++;
    r->weight = *tensors++;
    r->bias = *tensors++;
    lay_out(r, (float *)(void *)((char *)memory + own_bytes()));
    return 1;
}

/* As raspitrain_run of infer.c. */
int raspitrain_rocket_run(const void *memory, const float *window, int64_t channel_stride,
                          int64_t sample_stride, float *logits) {
    const Rocket *r = memory;
    const int64_t L = r->length;
    float wrong = 0; /* becomes NaN with the first value that is not finite, and stays so */
    for (int64_t c = 0; c < r->inputs; c++)
        normalise(r, window + c * channel_stride, sample_stride, c);
    for (int64_t i = 0; i < r->channels * L; i++) wrong += r->signals[i] * 0;
    if (wrong != 0) return 0;
    for (int64_t c = 0; c < r->channels; c++)
        for (int64_t l = 0; l + 1 < L; l++)
            r->differences[c * (L - 1) + l] = r->signals[c * L + l + 1] - r->signals[c * L + l];
    float *features = r->features;
    for (const Part *part = r->parts; part < r->parts + r->num_parts; part++) {
        const int64_t many = features_of(part);
        const float *middle = r->middle + (features - r->features);
        compute(r, part, features);
        for (int64_t f = 0; f < many; f++)
            if (part->kind != HYDRA)
                features[f] -= middle[f];
            else if (features[f] > 0) /* what scores nothing stays 0 */
                features[f] = sqrtf(features[f]) - middle[f];
            else
                features[f] = 0;
        features += many;
    }
    for (int64_t f = r->num_features; f < filled(r->num_features); f++) r->features[f] = 0;
    head(r, logits);
    return 1;
}
