#include "io/safetensors_header.h"

#include <gtest/gtest.h>

#include "expect_error.h"

namespace strake {
namespace {

SafetensorsHeader parse(std::string_view header, int64_t data_bytes) {
  return parse_safetensors_header(header, data_bytes, "f.safetensors");
}

TEST(SafetensorsHeader, EntriesCountFromTheStartOfTheFile) {
  const std::string text =
      R"({"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}, "__metadata__":{"k":"v"}})";
  const auto header = parse(text, 16);
  ASSERT_EQ(header.tensors.size(), 2u);
  const TensorEntry& b = header.tensors.at("b");
  EXPECT_EQ(b.dtype, DType::kBF16);
  EXPECT_EQ(b.stored_dtype, "BF16");
  EXPECT_EQ(b.shape, (Shape{2, 3}));
  EXPECT_EQ(b.begin, static_cast<int64_t>(8 + text.size() + 4));
  EXPECT_EQ(b.end, static_cast<int64_t>(8 + text.size() + 16));
  EXPECT_EQ(header.tensors.at("a").shape, Shape());
  EXPECT_EQ(header.metadata, (std::map<std::string, std::string>{{"k", "v"}}));
}

TEST(SafetensorsHeader, EmptyTensorsAndNoTensors) {
  EXPECT_TRUE(parse("{}", 0).tensors.empty());
  EXPECT_TRUE(parse(R"({"__metadata__":null})", 0).metadata.empty());
  const auto header = parse(R"({"z":{"dtype":"F32","shape":[0,7],"data_offsets":[2,2]},)"
                            R"("y":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                            R"("x":{"dtype":"I64","shape":[3,0],"data_offsets":[0,0]}})",
                            2);
  EXPECT_EQ(header.tensors.size(), 3u);
}

TEST(SafetensorsHeader, Float8IsBytesAndOthersHaveNoDType) {
  const auto header = parse(R"({"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]},)"
                            R"("b":{"dtype":"F8_E8M0","shape":[2],"data_offsets":[2,4]},)"
                            R"("c":{"dtype":"F4","shape":[4],"data_offsets":[4,6]},)"
                            R"("d":{"dtype":"F64","shape":[1],"data_offsets":[6,14]}})",
                            14);
  EXPECT_EQ(header.tensors.at("a").dtype, DType::kU8);
  EXPECT_EQ(header.tensors.at("a").stored_dtype, "F8_E4M3");
  EXPECT_EQ(header.tensors.at("b").dtype, DType::kU8);
  EXPECT_EQ(header.tensors.at("c").dtype, std::nullopt);
  EXPECT_EQ(header.tensors.at("d").dtype, std::nullopt);
}

struct Malformed {
  const char* what;
  std::string header;
  int64_t data_bytes;
  const char* message;
};

std::string one(const std::string& fields) { return R"({"w":{)" + fields + "}}"; }

std::string typed(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return one(R"("dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets);
}

std::string f32(const std::string& shape, const std::string& offsets) {
  return typed(R"("F32")", shape, offsets);
}

