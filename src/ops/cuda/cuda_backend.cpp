#include "ops/cuda/cuda_backend.h"

#include <algorithm>

#include "base/fail.h"
#include "ops/backends.h"
#include "ops/cuda/copy_bandwidth.h"
#include "ops/cuda/elementwise.h"
#include "ops/cuda/embedding.h"
#include "ops/cuda/gpu_token_chooser.h"
#include "ops/cuda/graph_recording.h"
#include "ops/cuda/launch.h"
#include "ops/cuda/norms.h"
#include "ops/cuda/packed_rows.h"
#include "ops/cuda/transpose.h"

namespace strake {
namespace cuda {
namespace {

const cudaStream_t kStream = cudaStreamPerThread;

// The first compute capability that kernels are built for.
constexpr int kLeastMajor = 8;

void* address(Tensor& tensor) { return tensor.mutable_bytes().data(); }
const void* address(const Tensor& tensor) { return tensor.bytes().data(); }
float* floats(Tensor& tensor) { return static_cast<float*>(address(tensor)); }
const float* floats(const Tensor& tensor) { return static_cast<const float*>(address(tensor)); }

void require_gpu(int index) {
  int count = 0;
  const cudaError_t found = cudaGetDeviceCount(&count);
  if (found != cudaSuccess || count == 0)
    fail(ErrorKind::kUnsupported, "cuda: no GPU found ({})", cudaGetErrorString(found));
  if (index >= count)
    fail(ErrorKind::kUnsupported, "cuda: GPU {} expected, found {} of them", index, count);
}

// Makes the GPU this thread's own.
int select_gpu(int index) {
  require_gpu(index);
  check(cudaSetDevice(index), fmt::format("selecting GPU {}", index).c_str());
  return index;
}

std::string path_of(int device) {
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, device), "properties of the GPU");
  if (properties.major < kLeastMajor)
    fail(ErrorKind::kUnsupported, "cuda: compute capability {}.0 or later expected, found {}.{}",
         kLeastMajor, properties.major, properties.minor);
  return fmt::format("sm_{}{}", properties.major, properties.minor);
}

// x, as rows of its last axis.
Extent2 extent_of(const Tensor& x) {
  const int64_t columns = x.shape().rank() == 0 ? 1 : x.shape()[-1];
  return {columns == 0 ? 0 : x.elements() / columns, columns};
}

RowsIn rows_in(const Tensor& x) { return {address(x), x.dtype(), extent_of(x).columns}; }
RowsOut rows_out(Tensor& x) { return {address(x), x.dtype(), extent_of(x).columns}; }

NormRows norm_rows(const Tensor& x) { return {floats(x), x.shape()[0], x.shape()[1]}; }

}  // namespace

CudaBackend::CudaBackend(const BackendOptions& options)
    : gpu_memory_(std::make_shared<GpuMemory>(select_gpu(options.index))),
      memory_(gpu_memory_),
      constants_(memory_),
      path_(path_of(options.index)),
      few_rows_(few_rows_device()),
      many_rows_(many_rows_device()),
      invalid_(Tensor::zeros(DType::kI32, {1}, memory_)) {
  if (!options.path.empty() && options.path != path_)
    fail(ErrorKind::kUnsupported, "path '{}' is not what this GPU has: {}", options.path, path_);
}

std::optional<int64_t> CudaBackend::free_memory() const {
  size_t free = 0;
  size_t total = 0;
  check(cudaMemGetInfo(&free, &total), "free memory of the GPU");
  return static_cast<int64_t>(free);
}

std::optional<double> CudaBackend::copy_bandwidth() {
  // More than caches hold.
  constexpr int64_t kBytes = int64_t{256} << 20;
  const Tensor from = Tensor::zeros(DType::kU8, {kBytes}, memory_);
  Tensor to = Tensor::empty(DType::kU8, {kBytes}, memory_);
  return cuda::copy_bandwidth(address(from), address(to), kBytes, kStream);
}

