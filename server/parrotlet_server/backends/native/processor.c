/* Which of the compiled kernels this processor can run; itself compiled for any. */
#include <cpuid.h>

/* Counted up whenever the arguments of a function in `kernel.c` change: an older file may lie beside
 * newer Python. */
__attribute__((visibility("default"))) int parrotlet_version(void) { return 3; }

__attribute__((visibility("default"))) const char *parrotlet_level(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return "";
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"))
        return "avx512";
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1)) return "avxvnni";
    return "avx2";
}
