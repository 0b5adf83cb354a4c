// Experts, split and spread: against float64, and the same bits for every number of ranks.
#include "nn/experts.h"

#include <gtest/gtest.h>

#include <cmath>

#include "io/checkpoint_builder.h"
#include "ranks.h"
#include "support/bits.h"
#include "support/weights.h"

namespace strake {
namespace {

constexpr int64_t kExperts = 5;
constexpr int64_t kRows = 9;
constexpr ExpertDivision kDivisions[] = {ExpertDivision::kSplit, ExpertDivision::kSpread};

// Stacks of a mixture as a checkpoint has them. With eight ranks of six groups, two have none.
class Mixed {
 public:
  explicit Mixed(const WeightKind& kind, Bias bias = Bias::kNone)
      : config{.hidden = 2 * kind.group(),
               .width = 6 * kind.group(),
               .experts = kExperts,
               .chosen = 2,
               .bias = bias} {
    if (kind.format) builder_.config["quantization"] = format_json(*kind.format);
    const std::pair<const char*, Shape> stacks[] = {
        {"gate_proj", {kExperts, config.width, config.hidden}},
        {"up_proj", {kExperts, config.width, config.hidden}},
        {"down_proj", {kExperts, config.hidden, config.width}}};
    uint64_t seed = 0;
    for (const auto& [name, shape] : stacks) {
      const std::string module = std::string("mlp.switch_mlp.") + name;
      const Weight weight = kind.make(++seed, shape);
      builder_.add_weight(module, weight);
      const Tensor biases = random_weight(seed + 10, {shape[0], shape[1]});
      if (bias == Bias::kPresent) builder_.add(module + ".bias", biases);
      values_.push_back(floats(values_of(weight)));
      biases_.push_back(bias == Bias::kPresent
                            ? floats(biases)
                            : std::vector<float>(static_cast<size_t>(biases.elements())));
    }
    builder_.open();
    for (int64_t row = 0; row < kRows; ++row)
      for (int64_t k = 0; k < config.chosen; ++k) {
        chosen_.push_back(static_cast<int32_t>((row + k) % (kExperts - 1)));
        weights_.push_back(0.25f + 0.1f * static_cast<float>(row + k));
      }
  }

  Tensor forward(Context& context, const Division& division) const {
    Checkpoint checkpoint = Checkpoint::open(builder_.path());
    const LayerLoader load(checkpoint, division, context.group.rank());
    return Experts(load.at("mlp.switch_mlp"), config).forward(context, x(), routing());
  }
  Checkpoint plan() const { return Checkpoint::open(builder_.path(), Device::meta()); }
  Routing routing() const {
    return {Tensor::from<int32_t>(chosen_, {kRows, config.chosen}),
            Tensor::from<float>(weights_, {kRows, config.chosen})};
  }
  Tensor x() const { return random_weight(7, {kRows, config.hidden}); }

  // Element [row, i] in float64, and the sum of its terms' magnitudes.
  std::pair<double, double> reference(int64_t row, int64_t i) const {
    const auto input = floats(x());
    const auto linear = [&](int stack, int64_t out, int64_t in, int64_t matrix, int64_t output,
                            const auto& of) {
      const auto which = static_cast<size_t>(stack);
      double sum = biases_[which][static_cast<size_t>(matrix * out + output)];
      for (int64_t j = 0; j < in; ++j)
        sum +=
            double{values_[which][static_cast<size_t>((matrix * out + output) * in + j)]} * of(j);
      return sum;
    };
    double sum = 0, magnitude = 0;
    for (int64_t k = 0; k < config.chosen; ++k) {
      const auto pair = static_cast<size_t>(row * config.chosen + k);
      const int64_t expert = chosen_[pair];
      const auto at = [&](int64_t j) {
        return double{input[static_cast<size_t>(row * config.hidden + j)]};
      };
      std::vector<double> inner;
      for (int64_t j = 0; j < config.width; ++j) {
        const double gate = linear(0, config.width, config.hidden, expert, j, at);
        const double up = linear(1, config.width, config.hidden, expert, j, at);
        inner.push_back(gate / (1 + std::exp(-gate)) * up);
      }
      const auto of = [&](int64_t j) { return inner[static_cast<size_t>(j)]; };
      const double term =
          double{weights_[pair]} * linear(2, config.hidden, config.width, expert, i, of);
      sum += term;
      for (const double value : inner) magnitude += std::abs(value);
    }
    return {sum, magnitude};
  }

