#include "strake/ops/routing.h"

#include "base/fail.h"

namespace strake {

void RoutingRule::check(std::string_view what) const {
  if (chosen > experts)
    fail(ErrorKind::kCheckpoint, "{}: at most {} experts a token expected, found {}", what, experts,
         chosen);
  if (groups == 1) return;
  if (experts % groups != 0 || experts / groups < group_terms)
    fail(ErrorKind::kCheckpoint, "{}: {} experts in equal groups of {} and more expected, found {}",
         what, experts, group_terms, groups);
  if (chosen_groups > groups || chosen_groups * (experts / groups) < chosen)
    fail(ErrorKind::kCheckpoint, "{}: at most {} groups with {} experts expected, found {}", what,
         groups, chosen, chosen_groups);
}

}  // namespace strake
