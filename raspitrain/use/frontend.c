/* The front end before the engine: see spectra.h. */

#include <stdint.h>

#include "roots.h"
#include "spectra.h"

void raspitrain_frontend(const Frontend *frontend, const float *window, int64_t channel_stride,
                         int64_t sample_stride, float *seen) {
    spectra_of(frontend, window, channel_stride, sample_stride, seen);
}