  ExpertsConfig config;

 private:
  std::vector<int32_t> chosen_;  // [kRows, chosen]
  std::vector<float> weights_;
  CheckpointBuilder builder_;
  std::vector<std::vector<float>> values_, biases_;
};

TEST(Experts, EqualFloat64) {
  for (const Bias bias : {Bias::kNone, Bias::kPresent})
    for (const ExpertDivision division : kDivisions) {
      const Mixed mixed(WeightKind{"mxfp8", Format::parse("mxfp8")}, bias);
      const Tensor y = on_one_rank([&](Context& context) {
        return mixed.forward(context, {Shares::equal(1), division});
      });
      ASSERT_EQ(y.shape(), (Shape{kRows, mixed.config.hidden}));
      const auto found = floats(y);
      for (int64_t row = 0; row < kRows; ++row)
        for (int64_t i = 0; i < mixed.config.hidden; i += 13) {
          const auto [value, magnitude] = mixed.reference(row, i);
          EXPECT_NEAR(found[static_cast<size_t>(row * mixed.config.hidden + i)], value,
                      magnitude * 1e-6);
        }
    }
}

TEST(Experts, GiveTheSameBitsForEveryRankCount) {
  for (const WeightKind& kind : all_weight_kinds())
    for (const ExpertDivision division : kDivisions) {
      const Mixed mixed(kind, Bias::kPresent);
      const Tensor expected = on_one_rank([&](Context& context) {
        return mixed.forward(context, {Shares::equal(1), division});
      });
      for (const int ranks : kRankCounts)
        on_ranks(ranks, [&](Context& context) {
          EXPECT_TRUE(same_bits(mixed.forward(context, {Shares::equal(ranks), division}), expected))
              << kind.name << " on " << ranks << ", division " << static_cast<int>(division);
        });
    }
}

TEST(Experts, WeightedSharesGiveTheSameBits) {
  const Mixed mixed(WeightKind{"mxfp4", Format::parse("mxfp4")});
  for (const ExpertDivision division : kDivisions) {
    const Tensor expected = on_one_rank([&](Context& context) {
      return mixed.forward(context, {Shares::equal(1), division});
    });
    for (const auto& weights : std::vector<std::vector<int64_t>>{{2, 1}, {1, 100, 1}}) {
      const Shares shares = Shares::weighted(weights);
      on_ranks(shares.ranks(), [&](Context& context) {
        EXPECT_TRUE(same_bits(mixed.forward(context, {shares, division}), expected));
      });
    }
  }
}

TEST(Experts, CountWhatATokenReads) {
  const Mixed mixed(WeightKind{"bf16", std::nullopt, DType::kBF16}, Bias::kPresent);
  for (const ExpertDivision division : kDivisions) {
    int64_t bytes = 0;
    for (int rank = 0; rank < 2; ++rank) {
      Checkpoint checkpoint = mixed.plan();
      const LayerLoader load(checkpoint, {Shares::equal(2), division}, rank);
      const Experts experts(load.at("mlp.switch_mlp"), mixed.config);
      for (const LoadedModule& module : load.modules()) {
        if (module.kind != ModuleKind::kLinear) continue;
        EXPECT_DOUBLE_EQ(module.read_share, 2.0 / kExperts) << module.path;
        bytes += module.bytes;
      }
    }
    const int64_t weights = 3 * kExperts * mixed.config.hidden * mixed.config.width * 2;
    EXPECT_EQ(bytes, weights + 2 * kExperts * mixed.config.width * 4);
  }
}

}  // namespace
}  // namespace strake
