#include "cuda/cublas.h"

#include <cuda_runtime.h>
#include <dlfcn.h>

#include <string>

#include "ops/cuda/launch.h"

namespace strake::cuda {
namespace {

constexpr size_t kWorkspace = size_t{64} << 20;

void* open_library() {
  for (const char* name :
       {"libcublas.so.13", "libcublas.so.12", "libcublas.so",
        "/usr/local/cuda/lib64/libcublas.so.13", "/usr/local/cuda/lib64/libcublas.so"})
    if (void* const library = dlopen(name, RTLD_NOW)) return library;
  return nullptr;
}

template <class Function>
Function find_in(void* library, const char* name) {
  void* const found = dlsym(library, name);
  if (found == nullptr) throw Error(ErrorKind::kSystem, std::string("cuBLAS has no ") + name);
  return reinterpret_cast<Function>(found);
}

void check_status(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw Error(ErrorKind::kSystem, std::string("cuBLAS: ") + what + " failed");
}

}  // namespace

std::unique_ptr<Cublas> Cublas::find() {
  void* const library = open_library();
  if (library == nullptr) return nullptr;
  std::unique_ptr<Cublas> cublas(new Cublas());
  cublas->destroy_ = find_in<decltype(&cublasDestroy_v2)>(library, "cublasDestroy_v2");
  cublas->multiply_ = find_in<decltype(cublas->multiply_)>(library, "cublasGemmEx");
  check_status(find_in<decltype(&cublasCreate_v2)>(library, "cublasCreate_v2")(&cublas->handle_),
               "create");
  check_status(find_in<decltype(&cublasSetStream_v2)>(library, "cublasSetStream_v2")(
                   cublas->handle_, cudaStreamPerThread),
               "stream");
  // Of its own: it may not allocate while a graph is recorded.
  check(cudaMalloc(&cublas->workspace_, kWorkspace), "cuBLAS's workspace");
  check_status(find_in<decltype(&cublasSetWorkspace_v2)>(library, "cublasSetWorkspace_v2")(
                   cublas->handle_, cublas->workspace_, kWorkspace),
               "workspace");
  return cublas;
}

Cublas::~Cublas() {
  if (handle_ != nullptr) destroy_(handle_);
  cudaFree(workspace_);
}

void Cublas::multiply(const Product& p) const {
  const float one = 1.0f, zero = 0.0f;
  const auto outputs = static_cast<int>(p.outputs), tokens = static_cast<int>(p.tokens),
             inputs = static_cast<int>(p.inputs);
  check_status(multiply_(handle_, CUBLAS_OP_T, CUBLAS_OP_N, outputs, tokens, inputs, &one, p.w,
                         CUDA_R_16BF, inputs, p.x, CUDA_R_16BF, inputs, &zero, p.out, CUDA_R_16BF,
                         outputs, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT),
               "product");
}

}  // namespace strake::cuda
