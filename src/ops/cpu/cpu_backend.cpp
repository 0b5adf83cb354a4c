#include "ops/cpu/cpu_backend.h"

#include "ops/backends.h"

namespace strake {

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options) {
  return std::make_unique<cpu::CpuBackend>(options);
}

int cpu_parts() { return 0; }

std::vector<std::string> cpu_devices() { return {}; }

std::vector<std::string_view> cpu_paths() {
  std::vector<std::string_view> names;
  for (const cpu::Path path : cpu::available_paths()) names.push_back(cpu::name_of(path));
  return names;
}

}  // namespace strake
