#include "ops/cuda/graph_recording.h"

#include "ops/cuda/launch.h"
#include "strake/ops/position.h"

namespace strake::cuda {
namespace {

const cudaStream_t kStream = cudaStreamPerThread;

// The stream records instead of running, and memory comes from the arena, as long as this lives.
class Capture {
 public:
  Capture(GpuMemory& memory, GpuMemory::Arena& arena) : memory_(memory) {
    // Relaxed: memory may be asked for meanwhile.
    check(cudaStreamBeginCapture(kStream, cudaStreamCaptureModeRelaxed), "recording");
    memory_.begin_recording(arena);
  }
  ~Capture() {
    memory_.end_recording();
    cudaGraph_t graph = nullptr;
    if (!ended_ && cudaStreamEndCapture(kStream, &graph) == cudaSuccess) cudaGraphDestroy(graph);
    cudaGetLastError();
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // nullptr: something in it cannot be recorded.
  cudaGraph_t end() {
    ended_ = true;
    cudaGraph_t graph = nullptr;
    return cudaStreamEndCapture(kStream, &graph) == cudaSuccess ? graph : nullptr;
  }

 private:
  GpuMemory& memory_;
  bool ended_ = false;
};

}  // namespace

bool GraphRecording::capture(const std::function<void()>& operations, cudaGraph_t& graph) {
  Capture capture(*memory_, arena_);
  try {
    operations();
  } catch (const NotRecordable&) {
    return false;
  } catch (const Error& error) {
    // What the driver refuses while it records may work without.
    if (error.kind() != ErrorKind::kSystem) throw;
    return false;
  }
  graph = capture.end();
  return graph != nullptr;
}

bool GraphRecording::record(const std::function<void()>& operations) {
  cudaGraph_t graph = nullptr;
  if (!capture(operations, graph)) return false;
  const cudaError_t made = cudaGraphInstantiate(&graph_, graph, 0);
  cudaGraphDestroy(graph);
  if (made == cudaSuccess) return true;
  cudaGetLastError();
  graph_ = nullptr;
  return false;
}

GraphRecording::~GraphRecording() {
  // A launch that is still running ends first, unless a failure keeps it from that; its memory
  // serves what is queued after it.
  if (graph_ != nullptr && !unwinding_) cudaGraphExecDestroy(graph_);
  memory_->release(arena_);
}

void GraphRecording::run() { check(cudaGraphLaunch(graph_, kStream), "a recorded step"); }

}  // namespace strake::cuda
