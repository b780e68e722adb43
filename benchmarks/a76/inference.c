/* One window through the inference engine, between two calls of getppid, for inference.sh to count:
       inference MODEL [graph]     a file that inference_model.py wrote, of a network of layers
   It prints the logits as bits, to be compared between boards. */
#include "../../raspitrain/use/infer.c"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
    const int file = argc >= 2 ? open(argv[1], O_RDONLY) : -1, graph = argc == 3;
    struct stat status;
    if (file < 0 || fstat(file, &status)) return 2;
    const char *base = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (base == MAP_FAILED) return 2;
    /* int64: length of the description, the description, number of tensors, their offsets */
    const int64_t *numbers = (const int64_t *)(const void *)base, *description = numbers + 1;
    const int64_t num_tensors = description[numbers[0]];
    const int64_t *offsets = description + numbers[0] + 1;
    const void *tensors[1024];
    for (int64_t k = 0; k < num_tensors; k++) tensors[k] = base + offsets[k];
    const int64_t length = description[graph ? 2 : 1], classes = description[graph ? 4 : 2];
    const int64_t num_values = description[0] * length;
    int64_t (*const bytes)(const int64_t *, int) = graph ? raspitrain_graph_bytes : raspitrain_bytes;
    int (*const run)(const void *, const float *, int64_t, int64_t, float *) =
        graph ? raspitrain_graph_run : raspitrain_run;
    void *memory = aligned_alloc(64, (size_t)bytes(description, 0));
    float *window = malloc((size_t)num_values * sizeof(float));
    float *logits = malloc((size_t)classes * sizeof(float));
    (graph ? raspitrain_graph_prepare : raspitrain_prepare)(memory, description, tensors, 0);
    for (int64_t i = 0; i < num_values; i++) window[i] = (float)((i * 7919) % 2001) / 1000 - 1;
    run(memory, window, length, 1, logits);
    getppid();
    run(memory, window, length, 1, logits);
    getppid();
    for (int64_t k = 0; k < classes; k++) {
        uint32_t bits;
        memcpy(&bits, logits + k, sizeof bits);
        printf("%08x%s", bits, k + 1 < classes ? " " : "\n");
    }
    return 0;
}
