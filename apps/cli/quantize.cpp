// strake quantize: writes a checkpoint in another format.
#include <fmt/format.h>

#include <cstdio>
#include <thread>

#include "base/fail.h"
#include "command.h"
#include "engine/convert.h"
#include "report.h"

namespace strake::cli {
namespace {

struct QuantizeOptions {
  std::filesystem::path model;
  std::filesystem::path out;
  std::string mode;
  std::optional<int> bits;
  std::optional<int> group_size;
  bool dequantize = false;
  std::string like;
  std::vector<std::string> modules;
  int threads = 0;
  bool json = false;
};

// "none", "mxfp8", "affine:4", "affine:4:64".
std::optional<Format> parse_format(const std::string& text) {
  if (text == "none") return std::nullopt;
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(':', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  const auto number = [&](size_t i) -> std::optional<int> {
    if (i >= parts.size()) return std::nullopt;
    int value = 0;
    if (!CLI::detail::lexical_cast(parts[i], value))
      fail(ErrorKind::kUsage, "--module: a format like affine:4:64 or none expected, found '{}'",
           text);
    return value;
  };
  if (parts.size() > 3)
    fail(ErrorKind::kUsage, "--module: a format like affine:4:64 or none expected, found '{}'",
         text);
  return Format::parse(parts[0], number(1), number(2));
}

ConvertOptions convert_options(const QuantizeOptions& options) {
  ConvertOptions convert;
  if (options.dequantize == !options.mode.empty())
    fail(ErrorKind::kUsage, "one of --mode and --dequantize expected");
  if (options.dequantize && (options.bits || options.group_size))
    fail(ErrorKind::kUsage, "--bits and --group-size have no meaning with --dequantize");
  if (!options.mode.empty())
    convert.format = Format::parse(options.mode, options.bits, options.group_size);
  for (const std::string& rule : options.modules) {
    const size_t equals = rule.find('=');
    if (equals == std::string::npos)
      fail(ErrorKind::kUsage, "--module: PATTERN=FORMAT expected, found '{}'", rule);
    convert.rules.push_back({rule.substr(0, equals), parse_format(rule.substr(equals + 1))});
  }
  if (options.like == "mlx") convert.encoder = Encoder::kMlx;
  if (options.like == "mlx-0.32.2") convert.encoder = Encoder::kMlxCeil;
  convert.threads = options.threads > 0
                        ? options.threads
                        : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return convert;
}

int quantize_command(const QuantizeOptions& options) {
  ConvertOptions convert = convert_options(options);
  Progress progress("quantize");
  convert.progress = [&](int64_t done, int64_t total, const std::string& name) {
    progress.show(done, total, name);
  };
  const ConvertReport report = convert_checkpoint(options.model, options.out, convert);
  double error = 0, square = 0;
  int64_t elements = 0, quantized = 0;
  for (const ConvertedModule& module : report.modules) {
    if (!module.format) continue;
    error += module.squared_error;
    square += module.squared;
    elements += module.elements;
    ++quantized;
  }
  const double mean = elements > 0 ? error / static_cast<double>(elements) : 0;
  const double relative = square > 0 ? error / square : 0;
  if (options.json) {
    Json modules = Json::array();
    for (const ConvertedModule& module : report.modules)
      modules.push_back(
          {{"module", module.path},
           {"format", module.format ? Json(module.format->to_string()) : Json()},
           {"elements", module.elements},
           {"mean_squared_error", module.squared_error / static_cast<double>(module.elements)}});
    print_json({{"out", options.out.string()},
                {"modules_quantized", quantized},
                {"modules_dense", report.modules.size() - static_cast<size_t>(quantized)},
                {"bytes_read", report.bytes_read},
                {"bytes_written", report.bytes_written},
                {"mean_squared_error", mean},
                {"relative_squared_error", relative},
                {"modules", modules}});
    return 0;
  }
  fmt::print("{}: {} modules quantized, {} dense; {} to {}\n", options.out.string(), quantized,
             report.modules.size() - static_cast<size_t>(quantized),
             format_bytes(report.bytes_read), format_bytes(report.bytes_written));
  if (quantized > 0)
    fmt::print("mean squared error {:.6g} ({:.4g} of the weights' mean square)\n", mean, relative);
  return 0;
}

}  // namespace

void add_quantize(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand(
      "quantize", "Quantize, requantize or dequantize a checkpoint; MLX loads the result");
  auto options = std::make_shared<QuantizeOptions>();
  add_model_option(*command, options->model);
  add_json_option(*command, options->json);
  command->get_option("--model")->required();
  command->add_option("--out", options->out, "New directory")->type_name("DIR")->required();
  command->add_option("--mode", options->mode, "affine, mxfp4, mxfp8 or nvfp4")->type_name("MODE");
  command->add_option("--bits", options->bits, "affine: 2, 3, 4, 5, 6 or 8")->type_name("B");
  command->add_option("--group-size", options->group_size, "affine: 32, 64 or 128")->type_name("G");
  command->add_flag("--dequantize", options->dequantize, "Write dense weights");
  command
      ->add_option("--like", options->like,
                   "Encode bit for bit as MLX's CPU build: mlx (0.32.1) or mlx-0.32.2 (and later). "
                   "By default scales are chosen by least squared error")
      ->check(CLI::IsMember({"mlx", "mlx-0.32.2"}));
  command
      ->add_option("--module", options->modules,
                   "Format of the modules that match a shell pattern: MODE[:BITS[:GROUP]] or none")
      ->type_name("PATTERN=FORMAT")
      ->allow_extra_args(false);
  command->add_option("--threads", options->threads, "0: all processors")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->callback([options, &action] {
    action = [options](const Arguments&) { return quantize_command(*options); };
  });
}

}  // namespace strake::cli
