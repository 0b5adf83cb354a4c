// Warpgroup products (PTX wgmma) with B in shared memory, and A in registers or there, sm_90a.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace strake::cuda {

// D[64, kTokens] (+)= A[64, 16] * B[kTokens, 16]^T by four warps. Warp w has rows 16 w .. 16 w + 15
// of A and D as in mma.m16n8k16: d[4 i + 2 h + e] is row 16 w + 8 h + lane / 4, column
// 8 i + 2 (lane % 4) + e.

// B in shared memory: rows of 64 16-bit elements with TMA's 128-byte swizzle, so that 8 rows repeat
// every 1,024 bytes; `address` is a multiple of that. 16 elements further on are 2 units more.
__device__ __forceinline__ uint64_t swizzled_rows(uint32_t address) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
  constexpr uint64_t kEightRows = uint64_t{1024 >> 4} << 32;
  return kSwizzle128 | kEightRows | (uint64_t{1} << 16) | ((address & 0x3ffff) >> 4);
}

// The same rows as a B of 16 rows that run along D's columns: 64 columns further on are `bytes`.
__device__ __forceinline__ uint64_t turned_rows(uint32_t address, uint32_t bytes) {
  return (swizzled_rows(address) & ~(uint64_t{0x3fff} << 16)) | uint64_t{bytes >> 4} << 16;
}

// Either's rows `bytes` further on. Only the low half changes, which spares 64-bit additions.
__device__ __forceinline__ uint64_t rows_after(uint64_t rows, uint32_t bytes) {
  return (rows >> 32 << 32) | (static_cast<uint32_t>(rows) + (bytes >> 4));
}

// Between what ordinary instructions did to the registers and the first product that uses them.
__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Until at most so many committed groups are unfinished.
template <int kGroups>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroups) : "memory");
}
// Keeps the compiler from moving what it does with these registers across this line.
template <int kCount>
__device__ __forceinline__ void pin(float (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(values[i])::"memory");
}
template <int kCount>
__device__ __forceinline__ void pin(uint32_t (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(values[i])::"memory");
}

#define STRAKE_D4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define STRAKE_D16(i) STRAKE_D4(i), STRAKE_D4(i + 4), STRAKE_D4(i + 8), STRAKE_D4(i + 12)
#define STRAKE_D32(i) STRAKE_D16(i), STRAKE_D16(i + 16)
#define STRAKE_D64(i) STRAKE_D32(i), STRAKE_D32(i + 32)
#define STRAKE_NEW4(i) "=f"(d[i]), "=f"(d[i + 1]), "=f"(d[i + 2]), "=f"(d[i + 3])
#define STRAKE_NEW16(i) STRAKE_NEW4(i), STRAKE_NEW4(i + 4), STRAKE_NEW4(i + 8), STRAKE_NEW4(i + 12)
#define STRAKE_NEW32(i) STRAKE_NEW16(i), STRAKE_NEW16(i + 16)
#define STRAKE_NEW64(i) STRAKE_NEW32(i), STRAKE_NEW32(i + 32)
#define STRAKE_N16_0 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define STRAKE_N16_1 "%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define STRAKE_N16_2 "%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#define STRAKE_N16_3 "%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define STRAKE_N16_4 "%64,%65,%66,%67,%68,%69,%70,%71,%72,%73,%74,%75,%76,%77,%78,%79"
#define STRAKE_N16_5 "%80,%81,%82,%83,%84,%85,%86,%87,%88,%89,%90,%91,%92,%93,%94,%95"
#define STRAKE_N16_6 "%96,%97,%98,%99,%100,%101,%102,%103,%104,%105,%106,%107,%108,%109,%110,%111"
#define STRAKE_N16_7 \
  "%112,%113,%114,%115,%116,%117,%118,%119,%120,%121,%122,%123,%124,%125,%126,%127"
#define STRAKE_N32 STRAKE_N16_0 "," STRAKE_N16_1
#define STRAKE_N64 STRAKE_N32 "," STRAKE_N16_2 "," STRAKE_N16_3
#define STRAKE_N128 STRAKE_N64 "," STRAKE_N16_4 "," STRAKE_N16_5 "," STRAKE_N16_6 "," STRAKE_N16_7

#define STRAKE_LIST(...) __VA_ARGS__
// One shape for one type: the numbers of D's registers, A's, B's descriptor and the flag, which may
// be a constant; `turned` of 1: B's rows run along D's columns; what the flag needs of inputs; D.
#define STRAKE_WGMMA(columns, type, d_list, a_list, b, flag, turned, flag_input, ...)           \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " flag                                     \
               ", 0;\n"                                                                         \
               "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32." type "." type " {" d_list \
               "}, {" a_list "}, " b ", add, 1, 1, " turned ";\n}\n"                            \
               : __VA_ARGS__                                                                    \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b_rows)flag_input)

// A D made anew need not be there before.
#define STRAKE_WGMMA_OF(kTokens, tokens, Half, type, d_list, a_list, b, d_new, d_old)        \
  template <>                                                                                \
  struct Wgmma<kTokens, Half> {                                                              \
    static __device__ __forceinline__ void begin(float (&d)[kTokens / 2], const uint32_t* a, \
                                                 uint64_t b_rows) {                          \
      STRAKE_WGMMA(tokens, type, d_list, a_list, b, "0", "0", , d_new);                      \
    }                                                                                        \
    static __device__ __forceinline__ void add(float (&d)[kTokens / 2], const uint32_t* a,   \
                                               uint64_t b_rows) {                            \
      STRAKE_WGMMA(tokens, type, d_list, a_list, b, "1", "0", , d_old);                      \
    }                                                                                        \
  };
