#include "comm/exchange_group.h"

namespace strake {
namespace {

class SoloGroup final : public ExchangeGroup {
 public:
  SoloGroup() : ExchangeGroup(0, 1) {}
  // No other rank to tell: the caller's own error ends the run.
  void abort(std::string_view, int) noexcept override {}

 private:
  void exchange(Collective, const Pieces&) override {}
};

}  // namespace

std::unique_ptr<Group> make_solo_group() { return std::make_unique<SoloGroup>(); }

}  // namespace strake
