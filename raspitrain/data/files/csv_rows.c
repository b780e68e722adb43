/* Lines of a table in text to numbers, bit for bit those of Python's float().

   Read here are plain lines alone: as many cells as there are columns, and in the columns of
   numbers nothing but numbers or nothing at all. The first line that is anything else ends the
   call; the caller reads that one with care and calls again behind it.

   A decimal of at most 2^53 with a power of ten up to 22 is exact in double, so that one division
   or product rounds it rightly (Clinger, How to read floating point numbers accurately, 1990);
   anything longer is left to strtod. */

#define _GNU_SOURCE
#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER, WORD, STAMP }; /* kinds of columns */
enum { PLAIN = 1, COMMA_3 = 2, COMMA_OTHER = 4, DOT_3 = 8, DOT_OTHER = 16 }; /* csv_file.py */

static const double TENS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                              1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
static locale_t C_LOCALE;

static int is_digit(char c) { return (unsigned char)(c - '0') < 10; }

/* The number in [at, end), blanks around it taken off. Returns 0 if it is none. */
static int parse(const char *at, const char *end, int comma, double *value, int32_t *look)
{
    while (at < end && (*at == ' ' || *at == '\t')) at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t')) end--;
    if (at == end) {
        *value = __builtin_nan("");
        return 1;
    }
    const char *start = at;
    int negative = *at == '-';
    if (*at == '-' || *at == '+') at++;
    uint64_t digits = 0;
    int many = 0, power = 0; /* `many` counts what may not fit into `digits` */
    const char *whole = at;
    while (at < end && is_digit(*at)) {
        digits = 10 * digits + (uint64_t)(*at++ - '0');
        many++;
    }
    int num_whole = (int)(at - whole), num_after = 0;
    char sign = 0;
    if (at < end && (*at == '.' || (comma && *at == ','))) {
        sign = *at++;
        const char *after = at;
        while (at < end && is_digit(*at)) {
            digits = 10 * digits + (uint64_t)(*at++ - '0');
            many++;
        }
        num_after = (int)(at - after);
        power = -num_after;
    }
    if (num_whole + num_after == 0 || (sign == ',' && num_after == 0)) return 0;
    int has_power = 0;
    if (at < end && (*at == 'e' || *at == 'E')) {
        has_power = 1;
        at++;
        int minus = at < end && *at == '-', own = 0;
        if (at < end && (*at == '-' || *at == '+')) at++;
        if (at == end || !is_digit(*at)) return 0;
        while (at < end && is_digit(*at)) {
            if (own < 100000) own = 10 * own + (*at - '0');
            at++;
        }
        power += minus ? -own : own;
    }
    if (at != end) return 0;
    if (many <= 19 && digits <= (1ULL << 53) && power >= -22 && power <= 22) {
        double number = (double)digits;
        number = power < 0 ? number / TENS[-power] : number * TENS[power];
        *value = negative ? -number : number;
    } else {
        char copy[512];
        if (end - start >= (long)sizeof copy) return 0;
        memcpy(copy, start, (size_t)(end - start));
        copy[end - start] = 0;
        if (sign == ',') *(char *)memchr(copy, ',', (size_t)(end - start)) = '.';
        *value = strtod_l(copy, NULL, C_LOCALE);
    }
    if (look != NULL && !has_power) {
        if (!sign) {
            if (num_whole <= 3 && !(num_whole == 1 && *whole == '0')) *look |= PLAIN;
        } else {
            int three = num_after == 3 && num_whole >= 1 && num_whole <= 3 && *whole != '0';
            if (sign == ',') *look |= three ? COMMA_3 : COMMA_OTHER;
            else *look |= three ? DOT_3 : DOT_OTHER;
        }
    }
    return 1;
}

/* Most numbers, such as -9.806650, in one pass over them: where the cell ends, or NULL where it is
   to be looked at by parse(). A line's end must follow somewhere. */
