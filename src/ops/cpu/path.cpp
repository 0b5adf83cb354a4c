#include "ops/cpu/path.h"

#include <fmt/ranges.h>

#include "base/fail.h"
#include "ops/cpu/amx/kernels.h"

namespace strake::cpu {
namespace {

bool can_run(Path path) {
  switch (path) {
    case Path::kPortable:
      return true;
#if defined(__x86_64__)
    case Path::kAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Path::kAvx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
             __builtin_cpu_supports("avx512bf16");
    case Path::kAmx:
      return can_run(Path::kAvx512) && amx::permitted();
#else
    case Path::kAvx2:
    case Path::kAvx512:
    case Path::kAmx:
      return false;
#endif
  }
  return false;
}

}  // namespace

std::string_view name_of(Path path) {
  switch (path) {
    case Path::kPortable:
      return "portable";
    case Path::kAvx2:
      return "avx2";
    case Path::kAvx512:
      return "avx512-bf16";
    case Path::kAmx:
      return "amx-bf16";
  }
  return "";
}

std::vector<Path> available_paths() {
  std::vector<Path> paths;
  for (const Path path : {Path::kAmx, Path::kAvx512, Path::kAvx2, Path::kPortable})
    if (can_run(path)) paths.push_back(path);
  return paths;
}

Path find_path(std::string_view name) {
  const std::vector<Path> paths = available_paths();
  if (name.empty()) return paths.front();
  std::vector<std::string_view> names;
  for (const Path path : paths) {
    if (name_of(path) == name) return path;
    names.push_back(name_of(path));
  }
  fail(ErrorKind::kUnsupported, "path '{}' cannot run on this processor; it has: {}", name,
       fmt::join(names, ", "));
}

}  // namespace strake::cpu
