#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/fail.h"
#include "strake/comm/mpi_group.h"

namespace strake {

namespace {

// A number that mpirun has put into the environment.
int number_in(const char* variable, int least, int otherwise) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return otherwise;
  int number = 0;
  const char* end = text + std::strlen(text);
  if (std::from_chars(text, end, number) != std::from_chars_result{end, std::errc{}} ||
      number < least)
    fail(ErrorKind::kUsage, "{}: a number from {} expected, found \"{}\"", variable, least, text);
  return number;
}

}  // namespace

int mpi_ranks() { return number_in("OMPI_COMM_WORLD_SIZE", 1, 1); }

int mpi_rank() { return number_in("OMPI_COMM_WORLD_RANK", 0, 0); }

bool started_by_mpi() { return mpi_ranks() > 1; }

}  // namespace strake