static inline const char *parse_usual(const char *at, char separator, double *value)
{
    int negative = *at == '-';
    at += negative;
    uint64_t digits = 0;
    const char *whole = at, *point = NULL;
    while (is_digit(*at)) digits = 10 * digits + (uint64_t)(*at++ - '0');
    if (*at == '.' && at > whole) {
        point = at++;
        while (is_digit(*at)) digits = 10 * digits + (uint64_t)(*at++ - '0');
    }
    if ((*at != separator && *at != '\n') || at == whole || at - whole > 19) return NULL;
    if (digits > (1ULL << 53)) return NULL;
    double number = (double)digits;
    if (point != NULL) number /= TENS[at - point - 1];
    *value = negative ? -number : number;
    return at;
}

/* Reads whole lines from `text`, each ending with \n.

   kinds: of each of the `width` columns. numbers: out, rows x columns of numbers. cells: out, start
   and end in `text` of each cell of the other columns, rows x those columns x 2; of a column of
   words whose cell is that of the row before, both are -1. looks: of each column, or NULL.
   Returns how many rows were read; *stop is where the first line begins that was not. */
int64_t read_rows(const char *text, int64_t size, char separator, int32_t width,
                  const uint8_t *kinds, int comma, int64_t most, double *numbers, int64_t *cells,
                  int32_t *looks, int64_t *stop)
{
    if (C_LOCALE == (locale_t)0) C_LOCALE = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    int32_t num_numbers = 0;
    for (int32_t k = 0; k < width; k++) num_numbers += kinds[k] == NUMBER;
    int32_t num_cells = width - num_numbers;
    int32_t seen[width];
    int64_t rows = 0, at = 0, *last = calloc(2 * (size_t)width + 1, sizeof *last);
    if (last == NULL) return -1;
    while (rows < most && at < size) {
        const char *line = text + at, *end = memchr(line, '\n', (size_t)(size - at)), *cell = line;
        if (end == NULL) break;
        double *row = numbers + rows * num_numbers;
        int64_t *own = cells + 2 * rows * num_cells;
        int32_t k = 0, words = 0, good = end > line;
        if (looks != NULL) memcpy(seen, looks, sizeof *looks * (size_t)width);
        while (good) {
            if (k < width && kinds[k] == NUMBER && looks == NULL) {
                const char *after = parse_usual(cell, separator, row);
                if (after != NULL) {
                    row++;
                    k++;
                    if (after == end) break;
                    cell = after + 1;
                    continue;
                }
            }
            const char *stop_at = cell;
            while (stop_at < end && *stop_at != separator) {
                good &= *stop_at != '"';
                stop_at++;
            }
            if (k == width) { /* a separator at the end of the line */
                while (cell < stop_at && (*cell == ' ' || *cell == '\t')) cell++;
                good &= cell == end;
                break;
            }
            if (!good) break;
            if (kinds[k] == NUMBER) {
                good = parse(cell, stop_at, comma, row, looks == NULL ? NULL : seen + k);
                good &= width > 1 || *row == *row; /* a blank line is no row of a missing value */
                row++;
            } else {
                int64_t from = cell - text, to = stop_at - text, *before = last + 2 * k;
                int same = kinds[k] == WORD && rows > 0 && to - from == before[1] - before[0] &&
                           memcmp(text + from, text + before[0], (size_t)(to - from)) == 0;
                own[2 * words] = same ? -1 : from;
                own[2 * words + 1] = same ? -1 : to;
                if (!same) before[0] = from, before[1] = to;
                words++;
            }
            k++;
            if (stop_at == end) break;
            cell = stop_at + 1;
        }
        if (!good || k != width) break;
        if (looks != NULL) memcpy(looks, seen, sizeof *looks * (size_t)width);
        rows++;
        at = end + 1 - text;
    }
    free(last);
    *stop = at;
    return rows;
}
