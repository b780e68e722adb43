/* What the qemu plugins here share: the interface, and laps.
 *
 * Debian 12 has qemu 7.2, thus version 1 of the interface (which ends with qemu 9), and packs no
 * qemu-plugin.h; what is declared here and in the plugins is all that is used of it.
 *
 * getppid, a system call that programs hardly use, ends a lap, of which lap 0 is the start-up. Each
 * lap's instructions are appended to the file that laps=FILE names, as one line.
 */
#pragma once

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
enum { GETPPID = 173 }; /* of arm64 */

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
typedef void (*translated)(plugin_id, struct qemu_plugin_tb *);
typedef void (*system_call)(plugin_id, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                            uint64_t, uint64_t, uint64_t, uint64_t);

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, system_call);

EXPORT int qemu_plugin_version = 1;

static const char *laps_path;
static unsigned lap; /* the one that runs */

static void stop(const char *why) {
    fprintf(stderr, "%s: %s\n", __BASE_FILE__, why);
    exit(1);
}

static FILE *open_or_die(const char *path, const char *mode) {
    FILE *file = fopen(path, mode);
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

/* The value of an option of the plugin, where it is the one that begins so ("laps="). */
static void take(const char *option, const char *begin, const char **value) {
    if (!strncmp(option, begin, strlen(begin))) *value = strdup(option + strlen(begin));
}

static void add_lap(uint64_t instructions) {
    FILE *laps = open_or_die(laps_path, "a");
    fprintf(laps, "%" PRIu64 "\n", instructions);
    fclose(laps);
    lap++;
}
