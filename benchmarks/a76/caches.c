/* A qemu plugin that runs an emulated program through the caches of caches.h, and tells the time.
 *
 * Every thread is a core. Each block of instructions moves its core's clock on by what it costs:
 * the cycles that <costs> gives for it (pipeline.py), else a cycle an instruction. One thread runs at
 * a time, always the one whose clock is behind, for a turn of TURN cycles; a thread that another one
 * wakes takes over that one's clock. So threads meet in the caches as they would on as many cores,
 * waiting for each other takes its time, and all figures repeat however busy the machine is.
 * Bytes move in no time here: predict.py puts both together.
 *
 * Laps are marked as plugin.h says; the start-up before the first mark runs unseen, and what comes
 * next finds cold caches. At the end of each lap <laps>.<lap>.json has what the threads did, the
 * bytes that moved in every slice of SLICE cycles of the lap, and every block. With <blocks> the
 * caches stay out of it, which takes a tenth of the time.
 *
 *     qemu-aarch64 -B 0 -plugin caches.so,laps=FILE[,costs=FILE][,blocks=yes] program
 *
 * Not seen: instruction fetches, tables of pages, and what DC ZVA zeroes (which is counted apart).
 */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "caches.h"
#include "plugin.h"

enum { EXIT = 93, FUTEX = 98 }; /* of arm64, as GETPPID */
enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET = 10 };
enum { MAX_BLOCKS = 1 << 20, MAX_SLICES = 1 << 16, NUM_WOKEN = 256 };
enum { MILLI = 1000, TURN = 5000 * MILLI, SLICE = 100000 }; /* clocks count thousandths of cycles */

struct qemu_plugin_insn;
typedef uint32_t meminfo;
typedef void (*on_cpu)(plugin_id, unsigned);
typedef void (*executed)(unsigned, void *);
typedef void (*accessed)(unsigned, meminfo, uint64_t, void *);
typedef void (*system_return)(plugin_id, unsigned, int64_t, int64_t);

extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
extern unsigned qemu_plugin_mem_size_shift(meminfo);
extern _Bool qemu_plugin_mem_is_store(meminfo);
extern void qemu_plugin_reset(plugin_id, void (*)(plugin_id));
extern void qemu_plugin_register_vcpu_init_cb(plugin_id, on_cpu);
extern void qemu_plugin_register_vcpu_exit_cb(plugin_id, on_cpu);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, executed, int flags, void *);
extern void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, accessed, int flags, int rw,
                                             void *);
extern void qemu_plugin_register_vcpu_syscall_ret_cb(plugin_id, system_return);
enum { NO_REGISTERS = 0, READ_AND_WRITE = 3 };

typedef struct {
    uint64_t address, hash, cost; /* cost: thousandths of cycles, each time */
    uint32_t length, zeroed;      /* instructions; bytes that DC ZVA zeroes */
    uint32_t *code;
    uint64_t times, from_memory; /* in this lap; lines */
} Block;

static Block blocks[MAX_BLOCKS];
static unsigned num_blocks;
static unsigned block_at[2 * MAX_BLOCKS]; /* by hash: 1 + its place above */

static struct {
    uint64_t hash, cost;
} *costs;
static size_t num_costs;

typedef struct {
    uint64_t clock, turn_ends;
    enum { ABSENT, NEW, READY, AWAY } state; /* AWAY: in a system call */
    uint64_t waits_at;                       /* the address of the futex that it waits at */
    int wakes;
    uint64_t instructions, cycles; /* in this lap */
    Traffic traffic;               /* in this lap */
    uint64_t to_be_written;        /* of its lines from memory those that a write asked for */
} Thread;

static Thread threads[MAX_CORES];
static Caches caches;
static struct {
    uint64_t busy, in[4], out[4]; /* thousandths of cycles; lines */
} slices[MAX_SLICES];

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int running = -1; /* the thread whose turn it is */
static int coming;       /* threads that were woken or made, and are not back yet */
static unsigned lost;    /* turns taken without having been given */
static struct {
    uint64_t address, clock;
} woken[NUM_WOKEN];            /* when somebody was last woken there */
static uint64_t last_exit; /* its clock: the kernel itself wakes who waits for a thread's end */

static int blocks_alone;
static uint64_t lap_began;

/* Turns. The mutex is held in all of these. */

/* The clock of the thread that is furthest behind among those that wait for their turn. */
static uint64_t behind_most(int but) {
    uint64_t least = UINT64_MAX - TURN;
    for (int i = 0; i < MAX_CORES; i++)
        if (i != but && threads[i].state == READY && threads[i].clock < least) least = threads[i].clock;
    return least;
}

