// Latent attention against its definition in float64, in both forms and over ranks.
#include "nn/latent_attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "io/checkpoint_builder.h"
#include "quant/head_weights.h"
#include "ranks.h"
#include "support/bits.h"
#include "support/weights.h"

namespace strake {
namespace {

using Row = std::vector<double>;
using Matrix = std::vector<Row>;

Matrix matrix_of(const Tensor& values) {
  const auto data = floats(values);
  const int64_t columns = values.shape()[-1];
  Matrix rows;
  for (auto at = data.begin(); at != data.end(); at += columns) rows.emplace_back(at, at + columns);
  return rows;
}

double dot(const Row& a, const Row& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

Row product(const Matrix& weight, const Row& x) {
  Row y;
  for (const Row& row : weight) y.push_back(dot(row, x));
  return y;
}

Row normed(Row x, const Row& weight) {
  const double scale = 1 / std::sqrt(dot(x, x) / static_cast<double>(x.size()) + 1e-6);
  for (size_t i = 0; i < x.size(); ++i) x[i] *= scale * weight[i];
  return x;
}

Row layer_normed(Row x, const Row& weight, const Row& bias) {
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
  for (double& value : x) value -= mean;
  const double scale = 1 / std::sqrt(dot(x, x) / static_cast<double>(x.size()) + 1e-6);
  for (size_t i = 0; i < x.size(); ++i) x[i] = x[i] * scale * weight[i] + bias[i];
  return x;
}

// Adjacent pairs of the first `dims` elements from `first` on.
void turn(Row& x, size_t first, size_t dims, double position) {
  for (size_t i = 0; i < dims; i += 2) {
    const double angle =
        position * std::pow(1e4, -static_cast<double>(i) / static_cast<double>(dims));
    const double a = x[first + i], b = x[first + i + 1];
    x[first + i] = a * std::cos(angle) - b * std::sin(angle);
    x[first + i + 1] = b * std::cos(angle) + a * std::sin(angle);
  }
}

constexpr int64_t kHidden = 64, kHeads = 6, kRank = 64, kKey = 32, kRope = 16, kValue = 32;
constexpr int64_t kQueryRank = 32, kIndexHeads = 3, kIndexDim = 32, kSelected = 20;

constexpr const char* kConfig = R"({"hidden_size": 64, "num_attention_heads": 6,
    "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32,
    "q_lora_rank": 32, "attention_bias": true})";

// How its checkpoint has the projections of latent vectors.
enum class Stored { kPerHead, kWhole };

class TinyLatent {
 public:
  CheckpointBuilder builder;
  std::optional<IndexerConfig> indexer;
  HeadProjections projections = HeadProjections::kPerHead;

  // Where a format is given, the per-head projections are in it, and every other linear layer.
  explicit TinyLatent(Stored stored, const WeightKind& kind = {"dense", {}},
                      const std::string& config = kConfig) {
    builder.config = parse_json(config, "config");
    if (kind.format) builder.config["quantization"] = format_json(*kind.format);
    const bool low_rank = is_low_rank();
    if (low_rank) {
      add("q_a_proj", kind, {kQueryRank, kHidden});
      add_vector("q_a_proj.bias", kQueryRank);
      add_vector("q_a_layernorm.weight", kQueryRank);
    }
    add(low_rank ? "q_b_proj" : "q_proj", kind,
        {kHeads * (kKey + kRope), low_rank ? kQueryRank : kHidden});
    add("kv_a_proj_with_mqa", kind, {kRank + kRope, kHidden});
    add_vector("kv_a_proj_with_mqa.bias", kRank + kRope);
    add_vector("kv_a_layernorm.weight", kRank);
    if (stored == Stored::kWhole) {
      add("kv_b_proj", kind, {kHeads * (kKey + kValue), kRank});
    } else {
      add("embed_q", kind, {kHeads, kRank, kKey});
      add("unembed_out", kind, {kHeads, kValue, kRank});
    }
    add("o_proj", kind, {kHidden, kHeads * kValue});
    add_vector("o_proj.bias", kHidden);
  }

  void add_indexer() {
    indexer = IndexerConfig{kHidden, kQueryRank, kIndexHeads, kIndexDim, kSelected, rope()};
    add("indexer.wq_b", {"dense", {}}, {kIndexHeads * kIndexDim, kQueryRank});
    add("indexer.wk", {"dense", {}}, {kIndexDim, kHidden});
    add("indexer.weights_proj", {"dense", {}}, {kIndexHeads, kHidden});
    add_vector("indexer.k_norm.weight", kIndexDim);
    add_vector("indexer.k_norm.bias", kIndexDim);
  }

  void write() { path_ = builder.open().path(); }
  Checkpoint open() const { return Checkpoint::open(path_); }

