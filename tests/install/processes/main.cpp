// Uses the component mpi of the installed package.
#include <strake/comm/mpi_group.h>
#include <strake/strake.h>

#include <cstdio>

int main() {
  const auto group = strake::make_mpi_group(strake::GroupOptions{});
  group->barrier();
  std::printf("%d process%s\n", group->size(), group->size() == 1 ? "" : "es");
}
