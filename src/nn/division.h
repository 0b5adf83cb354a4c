// How a model is divided over ranks.
#pragma once

#include <utility>

#include "strake/shard/shares.h"

namespace strake {

// What ranks divide of the experts of a mixture.
enum class ExpertDivision {
  kSplit,   // their width: each rank has a part of every expert
  kSpread,  // the experts: each rank has some of them whole
};

struct Division {
  Shares shares;
  ExpertDivision experts = ExpertDivision::kSplit;
  int parts = 0;  // that contraction axes are cut into at most (Dimension::with_parts)

  Division(Shares all, ExpertDivision of_experts = ExpertDivision::kSplit)  // NOLINT
      : shares(std::move(all)), experts(of_experts) {}
};

}  // namespace strake
