// cuBLAS, where the machine has it, to compare with. Not linked: looked for when asked.
#pragma once

#include <cublas_v2.h>
#include <dlfcn.h>

#include <cstdint>

namespace strake::cuda {

class Cublas {
 public:
  // The product of one bfloat16 row [inputs] with w [rows, inputs].
  struct Product {
    const void* weight;
    const void* x;
    void* out;
    int rows;
    int inputs;
  };

  Cublas() {
    for (const char* name :
         {"libcublas.so.13", "libcublas.so.12", "libcublas.so",
          "/usr/local/cuda/lib64/libcublas.so.13", "/usr/local/cuda/lib64/libcublas.so"})
      if (library_ == nullptr) library_ = dlopen(name, RTLD_NOW);
    if (library_ == nullptr) return;
    const auto create = find<decltype(&cublasCreate_v2)>("cublasCreate_v2");
    set_stream_ = find<decltype(&cublasSetStream_v2)>("cublasSetStream_v2");
    // Of the two that the header has, the C one.
    multiply_ = find<cublasStatus_t (*)(
        cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*,
        const void*, cudaDataType, int, const void*, cudaDataType, int, const void*, void*,
        cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t)>("cublasGemmEx");
    if (create == nullptr || create(&handle_) != CUBLAS_STATUS_SUCCESS) handle_ = nullptr;
  }

  bool there() const {
    return handle_ != nullptr && set_stream_ != nullptr && multiply_ != nullptr;
  }
  void multiply(const Product& product, cudaStream_t stream) const {
    const float one = 1.0f, zero = 0.0f;
    set_stream_(handle_, stream);
    multiply_(handle_, CUBLAS_OP_T, CUBLAS_OP_N, product.rows, 1, product.inputs, &one,
              product.weight, CUDA_R_16BF, product.inputs, product.x, CUDA_R_16BF, product.inputs,
              &zero, product.out, CUDA_R_16BF, product.rows, CUBLAS_COMPUTE_32F,
              CUBLAS_GEMM_DEFAULT);
  }

 private:
  template <class Function>
  Function find(const char* name) const {
    return reinterpret_cast<Function>(dlsym(library_, name));
  }

  void* library_ = nullptr;
  cublasHandle_t handle_ = nullptr;
  decltype(&cublasSetStream_v2) set_stream_ = nullptr;
  cublasStatus_t (*multiply_)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int,
                              const void*, const void*, cudaDataType, int, const void*,
                              cudaDataType, int, const void*, void*, cudaDataType, int,
                              cublasComputeType_t, cublasGemmAlgo_t) = nullptr;
};

}  // namespace strake::cuda
