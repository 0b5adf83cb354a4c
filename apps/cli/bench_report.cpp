#include "bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>

namespace strake::cli {
namespace {

// Columns of the same widths.
constexpr const char* kHead =
    "{:>5}  {:>7}  {:>7}  {:>9}  {:>7}  {:>11}  {:>8}  {:>7}  {:>11}  {:>9}  {:>12}\n";
constexpr const char* kRow =
    "{:5}  {:7}  {:7}  {:9.1f}  {:>7}  {:9.3f} s  {:8.2f}  {:5.1f} %  {:9.1f} %  {:9.1f}  "
    "{:>12}\n";

double number(const Json& json) { return json.get<double>(); }

double percent(const Json& share) { return 100 * number(share); }

double collective_share(const Json& decode) {
  return number(decode.at("collective_seconds")) / number(decode.at("seconds_per_token"));
}

// What was not measured is null in JSON, and a dash in a table.
Json to_json(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

std::string percent_or_dash(const Json& share) {
  return share.is_null() ? "-" : fmt::format("{:.1f} %", percent(share));
}

std::string to_string(const BenchSubject& subject) {
  return fmt::format("{}, {} layer{}, {}", subject.model, subject.layers,
                     subject.layers == 1 ? "" : "s", subject.format);
}

}  // namespace

Json to_json(const BenchResult& result) {
  Json contexts = Json::array();
  for (const BenchPoint& point : result.points)
    contexts.push_back({{"context", point.context},
                        {"time_to_first_token", point.first_token},
                        {"prefill",
                         {{"seconds", point.prefill},
                          {"tokens_per_second", result.prefill_rate(point)},
                          {"share_of_product_rate", to_json(result.product_share(point))},
                          {"collective_seconds", point.first_token_collective}}},
                        {"decode",
                         {{"seconds_per_token", point.step},
                          {"tokens_per_second", result.decode_rate(point)},
                          {"share_of_read_bandwidth", result.bandwidth_share(point)},
                          {"collective_seconds", point.step_collective},
                          {"collectives", point.collectives}}},
                        {"logits_hash", format_hash(point.logits_hash)}});
  return {{"ranks", result.ranks},
          {"threads", result.threads},
          {"path", result.path},
          {"bytes_per_rank", result.bytes_per_rank},
          {"weight_bytes_per_token", result.bytes_per_token},
          {"probes",
           {{"read_bytes_per_second", result.read_bandwidth},
            {"operations_per_second", to_json(result.product_rate)},
            {"adds_per_cycle", to_json(result.adds_per_cycle)}}},
          {"contexts", contexts}};
}

Json to_json(const BenchSubject& subject, const Json& runs) {
  return {{"model", subject.model},
          {"layers", subject.layers},
          {"format", subject.format},
          {"device", subject.device},
          {"runs", runs}};
}

void print_head(const BenchSubject& subject, const Json& run) {
  fmt::print("{}; {}, {}\n\n", to_string(subject), subject.device,
             run.at("path").get<std::string>());
  fmt::print(kHead, "ranks", "threads", "context", "prefill/s", "of peak", "first token",
             "decode/s", "of read", "collectives", "read GB/s", "bytes a rank");
}

void print_rows(const Json& run) {
  const auto bytes = run.at("bytes_per_rank").get<std::vector<int64_t>>();
  for (const Json& row : run.at("contexts")) {
    const Json& prefill = row.at("prefill");
    const Json& decode = row.at("decode");
    fmt::print(kRow, run.at("ranks").get<int>(), run.at("threads").get<int>(),
               row.at("context").get<int64_t>(), number(prefill.at("tokens_per_second")),
               percent_or_dash(prefill.at("share_of_product_rate")),
               number(row.at("time_to_first_token")), number(decode.at("tokens_per_second")),
               percent(decode.at("share_of_read_bandwidth")), 100 * collective_share(decode),
               number(run.at("probes").at("read_bytes_per_second")) / 1e9,
               format_bytes(std::ranges::max(bytes)));
  }
  std::fflush(stdout);
}

void print_foot() {
  fmt::print(
      "\nof peak: prefill's products, of what the same cores multiply at best in this run\n"
      "of read: the weights that a token reads, of what the same cores read at best (read GB/s), "
      "or\n"
      "the same GPUs read and write\n"
      "collectives: of a decode step, waiting included; bytes a rank: weights, of the largest\n");
}

Plot plot_runs(const BenchSubject& subject, const Json& runs) {
  const bool over_ranks = std::ranges::any_of(
      runs, [&](const Json& run) { return run.at("ranks") != runs.front().at("ranks"); });
  std::map<int64_t, PlotSeries> rates, shares;
  for (const Json& run : runs)
    for (const Json& row : run.at("contexts")) {
      const auto ranks = run.at("ranks").get<int64_t>();
      const auto context = row.at("context").get<int64_t>();
      const int64_t series = over_ranks ? context : ranks;
      const auto x = static_cast<double>(over_ranks ? ranks : context);
      const Json& decode = row.at("decode");
      rates[series].name = shares[series].name =
          fmt::format("{} {}", over_ranks ? "context" : "ranks", series);
      rates[series].points.emplace_back(x, number(decode.at("tokens_per_second")));
      shares[series].points.emplace_back(x, percent(decode.at("share_of_read_bandwidth")));
    }
  PlotPanel rate{"decode, tokens a second", {}};
  PlotPanel share{"weights read, % of the measured read bandwidth", {}};
  for (auto& [key, series] : rates) rate.series.push_back(std::move(series));
  for (auto& [key, series] : shares) share.series.push_back(std::move(series));
  for (PlotPanel* const panel : {&rate, &share})
    for (PlotSeries& series : panel->series) std::ranges::sort(series.points);
  return {to_string(subject), over_ranks ? "ranks" : "context, tokens", {rate, share}};
}

}  // namespace strake::cli
