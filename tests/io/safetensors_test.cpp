#include "io/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "expect_error.h"
#include "temp_directory.h"

namespace strake {
namespace {
namespace fs = std::filesystem;

const fs::path kData = fs::path(STRAKE_TEST_DATA) / "io";

// The bytes of a file with this header length, header and data.
std::string file_of(uint64_t length, const std::string& header, const std::string& data) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

std::string file_of(const std::string& header, const std::string& data) {
  return file_of(header.size(), header, data);
}

// A file with one tensor of bytes 0, 1, ..
std::string bytes_file(const std::string& name, int count) {
  std::string data;
  for (int i = 0; i < count; ++i) data += static_cast<char>(i);
  const std::string n = std::to_string(count);
  return file_of(
      "{\"" + name + R"(":{"dtype":"U8","shape":[)" + n + R"(],"data_offsets":[0,)" + n + "]}}",
      data);
}

template <class T>
double number(T value) {
  if constexpr (std::is_integral_v<T>)
    return static_cast<double>(value);
  else
    return to_float(value);
}

// Every element is `expected(i)`.
template <class T>
void expect_values(const Tensor& tensor, const std::function<int(int)>& expected) {
  const auto values = tensor.data<T>();
  for (size_t i = 0; i < values.size(); ++i)
    EXPECT_EQ(number(values[i]), expected(static_cast<int>(i)));
}

template <class T>
void expect_count(const SafetensorsFile& file, const std::string& name) {
  SCOPED_TRACE(name);
  const Tensor tensor = file.read(name);
  EXPECT_EQ(tensor.shape(), (Shape{2, 3, 4}));
  expect_values<T>(tensor, [](int i) { return i; });
}

TEST(SafetensorsFile, ReadsWhatTheReferenceWrites) {
  const auto file = SafetensorsFile::open(kData / "reference.safetensors");
  expect_count<float>(file, "x.float32");
  expect_count<F16>(file, "x.float16");
  expect_count<Bf16>(file, "x.bfloat16");
  expect_count<uint8_t>(file, "x.uint8");
  expect_count<int8_t>(file, "x.int8");
  expect_count<uint16_t>(file, "x.uint16");
  expect_count<int16_t>(file, "x.int16");
  expect_count<uint32_t>(file, "x.uint32");
  expect_count<int32_t>(file, "x.int32");
  expect_count<uint64_t>(file, "x.uint64");
  expect_count<int64_t>(file, "x.int64");
  expect_count<uint8_t>(file, "x.float8_e4m3fn");
  const Tensor odd = file.read("x.bool");
  EXPECT_EQ(odd.dtype(), DType::kBool);
  for (int i = 0; i < 24; ++i) EXPECT_EQ(static_cast<int>(odd.bytes()[i]), i % 2);
  EXPECT_EQ(file.read("empty").shape(), (Shape{3, 0, 2}));
  EXPECT_EQ(file.read("scalar").shape(), Shape());
  EXPECT_EQ(file.read("scalar").data<float>()[0], 2.5f);
  EXPECT_EQ(file.metadata().at("note"), "\u00e9\n");
}

TEST(SafetensorsFile, UnsupportedTypesFailWhenRead) {
  const auto file = SafetensorsFile::open(kData / "reference.safetensors");
  EXPECT_EQ(file.tensors().at("x.float64").shape, (Shape{2, 3, 4}));
  expect_error(ErrorKind::kUnsupported, "tensor 'x.float64': dtype F64",
               [&] { file.read("x.float64"); });
  expect_error(ErrorKind::kUnsupported, "tensor 'x.float8_e5m2': dtype F8_E5M2",
               [&] { file.read("x.float8_e5m2", 0, 0, 1); });
}

TEST(SafetensorsFile, ReadsWhatMlxWrites) {
  for (const char* name : {"mlx.safetensors", "mlx_null.safetensors"}) {
    const auto file = SafetensorsFile::open(kData / name);
    EXPECT_EQ(file.metadata().size(), std::string(name) == "mlx.safetensors" ? 1u : 0u);
    ASSERT_EQ(file.tensors().size(), 20u);
    for (int i = 0; i < 20; ++i) {
      const Tensor tensor = file.read("t" + std::to_string(i));
      EXPECT_EQ(tensor.shape(), (Shape{i + 1, 2}));
      const auto constant = [i](int) { return i; };
      switch (i % 3) {
        case 0:
          expect_values<float>(tensor, constant);
          break;
        case 1:
          expect_values<Bf16>(tensor, constant);
          break;
        default:
          expect_values<uint32_t>(tensor, constant);
      }
    }
  }
}