std::unique_ptr<Recording> CudaBackend::record(const std::function<void()>& operations) {
  auto recording = std::make_unique<GraphRecording>(gpu_memory_, workspace_);
  if (!recording->record(operations)) return nullptr;
  return recording;
}

std::unique_ptr<TokenChooser> CudaBackend::token_chooser(const SamplingRule& rule,
                                                         int64_t vocabulary) {
  if (vocabulary > kMostSampled) return nullptr;
  return std::make_unique<GpuTokenChooser>(rule, vocabulary, invalid_, memory_);
}

Tensor CudaBackend::rows_at(const Weight& w, const Tensor& indices) {
  const int64_t count = indices.elements(), width = w.shape()[1];
  Tensor result = Tensor::empty(DType::kF32, {count, width}, memory_);
  if (result.elements() == 0 || w.shape()[0] == 0) return result;
  const auto* const ids = static_cast<const int32_t*>(address(indices));
  // Rows of a tensor, or of a weight as it is prepared.
  const Tensor* const dense = w.dense() != nullptr ? w.dense() : as_gpu_weight(w).rows();
  if (dense != nullptr)
    cuda::embedding({address(*dense), dense->dtype(), width}, ids, count, floats(result), kStream);
  else
    packed_rows(as_gpu_weight(w).packed(), ids, count, floats(result), kStream);
  return result;
}

Tensor CudaBackend::do_embedding(const Weight& w, const TokenIds& ids) {
  return rows_at(w, on_device(ids));
}

Tensor CudaBackend::do_embedding_part(const Weight& w, const TokenIds& ids,
                                      const TableParts& parts) {
  const Tensor all = on_device(ids);
  Tensor own = all.beside(DType::kI32, {ids.count()});
  own_rows({static_cast<const int32_t*>(address(all)), ids.count(), held_table(parts.held),
            parts.part, 0, static_cast<int32_t*>(address(own))},
           kStream);
  return rows_at(w, own);
}

Tensor CudaBackend::do_pick_rows(const Tensor& pieces, const TokenIds& ids,
                                 std::span<const HeldRows> held) {
  const Tensor all = on_device(ids);
  Tensor result = pieces.beside(DType::kF32, {ids.count(), pieces.shape()[2]});
  cuda::pick_rows({floats(pieces), static_cast<const int32_t*>(address(all)), ids.count(),
                   pieces.shape()[2], held_table(held), floats(result)},
                  kStream);
  return result;
}

Tensor CudaBackend::do_transpose(const Weight& w, int64_t first, int64_t count) {
  const GpuWeight& weight = as_gpu_weight(w);
  const int64_t rows = w.shape()[1], columns = w.shape()[2];
  // Products of a code and a scale are short; sums with a bias, and a factor of the whole tensor,
  // are not.
  const auto format = w.format();
  const bool is_short = format && !format->has_biases() && weight.packed().tensor_scale == 1;
  const Tensor* const dense = weight.rows();
  const DType dtype = dense != nullptr      ? dense->dtype()
                      : !format || is_short ? DType::kBF16
                                            : DType::kF32;
  Tensor result = Tensor::empty(dtype, {count, columns, rows}, memory_);
  if (result.elements() == 0) return result;
  if (dense != nullptr) {
    const Tensor part = dense->slice(0, first, first + count);
    cuda::transpose({address(part), dtype, address(result), dtype, count, rows, columns}, kStream);
    return result;
  }
  Tensor values = Tensor::empty(DType::kF32, {rows, columns}, memory_);
  const int64_t matrix_bytes = result.nbytes() / count;
  for (int64_t i = 0; i < count; ++i) {
    packed_rows(weight.packed(first + i), constants_.position(0), rows, floats(values), kStream);
    cuda::transpose({address(values), DType::kF32, result.mutable_bytes().data() + i * matrix_bytes,
                     dtype, 1, rows, columns},
                    kStream);
  }
  return result;
}