std::string repeated(const std::string& text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

TEST(SafetensorsHeader, MalformedHeadersAreNamed) {
  const std::string a = R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
  const Malformed cases[] = {
      {"no JSON", "nonsense", 0, "not valid JSON"},
      {"cut short", R"({"w":{"dtype":"F32")", 0, "not valid JSON"},
      {"two documents", "{}{}", 0, "not valid JSON"},
      {"invalid UTF-8", "{\"\xff\":1}", 0, "not valid JSON"},
      {"zero bytes behind", std::string("{}\0\0", 4), 0, "not valid JSON"},
      {"too deep", std::string(100'000, '['), 0, "nested deeper"},
      {"too deep in an entry", R"({"w":)" + std::string(5000, '[') + "1", 0, "nested deeper"},
      {"an array", "[]", 0, "a JSON object expected"},
      {"a number", "7", 0, "a JSON object expected"},
      {"repeated tensor", "{" + a + "," + a + "}", 4, "key 'a' stands twice"},
      {"repeated field", one(R"("dtype":"U8","dtype":"U8")"), 0, "key 'dtype' stands twice"},
      {"repeated metadata", R"({"__metadata__":{},"__metadata__":{}})", 0, "stands twice"},
      {"metadata is an array", R"({"__metadata__":[]})", 0, "__metadata__: an object of strings"},
      {"metadata holds a number", R"({"__metadata__":{"k":1}})", 0, "__metadata__.k: a string"},
      {"metadata holds null", R"({"__metadata__":{"k":null}})", 0, "__metadata__.k: a string"},
      {"entry is a string", R"({"w":"F32"})", 0, "tensor 'w': an object"},
      {"entry is null", R"({"w":null})", 0, "tensor 'w': an object"},
      {"no dtype", one(R"("shape":[1],"data_offsets":[0,4])"), 4, "'w': field 'dtype' expected"},
      {"no shape", one(R"("dtype":"F32","data_offsets":[0,4])"), 4, "field 'shape' expected"},
      {"no offsets", one(R"("dtype":"F32","shape":[1])"), 4, "field 'data_offsets' expected"},
      {"unknown dtype", typed(R"("F33")", "[1]", "[0,4]"), 4,
       R"('w': dtype: one of F32, F16, BF16, U8, I8, U16, I16, U32, I32, U64, I64, BOOL, )"},
      {"unknown dtype is shown", typed(R"("F33")", "[1]", "[0,4]"), 4, R"(found "F33")"},
      {"lower case dtype", typed(R"("f32")", "[1]", "[0,4]"), 4, "dtype: one of"},
      {"numeric dtype", typed("3", "[1]", "[0,4]"), 4, "dtype: one of"},
      {"nine axes", f32("[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "'w': shape: at most 8 axes expected"},
      {"endless axes", f32("[1" + repeated(",1", 100'000) + "]", "[0,4]"), 4,
       "at most 8 axes expected, found 100001"},
      {"shape is a number", f32("1", "[0,4]"), 4, "'w': shape: an array"},
      {"negative extent", f32("[-1]", "[0,4]"), 4, "shape: extents from 0 to 2^48"},
      {"fractional extent", f32("[1.0]", "[0,4]"), 4, "shape: extents"},
      {"extent as text", f32(R"(["1"])", "[0,4]"), 4, "shape: extents"},
      {"extent of 2^63", f32("[9223372036854775808]", "[0,4]"), 4, "shape: extents"},
      {"extent above 2^48", f32("[281474976710657,0]", "[0,0]"), 0, "shape: extents"},
      {"extent of 2^64", f32("[18446744073709551616]", "[0,4]"), 4, "shape: extents"},
      {"product overflows", f32("[4294967296,4294967296,0]", "[0,4]"), 4, "shape: a product"},
      {"product wraps to 4", f32("[2147483649,2147483648,4]", "[0,4]"), 4, "shape: a product"},
      {"bytes overflow", f32("[4294967296,1073741824]", "[0,4]"), 4, "bytes for F32"},
      {"offsets are one number", f32("[1]", "4"), 4, "data_offsets: [begin, end]"},
      {"one offset", f32("[1]", "[4]"), 4, "data_offsets: [begin, end]"},
      {"three offsets", f32("[1]", "[0,4,8]"), 4, "data_offsets: [begin, end]"},
      {"negative offset", f32("[1]", "[-4,0]"), 4, "data_offsets: [begin, end]"},
      {"fractional offset", f32("[1]", "[0,4.0]"), 4, "data_offsets: [begin, end]"},
      {"reversed", f32("[1]", "[4,0]"), 4, "data_offsets: [begin, end]"},
      {"beyond the file", f32("[2]", "[0,8]"), 4, "within the 4 bytes of data expected, found 8"},
      {"offset of 2^64 - 1", f32("[1]", "[0,18446744073709551615]"), 4, "data_offsets"},
      {"too few bytes", f32("[2]", "[0,4]"), 4, "8 bytes for F32 [2] expected, found 4"},
      {"too many bytes", f32("[1]", "[0,8]"), 8, "4 bytes for F32 [1] expected, found 8"},
      {"half a byte", typed(R"("F4")", "[3]", "[0,2]"), 2, "bytes for F4 [3] expected"},
      {"overlap", "{" + a + R"(,"b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})", 7,
       "'a' and 'b' overlap"},
      {"the same bytes", "{" + a + R"(,"b":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 4,
       "'a' and 'b' overlap"},
      {"inside another", "{" + a + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 4,
       "'a' and 'b' overlap"},
      {"a hole", "{" + a + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[6,8]}})", 8,
       "tensor 'b' begins at byte 6"},
      {"a hole in front", f32("[1]", "[4,8]"), 8, "tensor 'w' begins at byte 4"},
      {"bytes behind", f32("[1]", "[0,4]"), 5, "1 bytes follow"},
      {"bytes without tensors", "{}", 5, "5 bytes follow"},
  };
  for (const Malformed& c : cases) {
    SCOPED_TRACE(c.what);
    expect_error(ErrorKind::kCheckpoint, c.message, [&] { parse(c.header, c.data_bytes); });
    expect_error(ErrorKind::kCheckpoint, "f.safetensors", [&] { parse(c.header, c.data_bytes); });
  }
}

TEST(SafetensorsHeader, ManyTensorsTakeNoQuadraticTime) {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i)
    text += (i ? ",\"" : "\"") + std::to_string(i) +
            R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  EXPECT_EQ(parse(text + "}", 0).tensors.size(), 200'000u);
}

}  // namespace
}  // namespace strake
