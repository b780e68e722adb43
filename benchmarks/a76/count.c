/* A qemu plugin that counts the instructions an emulated program executes.
 *
 * Every translated block adds its own length to its own counter as it runs. getppid, a system call
 * that programs hardly use, ends a lap: the lap's instructions are appended to <laps> as one line,
 * and with <profile> the counters of its blocks and the memory map are written to
 * <profile>.<lap> and <profile>.<lap>.maps.
 *
 *     qemu-aarch64 -B 0 -plugin count.so,laps=FILE[,profile=FILE] program
 *
 * -B 0 makes guest addresses those of qemu's own memory map, which the maps file is. The counters
 * are shared by the threads without a lock: count programs of one thread.
 *
 * Debian 12 has qemu 7.2, thus version 1 of the interface (which ends with qemu 9), and packs no
 * qemu-plugin.h; what is declared here is all that is used of it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define GETPPID 173 /* of arm64 */
#define MAX_BLOCKS (4u << 20)

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
enum plugin_operation { ADD_U64 };
typedef void (*translated)(plugin_id, struct qemu_plugin_tb *);
typedef void (*system_call)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                            uint64_t, uint64_t, uint64_t, uint64_t);

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, system_call);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum plugin_operation,
                                                     void *, uint64_t);

EXPORT int qemu_plugin_version = 1;

static struct {
    uint64_t address;
    uint64_t length; /* in instructions */
    uint64_t count;  /* of instructions, in this lap */
} blocks[MAX_BLOCKS];
static unsigned num_blocks;

static const char *laps_path, *profile_path;
static unsigned lap;

static FILE *open_or_die(const char *path, const char *mode) {
    FILE *file = fopen(path, mode);
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static void copy_maps(void) {
    char path[4096], part[65536];
    size_t size;
    snprintf(path, sizeof path, "%s.%u.maps", profile_path, lap);
    FILE *maps = open_or_die("/proc/self/maps", "r"), *copy = open_or_die(path, "w");
    while ((size = fread(part, 1, sizeof part, maps))) fwrite(part, 1, size, copy);
    fclose(maps);
    fclose(copy);
}

static void end_lap(void) {
    uint64_t total = 0;
    FILE *profile = NULL;
    if (profile_path && lap) { /* lap 0 is the start-up */
        char path[4096];
        snprintf(path, sizeof path, "%s.%u", profile_path, lap);
        profile = open_or_die(path, "w");
        copy_maps();
    }
    for (unsigned block = 0; block < num_blocks; block++) {
        uint64_t count = blocks[block].count;
        blocks[block].count = 0;
        total += count;
        if (profile && count)
            fprintf(profile, "%" PRIx64 " %" PRIu64 " %" PRIu64 "\n", blocks[block].address,
                    blocks[block].length, count);
    }
    if (profile) fclose(profile);
    FILE *laps = open_or_die(laps_path, "a");
    fprintf(laps, "%" PRIu64 "\n", total);
    fclose(laps);
    lap++;
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *tb) {
    (void)id;
    unsigned block = __atomic_fetch_add(&num_blocks, 1, __ATOMIC_RELAXED);
    if (block >= MAX_BLOCKS) {
        fprintf(stderr, "count.c: more than %u blocks: raise MAX_BLOCKS\n", MAX_BLOCKS);
        exit(1);
    }
    blocks[block].address = qemu_plugin_tb_vaddr(tb);
    blocks[block].length = qemu_plugin_tb_n_insns(tb);
    qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &blocks[block].count,
                                             blocks[block].length);
}

static void on_system_call(plugin_id id, unsigned thread, int64_t number, uint64_t a1, uint64_t a2,
                           uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7,
                           uint64_t a8) {
    (void)id, (void)thread, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7;
    (void)a8;
    if (number == GETPPID) end_lap();
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "laps=", 5)) laps_path = strdup(argv[i] + 5);
        if (!strncmp(argv[i], "profile=", 8)) profile_path = strdup(argv[i] + 8);
    }
    if (!laps_path) {
        fprintf(stderr, "count.c: say laps=FILE\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    return 0;
}
