// What caches take, and what their formats cost in likelihood.
#include <cmath>

#include "engine/generation.h"
#include "engine/verify.h"
#include "io/checkpoint.h"
#include "reference.h"

namespace strake {
namespace {

constexpr int64_t kCapacity = 1000;

int64_t bytes(const std::string& name, const CacheStorage& storage) {
  return ReferenceRun(name).model().make_cache(kCapacity, storage).nbytes();
}

// llama: 4 layers, 4 key-value heads of 32.
TEST(Cache, TakesItsDtypeOrItsFormat) {
  constexpr int64_t kRows = 4 * 2 * 4 * kCapacity;
  EXPECT_EQ(bytes("llama", DType::kF32), kRows * 32 * 4);
  EXPECT_EQ(bytes("llama", DType::kBF16), kRows * 32 * 2);
  // 32 codes of a byte, and a scale of a byte; or a scale and a bias of the dtype.
  EXPECT_EQ(bytes("llama", {DType::kBF16, Format::parse("mxfp8")}), kRows * 33);
  EXPECT_EQ(bytes("llama", {DType::kBF16, Format::parse("affine", 8, 32)}), kRows * 36);
  EXPECT_EQ(bytes("llama", {DType::kF32, Format::parse("affine", 8, 32)}), kRows * 40);
}

// mistral: 2 layers, 2 key-value heads of 32, all with windows of 16; gemma3_text: 4 layers, one
// head of 32, the third without a window.
TEST(Cache, HoldsNoMoreThanItsWindow) {
  EXPECT_EQ(bytes("mistral", DType::kBF16), 2 * 2 * 2 * 512 * 32 * 2);
  EXPECT_EQ(bytes("gemma3_text", DType::kBF16), 2 * (3 * 512 + kCapacity) * 32 * 2);
}

TEST(Cache, IsDividedByHeads) {
  const auto model = kReferences / "llama";
  for (int rank = 0; rank < 4; ++rank) {
    Checkpoint checkpoint = Checkpoint::open(model, Device::meta());
    const auto part = load_model(checkpoint, LayerLoader(checkpoint, Shares::equal(4), rank));
    EXPECT_EQ(part->make_cache(kCapacity, DType::kBF16).nbytes(), 4 * 2 * kCapacity * 32 * 2);
  }
}

double likelihood(const std::optional<Format>& format) {
  ReferenceRun run("llama");
  double sum = 0;
  const Json& windows = run.reference.at("validation");
  for (const Json& window : windows) {
    const auto ids = window.at("ids").get<std::vector<int32_t>>();
    SequenceCache cache =
        run.model().make_cache(std::ssize(ids), {run.session.context().activations, format});
    sum += score(run.session.context(), run.model(), cache, ids).mean();
  }
  return sum / static_cast<double>(windows.size());
}

// Of the trained Llama's 3.8306 nats it takes 0.0014 away and adds 0.036: e4m3 has 3 bits of
// mantissa.
TEST(Cache, OfEightBitsCostsLittleLikelihood) {
  const double dense = likelihood(std::nullopt);
  EXPECT_NEAR(likelihood(Format::parse("affine", 8, 32)), dense, 0.005);
  EXPECT_NEAR(likelihood(Format::parse("mxfp8")), dense, 0.05);
}

TEST(Cache, OfEightBitsHasTheSameBitsOnAnyRanks) {
  constexpr int kRankCounts[] = {1, 2, 3, 4, 8};
  const auto ids = ReferenceRun("llama").prompts().at(0).ids;
  for (const Format format : {Format::parse("affine", 8, 32), Format::parse("mxfp8")})
    for (const Verification& result :
         verify({.model = kReferences / "llama", .kv_cache = format}, kRankCounts, ids,
                {.prefill_piece = 5, .decode_tokens = 3}))
      EXPECT_TRUE(result.equal) << result.ranks << " ranks: " << result.first_difference;
}

// A conversation goes back to where two texts part; a ring may have forgotten what is seen there.
TEST(Cache, GoesBackAsFarAsItsWindowsReach) {
  ReferenceRun run("mistral");
  SequenceCache cache = run.session.make_cache(kCapacity);
  std::vector<int32_t> history;
  const auto follow = [&](const std::vector<int32_t>& prompt, SequenceCache& in,
                          std::vector<int32_t>& before) {
    GenerationOptions options;
    options.max_tokens = 5;
    return generate(run.session.context(), run.model(), in, before, prompt, options,
                    [](int32_t) { return true; });
  };
  const auto fresh = [&](const std::vector<int32_t>& prompt) {
    SequenceCache own = run.session.make_cache(kCapacity);
    std::vector<int32_t> nothing;
    return follow(prompt, own, nothing).logits_hash;
  };
  std::vector<int32_t> prompt = spread_ids(700, 256);
  follow(prompt, cache, history);
  // 100 tokens back are in the ring of 512; 600 are not.
  std::vector<int32_t> near = prompt, far = prompt;
  near[600] ^= 1;
  far[100] ^= 1;
  const auto again = follow(near, cache, history);
  EXPECT_EQ(again.prompt_tokens, 100);
  EXPECT_EQ(again.logits_hash, fresh(near));
  const auto anew = follow(far, cache, history);
  EXPECT_EQ(anew.prompt_tokens, 700);
  EXPECT_EQ(anew.logits_hash, fresh(far));
}

}  // namespace
}  // namespace strake
