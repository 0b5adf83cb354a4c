// Products by format, shape and rows, as shares of what the same cores do at best in the same run:
// bench_kernels --help
//
// Weights are read from memory: every call takes the next of copies that fill 512 MB together.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <numeric>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "measurements.h"
#include "strake/base/error.h"
#include "strake/base/half.h"
#include "strake/ops/backend.h"

namespace strake {
namespace {

constexpr int64_t kColdBytes = int64_t{512} << 20;
constexpr int64_t kExperts = 64, kChosen = 8, kExpertHidden = 2048, kExpertWidth = 1024;

struct Options {
  int threads = 1;
  std::string path;
  std::vector<std::string> modes{"affine:4", "mxfp4", "nvfp4", "affine:8", "mxfp8"};
  std::vector<std::string> shapes{"4096,4096", "11008,4096", "4096,11008"};
  std::vector<int64_t> rows{1, 8, 128, 512};
  std::vector<int64_t> gather_rows{1, 64};
  double seconds = 1;
  bool json = false;
};

// "mode[:bits[:group]]"; "all" stands for every format, "bf16" for a dense weight.
std::vector<std::optional<Format>> parse_formats(const std::vector<std::string>& names) {
  std::vector<std::optional<Format>> formats;
  for (const std::string& name : names) {
    if (name == "all") {
      formats.assign(Format::all().begin(), Format::all().end());
      continue;
    }
    if (name == "bf16") {
      formats.push_back(std::nullopt);
      continue;
    }
    std::istringstream words(name);
    std::string mode, bits, group;
    std::getline(words, mode, ':');
    std::getline(words, bits, ':');
    std::getline(words, group, ':');
    const auto number = [](const std::string& word) {
      return word.empty() ? std::nullopt : std::optional(std::stoi(word));
    };
    formats.push_back(Format::parse(mode, number(bits), number(group)));
  }
  return formats;
}

std::string name_of(const std::optional<Format>& format) {
  if (!format) return "bf16";
  return fmt::format("{}:{}:{}", format->mode_name(), format->bits(), format->group_size());
}

Tensor random_bf16(std::mt19937_64& random, Shape shape) {
  Tensor tensor = Tensor::empty(DType::kBF16, std::move(shape));
  for (Bf16& value : tensor.mutable_data<Bf16>())
    value = to_bf16(static_cast<float>(random() >> 40) * 0x1p-23f - 1);
  return tensor;
}

// Random codes; scales near 2^-6.
Weight random_weight(std::mt19937_64& random, const std::optional<Format>& format, Shape shape) {
  if (!format) return random_bf16(random, std::move(shape));
  const Shape groups = shape.with(-1, shape[-1] / format->group_size());
  const bool affine = format->has_biases();
  QuantizedParts parts{Tensor::empty(DType::kU32, shape.with(-1, format->words(shape[-1]))),
                       Tensor::empty(affine ? DType::kBF16 : DType::kU8, groups)};
  // e4m3 has a code that is no number: elements stay below 2.
  const uint64_t mask = format->mode() == Mode::kMxfp8 ? 0xbfbfbfbfu : 0xffffffffu;
  for (uint32_t& word : parts.codes.mutable_data<uint32_t>())
    word = static_cast<uint32_t>((random() >> 32) & mask);
  if (affine) {
    for (Bf16& scale : parts.scales.mutable_data<Bf16>()) scale = to_bf16(0x1p-6f);
    parts.biases = random_bf16(random, groups);
  } else {
    const uint8_t scale = format->mode() == Mode::kNvfp4 ? 0x08 : 121;  // 2^-6
    std::ranges::fill(parts.scales.mutable_data<uint8_t>(), scale);
  }
  return QuantizedMatrix::make("random", *format, std::move(parts));
}

// Weights prepared for a backend, taken in turn.
class ColdWeights {
 public:
  ColdWeights(Backend& backend, const std::optional<Format>& format, const Shape& shape) {
    std::mt19937_64 random(1);
    do {
      Weight weight = random_weight(random, format, shape);
      bytes_ = weight.nbytes();
      weights_.push_back(backend.prepare(std::move(weight)));
    } while (bytes_ * static_cast<int64_t>(weights_.size()) < kColdBytes);
  }
  const Weight& next() { return weights_[turn_++ % weights_.size()]; }
  int64_t bytes() const { return bytes_; }  // of one, as a checkpoint stores it

