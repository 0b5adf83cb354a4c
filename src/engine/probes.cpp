#include "engine/probes.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <vector>

#include "base/fail.h"
#include "base/tile_config.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace strake {
namespace {

// More than caches hold. The thread sanitizer has four bytes beside each: touching those of many
// ranks takes minutes, and what it measures counts for nothing.
#if defined(__SANITIZE_THREAD__)
constexpr int64_t kBytes = int64_t{32} << 20;
#else
constexpr int64_t kBytes = int64_t{512} << 20;
#endif
constexpr int64_t kBlock = int64_t{1} << 20;  // what a thread takes at a time
constexpr int kAccumulators = 12;             // enough to hide the latency of a product
constexpr int64_t kProducts = 100'000;        // of each accumulator
constexpr int64_t kAdds = 400'000;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Keeps a result that nothing else uses, and hides what a value is.
template <class T>
void keep(T& value) {
  asm volatile("" : "+m"(value) : : "memory");
}

// Sums at 64-byte lines [at, end), a multiple of four of them.
void sum_portable(const std::byte* at, const std::byte* end) {
  uint64_t sums[4] = {};
  for (; at != end; at += sizeof sums)
    for (int i = 0; i < 4; ++i) sums[i] += reinterpret_cast<const uint64_t*>(at)[i];
  keep(sums);
}

double products_portable() {
  using Floats = float [[gnu::vector_size(16)]];
  Floats sums[kAccumulators] = {}, x = {1, 1, 1, 1};
  keep(sums);
  keep(x);
  for (int64_t n = 0; n < kProducts; ++n) {
#pragma GCC unroll 12
    for (Floats& sum : sums) sum += x * sum;
  }
  keep(sums);
  return 2.0 * 4 * kAccumulators * kProducts;
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void sum_avx2(const std::byte* at, const std::byte* end) {
  __m256i sums[4] = {};
  for (; at != end; at += 4 * sizeof(__m256i)) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      sums[i] =
          _mm256_add_epi64(sums[i], _mm256_load_si256(reinterpret_cast<const __m256i*>(at) + i));
  }
  keep(sums);
}

[[gnu::target("avx512f")]] void sum_avx512(const std::byte* at, const std::byte* end) {
  __m512i sums[4] = {};
  for (; at != end; at += 4 * sizeof(__m512i)) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      sums[i] =
          _mm512_add_epi64(sums[i], _mm512_load_si512(reinterpret_cast<const __m512i*>(at) + i));
  }
  keep(sums);
}

[[gnu::target("avx2,fma")]] double products_fma() {
  __m256 sums[kAccumulators] = {};
  __m256 x = _mm256_set1_ps(1);
  keep(sums);
  keep(x);
  for (int64_t n = 0; n < kProducts; ++n) {
#pragma GCC unroll 12
    for (__m256& sum : sums) sum = _mm256_fmadd_ps(x, x, sum);
  }
  keep(sums);
  return 2.0 * 8 * kAccumulators * kProducts;
}

[[gnu::target("avx512f,avx512bf16")]] double products_bf16() {
  __m512 sums[kAccumulators] = {};
  const __m512bh x = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1), _mm512_set1_ps(1));
  keep(sums);
  for (int64_t n = 0; n < kProducts; ++n) {
#pragma GCC unroll 12
    for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, x, x);
  }
  keep(sums);
  return 2.0 * 32 * kAccumulators * kProducts;
}

// Six tiles of sums hide the latency. The process may use tiles where it has their path.
double products_amx() {
  constexpr int64_t kTimes = kProducts / 10;
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) config.set(tile, 16, 64);
  asm volatile("ldtilecfg %0" : : "m"(config));  // all begin as zeros
  for (int64_t n = 0; n < kTimes; ++n)
    asm volatile(
        "tdpbf16ps %tmm7, %tmm6, %tmm0; tdpbf16ps %tmm7, %tmm6, %tmm1;"
        "tdpbf16ps %tmm7, %tmm6, %tmm2; tdpbf16ps %tmm7, %tmm6, %tmm3;"
        "tdpbf16ps %tmm7, %tmm6, %tmm4; tdpbf16ps %tmm7, %tmm6, %tmm5");
  asm volatile("tilerelease");
  return 2.0 * 16 * 16 * 32 * 6 * kTimes;
}
#endif

using Sum = void (*)(const std::byte*, const std::byte*);
using Products = double (*)();

Sum fastest_sum() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return sum_avx512;
  if (__builtin_cpu_supports("avx2")) return sum_avx2;
#endif
  return sum_portable;
}

Products products_of(std::string_view path) {
#if defined(__x86_64__)
  if (path == "amx-bf16") return products_amx;
  if (path == "avx512-bf16") return products_bf16;
  if (path == "avx2") return products_fma;
#endif
  if (path == "portable") return products_portable;
  fail(ErrorKind::kInternal, "no probe of products for path '{}'", path);
}

#if defined(__x86_64__)
#define STRAKE_ADD_ONE(value) asm volatile("add $1, %0" : "+r"(value))
#else
#define STRAKE_ADD_ONE(value) asm volatile("add %0, %0, #1" : "+r"(value))
#endif

double adds_per_cycle_of_this_core() {
  uint64_t a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
  auto start = Clock::now();
  for (int64_t n = 0; n < kAdds / 8; ++n) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) STRAKE_ADD_ONE(a);
  }
  const double chained = seconds_since(start);
  start = Clock::now();
  for (int64_t n = 0; n < kAdds / 16; ++n) {
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      STRAKE_ADD_ONE(a);
      STRAKE_ADD_ONE(b);
      STRAKE_ADD_ONE(c);
      STRAKE_ADD_ONE(d);
      STRAKE_ADD_ONE(e);
      STRAKE_ADD_ONE(f);
      STRAKE_ADD_ONE(g);
      STRAKE_ADD_ONE(h);
    }
  }
  return chained / seconds_since(start);
}
#undef STRAKE_ADD_ONE

}  // namespace

void Probes::Unmap::operator()(std::byte* bytes) const { ::munmap(bytes, kBytes); }

Probes::Probes(int threads, std::string_view path) : pool_(threads), products_(products_of(path)) {
  void* const bytes =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (bytes == MAP_FAILED) fail_errno("mmap");
  bytes_.reset(static_cast<std::byte*>(bytes));
  ::madvise(bytes, kBytes, MADV_HUGEPAGE);  // where the machine has none, small pages do
  pool_.for_ranges(kBytes / kBlock, [&](int64_t begin, int64_t end) {
    std::memset(bytes_.get() + begin * kBlock, 1, static_cast<size_t>((end - begin) * kBlock));
  });
}

Probes::~Probes() = default;

double Probes::read_bandwidth() {
  const Sum sum = fastest_sum();
  const auto start = Clock::now();
  pool_.for_ranges(kBytes / kBlock, [&](int64_t begin, int64_t end) {
    sum(bytes_.get() + begin * kBlock, bytes_.get() + end * kBlock);
  });
  return kBytes / seconds_since(start);
}

double Probes::product_rate() {
  std::atomic<double> operations = 0;
  const auto start = Clock::now();
  pool_.for_ranges(pool_.size(), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) operations += products_();
  });
  return operations / seconds_since(start);
}

double Probes::adds_per_cycle() {
  std::vector<double> found(static_cast<size_t>(pool_.size()));
  pool_.for_ranges(pool_.size(), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      found[static_cast<size_t>(i)] = adds_per_cycle_of_this_core();
  });
  return *std::ranges::min_element(found);
}

}  // namespace strake
