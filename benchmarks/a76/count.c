/* A qemu plugin that counts the instructions an emulated program executes.
 *
 * Every translated block adds its own length to its own counter as it runs. Laps are marked as
 * plugin.h says; at the end of each, with <profile>, the counters of its blocks and the memory map
 * are written to <profile>.<lap> and <profile>.<lap>.maps.
 *
 *     qemu-aarch64 -B 0 -plugin count.so,laps=FILE[,profile=FILE] program
 *
 * -B 0 makes guest addresses those of qemu's own memory map, which the maps file is. The counters
 * are shared by the threads without a lock: count programs of one thread.
 */
#include "plugin.h"

#define MAX_BLOCKS (4u << 20)

enum plugin_operation { ADD_U64 };
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum plugin_operation,
                                                     void *, uint64_t);

static struct {
    uint64_t address;
    uint64_t length; /* in instructions */
    uint64_t count;  /* of instructions, in this lap */
} blocks[MAX_BLOCKS];
static unsigned num_blocks;

static const char *profile_path;

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
    add_lap(total);
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *tb) {
    (void)id;
    unsigned block = __atomic_fetch_add(&num_blocks, 1, __ATOMIC_RELAXED);
    if (block >= MAX_BLOCKS) stop("more blocks than MAX_BLOCKS");
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
        take(argv[i], "laps=", &laps_path);
        take(argv[i], "profile=", &profile_path);
    }
    if (!laps_path) stop("say laps=FILE");
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    return 0;
}