static int is_next(int index) {
    for (int i = 0; i < MAX_CORES; i++)
        if (i != index && threads[i].state == READY &&
            (threads[i].clock < threads[index].clock ||
             (threads[i].clock == threads[index].clock && i < index)))
            return 0;
    return running < 0 && coming <= 0;
}

static void catch_up(Thread *thread) {
    for (int i = 0; i < MAX_CORES; i++)
        if (threads[i].clock > thread->clock) thread->clock = threads[i].clock;
}

static void hand_over(int index) {
    if (running == index) running = -1;
    pthread_cond_broadcast(&changed);
}

/* Waits for its turn; takes it after five seconds, so that nothing hangs (and says so: lost). */
static void wait_for_turn(int index) {
    Thread *me = &threads[index];
    if (me->state == ABSENT) catch_up(me); /* it was made before anybody looked */
    me->state = READY;
    if (index >= caches.num_cores) caches.num_cores = index + 1;
    if (running >= 0 && threads[running].turn_ends > me->clock + TURN)
        threads[running].turn_ends = me->clock + TURN;
    pthread_cond_broadcast(&changed); /* it is here now: another may have waited for that */
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 5;
    while (!is_next(index))
        if (pthread_cond_timedwait(&changed, &mutex, &until) == ETIMEDOUT) {
            lost++;
            coming = 0;
            break;
        }
    running = index;
    me->turn_ends = behind_most(index) + TURN;
}

static void come_in(int index) {
    pthread_mutex_lock(&mutex);
    Thread *me = &threads[index];
    if (me->state == NEW) coming--;
    wait_for_turn(index);
    pthread_mutex_unlock(&mutex);
}

static unsigned woken_at(uint64_t address) {
    unsigned at = (unsigned)(address >> 2) % NUM_WOKEN;
    while (woken[at].address && woken[at].address != address) at = (at + 1) % NUM_WOKEN;
    return at;
}

static int checked(unsigned index) {
    if (index >= MAX_CORES) stop("more threads at a time than MAX_CORES");
    return (int)index;
}

/* What a thread does. */

static uint64_t slice_of(const Thread *thread) {
    uint64_t slice = (thread->clock - lap_began) / ((uint64_t)SLICE * MILLI);
    return slice < MAX_SLICES ? slice : MAX_SLICES - 1;
}

static void on_block(unsigned cpu, void *data) {
    Block *block = data;
    const int index = checked(cpu);
    Thread *me = &threads[index];
    if (me->state != READY) come_in(index);
    if (me->clock >= me->turn_ends) {
        pthread_mutex_lock(&mutex);
        hand_over(index);
        wait_for_turn(index);
        pthread_mutex_unlock(&mutex);
    }
    slices[slice_of(me)].busy += block->cost;
    me->clock += block->cost;
    me->cycles += block->cost;
    me->instructions += block->length;
    block->times++;
}

static void on_access(unsigned cpu, meminfo info, uint64_t address, void *data) {
    Thread *me = &threads[checked(cpu)];
    Core *core = &caches.cores[cpu];
    const int write = qemu_plugin_mem_is_store(info);
    const uint64_t last = (address + (1u << qemu_plugin_mem_size_shift(info)) - 1) >> LINE_BITS;
    for (uint64_t line = address >> LINE_BITS; line <= last; line++) {
        if (line_of(core->one[line % SETS_1][0]) == line &&
            (!write || core->one[line % SETS_1][0] & 1))
            continue;
        Traffic moved = {{0}, {0}};
        access_line(&caches, core, line, write, &moved);
        ((Block *)data)->from_memory += moved.in[3];
        if (write) me->to_be_written += moved.in[3];
        const uint64_t slice = slice_of(me);
        for (int level = 1; level <= 3; level++) {
            me->traffic.in[level] += moved.in[level];
            me->traffic.out[level] += moved.out[level];
            slices[slice].in[level] += moved.in[level];
            slices[slice].out[level] += moved.out[level];
        }
    }
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *tb) {
    (void)id;
    const size_t length = qemu_plugin_tb_n_insns(tb);
    uint64_t hash = 14695981039346656037u; /* FNV-1a, of the address in its page and the code */
    uint32_t code[4096];
    if (length > 4096) stop("a block of more than 4096 instructions");
    for (size_t i = 0; i < length; i++) {
        memcpy(&code[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), 4);
        hash = (hash ^ code[i]) * 1099511628211u;
    }
    const uint64_t address = qemu_plugin_tb_vaddr(tb);
    pthread_mutex_lock(&mutex);
    size_t at = (hash ^ address) % (2 * MAX_BLOCKS);
    while (block_at[at] && (blocks[block_at[at] - 1].hash != hash ||
                            blocks[block_at[at] - 1].address != address))
        at = (at + 1) % (2 * MAX_BLOCKS);
    if (!block_at[at]) {
        if (num_blocks == MAX_BLOCKS) stop("more blocks than MAX_BLOCKS");
        Block *block = &blocks[num_blocks];
        *block = (Block){address, hash, length * MILLI, (uint32_t)length, 0, 0, 0, 0};
        block->code = malloc(length * sizeof *code);
        memcpy(block->code, code, length * sizeof *code);
        for (size_t i = 0; i < length; i++)
            if ((code[i] & 0xffffffe0) == 0xd50b7420) block->zeroed += LINE; /* DC ZVA */
        for (size_t low = 0, high = num_costs; low < high;) {
            const size_t middle = (low + high) / 2;
            if (costs[middle].hash == hash) {
                block->cost = costs[middle].cost;
                break;
            }
            if (costs[middle].hash < hash) low = middle + 1;
            else high = middle;
        }
        block_at[at] = ++num_blocks;
    }
    Block *block = &blocks[block_at[at] - 1];
    pthread_mutex_unlock(&mutex);
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, NO_REGISTERS, block);
    if (blocks_alone) return;
    for (size_t i = 0; i < length; i++)
        qemu_plugin_register_vcpu_mem_cb(qemu_plugin_tb_get_insn(tb, i), on_access, NO_REGISTERS,
                                         READ_AND_WRITE, block);
}

