/* One window through the inference engine, between two calls of getppid, for inference.sh to count:
       inference MODEL     a file that inference_model.py wrote
   It prints the logits as bits, to be compared between boards. */
#include "../../raspitrain/use/infer.c"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
    const int file = argc == 2 ? open(argv[1], O_RDONLY) : -1;
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
    void *memory = aligned_alloc(64, (size_t)raspitrain_bytes(description, 0));
    float *window = malloc((size_t)(description[0] * description[1]) * sizeof(float));
    float *logits = malloc((size_t)description[2] * sizeof(float));
    raspitrain_prepare(memory, description, tensors, 0);
    for (int64_t i = 0; i < description[0] * description[1]; i++)
        window[i] = (float)((i * 7919) % 2001) / 1000 - 1;
    raspitrain_run(memory, window, description[1], 1, logits);
    getppid();
    raspitrain_run(memory, window, description[1], 1, logits);
    getppid();
    for (int64_t k = 0; k < description[2]; k++) {
        uint32_t bits;
        memcpy(&bits, logits + k, sizeof bits);
        printf("%08x%s", bits, k + 1 < description[2] ? " " : "\n");
    }
    return 0;
}