#define STRAKE_WGMMA_SHAPE(kTokens, tokens, d_list, a_list, b, d_new, d_old)                     \
  STRAKE_WGMMA_OF(kTokens, tokens, __nv_bfloat16, "bf16", d_list, a_list, b, STRAKE_LIST(d_new), \
                  STRAKE_LIST(d_old))                                                            \
  STRAKE_WGMMA_OF(kTokens, tokens, __half, "f16", d_list, a_list, b, STRAKE_LIST(d_new),         \
                  STRAKE_LIST(d_old))

// Starts one product: D anew, or added to. A's registers stay as they are until it is finished.
template <int kTokens, class Half>
struct Wgmma;
// clang-format off
STRAKE_WGMMA_SHAPE(32, "32", STRAKE_N16_0, "%16,%17,%18,%19", "%20",
                   STRAKE_LIST(STRAKE_NEW16(0)), STRAKE_LIST(STRAKE_D16(0)))
STRAKE_WGMMA_SHAPE(64, "64", STRAKE_N32, "%32,%33,%34,%35", "%36",
                   STRAKE_LIST(STRAKE_NEW32(0)), STRAKE_LIST(STRAKE_D32(0)))
STRAKE_WGMMA_SHAPE(128, "128", STRAKE_N64, "%64,%65,%66,%67", "%68",
                   STRAKE_LIST(STRAKE_NEW64(0)), STRAKE_LIST(STRAKE_D64(0)))
STRAKE_WGMMA_SHAPE(256, "256", STRAKE_N128, "%128,%129,%130,%131", "%132",
                   STRAKE_LIST(STRAKE_NEW64(0), STRAKE_NEW64(64)),
                   STRAKE_LIST(STRAKE_D64(0), STRAKE_D64(64)))
// clang-format on

// D[64, 64 or 128] (+)= A[64, 16] * B[16, as many] with A in registers, which stay as they are
// until it is finished, and B as turned_rows() has it.
template <class Half>
__device__ __forceinline__ void wgmma_turned(float (&d)[32], const uint32_t* a, uint64_t b_rows,
                                             int add) {
  if constexpr (std::is_same_v<Half, __half>)
    STRAKE_WGMMA("64", "f16", STRAKE_N32, "%32,%33,%34,%35", "%36", "%37", "1",
                 STRAKE_LIST(, "r"(add)), STRAKE_D32(0));
  else
    STRAKE_WGMMA("64", "bf16", STRAKE_N32, "%32,%33,%34,%35", "%36", "%37", "1",
                 STRAKE_LIST(, "r"(add)), STRAKE_D32(0));
}
template <class Half>
__device__ __forceinline__ void wgmma_turned(float (&d)[64], const uint32_t* a, uint64_t b_rows,
                                             int add) {
  if constexpr (std::is_same_v<Half, __half>)
    STRAKE_WGMMA("128", "f16", STRAKE_N64, "%64,%65,%66,%67", "%68", "%69", "1",
                 STRAKE_LIST(, "r"(add)), STRAKE_D64(0));
  else
    STRAKE_WGMMA("128", "bf16", STRAKE_N64, "%64,%65,%66,%67", "%68", "%69", "1",
                 STRAKE_LIST(, "r"(add)), STRAKE_D64(0));
}

// Both operands in shared memory.
#define STRAKE_WGMMA_SHARED(columns, type, d_list, a, b, flag, ...)                             \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " flag                                     \
               ", 0;\n"                                                                         \
               "wgmma.mma_async.sync.aligned.m64n" columns "k16.f32." type "." type " {" d_list \
               "}, " a ", " b ", add, 1, 1, 0, 0;\n}\n"                                         \
               : __VA_ARGS__                                                                    \
               : "l"(a_rows), "l"(b_rows), "r"(add))

// D[64, 64 or 128] (+)= A[64, 16] * B[as many, 16]^T, both as swizzled_rows() has them.
template <class Half>
__device__ __forceinline__ void wgmma_shared(float (&d)[32], uint64_t a_rows, uint64_t b_rows,
                                             int add) {
  if constexpr (std::is_same_v<Half, __half>)
    STRAKE_WGMMA_SHARED("64", "f16", STRAKE_N32, "%32", "%33", "%34", STRAKE_D32(0));
  else
    STRAKE_WGMMA_SHARED("64", "bf16", STRAKE_N32, "%32", "%33", "%34", STRAKE_D32(0));
}

template <class Half>
__device__ __forceinline__ void wgmma_shared(float (&d)[64], uint64_t a_rows, uint64_t b_rows,
                                             int add) {
  if constexpr (std::is_same_v<Half, __half>)
    STRAKE_WGMMA_SHARED("128", "f16", STRAKE_N64, "%64", "%65", "%66", STRAKE_D64(0));
  else
    STRAKE_WGMMA_SHARED("128", "bf16", STRAKE_N64, "%64", "%65", "%66", STRAKE_D64(0));
}

#undef STRAKE_WGMMA_SHARED
#undef STRAKE_D4
#undef STRAKE_D16
#undef STRAKE_D32
#undef STRAKE_D64
#undef STRAKE_N16_0
#undef STRAKE_N16_1
#undef STRAKE_N16_2
#undef STRAKE_N16_3
#undef STRAKE_N16_4
#undef STRAKE_N16_5
#undef STRAKE_N16_6
#undef STRAKE_N16_7
#undef STRAKE_N32
#undef STRAKE_N64
#undef STRAKE_N128
#undef STRAKE_WGMMA
#undef STRAKE_WGMMA_SHAPE
#undef STRAKE_WGMMA_OF
#undef STRAKE_LIST
#undef STRAKE_NEW4
#undef STRAKE_NEW16
#undef STRAKE_NEW32
#undef STRAKE_NEW64

}  // namespace strake::cuda
