// Operations of a stream as a CUDA graph.
#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <memory>
#include <optional>

#include "base/unwinding.h"
#include "ops/cuda/gpu_memory.h"
#include "strake/ops/recording.h"
#include "strake/tensor/tensor.h"

namespace strake::cuda {

class GraphRecording final : public Recording {
 public:
  // Of `workspace`, which the operations share with others, this recording keeps the bytes.
  GraphRecording(std::shared_ptr<GpuMemory> memory, std::optional<Tensor> workspace)
      : memory_(std::move(memory)), workspace_(std::move(workspace)) {}
  ~GraphRecording() override;
  GraphRecording(const GraphRecording&) = delete;
  GraphRecording& operator=(const GraphRecording&) = delete;

  // Whether it was recorded: false where the operations need the host, or the driver refuses them.
  // Throws what they throw otherwise.
  bool record(const std::function<void()>& operations);
  void run() override;

 private:
  bool capture(const std::function<void()>& operations, cudaGraph_t& graph);

  std::shared_ptr<GpuMemory> memory_;
  std::optional<Tensor> workspace_;
  GpuMemory::Arena arena_;
  cudaGraphExec_t graph_ = nullptr;
  Unwinding unwinding_;
};

}  // namespace strake::cuda
