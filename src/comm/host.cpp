#include "comm/host.h"

#include <unistd.h>

#include <climits>
#include <fstream>
#include <span>
#include <string>

#include "base/fail.h"
#include "base/hash.h"

namespace strake {

uint64_t hash_host() {
  std::string name;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), name);
  if (name.empty()) {
    name.resize(HOST_NAME_MAX);
    if (::gethostname(name.data(), name.size()) != 0) fail_errno("gethostname");
  }
  return hash_values(std::span<const char>(name));
}

}  // namespace strake
