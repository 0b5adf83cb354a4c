// What every source of this folder ends with.
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
