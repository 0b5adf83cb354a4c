#include <algorithm>

#include "comm/peer_kernels.h"

namespace strake {
namespace {

constexpr unsigned kMostThreads = 1024;
static_assert(kBlockLines * (kMostPeers - 1) <= kMostThreads);

// Between looks at the clock and the host's memory, which is some 2 us away.
constexpr uint32_t kPollsBetweenLooks = 1024;

__device__ uint32_t load_volatile(const uint32_t* at) {
  return *static_cast<const volatile uint32_t*>(at);
}
__device__ void store_volatile(uint32_t* at, uint32_t value) {
  *static_cast<volatile uint32_t*>(at) = value;
}

// Exchanges start while the kernel before them ends, and let the next one start at once: its
// weights come while ranks wait for each other. Whatever an exchange reads or writes waits for the
// kernel before.
__device__ void begin_after_predecessor() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ uint64_t nanoseconds() {
  uint64_t now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}

// The first of `bytes` bytes, 8 at most, at any address; zeros after them.
__device__ uint64_t load_word(const std::byte* from, int64_t bytes) {
  if (bytes >= kLineBytes && reinterpret_cast<uintptr_t>(from) % kLineBytes == 0)
    return *reinterpret_cast<const uint64_t*>(from);
  uint64_t word = 0;
  for (int i = 0; i < kLineBytes && i < bytes; ++i) word |= static_cast<uint64_t>(from[i]) << 8 * i;
  return word;
}

__device__ void store_word(std::byte* to, int64_t bytes, uint64_t word) {
  if (bytes >= kLineBytes && reinterpret_cast<uintptr_t>(to) % kLineBytes == 0) {
    *reinterpret_cast<uint64_t*>(to) = word;
    return;
  }
  for (int i = 0; i < kLineBytes && i < bytes; ++i) to[i] = static_cast<std::byte>(word >> 8 * i);
}

// One exchange, as a thread takes part in it: with one other rank.
class Mail {
 public:
  __device__ explicit Mail(const PeerView& view)
      : view_(view),
        peer_(static_cast<int>(threadIdx.y) + (static_cast<int>(threadIdx.y) >= view.rank ? 1 : 0)),
        number_(load_volatile(&view.state->exchanges[blockIdx.x]) + 1),
        gave_up_(load_volatile(&view.state->failed) != 0) {
    // 0 is what boxes have at the start; 2 takes the same of the two as 0 would.
    if (number_ == 0) number_ = 2;
  }

  __device__ int peer() const { return peer_; }

  __device__ void send(int64_t line, uint64_t word) const {
    if (gave_up_) return;
    const uint64_t number = uint64_t{number_} << 32;
    const uint64_t low = (word & 0xffffffffu) | number, high = (word >> 32) | number;
    asm volatile("st.relaxed.sys.global.v2.b64 [%0], {%1, %2};"
                 :
                 : "l"(global(box(peer_, view_.rank) + line)), "l"(low), "l"(high)
                 : "memory");
  }

  // Called by the whole block once it has sent everything: the next exchange has another number.
  __device__ void close() const {
    __syncthreads();
    const unsigned threads = blockDim.x * blockDim.y;
    const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x;
    for (unsigned i = blockIdx.x + gridDim.x * thread; i < kMostBlocks; i += gridDim.x * threads)
      view_.state->exchanges[i] = number_;
  }

  // 0 where the other rank is silent.
  __device__ uint64_t receive(int64_t line) {
    const size_t from = global(box(view_.rank, peer_) + line);
    for (uint32_t polls = 1; !gave_up_; ++polls) {
      uint64_t low, high;
      asm volatile("ld.relaxed.sys.global.v2.b64 {%0, %1}, [%2];"
                   : "=l"(low), "=l"(high)
                   : "l"(from)
                   : "memory");
      if (low >> 32 == number_ && high >> 32 == number_) return (low & 0xffffffffu) | high << 32;
      if (polls % kPollsBetweenLooks == 0) look();
    }
    return 0;
  }

 private:
  // The box of messages from one rank to another.
  __device__ MailLine* box(int to, int from) const {
    const int half = static_cast<int>(number_ & 1) * view_.ranks + from;
    return view_.mailboxes[to] + size_t{view_.lines} * half;
  }
  __device__ static size_t global(const MailLine* line) { return __cvta_generic_to_global(line); }

  // Whether there is anything left to wait for.
  __device__ void look() {
    const uint64_t now = nanoseconds();
    if (since_ == 0) since_ = now;
    if (now - since_ < view_.patience && load_volatile(&view_.status->stop) == 0) return;
    gave_up_ = true;
    store_volatile(&view_.status->silent[peer_], 1);
    store_volatile(&view_.state->failed, 1);
    __threadfence_system();
  }

