#include "io/gguf.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "gguf_builder.h"
#include "io/gguf_decode.h"

namespace strake {
namespace {

const std::filesystem::path kTypes = std::filesystem::path(STRAKE_TEST_DATA) / "io/types.gguf";

GgufHeader parse(const std::string& bytes) {
  return parse_gguf_header({static_cast<int64_t>(bytes.size()),
                            [&](int64_t offset, std::span<std::byte> out) {
                              std::memcpy(out.data(), bytes.data() + offset, out.size());
                            },
                            "f.gguf"});
}

TEST(Gguf, MetadataOfEveryType) {
  const auto file = GgufFile::open(kTypes);
  const GgufMetadata& metadata = file.metadata();
  EXPECT_EQ(metadata.integer("test.u8"), 200);
  EXPECT_EQ(metadata.integer("test.i8"), -100);
  EXPECT_EQ(metadata.integer("test.u16"), 60000);
  EXPECT_EQ(metadata.integer("test.i16"), -30000);
  EXPECT_EQ(metadata.integer("test.u32"), 4000000000);
  EXPECT_EQ(metadata.integer("test.i32"), -2000000000);
  EXPECT_EQ(metadata.integer("test.u64"), int64_t{1} << 62);
  EXPECT_EQ(metadata.integer("test.i64"), -(int64_t{1} << 62));
  EXPECT_EQ(metadata.number("test.f32"), 1e-5);  // the decimal, not the float32 nearest to it
  EXPECT_EQ(metadata.number("test.f64"), 0.1);
  EXPECT_EQ(metadata.flag("test.bool"), true);
  EXPECT_EQ(metadata.text("test.text"), "h\u00e9llo");
  EXPECT_EQ(*metadata.integers("test.integers"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(*metadata.numbers("test.numbers"), (std::vector<double>{0.5, -1.5}));
  EXPECT_EQ(*metadata.integers("test.flags"), (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(*metadata.texts("test.texts"), (std::vector<std::string>{"a", "", "\u4f60"}));
  EXPECT_EQ(metadata.integer("absent"), std::nullopt);
  EXPECT_EQ(metadata.texts("absent"), nullptr);
  expect_error(ErrorKind::kCheckpoint, "metadata 'test.u8': text expected",
               [&] { metadata.text("test.u8"); });
  expect_error(ErrorKind::kCheckpoint, "metadata 'test.text': an integer expected",
               [&] { metadata.integer("test.text"); });
  expect_error(ErrorKind::kCheckpoint, "metadata 'test.flags': an array of texts expected",
               [&] { metadata.texts("test.flags"); });
}

TEST(Gguf, ValuesOfEveryTypeEqualTheReference) {
  const auto file = GgufFile::open(kTypes);
  int types = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    if (name.ends_with(".values")) continue;
    SCOPED_TRACE(name);
    EXPECT_EQ(to_string(tensor.type), name);
    const GgufTensor& expected = file.tensors().at(name + ".values");
    EXPECT_EQ(tensor.shape, expected.shape);
    const Tensor reference = file.read_blocks(name + ".values");
    std::vector<float> values(static_cast<size_t>(tensor.shape.elements()));
    decode_gguf(name, tensor.type, file.read_blocks(name).bytes(), values);
    std::vector<float> wanted(values.size());
    std::memcpy(wanted.data(), reference.bytes().data(), reference.bytes().size());
    EXPECT_EQ(values, wanted);
    ++types;
  }
  EXPECT_EQ(types, 23);
}

TEST(Gguf, TypesWithoutDecoderAreNamed) {
  const std::vector<std::byte> block(50);
  std::vector<float> out(256);
  expect_error(ErrorKind::kUnsupported, "tensor 'w': blocks of type IQ1_S",
               [&] { decode_gguf("w", GgufType::kIQ1_S, block, out); });
}

TEST(Gguf, PlacesTensors) {
  const GgufBuilder builder = GgufBuilder()
                                  .number("general.alignment", 64)
                                  .info("a", {32, 3}, 2, 0)
                                  .info("b", {4, 1, 2}, 0, 64);
  std::string bytes = builder.header();
  const size_t start = (bytes.size() + 63) / 64 * 64;
  bytes.resize(start + 64 + 32);
  const GgufHeader header = parse(bytes);
  const GgufTensor& a = header.tensors.at("a");
  EXPECT_EQ(a.type, GgufType::kQ4_0);
  EXPECT_EQ(a.shape, (Shape{3, 32}));
  EXPECT_EQ(a.begin, static_cast<int64_t>(start));
  EXPECT_EQ(a.end, static_cast<int64_t>(start) + 54);
  EXPECT_EQ(header.tensors.at("b").shape, (Shape{2, 1, 4}));
  EXPECT_EQ(header.tensors.at("b").end, static_cast<int64_t>(bytes.size()));
}

TEST(Gguf, Version2IsReadAlike) {
  EXPECT_EQ(parse(GgufBuilder().version(2).number("k", 7).build()).metadata.integer("k"), 7);
}

struct Malformed {
  const char* what;
  std::string bytes;
  ErrorKind kind;
  const char* message;
};

TEST(Gguf, MalformedFilesAreNamed) {
  constexpr ErrorKind kDamaged = ErrorKind::kCheckpoint;
  constexpr ErrorKind kUnsupported = ErrorKind::kUnsupported;
  constexpr uint64_t kHuge = ~uint64_t{0};
  const auto with_info = [](const std::vector<uint64_t>& extents, uint32_t type, uint64_t offset) {
    return GgufBuilder().info("w", extents, type, offset).build() + std::string(64, '\0');
  };
  const auto array = [](uint32_t type, uint64_t count) {
    return bytes_of(type) + bytes_of(count) + std::string(8, '\0');
  };
  const Malformed cases[] = {
      {"empty", "", kDamaged, "magic: 4 bytes expected"},
      {"another format", "PK\3\4aaaaaaaaaaaaaaaaaaaa", kDamaged, "not a GGUF file"},
      {"magic alone", "GGUF", kDamaged, "version: 4 bytes expected at byte 4, 0 are left"},
      {"version 1", GgufBuilder().version(1).build(), kUnsupported, "version 2 or 3"},
      {"version 4", GgufBuilder().version(4).build(), kUnsupported, "found 4"},
      {"big-endian", GgufBuilder().version(3u << 24).build(), kUnsupported, "big-endian"},
      {"endless tensors", GgufBuilder().counts(kHuge, 0).build(), kDamaged, "tensor count"},
      {"endless pairs", GgufBuilder().counts(0, kHuge).build(), kDamaged, "metadata count"},
      {"more tensors than bytes", GgufBuilder().counts(3, 0).build(), kDamaged, "tensor count"},
      {"endless key",
       "GGUF" + bytes_of(3) + bytes_of(uint64_t{0}) + bytes_of(uint64_t{1}) + bytes_of(kHuge) +
           "kkkkkkkkkk",
       kDamaged, "metadata key: at most"},
      {"repeated key", GgufBuilder().number("k", 1).number("k", 1).build(), kDamaged,
       "metadata 'k' stands twice"},
      {"value type 13", GgufBuilder().pair("k", 13, "").build(), kDamaged, "metadata 'k': a value"},
      {"truth value 2", GgufBuilder().pair("k", 7, "\2").build(), kDamaged, "metadata 'k': 0 or 1"},
      {"number of 2^63", GgufBuilder().pair("k", 10, bytes_of(uint64_t{1} << 63)).build(),
       kUnsupported, "metadata 'k': numbers below 2^63"},
      {"endless text", GgufBuilder().pair("k", 8, bytes_of(kHuge)).build(), kDamaged,
       "metadata 'k': at most"},
      {"endless array", GgufBuilder().pair("k", 9, array(10, kHuge)).build(), kDamaged,
       "metadata 'k': at most"},
      {"array beyond the file", GgufBuilder().pair("k", 9, array(8, 6)).build(), kDamaged,
       "metadata 'k': at most"},
      {"array of arrays", GgufBuilder().pair("k", 9, array(9, 1)).build(), kUnsupported,
       "metadata 'k': arrays of arrays"},
      {"array of type 99", GgufBuilder().pair("k", 9, array(99, 1)).build(), kDamaged,
       "metadata 'k': a value type"},
      {"five axes", with_info({1, 1, 1, 1, 1}, 0, 0), kDamaged, "tensor 'w': at most 4 axes"},
      {"endless axes", GgufBuilder().info("w", {}, 0, 0).header().substr(0, 33) + bytes_of(kHuge),
       kDamaged, "tensor 'w'"},
      {"element type 4", with_info({32}, 4, 0), kUnsupported, "tensor 'w': element type 4"},
      {"element type 1000", with_info({32}, 1000, 0), kUnsupported, "element type 1000"},
      {"part of a block", with_info({33}, 2, 0), kDamaged, "tensor 'w': rows of whole Q4_0 blocks"},
      {"scalar of blocks", with_info({}, 2, 0), kDamaged, "tensor 'w': rows of whole Q4_0 blocks"},
      {"extent of 2^63", with_info({uint64_t{1} << 63}, 0, 0), kUnsupported, "below 2^63"},
      {"extent of 0", with_info({32, 0}, 2, 0), kDamaged, "tensor 'w': extents of at least 1"},
      {"product overflows", with_info({uint64_t{1} << 32, uint64_t{1} << 32}, 0, 0), kDamaged,
       "tensor 'w': its size exceeds"},
      {"bytes overflow", with_info({uint64_t{1} << 62}, 0, 0), kDamaged, "its size exceeds"},
      {"end overflows", with_info({16}, 0, (uint64_t{1} << 63) - 32), kDamaged, "its size exceeds"},
      {"beyond the file", with_info({16}, 0, 32), kDamaged, "tensor 'w': ends at byte 96"},
      {"unaligned offset", with_info({4}, 0, 16), kDamaged, "an offset of whole 32 bytes"},
      {"no data at all", GgufBuilder().info("w", {4}, 0, 0).header(), kDamaged, "has 0 bytes"},
      {"repeated tensor", GgufBuilder().info("w", {}, 0, 0).info("w", {}, 0, 0).build(), kDamaged,
       "tensor 'w' stands twice"},
      {"overlap",
       GgufBuilder().info("v", {16}, 0, 0).info("w", {4}, 0, 32).build() + std::string(64, '\0'),
       kDamaged, "tensors 'v' and 'w' overlap"},
      {"alignment 0", GgufBuilder().number("general.alignment", 0).build(), kDamaged,
       "'general.alignment': a power of two"},
      {"alignment 48", GgufBuilder().number("general.alignment", 48).build(), kDamaged,
       "a power of two"},
      {"alignment 2^31", GgufBuilder().number("general.alignment", 1u << 31).build(), kDamaged,
       "a power of two"},
      {"alignment as text", GgufBuilder().text("general.alignment", "32").build(), kDamaged,
       "'general.alignment': an integer"},
  };
  for (const Malformed& c : cases) {
    SCOPED_TRACE(c.what);
    expect_error(c.kind, c.message, [&] { parse(c.bytes); });
    expect_error(c.kind, "f.gguf", [&] { parse(c.bytes); });
  }
}

TEST(Gguf, EveryTruncationIsAnError) {
  const std::string whole = GgufBuilder()
                                .texts("k", {"a", "bc"})
                                .real("r", 1)
                                .tensor("w", {4}, GgufType::kF32, std::string(16, 'x'))
                                .build();
  const size_t needed = whole.size() - 16;  // the data is padded to 32 bytes
  for (size_t size = 0; size < needed; ++size)
    EXPECT_THROW(parse(whole.substr(0, size)), Error) << size;
  EXPECT_EQ(parse(whole.substr(0, needed)).tensors.size(), 1u);
}

}  // namespace
}  // namespace strake
