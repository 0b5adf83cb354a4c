// What every source of this folder begins with: AVX-512 with its bfloat16 dot product for all that
// follows, up to target_end.inl.
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((                                                                                \
        target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512bf16,bmi2,fma"))), \
    apply_to = function)
#else
#pragma GCC push_options
// The intrinsics of g++ 12 begin from values that they call undefined.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx512bf16,bmi2,fma")
#endif
