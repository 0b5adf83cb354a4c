#include "measurements.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

namespace strake {
namespace {

constexpr double kCleanAdds = 3.3;       // adds per cycle of a core that nothing shares
constexpr double kSampleSeconds = 0.02;  // at least, of products
constexpr size_t kFewest = 3;            // clean samples; where there are fewer, all count

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<long>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

struct Measurements::Sample {
  double adds, seconds, bandwidth, products;
};

Measurements::Sample Measurements::take(const std::function<void()>& call) {
  Sample sample{};
  sample.bandwidth = probes_.read_bandwidth();
  sample.adds = probes_.adds_per_cycle();
  sample.products = probes_.product_rate();
  int64_t calls = 0;
  const auto begin = Clock::now();
  do {
    call();
    ++calls;
    sample.seconds = seconds_since(begin);
  } while (sample.seconds < kSampleSeconds);
  sample.seconds /= static_cast<double>(calls);
  sample.adds = std::min(sample.adds, probes_.adds_per_cycle());
  return sample;
}

Measurements::Measurements(Settings settings)
    : settings_(std::move(settings)), probes_(settings_.threads, settings_.path) {
  if (settings_.output == Output::kTable) {
    fmt::print("{}, {} threads; shares of the read bandwidth and of the product rate probed\n",
               settings_.engine, settings_.threads);
    fmt::print("{:<50}{:>10}{:>8}{:>8}{:>9}{:>8}{:>8}{:>8}  clean\n", "format, N x K, rows", "us",
               "GB/s", "share", "GFLOP/s", "share", "probed", "probed");
    return;
  }
  std::vector<double> bandwidth, products, adds;
  for (int i = 0; i < 5; ++i) {
    bandwidth.push_back(probes_.read_bandwidth());
    products.push_back(probes_.product_rate());
    adds.push_back(probes_.adds_per_cycle());
  }
  fmt::print("{}\n", nlohmann::ordered_json{{"engine", settings_.engine},
                                            {"threads", settings_.threads},
                                            {"read_bandwidth", median(bandwidth)},
                                            {"product_rate", median(products)},
                                            {"adds_per_cycle", median(adds)},
                                            {"clean", median(adds) >= kCleanAdds}}
                         .dump());
  std::fflush(stdout);
}

void Measurements::measure(const Product& product, const std::function<void()>& call) {
  call();
  std::vector<Sample> samples;
  const auto start = Clock::now();
  while (samples.size() < 5 || seconds_since(start) < settings_.seconds)
    samples.push_back(take(call));
  std::vector<Sample> clean;
  std::ranges::copy_if(samples, std::back_inserter(clean),
                       [](const Sample& sample) { return sample.adds >= kCleanAdds; });
  const bool noisy = clean.size() < kFewest;
  const auto middle = [&](auto value) {
    std::vector<double> values;
    for (const Sample& sample : noisy ? samples : clean) values.push_back(value(sample));
    return median(values);
  };
  const double seconds = middle([](const Sample& s) { return s.seconds; });
  const double bandwidth = middle([](const Sample& s) { return s.bandwidth; });
  const double rate = middle([](const Sample& s) { return s.products; });
  const double bandwidth_share =
      middle([&](const Sample& s) { return product.bytes / s.seconds / s.bandwidth; });
  const double rate_share =
      middle([&](const Sample& s) { return product.operations / s.seconds / s.products; });
  if (settings_.output == Output::kJson) {
    fmt::print("{}\n", nlohmann::ordered_json{{"format", product.format},
                                              {"kind", product.kind},
                                              {"outputs", product.outputs},
                                              {"inputs", product.inputs},
                                              {"rows", product.rows},
                                              {"seconds", seconds},
                                              {"bytes", product.bytes},
                                              {"operations", product.operations},
                                              {"bandwidth_share", bandwidth_share},
                                              {"product_share", rate_share},
                                              {"read_bandwidth", bandwidth},
                                              {"product_rate", rate},
                                              {"clean", !noisy}}
                           .dump());
  } else {
    fmt::print("{:<50}{:>10.1f}{:>8.1f}{:>8.3f}{:>9.1f}{:>8.3f}{:>8.1f}{:>8.0f}{:>5}/{}{}\n",
               fmt::format("{:<16}{:>14}   {}M={}", product.format,
                           fmt::format("{}x{}", product.outputs, product.inputs),
                           product.kind == "experts" ? "experts, " : "", product.rows),
               1e6 * seconds, product.bytes / seconds / 1e9, bandwidth_share,
               product.operations / seconds / 1e9, rate_share, bandwidth / 1e9, rate / 1e9,
               clean.size(), samples.size(), noisy ? " noisy" : "");
  }
  std::fflush(stdout);
}

}  // namespace strake
