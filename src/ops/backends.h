// The makers behind the table of backends in backend.cpp.
#pragma once

#include <memory>

#include "strake/ops/backend.h"

namespace strake {

std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options);
std::vector<std::string_view> cpu_paths();
int cpu_parts();

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options);
std::vector<std::string_view> cuda_paths();
int cuda_parts();

}  // namespace strake
