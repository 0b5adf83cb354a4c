// Starting the ranks of a run: this process starts mpirun, and watches it.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace strake {

struct LaunchOptions {
  int ranks = 2;
  std::string hostfile;                  // hosts and slots for mpirun; empty: this machine alone
  std::string launch_agent;              // what starts a command on another host; empty: ssh
  std::vector<std::string> mpirun_args;  // passed on, after the launcher's own
  int output = 1;                        // the descriptor that gets the ranks' standard output
};

// Whether mpirun started this process (as one rank or several).
bool is_launched_rank();

// Whether a standard stream is a terminal: the launcher's own, where this process is its rank,
// since mpirun stands between.
bool is_terminal(int descriptor);

// Runs this program once for each rank, with the same arguments (without the program's name), and
// returns the exit code of the run: that of the rank that failed first, 5 (communication) where a
// rank was killed or ended early, 128 + signal where a signal ended the launcher. Standard input
// goes to rank 0. A failure that no rank has explained itself gets one line on stderr that names
// the rank. Nothing of the run is left when this returns. Takes over the process's children and its
// handling of SIGINT, SIGTERM, SIGHUP and SIGCHLD: call it from a program's main thread, before
// other threads start. Throws Error(kSystem) when mpirun cannot be started, Error(kUnsupported)
// when this build has no MPI.
int launch_ranks(const LaunchOptions& options, std::span<const std::string> arguments);

}  // namespace strake
