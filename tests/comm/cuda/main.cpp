// Runs the tests where two GPUs reach each other's memory, and else says that it did not.
#include <cuda_runtime.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

namespace {

constexpr int kSkipped = 77;  // as CMake's SKIP_RETURN_CODE has it

bool reach_each_other() {
  int gpus = 0, there = 0, back = 0;
  return cudaGetDeviceCount(&gpus) == cudaSuccess && gpus >= 2 &&
         cudaDeviceCanAccessPeer(&there, 0, 1) == cudaSuccess &&
         cudaDeviceCanAccessPeer(&back, 1, 0) == cudaSuccess && there != 0 && back != 0;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  if (!testing::GTEST_FLAG(list_tests) && !reach_each_other()) {
    std::puts("no two GPUs here that reach each other: skipped");
    return kSkipped;
  }
  return RUN_ALL_TESTS();
}