TEST(SafetensorsFile, PartsEqualSlicesOfTheWholeAndReadNoMore) {
  const auto file = SafetensorsFile::open(kData / "reference.safetensors");
  for (const char* name : {"x.float32", "x.bfloat16", "x.uint8", "x.int64"}) {
    const Tensor whole = file.read(name);
    for (int axis = -3; axis < 3; ++axis) {
      const int64_t extent = whole.shape()[axis];
      for (int64_t begin = 0; begin <= extent; ++begin)
        for (int64_t end = begin; end <= extent; ++end) {
          const int64_t before = file.bytes_read();
          const Tensor part = file.read(name, axis, begin, end);
          const Tensor slice = whole.slice(axis, begin, end);
          EXPECT_EQ(part.shape(), slice.shape());
          EXPECT_EQ(part.dtype(), slice.dtype());
          EXPECT_TRUE(std::ranges::equal(part.bytes(), slice.bytes()));
          EXPECT_EQ(file.bytes_read() - before, slice.nbytes());
        }
    }
  }
  EXPECT_EQ(file.read("empty", 0, 1, 3).shape(), (Shape{2, 0, 2}));
  EXPECT_EQ(file.read("empty", 1, 0, 0).shape(), (Shape{3, 0, 2}));
}

TEST(SafetensorsFile, WrongSlicesAndNames) {
  const auto file = SafetensorsFile::open(kData / "reference.safetensors");
  expect_error(ErrorKind::kCheckpoint, "no tensor 'y'", [&] { file.read("y"); });
  expect_error(ErrorKind::kUsage, "'x.uint8': slice [1, 3) of axis 0 of shape [2, 3, 4]",
               [&] { file.read("x.uint8", 0, 1, 3); });
  expect_error(ErrorKind::kUsage, "slice [2, 1)", [&] { file.read("x.uint8", 1, 2, 1); });
  expect_error(ErrorKind::kUsage, "slice [-1, 1)", [&] { file.read("x.uint8", 1, -1, 1); });
  expect_error(ErrorKind::kUsage, "axis 3", [&] { file.read("x.uint8", 3, 0, 1); });
  expect_error(ErrorKind::kUsage, "axis 0", [&] { file.read("scalar", 0, 0, 1); });
}

TEST(SafetensorsFile, DamagedFiles) {
  const TempDirectory directory;
  const std::string header = R"({"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})";
  struct Case {
    const char* what;
    std::string bytes;
    const char* message;
  };
  const Case cases[] = {
      {"empty", "", "0 bytes, a header length of 8"},
      {"seven bytes", "\1\0\0\0\0\0\0", "a header length"},
      {"header length 0", file_of(0, "", ""), "from 1 to 99999999 expected, found 0"},
      {"header length 100,000,000", file_of(100'000'000, header, "abcd"), "found 100000000"},
      {"header length 2^64 - 1", file_of(~uint64_t{0}, header, "abcd"), "18446744073709551615"},
      {"header beyond the file", file_of(header.size() + 9, header, "abcd"), "the file at byte"},
      {"data cut short", file_of(header, "abc"), "within the 3 bytes of data expected, found 4"},
      {"data too long", file_of(header, "abcde"), "1 bytes follow"},
      {"a git pointer", "version https://git-lfs.github.com/spec/v1\noid", "header length"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const fs::path path = directory.write("f.safetensors", c.bytes);
    expect_error(ErrorKind::kCheckpoint, c.message, [&] { SafetensorsFile::open(path); });
    expect_error(ErrorKind::kCheckpoint, path.string(), [&] { SafetensorsFile::open(path); });
  }
  expect_error(ErrorKind::kSystem, "missing.safetensors",
               [&] { SafetensorsFile::open(directory.path() / "missing.safetensors"); });
  expect_error(ErrorKind::kSystem, "not a regular file",
               [&] { SafetensorsFile::open(directory.path()); });
}

TEST(SafetensorsFile, FileCutAfterOpening) {
  const TempDirectory directory;
  const fs::path path = directory.write("f.safetensors", bytes_file("w", 4));
  const auto file = SafetensorsFile::open(path);
  fs::resize_file(path, fs::file_size(path) - 1);
  expect_error(ErrorKind::kCheckpoint, path.string(), [&] { file.read("w"); });
}

