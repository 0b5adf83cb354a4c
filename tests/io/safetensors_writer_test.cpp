#include "io/safetensors_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/json.h"
#include "expect_error.h"
#include "io/safetensors.h"
#include "temp_directory.h"

namespace strake {
namespace {
namespace fs = std::filesystem;

Tensor counting(DType dtype, const Shape& shape) {
  Tensor tensor = Tensor::empty(dtype, shape);
  unsigned value = 0;
  for (std::byte& byte : tensor.mutable_bytes()) byte = static_cast<std::byte>(value++);
  return tensor;
}

TensorSpec spec(const std::string& name, const Tensor& tensor) {
  return {name, tensor.dtype(), tensor.shape()};
}

TEST(SafetensorsWriter, WhatIsWrittenIsRead) {
  const TempDirectory directory;
  const fs::path path = directory.path() / "f.safetensors";
  std::vector<Tensor> tensors;
  std::vector<TensorSpec> specs;
  for (const DTypeTraits& type : kDTypes) {
    tensors.push_back(counting(type.dtype, {3, 5}));
    specs.push_back(spec("w." + std::string(type.name), tensors.back()));
  }
  tensors.push_back(counting(DType::kF32, {}));
  specs.push_back(spec("scalar \"\u00e9\"\n", tensors.back()));
  tensors.push_back(counting(DType::kF32, {0, 4}));
  specs.push_back(spec("empty", tensors.back()));
  SafetensorsWriter writer(path, specs, {{"format", "mlx"}});
  for (size_t i = 0; i < specs.size(); ++i) writer.write(specs[i].name, tensors[i]);
  writer.finish();

  const auto file = SafetensorsFile::open(path);
  EXPECT_EQ(file.metadata(), (Metadata{{"format", "mlx"}}));
  ASSERT_EQ(file.tensors().size(), specs.size());
  EXPECT_EQ(file.tensors().at(specs[0].name).begin % 8, 0);
  for (size_t i = 0; i < specs.size(); ++i) {
    const Tensor tensor = file.read(specs[i].name);
    EXPECT_EQ(tensor.dtype(), specs[i].dtype);
    EXPECT_EQ(tensor.shape(), specs[i].shape);
    EXPECT_TRUE(std::ranges::equal(tensor.bytes(), tensors[i].bytes()));
  }
}

TEST(SafetensorsWriter, NothingAtAll) {
  const TempDirectory directory;
  SafetensorsWriter(directory.path() / "f.safetensors", {}, {}).finish();
  EXPECT_TRUE(SafetensorsFile::open(directory.path() / "f.safetensors").tensors().empty());
}

TEST(SafetensorsWriter, EveryTensorOnceInOrderAsAnnounced) {
  const TempDirectory directory;
  const Tensor a = counting(DType::kF32, {2, 2});
  const Tensor b = counting(DType::kU8, {4});
  SafetensorsWriter writer(directory.path() / "f.safetensors", {spec("a", a), spec("b", b)}, {});
  expect_error(ErrorKind::kInternal, "'a' F32 [2, 2] is next", [&] { writer.write("b", b); });
  expect_error(ErrorKind::kInternal, "'a' F32 [2, 2] is next", [&] { writer.write("a", b); });
  expect_error(ErrorKind::kInternal, "'a' F32 [2, 2] is next",
               [&] { writer.write("a", a.reshape({4})); });
  writer.write("a", a);
  expect_error(ErrorKind::kInternal, "'b' U8 [4] is next", [&] { writer.write("a", a); });
  expect_error(ErrorKind::kInternal, "'b' was never written", [&] { writer.finish(); });
  writer.write("b", b);
  expect_error(ErrorKind::kInternal, "'c' was not announced", [&] { writer.write("c", b); });
  writer.finish();
}

TEST(SafetensorsWriter, RefusesRepeatedNamesAndExistingFiles) {
  const TempDirectory directory;
  const TensorSpec a = {"a", DType::kF32, {1}};
  expect_error(ErrorKind::kInternal, "named 'a'", [&] {
    SafetensorsWriter(directory.path() / "f", {a, a}, {});
  });
  expect_error(ErrorKind::kInternal, "named '__metadata__'", [&] {
    SafetensorsWriter(directory.path() / "g", {{"__metadata__", DType::kF32, {}}}, {});
  });
  directory.write("h", "kept");
  expect_error(ErrorKind::kSystem, "cannot create",
               [&] { SafetensorsWriter(directory.path() / "h", {a}, {}); });
  EXPECT_EQ(fs::file_size(directory.path() / "h"), 4u);
}

// Writes tensors t0, t1, .. of these many bytes and returns the file names.
std::vector<std::string> write_shards(const fs::path& directory, std::vector<int64_t> sizes,
                                      int64_t limit) {
  std::vector<TensorSpec> specs;
  for (size_t i = 0; i < sizes.size(); ++i)
    specs.push_back({"t" + std::to_string(i), DType::kU8, {sizes[i]}});
  SafetensorsShardWriter writer(directory, specs, {{"format", "mlx"}}, limit);
  for (const TensorSpec& s : specs) writer.write(s.name, counting(s.dtype, s.shape));
  writer.finish(77);
  std::vector<std::string> names;
  for (const auto& item : fs::directory_iterator(directory))
    names.push_back(item.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(SafetensorsShardWriter, OneFileUnlessTheLimitIsExceeded) {
  const TempDirectory directory;
  EXPECT_EQ(write_shards(directory.path(), {6, 4}, 10),
            (std::vector<std::string>{"model.safetensors", "model.safetensors.index.json"}));
  EXPECT_EQ(SafetensorsDirectory::open(directory.path()).tensors().size(), 2u);
}

TEST(SafetensorsShardWriter, ANewFileBeginsWhereTheNextTensorWouldExceedTheLimit) {
  const TempDirectory directory;
  EXPECT_EQ(write_shards(directory.path(), {11, 6, 4, 0, 1, 30}, 10),
            (std::vector<std::string>{
                "model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors",
                "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors",
                "model.safetensors.index.json"}));
  const auto all = SafetensorsDirectory::open(directory.path());
  EXPECT_EQ(all.file_of("t0").path().filename(), "model-00001-of-00004.safetensors");
  EXPECT_EQ(all.file_of("t3").path().filename(), "model-00002-of-00004.safetensors");
  EXPECT_EQ(all.file_of("t4").path().filename(), "model-00003-of-00004.safetensors");
  EXPECT_EQ(all.read("t5").elements(), 30);
  const Json index =
      parse_json(read_text_file(directory.path() / "model.safetensors.index.json"), "index");
  EXPECT_EQ(index["metadata"], Json::parse(R"({"total_size":52,"total_parameters":77})"));
  EXPECT_EQ(index["weight_map"].size(), 6u);
}

TEST(SafetensorsShardWriter, MissingTensorsOfLaterFiles) {
  const TempDirectory directory;
  const std::vector<TensorSpec> specs = {{"a", DType::kU8, {8}}, {"b", DType::kU8, {8}}};
  SafetensorsShardWriter writer(directory.path(), specs, {}, 8);
  writer.write("a", counting(DType::kU8, {8}));
  expect_error(ErrorKind::kInternal, "'b' was never written", [&] { writer.finish(16); });
  EXPECT_FALSE(fs::exists(directory.path() / "model.safetensors.index.json"));
}

}  // namespace
}  // namespace strake
