// oneDNN's product of a bfloat16 weight, packed as oneDNN likes it, sampled as bench_kernels
// samples ours: bench_onednn --help
//
// x is bfloat16 and the result float32, as ours; all is float32 where oneDNN has no such product
// for the processor. Weights fill 512 MB, in huge pages as ours.
#include <fmt/format.h>
#include <omp.h>
#include <sys/mman.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "measurements.h"
#include "strake/base/half.h"
#include "strake/ops/backend.h"

namespace {

using dnnl::memory;

constexpr size_t kColdBytes = size_t{512} << 20;
constexpr size_t kHugePage = size_t{2} << 20;

struct Options {
  int threads = 1;
  std::vector<std::string> shapes{"4096,4096"};
  std::vector<int64_t> rows{1, 8, 128, 512};
  double seconds = 1;
  bool json = false;
};

// Memory of a descriptor's size in huge pages.
class HugeMemory {
 public:
  HugeMemory(const memory::desc& layout, const dnnl::engine& engine) {
    const size_t bytes = (layout.get_size() + kHugePage - 1) / kHugePage * kHugePage;
    bytes_.reset(std::aligned_alloc(kHugePage, bytes));
    if (!bytes_) throw std::bad_alloc();
    ::madvise(bytes_.get(), bytes, MADV_HUGEPAGE);  // where the machine has none, small pages do
    memory_ = memory(layout, engine, bytes_.get());
  }
  memory& get() { return memory_; }

 private:
  struct Free {
    void operator()(void* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<void, Free> bytes_;
  memory memory_;
};

template <class T, class Round>
void fill(memory& made, uint64_t seed, Round round) {
  std::mt19937_64 random(seed);
  auto* const values = static_cast<T*>(made.get_data_handle());
  for (size_t i = 0; i < made.get_desc().get_size() / sizeof(T); ++i)
    values[i] = round(static_cast<float>(random() >> 40) * 0x1p-23f - 1);
}

memory random_values(uint64_t seed, const memory::desc& layout, const dnnl::engine& engine) {
  memory made(layout, engine);
  if (layout.data_type() == memory::data_type::bf16)
    fill<strake::Bf16>(made, seed, strake::to_bf16);
  else
    fill<float>(made, seed, [](float value) { return value; });
  return made;
}

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options),
        measurements_({.engine = version(),
                       .path = std::string(strake::backend_paths("cpu").front()),
                       .threads = options.threads,
                       .seconds = options.seconds,
                       .output = options.json ? strake::Measurements::Output::kJson
                                              : strake::Measurements::Output::kTable}) {}

  void product(int64_t rows, int64_t outputs, int64_t inputs);

 private:
  static std::string version() {
    const dnnl_version_t& found = *dnnl::version();
    return fmt::format("oneDNN {}.{}.{}", found.major, found.minor, found.patch);
  }

  Options options_;
  strake::Measurements measurements_;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
};

// y [rows, outputs] = x [rows, inputs] * w [outputs, inputs]^T
void Bench::product(int64_t rows, int64_t outputs, int64_t inputs) {
  using Type = memory::data_type;
  using Tag = memory::format_tag;
  const auto choose = [&](Type type) {
    return dnnl::matmul::primitive_desc({memory::desc({rows, inputs}, type, Tag::ab),
                                         memory::desc({inputs, outputs}, type, Tag::any),
                                         memory::desc({rows, outputs}, Type::f32, Tag::ab)},
                                        engine_, true);
  };
  Type type = Type::bf16;
  auto choice = choose(type);
  if (!choice) choice = choose(type = Type::f32);
  if (!choice) throw std::runtime_error("no product for this processor");
  const dnnl::matmul matmul(choice);

  const memory::desc w_plain({inputs, outputs}, type, Tag::ba);
  memory plain = random_values(1, w_plain, engine_);
  std::vector<HugeMemory> weights;
  for (size_t bytes = 0; bytes < kColdBytes; bytes += choice.weights_desc().get_size()) {
    weights.emplace_back(choice.weights_desc(), engine_);
    dnnl::reorder(plain, weights.back().get()).execute(stream_, plain, weights.back().get());
  }
  const memory x = random_values(2, choice.src_desc(), engine_);
  const memory y(choice.dst_desc(), engine_);
  stream_.wait();

  size_t turn = 0;
  measurements_.measure(
      {.format = fmt::format("{}, {}", type == Type::bf16 ? "bf16" : "f32", choice.impl_info_str()),
       .outputs = outputs,
       .inputs = inputs,
       .rows = rows,
       .bytes = static_cast<double>(w_plain.get_size()),
       .operations = 2.0 * static_cast<double>(rows * outputs * inputs)},
      [&] {
        memory& w = weights[turn++ % weights.size()].get();
        matmul.execute(stream_, {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}});
        stream_.wait();
      });
}

}  // namespace

int main(int count, char** words) {
  Options options;
  CLI::App app("Products of a bfloat16 weight by oneDNN");
  app.add_option("--threads", options.threads)->capture_default_str();
  app.add_option("--shape", options.shapes, "N,K; may be repeated")
      ->allow_extra_args(false)
      ->capture_default_str();
  app.add_option("--m", options.rows, "Rows")->delimiter(',')->capture_default_str();
  app.add_option("--seconds", options.seconds, "Of each measurement")->capture_default_str();
  app.add_flag("--json", options.json, "One object a line: probes, then products");
  CLI11_PARSE(app, count, words);
  try {
    omp_set_num_threads(options.threads);
    Bench bench(options);
    for (const std::string& shape : options.shapes) {
      int64_t outputs = 0, inputs = 0;
      char comma = 0;
      if (!(std::istringstream(shape) >> outputs >> comma >> inputs) || comma != ',')
        throw std::invalid_argument("--shape: N,K expected, found '" + shape + "'");
      for (const int64_t rows : options.rows) bench.product(rows, outputs, inputs);
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_onednn: {}\n", error.what());
    return 1;
  }
}
