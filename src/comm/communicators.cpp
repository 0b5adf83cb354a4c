#include "comm/communicators.h"

#include <array>

#include "base/fail.h"
#ifdef STRAKE_HAS_NCCL
#include "comm/nccl_group.h"
#endif
#include "strake/comm/mpi_group.h"

namespace strake {

std::span<const Communicator> communicators() {
  static constexpr auto kTable = std::to_array<Communicator>({
#ifdef STRAKE_HAS_MPI
      {"mpi", started_by_mpi, make_mpi_group},
#endif
      {"solo", [] { return mpi_ranks() == 1; }, make_solo_group},
  });
  return kTable;
}

std::unique_ptr<Group> make_group(const GroupOptions& options) {
  for (const Communicator& communicator : communicators())
    if (communicator.applies()) return communicator.make(options);
  fail(ErrorKind::kUnsupported, "mpirun started {} ranks, and this build has no MPI: 1 expected",
       mpi_ranks());
}

std::unique_ptr<Group> make_tensor_group(std::string_view device, Group& control) {
  if (device == "cpu" || control.size() == 1) return nullptr;
#ifdef STRAKE_HAS_NCCL
  if (device == "cuda") return make_nccl_group(control);
#endif
  fail(ErrorKind::kUnsupported, "{} ranks on '{}' need NCCL, which this build has not",
       control.size(), device);
}

}  // namespace strake
