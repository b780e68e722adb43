/* Laps of known traffic, for caches.c to be held to (known_traffic.py).

   A lap of reads walks an array again and again that was walked once before. Printed is a line a
   lap: its number, its name, the bytes that should come into and go out of level 1, 2 and 3, and for
   some the cycles, at one cycle an instruction. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KB = 1024, MB = 1024 * KB, LINE = 64, SET_TO_SET = 16 * KB, ROUNDS = 1000000 };

static int marks;
static volatile uint64_t sink;

static void mark(void) {
    getppid();
    marks++;
}

static void say(const char *name, const long *bytes) {
    printf("%d;%s", marks - 1, name);
    for (int i = 0; i < 6; i++) printf(";%ld", bytes[i]);
}

static __attribute__((noinline)) void read_all(const char *array, long size, long step) {
    uint64_t sum = 0;
    for (long i = 0; i < size; i += step) sum += *(const volatile uint64_t *)(array + i);
    sink = sum;
}

static __attribute__((noinline)) void write_all(char *array, long size) {
    for (long i = 0; i < size; i += 8) *(volatile uint64_t *)(array + i) = (uint64_t)i;
}

/* `levels` lose every line before it is read again. */
static void reads(const char *name, const char *array, long size, long step, int times, int levels) {
    read_all(array, size, step);
    mark();
    for (int i = 0; i < times; i++) read_all(array, size, step);
    mark();
    long bytes[6] = {0};
    for (int level = 0; level < levels; level++)
        bytes[2 * level] = times * (size / (step > LINE ? step : LINE)) * LINE;
    say(name, bytes);
    printf("\n");
}

static void *write_it(void *array) {
    write_all(array, 256 * KB);
    return 0;
}

static void *count_down(void *rounds) {
    for (long left = *(long *)rounds; left > 0; left--) __asm__ volatile("");
    return 0;
}

/* Two instructions a round; the shorter thread is waited for in no time. */
static void count_beside(const char *name, long rounds, long others) {
    pthread_t thread;
    mark();
    pthread_create(&thread, 0, count_down, &others);
    count_down(&rounds);
    pthread_join(thread, 0);
    mark();
    say(name, (long[6]){0});
    printf(";%ld\n", 2 * (rounds > others ? rounds : others));
}

int main(void) {
    char *array = aligned_alloc(MB, 32 * MB);
    pthread_t thread;
    setvbuf(stdout, 0, _IOFBF, 64 * KB);
    mark();

    write_all(array + 16 * MB, 16 * MB);
    mark();
    write_all(array, 16 * MB);
    mark();
    say("write 16 MB", (long[]){16 * MB, 16 * MB, 16 * MB, 16 * MB, 16 * MB, 16 * MB});
    printf("\n");
    read_all(array, 16 * MB, 8);
    reads("read 16 MB, 4 times", array, 16 * MB, 8, 4, 3);
    reads("read each fourth line of 16 MB, 4 times", array, 16 * MB, 4 * LINE, 4, 3);
    reads("read 1 MB, 4 times", array, MB, 8, 4, 2);
    reads("read 256 KB, 4 times", array, 256 * KB, 8, 4, 1);
    reads("read 32 KB, 4 times", array, 32 * KB, 8, 4, 0);
    reads("read 4 lines that share a set of level 1, 1000 times", array, 4 * SET_TO_SET, SET_TO_SET,
          1000, 0);
    reads("read 5 lines that share a set of level 1, 1000 times", array, 5 * SET_TO_SET, SET_TO_SET,
          1000, 1);

    pthread_create(&thread, 0, write_it, array);
    pthread_join(thread, 0);
    mark();
    read_all(array, 256 * KB, 8);
    mark();
    say("read 256 KB that another core wrote", (long[]){256 * KB, 0, 256 * KB, 256 * KB, 0, 0});
    printf("\n");

    count_beside("count down, beside a thread that counts half as far", ROUNDS, ROUNDS / 2);
    count_beside("count down, beside a thread that counts twice as far", ROUNDS / 2, ROUNDS);
    return 0;
}
