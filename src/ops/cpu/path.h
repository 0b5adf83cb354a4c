// The instruction paths of the CPU backend.
#pragma once

#include <string_view>
#include <vector>

namespace strake::cpu {

// Each path's kernels are translation units of their own (x_portable.cpp, x_avx2.cpp,
// x_avx512.cpp, bf16/, amx/), compiled for these instructions and called only where the processor
// has them.
enum class Path {
  kPortable,  // any processor
  kAvx2,      // AVX2, FMA, F16C
  kAvx512,    // AVX-512 F, BW, DQ, VL, VBMI, VBMI2, BF16 (Zen 4, Sapphire Rapids)
  kAmx,       // AMX tiles of bfloat16, which the system must permit; all else as kAvx512
};

std::string_view name_of(Path path);

// What this processor can run, the fastest first: alike on every call.
std::vector<Path> available_paths();

// By name; empty: the first of available_paths(). Throws Error(kUnsupported) that lists what this
// processor can run.
Path find_path(std::string_view name);

}  // namespace strake::cpu
