#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/fail.h"
#include "strake/comm/mpi_group.h"

namespace strake {

int mpi_ranks() {
  const char* text = std::getenv("OMPI_COMM_WORLD_SIZE");
  if (text == nullptr) return 1;
  int ranks = 0;
  const char* end = text + std::strlen(text);
  if (std::from_chars(text, end, ranks) != std::from_chars_result{end, std::errc{}} || ranks < 1)
    fail(ErrorKind::kUsage, "OMPI_COMM_WORLD_SIZE: a number of ranks expected, found \"{}\"", text);
  return ranks;
}

bool started_by_mpi() { return mpi_ranks() > 1; }

}  // namespace strake
