#include "strake/nn/rms_norm.h"

#include <fmt/format.h>

namespace strake {

std::string RmsNorm::describe() const {
  return fmt::format("RMSNorm({}, eps={})", weight_.shape()[0], eps_);
}

}  // namespace strake