 private:
  std::vector<Weight> weights_;
  size_t turn_ = 0;
  int64_t bytes_ = 0;
};

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options),
        backend_(make_backend("cpu", {.threads = options.threads, .path = options.path})),
        measurements_({.engine = fmt::format("path {}", backend_->path()),
                       .path = std::string(backend_->path()),
                       .threads = backend_->threads(),
                       .seconds = options.seconds,
                       .output = options.json ? Measurements::Output::kJson
                                              : Measurements::Output::kTable}) {}

  void run();

 private:
  void products(const std::optional<Format>& format, const Shape& shape);
  void experts(const std::optional<Format>& format);

  Options options_;
  std::unique_ptr<Backend> backend_;
  Measurements measurements_;
};

void Bench::products(const std::optional<Format>& format, const Shape& shape) {
  if (options_.rows.empty()) return;
  const int64_t outputs = shape[0], inputs = shape[1];
  ColdWeights weights(*backend_, format, shape);
  const SumTree tree = SumTree::whole(inputs);
  for (const int64_t rows : options_.rows) {
    std::mt19937_64 random(2);
    const Tensor x = random_bf16(random, {rows, inputs});
    measurements_.measure({.format = name_of(format),
                           .outputs = outputs,
                           .inputs = inputs,
                           .rows = rows,
                           .bytes = static_cast<double>(weights.bytes()),
                           .operations = 2.0 * static_cast<double>(rows * outputs * inputs)},
                          [&] { backend_->matmul(x, weights.next(), tree); });
  }
}

void Bench::experts(const std::optional<Format>& format) {
  if (options_.gather_rows.empty()) return;
  ColdWeights weights(*backend_, format, {kExperts, kExpertWidth, kExpertHidden});
  const SumTree tree = SumTree::whole(kExpertHidden);
  const std::vector<int> root{0};
  for (const int64_t rows : options_.gather_rows) {
    std::mt19937_64 random(3);
    const Tensor x = random_bf16(random, {rows, kExpertHidden});
    // Each row goes through its own choice of distinct experts.
    std::vector<int32_t> lhs, rhs, all(kExperts);
    std::iota(all.begin(), all.end(), 0);
    std::vector<bool> read(kExperts);
    for (int64_t row = 0; row < rows; ++row) {
      std::ranges::shuffle(all, random);
      for (int64_t i = 0; i < kChosen; ++i) {
        lhs.push_back(static_cast<int32_t>(row));
        rhs.push_back(all[static_cast<size_t>(i)]);
        read[static_cast<size_t>(rhs.back())] = true;
      }
    }
    const double share = static_cast<double>(std::ranges::count(read, true)) / kExperts;
    measurements_.measure(
        {.format = name_of(format),
         .kind = "experts",
         .outputs = kExpertWidth,
         .inputs = kExpertHidden,
         .rows = rows,
         .bytes = share * static_cast<double>(weights.bytes()),
         .operations = 2.0 * static_cast<double>(rows * kChosen * kExpertWidth * kExpertHidden)},
        [&] {
          backend_->gather_matmul(x, weights.next(), {lhs, rhs}, {tree, root});
        });
  }
}

void Bench::run() {
  const auto formats = parse_formats(options_.modes);
  for (const auto& format : formats) {
    for (const std::string& words : options_.shapes) {
      int64_t outputs = 0, inputs = 0;
      char comma = 0;
      if (!(std::istringstream(words) >> outputs >> comma >> inputs) || comma != ',')
        throw Error(ErrorKind::kUsage, "--shape: N,K expected, found '" + words + "'");
      products(format, {outputs, inputs});
    }
    experts(format);
  }
}

}  // namespace
}  // namespace strake

int main(int count, char** words) {
  strake::Options options;
  CLI::App app("Products by format, shape and rows");
  app.add_option("--threads", options.threads)->capture_default_str();
  app.add_option(
      "--path", options.path,
      "Instruction path: amx-bf16, avx512-bf16, avx2 or portable (default: the fastest)");
  app.add_option("--modes", options.modes, "MODE[:BITS[:GROUP]],..., bf16 or all")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--shape", options.shapes, "N,K; may be repeated")
      ->allow_extra_args(false)
      ->capture_default_str();
  app.add_option("--m", options.rows, "Rows; 0 for none")->delimiter(',')->capture_default_str();
  app.add_option("--experts-m", options.gather_rows, "Rows through experts; 0 for none")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "Of each measurement")->capture_default_str();
  app.add_flag("--json", options.json, "One object a line: probes, then products");
  CLI11_PARSE(app, count, words);
  try {
    std::erase(options.rows, 0);
    std::erase(options.gather_rows, 0);
    strake::Bench(options).run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_kernels: {}\n", error.what());
    return 1;
  }
}
