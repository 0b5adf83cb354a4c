// Ending the daemon of MPI's that started this process, when a cut link keeps it waiting.
#pragma once

namespace strake {

// Starts a process that watches orted or mpirun, whichever is this process's parent, and ends it
// when it has not ended by itself three seconds later. For a run that is being aborted: the
// daemon kills this process at once, but then waits for the other hosts without a limit.
void guard_parent_daemon() noexcept;

}  // namespace strake
