// Points in a stream between which time is taken.
#pragma once

#include <cuda_runtime.h>

#include "ops/cuda/launch.h"

namespace strake::cuda {

class TimingEvent {
 public:
  TimingEvent() { check(cudaEventCreate(&event_), "event"); }
  ~TimingEvent() { cudaEventDestroy(event_); }
  TimingEvent(const TimingEvent&) = delete;
  TimingEvent& operator=(const TimingEvent&) = delete;

  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream), "event"); }
  // Waits until the stream has come to this one.
  double seconds_since(const TimingEvent& begin) const {
    check(cudaEventSynchronize(event_), "what was measured");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin.event_, event_), "event");
    return static_cast<double>(milliseconds) / 1e3;
  }

 private:
  cudaEvent_t event_{};
};

}  // namespace strake::cuda
