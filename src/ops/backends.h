// The makers behind the table of backends in backend.cpp.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "strake/ops/backend.h"

namespace strake {

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options);
std::vector<std::string_view> cpu_paths();
int cpu_parts();
std::vector<std::string> cpu_devices();

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options);
std::vector<std::string_view> cuda_paths();
int cuda_parts();
std::vector<std::string> cuda_devices();

}  // namespace strake