  // The same rows after each other in pieces of these sizes; every rank has the same.
  Tensor run(Context& context, const Tensor& x, const std::vector<int64_t>& pieces) const {
    Checkpoint checkpoint = open();
    auto config = LatentAttentionConfig::read(checkpoint.config());
    config.indexer = indexer;
    if (indexer) config.selection = KeySelection::kOwn;
    config.projections = projections;
    const LatentAttention attention(
        LayerLoader(checkpoint, Shares::equal(context.group.size()), context.group.rank()), config);
    checkpoint.require_all_used();
    LayerCache cache =
        attention.make_cache({x.shape()[0], context.activations, context.backend.device()});
    std::vector<Tensor> results;
    int64_t first = 0;
    for (const int64_t rows : pieces) {
      const SequenceRows sequence[] = {{0, rows, first, cache}};
      results.push_back(attention.forward(context, x.slice(0, first, first + rows), sequence));
      first += rows;
    }
    return concatenate(results, 0);
  }

  // The definition: every head's keys and values of every position.
  Matrix expected(const Tensor& input) const {
    const Matrix x = matrix_of(input);
    const bool low_rank = is_low_rank();
    std::vector<Row> residuals, latents, turned, index_keys;
    for (size_t p = 0; p < x.size(); ++p) {
      residuals.push_back(low_rank ? normed(biased("q_a_proj", x[p]), vector("q_a_layernorm"))
                                   : x[p]);
      Row both = biased("kv_a_proj_with_mqa", x[p]);
      turn(both, kRank, kRope, static_cast<double>(p));
      latents.push_back(normed({both.begin(), both.begin() + kRank}, vector("kv_a_layernorm")));
      turned.emplace_back(both.begin() + kRank, both.end());
      if (!indexer) continue;
      Row key = layer_normed(product(weight("indexer.wk"), x[p]), vector("indexer.k_norm"),
                             matrix_of(tensor("indexer.k_norm.bias"))[0]);
      turn(key, 0, kRope, static_cast<double>(p));
      index_keys.push_back(key);
    }
    Matrix result;
    for (size_t p = 0; p < x.size(); ++p) {
      const Row q = product(weight(low_rank ? "q_b_proj" : "q_proj"), residuals[p]);
      std::vector<size_t> seen(p + 1);
      std::iota(seen.begin(), seen.end(), 0);
      if (indexer) seen = selected(x[p], residuals[p], index_keys, seen);
      Row mixed;
      for (size_t h = 0; h < kHeads; ++h) {
        Row query(q.begin() + static_cast<long>(h * (kKey + kRope)),
                  q.begin() + static_cast<long>((h + 1) * (kKey + kRope)));
        turn(query, kKey, kRope, static_cast<double>(p));
        const Row values = attended(h, query, seen, latents, turned);
        mixed.insert(mixed.end(), values.begin(), values.end());
      }
      result.push_back(biased("o_proj", mixed));
    }
    return result;
  }

 private:
  bool is_low_rank() const { return !builder.config.at("q_lora_rank").is_null(); }
  static RopeTable rope() {
    std::vector<float> frequencies;
    for (int64_t i = 0; i < kRope; i += 2)
      frequencies.push_back(static_cast<float>(std::pow(1e4, -static_cast<double>(i) / kRope)));
    return {RopeTable::Pairs::kAdjacent, kRope,
            Tensor::from(std::span<const float>(frequencies), {kRope / 2})};
  }

