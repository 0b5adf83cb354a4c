// The rows of a mixture on the GPU.
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "ops/cuda/few_rows_parameters.h"
#include "ops/host_rows.h"

namespace strake::cuda {

// Rows of few tokens stay on the device, those of experts that other ranks hold among them, which
// products leave out. Of many, and where no product takes them so, the host asks for them once.
class GpuRows final : public DispatchedRows {
 public:
  GpuRows(const Routing& routing, std::span<const HeldRows> held, const Await& await)
      : routing_(routing), held_(held.begin(), held.end()), await_(await) {}

  // `own` is what `few` points into beside the routing.
  void stay(const ExpertRows& few, std::optional<Tensor> own) {
    few_ = few;
    own_ = std::move(own);
  }
  // A product with few rows has been queued behind what writes them: see ExpertRows::known.
  void become_known() const { few_->known = 1; }
  // As mixtures take them; nullptr: they do not stay.
  const ExpertRows* few() const { return few_ ? &*few_ : nullptr; }

  const Routing& routing() const { return routing_; }
  std::span<const HeldRows> held() const { return held_; }
  GatherIndices indices() const override { return on_host().indices(); }
  Mixture mixture(Mixture::Axis axis) const override { return on_host().mixture(axis); }

 private:
  // Where rows stay, with -1 for experts that are not held: every form has the same rows.
  const HostRows& on_host() const {
    if (!host_) {
      host_.emplace(routing_.rows());
      host_->add({routing_.experts.on_host(await_), routing_.weights.on_host(await_)}, held_,
                 few_ ? HostRows::Others::kKept : HostRows::Others::kLeftOut);
    }
    return *host_;
  }

  Routing routing_;
  std::vector<HeldRows> held_;
  Await await_;
  mutable std::optional<ExpertRows> few_;
  std::optional<Tensor> own_;
  mutable std::optional<HostRows> host_;
};

}  // namespace strake::cuda