Tensor CudaBackend::do_rms_norm(const Tensor& x, const Tensor& w, float eps, DType dtype) {
  Tensor result = x.beside(dtype, x.shape());
  if (x.elements() > 0)
    cuda::rms_norm(norm_rows(x), {.weight = address(w), .dtype = w.dtype(), .eps = eps},
                   {address(result), dtype}, kStream);
  return result;
}

NormedSum CudaBackend::do_add_rms_norm(const Tensor& x, const Tensor& y, const RmsParameters& norm,
                                       DType dtype) {
  NormedSum result{x.beside(DType::kF32, x.shape()), x.beside(dtype, x.shape())};
  if (x.elements() == 0) return result;
  NormRows rows = norm_rows(x);
  rows.added = floats(y);
  rows.sum = floats(result.sum);
  cuda::rms_norm(rows,
                 {.weight = address(norm.weight), .dtype = norm.weight.dtype(), .eps = norm.eps},
                 {address(result.normed), dtype}, kStream);
  return result;
}

Tensor CudaBackend::do_layer_norm(const Tensor& x, const NormParameters& norm, DType dtype) {
  Tensor result = x.beside(dtype, x.shape());
  if (x.elements() > 0)
    cuda::layer_norm(norm_rows(x),
                     {address(norm.weight), norm.weight.dtype(), address(norm.bias),
                      norm.bias.dtype(), norm.eps},
                     {address(result), dtype}, kStream);
  return result;
}

Tensor CudaBackend::do_sum_squares(const Tensor& x) {
  Tensor result = x.beside(DType::kF32, {x.shape()[0]});
  if (x.elements() > 0) cuda::sum_squares(norm_rows(x), floats(result), kStream);
  return result;
}

Tensor CudaBackend::do_rms_norm_part(const Tensor& x, const Tensor& w, const RowSquares& squares,
                                     DType dtype) {
  Tensor result = x.beside(dtype, x.shape());
  if (x.elements() > 0)
    cuda::rms_norm_part(norm_rows(x),
                        {floats(squares.sums), squares.sums.shape()[1], squares.width},
                        {.weight = address(w), .dtype = w.dtype(), .eps = squares.eps},
                        {address(result), dtype}, kStream);
  return result;
}

Tensor CudaBackend::do_gated(const Tensor& gate, const Tensor& up, Activation activation) {
  Tensor result = gate.beside(gate.dtype(), gate.shape());
  if (gate.elements() > 0)
    cuda::gated(rows_in(gate), rows_in(up), rows_out(result), extent_of(gate), activation, kStream);
  return result;
}

Tensor CudaBackend::do_add(const Tensor& x, const Tensor& y) {
  Tensor result = x.beside(DType::kF32, x.shape());
  if (x.elements() == 0) return result;
  RowsIn other = rows_in(y);
  if (y.shape() != x.shape()) other.stride = 0;  // one row for all
  cuda::add(rows_in(x), other, rows_out(result), extent_of(x), kStream);
  return result;
}

Tensor CudaBackend::do_scale(const Tensor& x, float factor) {
  Tensor result = x.beside(DType::kF32, x.shape());
  if (x.elements() > 0) cuda::scale(rows_in(x), factor, rows_out(result), extent_of(x), kStream);
  return result;
}

}  // namespace cuda

std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options) {
  return std::make_unique<cuda::CudaBackend>(options);
}

int cuda_parts() { return cuda::kMaxLeaves; }

std::vector<std::string> cuda_devices() {
  cuda::require_gpu(0);
  int count = 0;
  cuda::check(cudaGetDeviceCount(&count), "counting GPUs");
  std::vector<std::string> devices;
  for (int index = 0; index < count; ++index) {
    cudaDeviceProp properties{};
    cuda::check(cudaGetDeviceProperties(&properties, index), "properties of the GPU");
    devices.emplace_back(std::begin(properties.uuid.bytes), std::end(properties.uuid.bytes));
  }
  return devices;
}

std::vector<std::string_view> cuda_paths() {
  // Of the first GPU: a host's are alike.
  cuda::require_gpu(0);
  static const std::string kPath = cuda::path_of(0);
  return {kPath};
}

}  // namespace strake
