// Ranks as processes, started by mpirun.
#pragma once

#include <memory>

#include "strake/comm/group.h"

namespace strake {

// Number of ranks with which mpirun started this process, and its own: 1 and 0 without mpirun
// (read from the environment: MPI itself starts only in make_mpi_group). Throw Error(kUsage) when
// the environment is damaged.
int mpi_ranks();
int mpi_rank();

// Whether mpirun started this process as one of several ranks.
bool started_by_mpi();

// All ranks of the run, which all call this within the deadline (but 10 s at least). MPI is
// initialized here, for the calling thread, and finalized when the group goes: the destructor waits
// for the other ranks until the deadline, and ends the run when one of them is missing. When the
// group goes because of an exception, it leaves MPI as it is: the process must then end with a
// non-zero code, which makes mpirun end the other ranks. At most one group in a process. Throws
// Error(kCommunication) when MPI cannot start.
std::unique_ptr<Group> make_mpi_group(const GroupOptions& options);

}  // namespace strake