static void print_lines(FILE *file, const char *name, const uint64_t *in, const uint64_t *out) {
    fprintf(file, "\"%s\": [", name);
    for (int level = 1; level <= 3; level++)
        fprintf(file, "%s[%" PRIu64 ", %" PRIu64 "]", level > 1 ? ", " : "", in[level] * LINE,
                out[level] * LINE);
    fprintf(file, "]");
}

static void write_lap(const Thread *caller) {
    char path[4096];
    snprintf(path, sizeof path, "%s.%u.json", laps_path, lap);
    FILE *file = open_or_die(path, "w");
    fprintf(file, "{\"cycles\": %.3f, \"slice\": %d, \"lost_turns\": %u,\n\"threads\": [",
            (double)(caller->clock - lap_began) / MILLI, SLICE, lost);
    for (int i = 0; i < caches.num_cores; i++) {
        const Thread *thread = &threads[i];
        fprintf(file, "%s\n{\"instructions\": %" PRIu64 ", \"cycles\": %.3f, ", i ? "," : "",
                thread->instructions, (double)thread->cycles / MILLI);
        fprintf(file, "\"to_be_written\": %" PRIu64 ", ", thread->to_be_written * LINE);
        print_lines(file, "bytes", thread->traffic.in, thread->traffic.out);
        fprintf(file, "}");
    }
    fprintf(file, "],\n\"slices\": [");
    for (uint64_t slice = 0, last = slice_of(caller); slice <= last; slice++) {
        fprintf(file, "%s\n{\"busy\": %.3f, ", slice ? "," : "", (double)slices[slice].busy / MILLI);
        print_lines(file, "bytes", slices[slice].in, slices[slice].out);
        fprintf(file, "}");
    }
    fprintf(file, "],\n\"blocks\": [");
    const char *comma = "";
    for (unsigned i = 0; i < num_blocks; i++) {
        const Block *block = &blocks[i];
        if (!block->times) continue;
        fprintf(file,
                "%s\n{\"address\": %" PRIu64 ", \"hash\": \"%016" PRIx64 "\", \"times\": %" PRIu64
                ", \"cycles\": %.3f, \"from_memory\": %" PRIu64 ", \"zeroed\": %u, \"code\": \"",
                comma, block->address, block->hash, block->times, (double)block->cost / MILLI,
                block->from_memory * LINE, block->zeroed);
        for (uint32_t k = 0; k < block->length; k++) fprintf(file, "%08x", block->code[k]);
        fprintf(file, "\"}");
        comma = ",";
    }
    fprintf(file, "]}\n");
    fclose(file);
}

static void look_on(plugin_id);

static void end_lap(plugin_id plugin, Thread *caller) {
    uint64_t instructions = 0;
    for (int i = 0; i < caches.num_cores; i++) instructions += threads[i].instructions;
    if (lap) write_lap(caller); /* lap 0 is the start-up */
    for (int i = 0; i < MAX_CORES; i++) {
        threads[i].instructions = threads[i].cycles = threads[i].to_be_written = 0;
        threads[i].traffic = (Traffic){{0}, {0}};
    }
    for (unsigned i = 0; i < num_blocks; i++) blocks[i].times = blocks[i].from_memory = 0;
    memset(slices, 0, sizeof slices);
    lap_began = caller->clock;
    lost = 0;
    coming = 0;
    if (!lap) qemu_plugin_reset(plugin, look_on);
    add_lap(instructions);
}

