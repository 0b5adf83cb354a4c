#include "ops/cuda/launch.h"

#include "base/fail.h"

namespace strake::cuda {

void fail_on_gpu(cudaError_t error, const char* what) {
  int device = -1;
  char bus[32] = "";
  cudaGetDevice(&device);
  if (cudaDeviceGetPCIBusId(bus, sizeof bus, device) != cudaSuccess) bus[0] = '\0';
  // What has broken a GPU comes back from every later call, whatever that asks for.
  const bool is_broken = cudaStreamQuery(cudaStreamPerThread) == error;
  cudaGetLastError();
  fail(ErrorKind::kSystem, "GPU {}{}{}: {}{}: {}", device, *bus == '\0' ? "" : " at ", bus,
       is_broken ? "failed by the time of " : "", what, cudaGetErrorString(error));
}

int device_attribute(cudaDeviceAttr which) {
  int device = 0, value = 0;
  check(cudaGetDevice(&device), "the device");
  check(cudaDeviceGetAttribute(&value, which, device), "the device's attributes");
  return value;
}

}  // namespace strake::cuda
