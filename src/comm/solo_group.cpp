#include "comm/exchange_group.h"

namespace strake {
namespace {

class SoloGroup final : public ExchangeGroup {
 public:
  explicit SoloGroup(const GroupOptions& options) : ExchangeGroup(0, 1, options) {}
  // No other rank to tell: the caller's own error ends the run.
  void abort(std::string_view, int) noexcept override {}

 private:
  void exchange(Collective, const Pieces&) override {}
};

}  // namespace

std::unique_ptr<Group> make_solo_group(const GroupOptions& options) {
  return std::make_unique<SoloGroup>(options);
}

}  // namespace strake
