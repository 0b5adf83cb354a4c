// Runs the tests where there is a GPU, and else says that it did not.
#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

namespace {

constexpr int kSkipped = 77;  // as CMake's SKIP_RETURN_CODE has it

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  int gpus = 0;
  if (!testing::GTEST_FLAG(list_tests) && (cudaGetDeviceCount(&gpus) != cudaSuccess || gpus == 0)) {
    std::puts("no GPU here: skipped");
    return kSkipped;
  }
  return RUN_ALL_TESTS();
}
