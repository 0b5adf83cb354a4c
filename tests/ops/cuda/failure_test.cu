// A GPU that fails, or never comes to an end: what is said, and that the process ends all the same.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "ops/cuda/launch.h"
#include "strake/base/error.h"
#include "strake/comm/group.h"
#include "strake/ops/backend.h"

namespace strake::cuda {
namespace {

__global__ void write_to(int* address) { *address = 1; }
__global__ void trap() { __trap(); }
__global__ void turn(const volatile int* stop) {
  while (*stop == 0) continue;
}

// What has happened to a GPU stays with its process: each test has one of its own.
class CudaFailureDeathTest : public testing::Test {
 protected:
  void SetUp() override { testing::GTEST_FLAG(death_test_style) = "threadsafe"; }
};

// Runs `fail` with a backend and a tensor there, as main() runs a command.
template <class Fail>
[[noreturn]] void run(const Fail& fail) {
  try {
    const auto backend = make_backend("cuda", {});
    const auto group = make_solo_group({.deadline = std::chrono::milliseconds(500)});
    const Await await = [&](const std::function<bool()>& done) { group->await(done); };
    backend->place().memory->set_await(await);
    const Tensor x = Tensor::zeros(DType::kF32, {3}, backend->place());
    fail(*backend, x, await);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    std::exit(exit_code(error.kind()));
  }
  std::exit(0);
}

const cudaStream_t kStream = cudaStreamPerThread;

TEST_F(CudaFailureDeathTest, ABadAddressIsNamedWithGpuAndOperation) {
  EXPECT_EXIT(run([](Backend&, const Tensor& x, const Await& await) {
                launch({"a test", 1, 1, 0, kStream}, write_to, reinterpret_cast<int*>(64));
                x.on_host(await);
              }),
              testing::ExitedWithCode(6),
              "GPU 0 at .*: failed by the time of a copy to the host: an illegal memory access");
}

TEST_F(CudaFailureDeathTest, ATrapIsNoLackOfMemory) {
  EXPECT_EXIT(run([](Backend& backend, const Tensor&, const Await&) {
                launch({"a test", 1, 1, 0, kStream}, trap);
                cudaStreamSynchronize(kStream);
                Tensor::empty(DType::kF32, {1 << 20}, backend.place());
              }),
              testing::ExitedWithCode(6),
              "GPU 0 at .*: failed by the time of memory for a tensor: ");
}

TEST_F(CudaFailureDeathTest, ALaunchThatIsRefusedIsNamed) {
  EXPECT_EXIT(run([](Backend&, const Tensor&, const Await&) {
                launch({"a test", 1, 4096, 0, kStream}, trap);
              }),
              testing::ExitedWithCode(6), "GPU 0 at [^:]*:[^:]*:[^:]*: a test: invalid");
}

// Neither a copy, nor a recording, nor the end of the process waits for it.
TEST_F(CudaFailureDeathTest, AKernelWithoutAnEndIsFoundByTheDeadline) {
  EXPECT_EXIT(run([](Backend& backend, const Tensor& x, const Await& await) {
                int* stop = nullptr;
                check(cudaMalloc(&stop, sizeof *stop), "cudaMalloc");
                check(cudaMemset(stop, 0, sizeof *stop), "cudaMemset");
                const auto recording =
                    backend.record([&] { launch({"a test", 1, 1, 0, kStream}, turn, stop); });
                recording->run();
                x.on_host(await);
              }),
              testing::ExitedWithCode(6),
              "the device of rank 0 did not finish its work within 500 ms");
}

TEST_F(CudaFailureDeathTest, UploadsWaitNoLonger) {
  EXPECT_EXIT(run([](Backend& backend, const Tensor&, const Await&) {
                int* stop = nullptr;
                check(cudaMalloc(&stop, sizeof *stop), "cudaMalloc");
                check(cudaMemset(stop, 0, sizeof *stop), "cudaMemset");
                launch({"a test", 1, 1, 0, kStream}, turn, stop);
                const Tensor here = Tensor::zeros(DType::kF32, {3}, Device::cpu());
                for (int i = 0; i < 100; ++i) here.at(backend.place());
              }),
              testing::ExitedWithCode(6),
              "the device of rank 0 did not finish its work within 500 ms");
}

}  // namespace
}  // namespace strake::cuda
