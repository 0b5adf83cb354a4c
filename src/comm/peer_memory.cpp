#include "comm/peer_memory.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "comm/gather.h"
#include "comm/host.h"

namespace strake {
namespace {

// Of a message: what logits of one row take on two ranks. Longer ones cost bandwidth, which this
// exchange uses half of.
constexpr int64_t kMostLines = 32'768;

// A call that may fail without harm.
bool works(cudaError_t result) {
  if (result != cudaSuccess) cudaGetLastError();
  return result == cudaSuccess;
}

// Where GPUs seem to reach each other and do not, users tell NCCL: here it means the same.
bool is_turned_off() {
  const char* const disabled = std::getenv("NCCL_P2P_DISABLE");
  return disabled != nullptr && std::string_view(disabled) != "0";
}

// Tells processes of a host apart, those of other containers too.
uint64_t hash_process() {
  std::array<char, 64> space{};
  if (::readlink("/proc/self/ns/pid", space.data(), space.size()) < 0) space = {};
  const int64_t id = ::getpid();
  return hash_values(std::span<const char>(space), hash_values(std::span(&id, 1)));
}

}  // namespace

struct PeerMemory::Identity {
  uint64_t host;
  uint64_t process;
  int64_t lines;    // that its GPU works on at once; 0 without a GPU
  char device[32];  // its place on the bus, as the driver writes it

  static Identity mine(int ranks) {
    Identity identity{};
    identity.host = hash_host();
    identity.process = hash_process();
    int device = 0;
    if (!works(cudaGetDevice(&device)) ||
        !works(cudaDeviceGetPCIBusId(identity.device, sizeof identity.device, device)) ||
        !works(peer_lines_at_once(ranks, identity.lines)))
      identity.lines = 0;
    return identity;
  }
};

struct PeerMemory::Offer {
  int64_t is_ready;
  MailLine* mailbox;          // as its process sees it
  cudaIpcMemHandle_t handle;  // as others can open it
};

PeerMemory::PeerMemory(Group& control) : control_(control) {
  view_.rank = control.rank();
  view_.ranks = control.size();
}

std::unique_ptr<PeerMemory> PeerMemory::open(Group& control) {
  if (control.size() < 2 || control.size() > kMostPeers) return nullptr;
  const auto ranks = gather_values(control, Identity::mine(control.size()));
  const int64_t lines = std::min(kMostLines, std::ranges::min(ranks, {}, &Identity::lines).lines);
  std::unique_ptr<PeerMemory> memory(new PeerMemory(control));

  Offer mine{};
  mine.is_ready = lines > 0 && memory->can_reach(ranks) && memory->allocate(lines) ? 1 : 0;
  mine.mailbox = memory->view_.mailboxes[control.rank()];
  if (mine.is_ready != 0 && !works(cudaIpcGetMemHandle(&mine.handle, mine.mailbox)))
    mine.is_ready = 0;
  const auto offers = gather_values(control, mine);
  if (!std::ranges::all_of(offers, &Offer::is_ready)) {
    memory->free_own();
    return nullptr;
  }
  const auto mapped = gather_values(control, int64_t{memory->map(ranks, offers)});
  if (std::ranges::all_of(mapped, [](int64_t is_mapped) { return is_mapped != 0; })) return memory;
  memory->close();
  return nullptr;
}

bool PeerMemory::can_reach(std::span<const Identity> ranks) const {
  int own = 0;
  if (is_turned_off() || !works(cudaGetDevice(&own))) return false;
  for (int rank = 0; rank < view_.ranks; ++rank) {
    if (rank == view_.rank) continue;
    const Identity& peer = ranks[static_cast<size_t>(rank)];
    int device = 0, can = 0;
    if (peer.host != ranks[static_cast<size_t>(view_.rank)].host ||
        !works(cudaDeviceGetByPCIBusId(&device, peer.device)) ||
        !works(cudaDeviceCanAccessPeer(&can, own, device)) || can == 0)
      return false;
  }
  return true;
}

bool PeerMemory::allocate(int64_t lines) {
  view_.lines = static_cast<uint32_t>(lines);
  const size_t bytes = static_cast<size_t>(2 * view_.ranks * lines) * sizeof(MailLine);
  const auto take = [](auto*& memory, size_t size) {
    return works(cudaMalloc(reinterpret_cast<void**>(&memory), size)) &&
           works(cudaMemset(memory, 0, size));
  };
  if (!take(view_.mailboxes[view_.rank], bytes) || !take(view_.state, sizeof(PeerState)) ||
      !works(cudaHostAlloc(reinterpret_cast<void**>(&status_), sizeof(PeerStatus),
                           cudaHostAllocMapped)))
    return false;
  *status_ = {};
  return works(cudaHostGetDevicePointer(reinterpret_cast<void**>(&view_.status), status_, 0)) &&
         works(cudaDeviceSynchronize());
}

bool PeerMemory::map(std::span<const Identity> ranks, std::span<const Offer> offers) {
  for (int rank = 0; rank < view_.ranks; ++rank) {
    if (rank == view_.rank) continue;
    const Identity& peer = ranks[static_cast<size_t>(rank)];
    const Offer& offer = offers[static_cast<size_t>(rank)];
    if (peer.process == ranks[static_cast<size_t>(view_.rank)].process) {
      int device = 0;
      if (!works(cudaDeviceGetByPCIBusId(&device, peer.device))) return false;
      const cudaError_t enabled = cudaDeviceEnablePeerAccess(device, 0);
      if (!works(enabled) && enabled != cudaErrorPeerAccessAlreadyEnabled) return false;
      view_.mailboxes[rank] = offer.mailbox;
      continue;
    }
    void* mapped = nullptr;
    if (!works(cudaIpcOpenMemHandle(&mapped, offer.handle, cudaIpcMemLazyEnablePeerAccess)))
      return false;
    view_.mailboxes[rank] = static_cast<MailLine*>(mapped);
    is_mapped_[rank] = true;
  }
  return true;
}

void PeerMemory::close() {
  unmap_others();
  control_.barrier();
  free_own();
}

void PeerMemory::unmap_others() noexcept {
  for (int rank = 0; rank < view_.ranks; ++rank) {
    if (is_mapped_[rank]) works(cudaIpcCloseMemHandle(view_.mailboxes[rank]));
    is_mapped_[rank] = false;
  }
}

void PeerMemory::free_own() noexcept {
  works(cudaFree(view_.mailboxes[view_.rank]));
  works(cudaFree(view_.state));
  works(cudaFreeHost(status_));
  view_.mailboxes[view_.rank] = nullptr;
  view_.state = nullptr;
  status_ = nullptr;
}

}  // namespace strake
