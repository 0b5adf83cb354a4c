// cuBLAS's product of bfloat16 matrices, found at run time: what others reach.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <cstdint>

#include "ops/cuda/launch.h"

namespace strake::cuda {

class Cublas {
 public:
  explicit Cublas(int64_t workspace_bytes) {
    for (const char* name :
         {"libcublas.so.13", "/usr/local/cuda/lib64/libcublas.so.13",
          "/opt/torch/.venv/lib/python3.12/site-packages/nvidia/cu13/lib/libcublas.so.13",
          "libcublas.so.12", "libcublas.so"}) {
      library_ = dlopen(name, RTLD_NOW);
      if (library_ != nullptr) break;
    }
    if (library_ == nullptr) throw Error(ErrorKind::kSystem, "no libcublas");
    check_status(find<decltype(&cublasCreate_v2)>("cublasCreate_v2")(&handle_));
    check(cudaMalloc(&workspace_, static_cast<size_t>(workspace_bytes)), "cudaMalloc");
    set_stream_ = find<decltype(set_stream_)>("cublasSetStream_v2");
    set_workspace_ = find<decltype(set_workspace_)>("cublasSetWorkspace_v2");
    multiply_ = find<decltype(multiply_)>("cublasGemmEx");
    workspace_bytes_ = static_cast<size_t>(workspace_bytes);
  }

  // x [tokens, inputs], w [outputs, inputs] -> out bfloat16 [tokens, outputs].
  struct Product {
    const void* w;
    const void* x;
    void* out;
    int outputs;
    int tokens;
    int inputs;
  };
  void multiply(const Product& p, cudaStream_t stream) {
    const float one = 1.0f, zero = 0.0f;
    check_status(set_stream_(handle_, stream));
    check_status(set_workspace_(handle_, workspace_, workspace_bytes_));
    check_status(multiply_(handle_, CUBLAS_OP_T, CUBLAS_OP_N, p.outputs, p.tokens, p.inputs, &one,
                           p.w, CUDA_R_16BF, p.inputs, p.x, CUDA_R_16BF, p.inputs, &zero, p.out,
                           CUDA_R_16BF, p.outputs, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  }

 private:
  template <class Function>
  Function find(const char* name) {
    void* const found = dlsym(library_, name);
    if (found == nullptr) throw Error(ErrorKind::kSystem, std::string("no ") + name);
    return reinterpret_cast<Function>(found);
  }
  static void check_status(cublasStatus_t status) {
    if (status != CUBLAS_STATUS_SUCCESS) throw Error(ErrorKind::kSystem, "cuBLAS failed");
  }

  void* library_ = nullptr;
  cublasHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  size_t workspace_bytes_ = 0;
  decltype(&cublasSetStream_v2) set_stream_ = nullptr;
  decltype(&cublasSetWorkspace_v2) set_workspace_ = nullptr;
  cublasStatus_t (*multiply_)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int,
                              const void*, const void*, cudaDataType, int, const void*,
                              cudaDataType, int, const void*, void*, cudaDataType, int,
                              cublasComputeType_t, cublasGemmAlgo_t) = nullptr;
};

}  // namespace strake::cuda