TEST(SafetensorsDirectory, MergesTheFilesOfAModelAndNoOthers) {
  const TempDirectory directory;
  directory.write("model-00002.safetensors", bytes_file("b", 2));
  directory.write("model-00001.safetensors", bytes_file("a", 3));
  directory.write("consolidated.safetensors", bytes_file("a", 3));
  const auto all = SafetensorsDirectory::open(directory.path());
  ASSERT_EQ(all.tensors().size(), 2u);
  EXPECT_EQ(all.files().size(), 2u);
  EXPECT_EQ(all.file_of("b").path().filename(), "model-00002.safetensors");
  EXPECT_EQ(all.read("a").elements(), 3);
  EXPECT_EQ(all.read("b", 0, 1, 2).data<uint8_t>()[0], 1);
  EXPECT_EQ(all.bytes_read(), 4);
  expect_error(ErrorKind::kCheckpoint, "no tensor 'c'", [&] { all.read("c"); });
}

TEST(SafetensorsDirectory, TheIndexChoosesTheFiles) {
  const TempDirectory directory;
  directory.write("one.safetensors", bytes_file("a", 3));
  directory.write("model.safetensors", "damaged");
  directory.write("model.safetensors.index.json", R"({"weight_map":{"a":"one.safetensors"}})");
  EXPECT_EQ(SafetensorsDirectory::open(directory.path()).read("a").elements(), 3);
}

TEST(SafetensorsDirectory, RepeatedTensorsAreNamedWithBothFiles) {
  const TempDirectory directory;
  directory.write("model-1.safetensors", bytes_file("a", 3));
  directory.write("model-2.safetensors", bytes_file("a", 3));
  const auto open = [&] { SafetensorsDirectory::open(directory.path()); };
  expect_error(ErrorKind::kCheckpoint, "tensor 'a' stands in both", open);
  expect_error(ErrorKind::kCheckpoint, "model-1.safetensors", open);
  expect_error(ErrorKind::kCheckpoint, "model-2.safetensors", open);
}

TEST(SafetensorsDirectory, EmptyAndMissingDirectories) {
  const TempDirectory directory;
  expect_error(ErrorKind::kCheckpoint, "nor any model*.safetensors",
               [&] { SafetensorsDirectory::open(directory.path()); });
  expect_error(ErrorKind::kSystem, "cannot list",
               [&] { SafetensorsDirectory::open(directory.path() / "none"); });
}

TEST(SafetensorsDirectory, IndexesThatDisagreeWithTheFiles) {
  const TempDirectory directory;
  directory.write("one.safetensors", bytes_file("a", 3));
  directory.write("two.safetensors", bytes_file("b", 3));
  struct Case {
    const char* index;
    const char* message;
  };
  const Case cases[] = {
      {R"([])", "'weight_map' expected"},
      {R"({})", "'weight_map' expected"},
      {R"({"weight_map":[]})", "'weight_map' expected"},
      {R"({"weight_map":{}})", "names no tensor"},
      {R"({"weight_map":{"a":1}})", "weight_map['a']: a file name expected, found 1"},
      {R"({"weight_map":{"a":"../one.safetensors"}})", "found '../one.safetensors'"},
      {R"({"weight_map":{"a":"/one.safetensors"}})", "a file of the same directory"},
      {R"({"weight_map":{"a":".."}})", "a file of the same directory"},
      {R"({"weight_map":{"a":""}})", "a file of the same directory"},
      {R"({"weight_map":{"a":"one.safetensors\u0000x"}})", "a file of the same directory"},
      {R"({"weight_map":{"a":"three.safetensors"}})", "lists three.safetensors, which is missing"},
      {R"({"weight_map":{"a":"two.safetensors"}})", "places tensor 'a' in two.safetensors"},
      {R"({"weight_map":{"a":"one.safetensors","c":"one.safetensors"}})", "places tensor 'c'"},
      {R"({"weight_map":{"a":"two.safetensors","b":"one.safetensors"}})", "places tensor 'a'"},
      {R"({"weight_map":{"a":"one.safetensors","a":"one.safetensors"}})", "stands twice"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.index);
    directory.write("model.safetensors.index.json", c.index);
    expect_error(ErrorKind::kCheckpoint, c.message,
                 [&] { SafetensorsDirectory::open(directory.path()); });
  }
}

TEST(SafetensorsDirectory, TensorsThatTheIndexLeavesOut) {
  const TempDirectory directory;
  const std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})";
  directory.write("one.safetensors", file_of(header, "xy"));
  directory.write("model.safetensors.index.json", R"({"weight_map":{"a":"one.safetensors"}})");
  expect_error(ErrorKind::kCheckpoint, "does not list tensor 'b' of one.safetensors",
               [&] { SafetensorsDirectory::open(directory.path()); });
}

}  // namespace
}  // namespace strake
