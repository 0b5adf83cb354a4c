// Latent attention's per-head projections under MLX's names, made from `kv_b_proj`, whose rows are
// for each head those of its keys and then those of its values.
#include <utility>

#include "base/fail.h"
#include "io/checkpoint.h"
#include "quant/head_weights.h"

namespace strake {
namespace {

constexpr std::string_view kKeys = "embed_q";        // [heads, rank, key width]
constexpr std::string_view kValues = "unembed_out";  // [heads, value width, rank]

bool is_stored(const Checkpoint& checkpoint, const std::string& module) {
  return checkpoint.has(module + ".weight") || checkpoint.has(module + ".weight_packed");
}

}  // namespace

std::optional<std::string> Checkpoint::latent_module(const std::string& module) const {
  for (const std::string_view name : {kKeys, kValues}) {
    if (!module.ends_with(name) || is_stored(*this, module)) continue;
    const std::string source = module.substr(0, module.size() - name.size()) + "kv_b_proj";
    if (is_stored(*this, source)) return source;
  }
  return std::nullopt;
}

std::optional<Format> Checkpoint::head_projection_format(const std::string& module,
                                                         const std::string& source,
                                                         int64_t inputs) {
  // Keys are quantized along the rank, but multiply along their width.
  if (module.ends_with(kKeys)) return std::nullopt;
  return format(source, inputs);
}

Weight Checkpoint::head_projection(const std::string& module, const Shape& shape,
                                   const std::optional<Cut>& cut) {
  const std::string source = *latent_module(module);
  const bool is_keys = module.ends_with(kKeys);
  const int64_t heads = shape[0];
  const int64_t width = is_keys ? shape[2] : shape[1];
  const int64_t rank = is_keys ? shape[1] : shape[2];
  if (cut && cut->axis != 0)
    fail(ErrorKind::kUsage, "{}: only whole heads can be cut from {}", module, source);
  const bool packed = has(source + ".weight_packed");
  const int64_t rows = use(source + (packed ? ".weight_packed" : ".weight")).shape[0];
  const int64_t each = rows / heads;
  if (rows % heads != 0 || each <= width)
    fail(ErrorKind::kCheckpoint, "{}: {} heads of more than {} rows expected, found {} rows",
         source, heads, width, rows);
  Cut of_heads{0, {}};
  const std::vector<Range> all_heads{{0, heads}};
  for (const Range range : cut ? cut->ranges : all_heads)
    for (int64_t head = range.begin; head < range.end; ++head) {
      const int64_t first = head * each + (is_keys ? 0 : each - width);
      of_heads.ranges.push_back({first, first + width});
    }
  const Weight part = stack_heads(weight(source, {rows, rank}, of_heads), width);
  return is_keys ? Weight(transposed_values(part)) : part;
}

}  // namespace strake
