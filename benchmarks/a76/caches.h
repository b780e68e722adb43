/* A model of a Raspberry Pi 5's data caches: which bytes move between which levels.

   Lines of 64 bytes; each core has a level 1 of 64 KB, 4 ways, and a level 2 of 512 KB, 8 ways,
   which holds all that its level 1 holds; all cores share a level 3 of 2 MB, 16 ways, which need not
   hold what theirs do. A line that is missing is fetched through all levels, for a write too; the
   one not used for longest makes way for it, and goes one level down if it was written to. What
   another core has lies no further away than level 3; writing to a line takes it from all others.
   Addresses are the program's own: as if its memory lay in one piece. */

#pragma once

#include <stdint.h>
#include <string.h>

enum { LINE_BITS = 6, LINE = 1 << LINE_BITS, MAX_CORES = 8 };
enum { SETS_1 = 256, WAYS_1 = 4, SETS_2 = 1024, WAYS_2 = 8, SETS_3 = 2048, WAYS_3 = 16 };

/* A line's number and whether it was written to, in one word; 0 holds nothing. In a set the one
   used last stands first. */
typedef uint64_t Entry;

typedef struct {
    Entry one[SETS_1][WAYS_1];
    Entry two[SETS_2][WAYS_2];
} Core;

/* Lines that came into a level from below, and that it gave back there. */
typedef struct {
    uint64_t in[4], out[4]; /* [1]: level 1 from and to level 2 … [3]: level 3 from and to memory */
} Traffic;

typedef struct {
    Core cores[MAX_CORES];
    Entry three[SETS_3][WAYS_3];
    int num_cores;
} Caches;

static inline Entry entry_of(uint64_t line, int written) { return line << 1 | (Entry)written; }
static inline uint64_t line_of(Entry entry) { return entry >> 1; }

/* The place of a line in a set, -1 where it is not. */
static inline int find(const Entry *set, int ways, uint64_t line) {
    for (int way = 0; way < ways; way++)
        if (line_of(set[way]) == line) return way;
    return -1;
}

static inline void to_front(Entry *set, int way) {
    const Entry entry = set[way];
    memmove(set + 1, set, (size_t)way * sizeof *set);
    set[0] = entry;
}

/* Takes an entry in front into the set; returns the one that made way. */
static inline Entry push(Entry *set, int ways, Entry entry) {
    int way = find(set, ways, 0); /* an empty place first */
    if (way < 0) way = ways - 1;
    const Entry last = set[way];
    set[way] = entry;
    to_front(set, way);
    return last;
}

static inline Entry take_out(Entry *set, int ways, uint64_t line) {
    const int way = find(set, ways, line);
    if (way < 0) return 0;
    const Entry entry = set[way];
    set[way] = 0;
    return entry;
}

static inline void into_three(Caches *caches, Entry entry, Traffic *traffic) {
    Entry *set = caches->three[line_of(entry) % SETS_3];
    const int way = find(set, WAYS_3, line_of(entry));
    if (way >= 0) {
        set[way] |= entry & 1;
        to_front(set, way);
    } else
        traffic->out[3] += push(set, WAYS_3, entry) & 1;
}

static inline void into_two(Caches *caches, Core *core, Entry entry, Traffic *traffic) {
    const Entry gone = push(core->two[line_of(entry) % SETS_2], WAYS_2, entry);
    if (!gone) return;
    const Entry above = take_out(core->one[line_of(gone) % SETS_1], WAYS_1, line_of(gone));
    traffic->out[1] += above & 1;
    if ((gone | above) & 1) {
        traffic->out[2]++;
        into_three(caches, entry_of(line_of(gone), 1), traffic);
    }
}

/* Whether another core has the line. A reader shares it, and what was written to it goes to level 3
   too; a writer takes it away. */
static inline int from_others(Caches *caches, const Core *core, uint64_t line, int write,
                              Traffic *traffic) {
    int found = 0;
    for (Core *other = caches->cores; other < caches->cores + caches->num_cores; other++) {
        if (other == core) continue;
        Entry *set = other->two[line % SETS_2], *above = other->one[line % SETS_1];
        const int way = find(set, WAYS_2, line), way_above = find(above, WAYS_1, line);
        if (way < 0) continue;
        found = 1;
        if ((set[way] | (way_above < 0 ? 0 : above[way_above])) & 1) {
            traffic->out[2]++;
            if (!write) into_three(caches, entry_of(line, 1), traffic);
        }
        set[way] = write ? 0 : entry_of(line, 0);
        if (way_above >= 0) above[way_above] = write ? 0 : entry_of(line, 0);
    }
    return found;
}

/* One core reads or writes within one line. */
static inline void access_line(Caches *caches, Core *core, uint64_t line, int write,
                               Traffic *traffic) {
    Entry *set = core->one[line % SETS_1];
    int way = find(set, WAYS_1, line);
    if (way >= 0) {
        if (way > 0) to_front(set, way);
        if (write && !(set[0] & 1)) {
            if (caches->num_cores > 1) from_others(caches, core, line, 1, traffic);
            set[0] |= 1;
        }
        return;
    }
    traffic->in[1]++;
    Entry *below = core->two[line % SETS_2];
    way = find(below, WAYS_2, line);
    if (way >= 0) {
        to_front(below, way);
        if (write && caches->num_cores > 1) from_others(caches, core, line, 1, traffic);
    } else {
        traffic->in[2]++;
        Entry *third = caches->three[line % SETS_3];
        const int elsewhere =
            caches->num_cores > 1 && from_others(caches, core, line, write, traffic);
        way = find(third, WAYS_3, line);
        if (way >= 0)
            to_front(third, way);
        else if (!elsewhere) {
            traffic->in[3]++;
            into_three(caches, entry_of(line, 0), traffic);
        }
        into_two(caches, core, entry_of(line, 0), traffic);
    }
    const Entry gone = push(set, WAYS_1, entry_of(line, write));
    if (gone & 1) {
        traffic->out[1]++;
        below = core->two[line_of(gone) % SETS_2];
        way = find(below, WAYS_2, line_of(gone));
        if (way >= 0) below[way] |= 1; /* it always is: see into_two */
    }
}