static void on_system_call(plugin_id id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2,
                           uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7,
                           uint64_t a8) {
    (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    const int index = checked(cpu);
    Thread *me = &threads[index];
    pthread_mutex_lock(&mutex);
    if (number == GETPPID) end_lap(id, me);
    me->waits_at = 0;
    me->wakes = 0;
    if (number == EXIT && me->clock > last_exit) last_exit = me->clock;
    if (number == FUTEX) {
        const int operation = a2 & 127;
        if (operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET) me->waits_at = a1;
        if (operation == FUTEX_WAKE || operation == FUTEX_WAKE_BITSET) {
            const unsigned at = woken_at(a1);
            woken[at].address = a1;
            woken[at].clock = me->clock;
            me->wakes = 1;
        }
    }
    me->state = AWAY;
    hand_over(index);
    pthread_mutex_unlock(&mutex);
}

/* The clock of whoever woke it, where that is later. */
static void take_over_clock(Thread *me) {
    const unsigned at = woken_at(me->waits_at);
    const uint64_t clock = woken[at].address ? woken[at].clock : last_exit;
    if (clock > me->clock) me->clock = clock;
}

static void on_system_return(plugin_id id, unsigned cpu, int64_t number, int64_t result) {
    (void)id;
    const int index = checked(cpu);
    Thread *me = &threads[index];
    pthread_mutex_lock(&mutex);
    if (me->wakes && result > 0) coming += (int)result;
    if (me->state == ABSENT && number == FUTEX && result == 0) coming--; /* waited since the start-up */
    if (me->waits_at && result == 0) {
        if (woken[woken_at(me->waits_at)].address) coming--;
        take_over_clock(me);
    }
    wait_for_turn(index);
    if (me->waits_at && result == -EAGAIN) {
        /* It was about to sleep, and this machine let the other thread run so far before it did that
           there was nothing left to wait for. The other one's call to wake it has come by now. */
        take_over_clock(me);
        hand_over(index);
        wait_for_turn(index);
    }
    pthread_mutex_unlock(&mutex);
}

static void on_begin(plugin_id id, unsigned cpu) {
    (void)id;
    pthread_mutex_lock(&mutex);
    Thread *thread = &threads[checked(cpu)];
    catch_up(thread);
    thread->state = NEW;
    coming++;
    pthread_mutex_unlock(&mutex);
}

static void on_end(plugin_id id, unsigned cpu) {
    (void)id;
    pthread_mutex_lock(&mutex);
    threads[checked(cpu)].state = ABSENT;
    hand_over((int)cpu);
    pthread_mutex_unlock(&mutex);
}

static void read_costs(const char *path) {
    FILE *file = open_or_die(path, "r");
    uint64_t hash, previous = 0;
    double cycles;
    while (fscanf(file, "%" SCNx64 " %lf", &hash, &cycles) == 2) {
        if (hash < previous) stop("costs must be in the order of their hashes");
        costs = realloc(costs, (num_costs + 1) * sizeof *costs);
        costs[num_costs].hash = previous = hash;
        costs[num_costs++].cost = (uint64_t)(cycles * MILLI + 0.5);
    }
    fclose(file);
}

/* All that is looked at, once the start-up is over. */
static void look_on(plugin_id id) {
    qemu_plugin_register_vcpu_init_cb(id, on_begin);
    qemu_plugin_register_vcpu_exit_cb(id, on_end);
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    qemu_plugin_register_vcpu_syscall_ret_cb(id, on_system_return);
}

static void on_call_at_start(plugin_id id, unsigned cpu, int64_t number, uint64_t a1, uint64_t a2,
                             uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7,
                             uint64_t a8) {
    (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number == GETPPID && !lap) end_lap(id, &threads[checked(cpu)]);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    (void)info;
    const char *costs_path = NULL;
    for (int i = 0; i < argc; i++) {
        take(argv[i], "laps=", &laps_path);
        take(argv[i], "costs=", &costs_path);
        if (!strcmp(argv[i], "blocks=yes")) blocks_alone = 1;
    }
    if (!laps_path) stop("say laps=FILE");
    if (costs_path) read_costs(costs_path);
    qemu_plugin_register_vcpu_syscall_cb(id, on_call_at_start);
    return 0;
}
