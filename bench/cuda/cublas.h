// cuBLAS, to compare with. Not linked: looked for when asked.
#pragma once

#include <cublas_v2.h>

#include <cstdint>
#include <memory>

namespace strake::cuda {

class Cublas {
 public:
  // nullptr where the machine has none.
  static std::unique_ptr<Cublas> find();
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  // x [tokens, inputs], w [outputs, inputs] -> out [tokens, outputs], all bfloat16, summed in
  // float32; queued in the thread's stream.
  struct Product {
    const void* w;
    const void* x;
    void* out;
    int64_t outputs;
    int64_t tokens;
    int64_t inputs;
  };
  void multiply(const Product& product) const;

 private:
  Cublas() = default;

  cublasHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  decltype(&cublasDestroy_v2) destroy_ = nullptr;
  // Of the two that the header has, the C one.
  cublasStatus_t (*multiply_)(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int,
                              const void*, const void*, cudaDataType, int, const void*,
                              cudaDataType, int, const void*, void*, cudaDataType, int,
                              cublasComputeType_t, cublasGemmAlgo_t) = nullptr;
};

}  // namespace strake::cuda
