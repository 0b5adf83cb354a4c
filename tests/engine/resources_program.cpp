// What a rank really costs: writes a synthetic checkpoint of about 1 GB, or, under mpirun, loads it
// and checks each rank's memory and bytes read against its share.
//   resources_program write DIR
//   mpirun -n 4 resources_program load DIR
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "base/fail.h"
#include "comm/communicators.h"
#include "engine/session.h"
#include "io/safetensors_writer.h"

namespace strake {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kHidden = 2048, kWidth = 8192, kLayers = 16, kVocabulary = 32000;
constexpr int64_t kHeads = 16, kKvHeads = 8, kHeadDim = 128;

// MXFP8 codes and scales with some pattern; NaN codes do not exist in it.
Tensor pattern(const TensorSpec& spec) {
  Tensor tensor = Tensor::empty(spec.dtype, spec.shape);
  const auto bytes = tensor.mutable_bytes();
  if (spec.dtype == DType::kBF16) {
    for (auto& value : tensor.mutable_data<Bf16>()) value = to_bf16(1.0f);
  } else if (spec.dtype == DType::kU8) {
    for (auto& byte : bytes) byte = std::byte{118};
  } else {
    uint32_t state = 1;
    for (auto& word : tensor.mutable_data<uint32_t>())
      word = (state = state * 1664525u + 1013904223u) & 0x77777777u;
  }
  return tensor;
}

void add_linear(std::vector<TensorSpec>& specs, const std::string& path, int64_t out, int64_t in) {
  specs.push_back({path + ".weight", DType::kU32, {out, in / 4}});
  specs.push_back({path + ".scales", DType::kU8, {out, in / 32}});
}

void write_checkpoint(const fs::path& directory) {
  std::vector<TensorSpec> specs;
  add_linear(specs, "model.embed_tokens", kVocabulary, kHidden);
  specs.push_back({"model.norm.weight", DType::kBF16, {kHidden}});
  for (int64_t i = 0; i < kLayers; ++i) {
    const std::string layer = fmt::format("model.layers.{}.", i);
    specs.push_back({layer + "input_layernorm.weight", DType::kBF16, {kHidden}});
    specs.push_back({layer + "post_attention_layernorm.weight", DType::kBF16, {kHidden}});
    add_linear(specs, layer + "self_attn.q_proj", kHeads * kHeadDim, kHidden);
    add_linear(specs, layer + "self_attn.k_proj", kKvHeads * kHeadDim, kHidden);
    add_linear(specs, layer + "self_attn.v_proj", kKvHeads * kHeadDim, kHidden);
    add_linear(specs, layer + "self_attn.o_proj", kHidden, kHeads * kHeadDim);
    add_linear(specs, layer + "mlp.gate_proj", kWidth, kHidden);
    add_linear(specs, layer + "mlp.up_proj", kWidth, kHidden);
    add_linear(specs, layer + "mlp.down_proj", kHidden, kWidth);
  }
  const Json config = {{"model_type", "llama"},
                       {"hidden_size", kHidden},
                       {"num_hidden_layers", kLayers},
                       {"intermediate_size", kWidth},
                       {"num_attention_heads", kHeads},
                       {"num_key_value_heads", kKvHeads},
                       {"head_dim", kHeadDim},
                       {"vocab_size", kVocabulary},
                       {"rms_norm_eps", 1e-5},
                       {"tie_word_embeddings", true},
                       {"quantization", {{"group_size", 32}, {"bits", 8}, {"mode", "mxfp8"}}}};
  write_text_file(directory / "config.json", dump_json(config));
  SafetensorsWriter writer(directory / "model.safetensors", specs, {});
  for (const TensorSpec& spec : specs) writer.write(spec.name, pattern(spec));
  writer.finish();
}

// A number from one of the kernel's files of "name: value" lines.
int64_t kernel_number(const char* file, const std::string& name) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name + ":")) return std::stoll(line.substr(name.size() + 1));
  fail(ErrorKind::kInternal, "{} has no {}", file, name);
}

// What the process has cost so far, by the kernel's own account.
struct Usage {
  int64_t peak_memory = kernel_number("/proc/self/status", "VmHWM") * 1024;
  int64_t bytes_read = kernel_number("/proc/self/io", "rchar");
  int64_t disk_read = kernel_number("/proc/self/io", "read_bytes");
};

void drop_cache(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY);
  ::posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
  ::close(descriptor);
}

int load(const fs::path& directory) {
  const auto group = make_group({});
  if (group->rank() == 0) drop_cache(directory / "model.safetensors");
  group->barrier();
  const Usage before;
  const Session session(*group, Shares::equal(group->size()), {.model = directory});
  const Usage after;
  const int64_t share = session.bytes_per_rank()[static_cast<size_t>(group->rank())];
  const int64_t largest = kVocabulary * kHidden / group->size();
  const int64_t memory = after.peak_memory - before.peak_memory;
  const int64_t read = after.bytes_read - before.bytes_read;
  constexpr int64_t kHeaders = 2 << 20;  // config, the safetensors header, shared objects
  const bool fine = memory <= share + 3 * largest && read >= share && read <= share + kHeaders;
  const int64_t figures[] = {share, memory, read, after.disk_read - before.disk_read, fine};
  std::vector<int64_t> all(std::size(figures) * static_cast<size_t>(group->size()));
  const std::vector<int64_t> counts(static_cast<size_t>(group->size()), sizeof figures);
  group->all_gather(std::as_bytes(std::span(figures)), std::as_writable_bytes(std::span(all)),
                    counts);
  bool all_fine = true;
  int64_t disk = 0;
  for (size_t i = 0; i < all.size(); i += std::size(figures)) {
    if (group->rank() == 0)
      fmt::print("rank {}: share {} bytes, peak memory above start {}, read {}, from disk {}\n",
                 i / std::size(figures), all[i], all[i + 1], all[i + 2], all[i + 3]);
    disk += all[i + 3];
    all_fine = all_fine && all[i + 4] != 0;
  }
  const auto size = static_cast<int64_t>(fs::file_size(directory / "model.safetensors"));
  if (group->rank() == 0)
    fmt::print("file {} bytes, read from disk by all ranks {}: {}\n", size, disk,
               all_fine ? "each rank read and holds its share" : "TOO MUCH");
  return all_fine && disk <= size + size / 10 ? 0 : 1;
}

}  // namespace
}  // namespace strake

int main(int argc, char** argv) try {
  const std::string what = argc == 3 ? argv[1] : "";
  if (what == "write") {
    strake::write_checkpoint(argv[2]);
    return 0;
  }
  if (what == "load") return strake::load(argv[2]);
  fmt::print(stderr, "usage: resources_program write|load DIR\n");
  return 2;
} catch (const std::exception& error) {
  fmt::print(stderr, "resources_program: {}\n", error.what());
  return 1;
}
