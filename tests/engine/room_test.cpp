#include "engine/room.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "engine/capacity.h"
#include "io/random_weights.h"
#include "models/shapes.h"
#include "strake/base/error.h"
#include "strake/comm/thread_group.h"

namespace strake {
namespace {

using testing::HasSubstr;

constexpr int64_t kTokens = 100'000;
constexpr int64_t kWork = int64_t{1} << 30;

struct Model {
  ModelConfig config = shape_config("llama-1b", {.layers = 4}, Format::parse("mxfp8"));

  RankCapacity largest(int ranks, int64_t tokens = kTokens) const {
    const auto open = [&](Device device) {
      return std::make_unique<RandomWeights>(config, device);
    };
    const Capacity capacity = find_capacity(open, Shares::equal(ranks), {.context = tokens});
    return *std::ranges::max_element(
        capacity.ranks, {}, [](const RankCapacity& rank) { return rank.weights + rank.cache; });
  }

  // What each of two ranks says when the last one has so much memory; empty where there is room.
  std::vector<std::string> said(int64_t free_of_last, int64_t tokens = kTokens) const {
    std::vector<std::string> said(2);
    run_ranks(2, {}, [&](Group& group) {
      const RandomWeights source(config, Device::meta());
      const int64_t free = group.rank() == 1 ? free_of_last : int64_t{1} << 40;
      try {
        require_room(group, source, Shares::equal(2),
                     {.tokens = tokens, .storage = DType::kBF16, .free = free});
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kSystem);
        said[static_cast<size_t>(group.rank())] = error.what();
      }
    });
    return said;
  }
};

TEST(Room, IsThereWhereEveryByteFits) {
  const Model model;
  const RankCapacity rank = model.largest(2);
  const int64_t needed = rank.weights + rank.cache + kWork;
  EXPECT_THAT(model.said(needed), testing::Each(""));
  EXPECT_THAT(model.said(needed - 1), testing::Each(HasSubstr("out of memory: rank 1 of 2 needs")));
}

TEST(Room, WhereItLacksNamesWhatWouldDo) {
  const Model model;
  const RankCapacity two = model.largest(2), three = model.largest(3);
  const int64_t enough_for_three = three.weights + three.cache + kWork;
  const auto said = model.said(enough_for_three);
  EXPECT_EQ(said[0], said[1]);
  EXPECT_THAT(said[0], HasSubstr("3 ranks would do, or "));
  const int64_t missing = two.weights + two.cache + kWork - enough_for_three;
  const int64_t fewer = (missing + two.cache_per_token - 1) / two.cache_per_token;
  EXPECT_THAT(said[0], HasSubstr(std::to_string(kTokens - fewer) + " tokens would do here"));
}

TEST(Room, CountsAWeightTwiceWhileItIsLoaded) {
  const Model model;
  const RankCapacity rank = model.largest(2, 1);
  ASSERT_GT(rank.largest_weight, rank.cache);
  const int64_t needed = rank.weights + rank.largest_weight + kWork;
  EXPECT_THAT(model.said(needed, 1), testing::Each(""));
  const auto said = model.said(needed - 1, 1);
  EXPECT_THAT(said[0], HasSubstr(" to load them, "));
  EXPECT_THAT(said[0], HasSubstr("3 ranks would do"));
  EXPECT_THAT(said[0], testing::Not(HasSubstr("tokens would do")));
}

// A row of a prompt goes to eight experts of 6144 outputs. Each rank has half of their 2048 inputs,
// of which sums are kept in up to nine parts.
TEST(Room, CountsWhatAPromptsRowsTakeOfExperts) {
  const ModelConfig config =
      shape_config("glm-5", {.layers = 2, .experts = 16}, Format::parse("mxfp8"));
  Division division(Shares::equal(2));
  division.parts = 16;
  const auto open = [&](Device device) { return std::make_unique<RandomWeights>(config, device); };
  const Capacity capacity = find_capacity(open, division, {.context = kTokens});
  const RankCapacity& rank = capacity.ranks[0];
  EXPECT_EQ(rank.prompt_row, 8 * 1024 * 2 + 2 * 9 * 6144 * 4);
  const auto said = [&](int64_t free, int64_t tokens) {
    std::string message;
    run_ranks(2, {}, [&](Group& group) {
      const RandomWeights source(config, Device::meta());
      try {
        require_room(
            group, source, division,
            {.tokens = tokens, .storage = DType::kBF16, .free = free, .prompt_rows = 2048});
      } catch (const Error& error) {
        if (group.rank() == 0) message = error.what();
      }
    });
    return message;
  };
  const int64_t beside = std::max(rank.cache, rank.largest_weight);
  const int64_t needed = rank.weights + beside + kWork + 2048 * rank.prompt_row;
  EXPECT_EQ(said(needed, kTokens), "");
  EXPECT_THAT(said(needed - 1, kTokens), HasSubstr("out of memory: rank 0 of 2 needs"));
  // No more rows than tokens.
  EXPECT_EQ(said(rank.weights + rank.largest_weight + kWork + 7 * rank.prompt_row, 7), "");
  EXPECT_EQ(Model().largest(2).prompt_row, 0);
}

TEST(Room, WithoutAWayOutSaysSo) {
  const auto said = Model().said(kWork);
  EXPECT_THAT(said[0], HasSubstr("GB are free"));
  EXPECT_THAT(said[0], testing::Not(HasSubstr("would do")));
}

}  // namespace
}  // namespace strake