  const PeerView& view_;
  int peer_;
  uint32_t number_;
  bool gave_up_;
  uint64_t since_ = 0;  // when this thread first looked
};

__global__ void __launch_bounds__(kMostThreads)
    gather_kernel(const __grid_constant__ PeerView view,
                  const __grid_constant__ PeerGather gather) {
  begin_after_predecessor();
  Mail mail(view);
  const int64_t line = int64_t{blockIdx.x} * kBlockLines + threadIdx.x;
  const int64_t at = line * kLineBytes;
  const auto left_of = [&](int rank) {
    return gather.offsets[rank + 1] - gather.offsets[rank] - at;
  };
  const int64_t own = left_of(view.rank), others = left_of(mail.peer());
  if (own > 0 || line == 0) {
    const uint64_t word = load_word(gather.mine + at, own);
    mail.send(line, word);
    if (threadIdx.y == 0) store_word(gather.all + gather.offsets[view.rank] + at, own, word);
  }
  mail.close();
  if (others > 0 || line == 0)
    store_word(gather.all + gather.offsets[mail.peer()] + at, others, mail.receive(line));
}

__device__ uint64_t add_floats(uint64_t a, uint64_t b) {
  const auto low = [](uint64_t word) { return __uint_as_float(static_cast<uint32_t>(word)); };
  const auto high = [](uint64_t word) {
    return __uint_as_float(static_cast<uint32_t>(word >> 32));
  };
  return __float_as_uint(__fadd_rn(low(a), low(b))) |
         uint64_t{__float_as_uint(__fadd_rn(high(a), high(b)))} << 32;
}

__global__ void __launch_bounds__(kMostThreads)
    sum_kernel(const __grid_constant__ PeerView view, const __grid_constant__ PeerSum sum,
               int64_t lines) {
  __shared__ uint64_t words[kMostPieces][kBlockLines];
  begin_after_predecessor();
  Mail mail(view);
  const int64_t line = int64_t{blockIdx.x} * kBlockLines + threadIdx.x;
  const int64_t left = sum.bytes - line * kLineBytes;
  const bool is_in = line < lines;
  if (is_in) {
    const int first = sum.first[view.rank], count = sum.first[view.rank + 1] - first;
    for (int piece = 0; piece < max(count, 1); ++piece) {
      const uint64_t word =
          piece < count ? load_word(sum.mine[piece] + line * kLineBytes, left) : 0;
      mail.send(piece * lines + line, word);
      if (threadIdx.y == 0 && piece < count) words[first + piece][threadIdx.x] = word;
    }
  }
  mail.close();
  if (is_in) {
    const int first = sum.first[mail.peer()], count = sum.first[mail.peer() + 1] - first;
    for (int piece = 0; piece < max(count, 1); ++piece) {
      const uint64_t word = mail.receive(piece * lines + line);
      if (piece < count) words[first + piece][threadIdx.x] = word;
    }
  }
  __syncthreads();
  if (!is_in || threadIdx.y != 0) return;
  for (int i = 0; i < sum.merges; ++i) {
    uint64_t& into = words[sum.into[i]][threadIdx.x];
    into = add_floats(into, words[sum.from[i]][threadIdx.x]);
  }
  const int root = sum.merges > 0 ? sum.into[sum.merges - 1] : 0;
  store_word(sum.sums + line * kLineBytes, left, words[root][threadIdx.x]);
}

// A kernel on `lines` lines, in the order that begin_after_predecessor() asks for.
template <class... Arguments>
cudaError_t launch(void (*kernel)(PeerView, Arguments...), int64_t lines, cudaStream_t stream,
                   const PeerView& view, Arguments... arguments) {
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  // As the kernels before and after it have: a multiprocessor that is busy keeps its division.
  attributes[1].id = cudaLaunchAttributePreferredSharedMemoryCarveout;
  attributes[1].val.sharedMemCarveout = cudaSharedmemCarveoutMaxShared;
  cudaLaunchConfig_t config{};
  config.gridDim = static_cast<unsigned>((lines + kBlockLines - 1) / kBlockLines);
  config.blockDim = {kBlockLines, static_cast<unsigned>(view.ranks - 1)};
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = 2;
  return cudaLaunchKernelEx(&config, kernel, view, arguments...);
}

}  // namespace

cudaError_t peer_gather(const PeerView& view, const PeerGather& gather, int64_t lines,
                        cudaStream_t stream) {
  return launch(gather_kernel, lines, stream, view, gather);
}

cudaError_t peer_sum(const PeerView& view, const PeerSum& sum, int64_t lines, cudaStream_t stream) {
  return launch(sum_kernel, lines, stream, view, sum, lines);
}

cudaError_t peer_lines_at_once(int ranks, int64_t& lines) {
  int device = 0, processors = 0, gathering = 0, summing = 0;
  const int threads = static_cast<int>(kBlockLines) * (ranks - 1);
  const cudaError_t results[] = {
      cudaGetDevice(&device),
      cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device),
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&gathering, gather_kernel, threads, 0),
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&summing, sum_kernel, threads, 0)};
  for (const cudaError_t result : results)
    if (result != cudaSuccess) return result;
  const int64_t blocks = int64_t{processors} * std::min(gathering, summing);
  lines = std::min<int64_t>(blocks, kMostBlocks) * kBlockLines;
  return cudaSuccess;
}

}  // namespace strake
