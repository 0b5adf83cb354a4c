// The promise: a step that decodes a token allocates nothing and starts no thread.
//
// Caches are reserved for the whole text when they are made. The steps before the ones that are
// counted bring every thread and size; those that are counted go over the end of a chunk of
// attention's, of a window and of the keys that an indexer takes.
#include "support/count_allocations.h"

#include <filesystem>

#include "engine/convert.h"
#include "engine/generation.h"
#include "models/reference.h"
#include "support/temporary_directory.h"

namespace strake {
namespace {

namespace fs = std::filesystem;

constexpr int kPrompt = 240;
constexpr int kStepsBefore = 4;
constexpr int kSteps = 40;

struct Cost {
  int64_t allocations;
  int64_t threads;
};

int64_t count_threads() {
  int64_t count = 0;
  for (const auto& task : fs::directory_iterator("/proc/self/task")) count += task.exists();
  return count;
}

// Of kSteps steps of all ranks, from one token that rank 0 chooses to another.
Cost cost_of_steps(int ranks, const SessionOptions& options, const SamplingOptions& sampling) {
  Cost cost{};
  run_ranks(ranks, {}, [&](Group& group) {
    Session session(group, Shares::equal(ranks), options);
    SequenceCache cache = session.make_cache(kPrompt + kStepsBefore + kSteps + 2);
    const auto prompt = spread_ids(kPrompt, session.model().vocabulary());
    std::vector<int32_t> history;
    int chosen = 0;
    const auto count = [&](int32_t) -> std::optional<FinishReason> {
      ++chosen;
      if (chosen == kStepsBefore) {
        cost.threads -= count_threads();
        start_counting();
      }
      if (chosen == kStepsBefore + kSteps) {
        cost.allocations = stop_counting();
        cost.threads += count_threads();
      }
      return std::nullopt;
    };
    generate(session.context(), session.model(), cache, history, prompt,
             {.max_tokens = kStepsBefore + kSteps + 1, .stop_tokens = {}, .sampling = sampling},
             count);
  });
  return cost;
}

void expect_nothing(int ranks, const SessionOptions& options,
                    const SamplingOptions& sampling = {}) {
  SCOPED_TRACE(testing::Message() << ranks << " ranks of " << options.threads << " threads");
  const Cost cost = cost_of_steps(ranks, options, sampling);
  EXPECT_EQ(cost.allocations, 0);
  EXPECT_EQ(cost.threads, 0);
}

TEST(Allocations, AreSeen) {
  start_counting();
  void* const block = ::operator new(256);
  void* const aligned = ::operator new (256, std::align_val_t{64});
  EXPECT_EQ(stop_counting(), 2);
  ::operator delete(block);
  ::operator delete (aligned, std::align_val_t{64});
}

class AllocationsOf : public testing::TestWithParam<std::string> {
 protected:
  static void expect_nothing_anywhere(const fs::path& model) {
    expect_nothing(1, {.model = model, .threads = 1});
    expect_nothing(1, {.model = model, .threads = 3});
    expect_nothing(2, {.model = model, .threads = 1});
    expect_nothing(3, {.model = model, .threads = 2});
  }
};

INSTANTIATE_TEST_SUITE_P(Models, AllocationsOf, testing::ValuesIn(reference_models()),
                         reference_name);

TEST_P(AllocationsOf, DenseStepsAreNone) { expect_nothing_anywhere(kReferences / GetParam()); }

TEST_P(AllocationsOf, QuantizedStepsAreNone) {
  const TemporaryDirectory directory;
  const auto model = directory.path() / "model";
  convert_checkpoint(kReferences / GetParam(), model, {.format = Format::parse("mxfp8")});
  expect_nothing_anywhere(model);
}

TEST(Allocations, OfAQuantizedCacheAreNone) {
  for (const Format format : {Format::parse("affine", 8, 32), Format::parse("mxfp8")})
    for (const int ranks : {1, 2})
      expect_nothing(ranks, {.model = kReferences / "llama", .threads = 2, .kv_cache = format});
}

TEST(Allocations, OfSamplingAreNone) {
  const SamplingOptions sampling{.temperature = 0.9,
                                 .top_p = 0.95,
                                 .min_p = 0.01,
                                 .top_k = 50,
                                 .min_tokens_to_keep = 2,
                                 .xtc_probability = 0.5,
                                 .xtc_threshold = 0.1,
                                 .repetition_penalty = 1.1,
                                 .presence_penalty = 0.1,
                                 .frequency_penalty = 0.1,
                                 .logit_bias = {{5, 1.0f}},
                                 .seed = 7};
  for (const int ranks : {1, 2})
    expect_nothing(ranks, {.model = kReferences / "llama", .threads = 2}, sampling);
}

}  // namespace
}  // namespace strake