  // Values of about 1 / sqrt(inputs), so that softmaxes are neither flat nor of one key.
  void add(const std::string& module, const WeightKind& kind, const Shape& shape) {
    Tensor values = random_weight(++seed_, shape);
    for (float& value : values.mutable_data<float>())
      value *= 2 / std::sqrt(static_cast<float>(shape[-1]));
    const Weight weight = kind.format ? Weight(quantize(values, *kind.format, Encoder::kMlx))
                                      : Weight(values.to(kind.dtype));
    builder.add_weight(module, weight);
    values_.emplace(module, values_of(weight));
  }
  void add_vector(const std::string& name, int64_t extent) {
    Tensor values = random_weight(++seed_, {1, extent}).reshape({extent});
    for (float& value : values.mutable_data<float>())
      value = value / 4 + (name.ends_with("bias") ? 0.0f : 1.0f);
    builder.add(name, values);
  }
  const Tensor& tensor(const std::string& name) const { return builder.tensor(name); }
  Row vector(const std::string& norm) const { return matrix_of(tensor(norm + ".weight"))[0]; }
  Matrix weight(const std::string& module) const { return matrix_of(values_.at(module)); }
  Row biased(const std::string& module, const Row& x) const {
    Row y = product(weight(module), x);
    const Row bias = matrix_of(tensor(module + ".bias"))[0];
    for (size_t i = 0; i < y.size(); ++i) y[i] += bias[i];
    return y;
  }
  // Rows of one head's keys and of its values, [width, rank].
  Matrix keys_of(size_t head) const {
    const auto h = static_cast<int64_t>(head);
    if (values_.contains("kv_b_proj"))
      return matrix_of(values_.at("kv_b_proj").slice(0, h * 64, h * 64 + kKey));
    const Tensor embed = values_.at("embed_q").slice(0, h, h + 1);
    return matrix_of(transposed_values(embed).reshape({kKey, kRank}));
  }
  Matrix values_of_head(size_t head) const {
    const auto h = static_cast<int64_t>(head);
    if (values_.contains("kv_b_proj"))
      return matrix_of(values_.at("kv_b_proj").slice(0, h * 64 + kKey, (h + 1) * 64));
    return matrix_of(values_.at("unembed_out").slice(0, h, h + 1).reshape({kValue, kRank}));
  }
  Row attended(size_t head, const Row& query, const std::vector<size_t>& seen,
               const std::vector<Row>& latents, const std::vector<Row>& turned) const {
    const Matrix keys = keys_of(head), values = values_of_head(head);
    Row scores;
    for (const size_t p : seen) {
      Row key = product(keys, latents[p]);
      key.insert(key.end(), turned[p].begin(), turned[p].end());
      scores.push_back(dot(query, key) / std::sqrt(double{kKey + kRope}));
    }
    const double largest = *std::ranges::max_element(scores);
    double total = 0;
    for (double& score : scores) total += score = std::exp(score - largest);
    Row result(kValue, 0.0);
    for (size_t i = 0; i < seen.size(); ++i) {
      const Row value = product(values, latents[seen[i]]);
      for (size_t j = 0; j < result.size(); ++j) result[j] += scores[i] / total * value[j];
    }
    return result;
  }
  std::vector<size_t> selected(const Row& x, const Row& residual, const std::vector<Row>& keys,
                               std::vector<size_t> seen) const {
    const Row weights = product(weight("indexer.weights_proj"), x);
    const Row q = product(weight("indexer.wq_b"), residual);
    Row scores;
    for (const size_t p : seen) {
      double score = 0;
      for (size_t h = 0; h < kIndexHeads; ++h) {
        Row query(q.begin() + static_cast<long>(h * kIndexDim),
                  q.begin() + static_cast<long>((h + 1) * kIndexDim));
        turn(query, 0, kRope, static_cast<double>(seen.back()));
        score += weights[h] * std::max(0.0, dot(query, keys[p]));
      }
      scores.push_back(score);
    }
    std::ranges::stable_sort(seen, [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    if (seen.size() > kSelected) seen.resize(kSelected);
    return seen;
  }

  std::filesystem::path path_;
  uint64_t seed_ = 0;
  std::map<std::string, Tensor> values_;
};

Tensor inputs(int64_t rows) { return random_weight(99, {rows, kHidden}); }

// The largest difference as a share of the largest value.
double difference(const Tensor& found, const Matrix& expected) {
  const Matrix values = matrix_of(found);
  double most = 0, largest = 0;
  for (size_t i = 0; i < expected.size(); ++i)
    for (size_t j = 0; j < expected[i].size(); ++j) {
      most = std::max(most, std::abs(values[i][j] - expected[i][j]));
      largest = std::max(largest, std::abs(expected[i][j]));
    }
  return most / largest;
}

const std::vector<int64_t> kSingly(80, 1);
const std::vector<std::vector<int64_t>> kPieces{{80}, {20, 20, 20, 20}, {3, 77}, kSingly};

const WeightKind kKinds[] = {{"dense", {}},
                             {"mxfp8", Format::parse("mxfp8")},
                             {"mxfp4", Format::parse("mxfp4")},
                             {"nvfp4", Format::parse("nvfp4")},
                             {"affine", Format::parse("affine", 4, 32)}};

// 64 rows and more are expanded, fewer absorbed.
TEST(LatentAttention, IsItsDefinitionInBothForms) {
  const Tensor x = inputs(80);
  for (const WeightKind& kind : kKinds)
    for (const Stored stored : {Stored::kPerHead, Stored::kWhole})
      for (const HeadProjections asked : {HeadProjections::kPerHead, HeadProjections::kWhole}) {
        if (stored == Stored::kPerHead && asked == HeadProjections::kWhole) continue;
        SCOPED_TRACE(kind.name);
        TinyLatent model(stored, kind);
        model.projections = asked;
        model.write();
        const Matrix expected = model.expected(x);
        for (const auto& pieces : kPieces)
          EXPECT_LT(difference(on_one_rank(
                                   [&](Context& context) { return model.run(context, x, pieces); }),
                               expected),
                    2e-5)
              << pieces.size() << " pieces";
      }
}

TEST(LatentAttention, TakesQueriesOfFullRank) {
  std::string config = kConfig;
  config.replace(config.find("\"q_lora_rank\": 32"), 17, "\"q_lora_rank\": null");
  TinyLatent model(Stored::kPerHead, {"dense", {}}, config);
  model.write();
  const Tensor x = inputs(10);
  EXPECT_LT(difference(on_one_rank([&](Context& context) { return model.run(context, x, {10}); }),
                       model.expected(x)),
            2e-5);
}

TEST(LatentAttention, AttendsToTheKeysThatItsIndexerSelects) {
  TinyLatent model(Stored::kPerHead);
  model.add_indexer();
  model.write();
  const Tensor x = inputs(80);
  const Matrix expected = model.expected(x);
  for (const auto& pieces : kPieces)
    EXPECT_LT(
        difference(on_one_rank([&](Context& context) { return model.run(context, x, pieces); }),
                   expected),
        2e-5)
        << pieces.size() << " pieces";
}

TEST(LatentAttention, FormsAgreeInBfloat16) {
  const Tensor x = inputs(80);
  TinyLatent model(Stored::kPerHead, kKinds[1]);
  model.write();
  const auto run = [&](const std::vector<int64_t>& pieces) {
    return on_one_rank([&](Context& context) {
      Context rounded{context.backend, context.group, DType::kBF16};
      return model.run(rounded, x.to(DType::kBF16), pieces);
    });
  };
  const Tensor expanded = run({80});
  const Tensor absorbed = run({40, 40});
  EXPECT_LT(difference(expanded, matrix_of(absorbed)), 0.02);
  EXPECT_FALSE(same_bits(expanded, absorbed));
  EXPECT_TRUE(same_bits(run(kSingly), absorbed));
}

// Six heads, in pairs where groups are wider than a head: with eight ranks, some have none.
TEST(LatentAttention, GivesTheSameBitsOnEveryNumberOfRanks) {
  const Tensor x = inputs(80);
  for (const WeightKind& kind : kKinds)
    for (const Stored stored : {Stored::kPerHead, Stored::kWhole}) {
      TinyLatent model(stored, kind);
      model.add_indexer();
      if (kind.format) {
        for (const char* module : {"indexer.wq_b", "indexer.wk", "indexer.weights_proj"})
          model.builder.config["quantization"][module] = false;
      }
      model.write();
      for (const auto& pieces : {std::vector<int64_t>{80}, std::vector<int64_t>{10, 1, 69}}) {
        const Tensor expected =
            on_one_rank([&](Context& context) { return model.run(context, x, pieces); });
        for (const int ranks : kRankCounts)
          on_ranks(ranks, [&](Context& context) {
            EXPECT_TRUE(same_bits(model.run(context, x, pieces), expected))
                << kind.name << " on " << ranks;
          });
      }
    }
}

// A sequence has the bits that it has alone.
TEST(LatentAttention, RunsSequencesOfDifferentLengthsTogether) {
  const Tensor x = inputs(96);
  TinyLatent model(Stored::kPerHead);
  model.add_indexer();
  model.write();
  on_ranks(1, [&](Context& context) {
    Checkpoint checkpoint = model.open();
    auto config = LatentAttentionConfig::read(checkpoint.config());
    config.indexer = model.indexer;
    config.selection = KeySelection::kOwn;
    const LatentAttention attention(LayerLoader(checkpoint, Shares::equal(1), 0), config);
    const CacheRoom room{96, DType::kF32, Device::cpu()};
    const auto alone = [&](int64_t begin, int64_t end) {
      LayerCache cache = attention.make_cache(room);
      const SequenceRows rows[] = {{0, end - begin, 0, cache}};
      return attention.forward(context, x.slice(0, begin, end), rows);
    };
    // Absorbed, selected, and one of a single token.
    LayerCache a = attention.make_cache(room), b = attention.make_cache(room),
               c = attention.make_cache(room);
    const SequenceRows rows[] = {{0, 15, 0, a}, {15, 95, 0, b}, {95, 96, 0, c}};
    const Tensor together = attention.forward(context, x, rows);
    EXPECT_TRUE(same_bits(together.slice(0, 0, 15), alone(0, 15)));
    EXPECT_TRUE(same_bits(together.slice(0, 15, 95), alone(15, 95)));
    EXPECT_TRUE(same_bits(together.slice(0, 95, 96), alone(95, 96)));
  });
}

}  // namespace
}  // namespace strake
