// A child process and all that descend from it.
#pragma once

#include <chrono>
#include <span>
#include <string>

namespace strake {

// The first of `names` that PATH has as a program; empty when it has none.
std::string find_program(std::span<const std::string> names);

// Makes this process the one that inherits orphans among its descendants, so that
// kill_descendants() finds them.
void adopt_orphans();

// Starts `arguments[0]` (a path) with its stdout and stderr written to the descriptors `output` and
// `errors`. The child gets SIGTERM when this process dies. Returns its process id; throws
// Error(kSystem).
int start_process(std::span<const std::string> arguments, int output, int errors);

// Kills all that descend from this process, and waits for their end, `limit` at most.
void kill_descendants(std::chrono::milliseconds limit);

}  // namespace strake
