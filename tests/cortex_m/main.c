/* One window on an Arm MPS2 board with a Cortex-M4F: prints the class, the scores as bits and the
   instructions that the window took, by semihosting. */
#include "model.h"
#include "window.h" /* const float window[] */

static void host(int call, const void *at) {
    register int r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = at;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void print(unsigned value) {
    static char text[10] = "........\n";
    for (int k = 0; k < 8; k++) text[k] = "0123456789abcdef"[value >> (28 - 4 * k) & 15];
    host(4, text); /* SYS_WRITE0 */
}

#define REGISTER(address) (*(volatile unsigned *)(address))
enum { NS_A_TICK = 40 }; /* the board's clock has 25 MHz; under -icount an instruction takes 1 ns */

void start(void) {
    static float scores[MODEL_CLASSES];
    REGISTER(0xE000ED88) |= 0xFu << 20; /* the floating point unit */
    __asm__ volatile("dsb\nisb");
    REGISTER(0xE000E014) = 0xFFFFFF; /* SysTick counts down */
    REGISTER(0xE000E018) = 0;
    REGISTER(0xE000E010) = 5;
    const unsigned before = REGISTER(0xE000E018);
    const int best = model_run(window, scores);
    const unsigned ticks = (before - REGISTER(0xE000E018)) & 0xFFFFFF;
    print((unsigned)best);
    for (int k = 0; k < MODEL_CLASSES; k++) {
        unsigned bits;
        __builtin_memcpy(&bits, scores + k, sizeof bits);
        print(bits);
    }
    print(ticks * NS_A_TICK);
    host(0x18, (void *)0x20026); /* SYS_EXIT: ended well */
    for (;;) {}
}

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))0x20400000, start};
