// What strake bench prints: a run as JSON, the table and the plot of several.
#pragma once

#include <string>

#include "engine/bench.h"
#include "plot.h"
#include "report.h"

namespace strake::cli {

// What is measured: "llama-1b, 4 layers, mxfp8 (8 bits, groups of 32)".
struct BenchSubject {
  std::string model;
  int64_t layers;
  std::string format;
  std::string device;
};

// One object with a row for each context.
Json to_json(const BenchResult& result);
// The whole report; `runs` are of to_json().
Json to_json(const BenchSubject& subject, const Json& runs);

void print_head(const BenchSubject& subject, const Json& run);  // above the rows
void print_rows(const Json& run);                               // a line a context
void print_foot();

// Over ranks where there are several counts of them, else over contexts.
Plot plot_runs(const BenchSubject& subject, const Json& runs);

}  // namespace strake::cli
