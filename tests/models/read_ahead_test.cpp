// What a loading is expected to read, against what it reads.
#include "io/read_ahead.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "io/checkpoint.h"
#include "reference.h"

namespace strake {
namespace {

TEST(ReadAhead, ExpectsEveryByteOfARanksShareAndNoOther) {
  int models = 0;
  for (const auto& directory : std::filesystem::directory_iterator(kReferences)) {
    const auto path = directory.path();
    if (!std::filesystem::exists(path / "config.json")) continue;
    for (int rank = 0; rank < 3; ++rank) {
      Checkpoint meta = Checkpoint::open(path, Device::meta());
      load_model(meta, LayerLoader(meta, Shares::equal(3), rank));
      int64_t expected = 0;
      for (const ExpectedRead& read : meta.expected_reads()) expected += read.runs.total();
      Checkpoint checkpoint = Checkpoint::open(path);
      load_model(checkpoint, LayerLoader(checkpoint, Shares::equal(3), rank));
      EXPECT_EQ(expected, checkpoint.bytes_read()) << path << ", rank " << rank;
      EXPECT_GT(expected, 0);
    }
    ++models;
  }
  EXPECT_GT(models, 10);
}

// It may be on its way when the loading fails.
TEST(ReadAhead, EndsWhenItIsNoLongerNeeded) {
  Checkpoint checkpoint = Checkpoint::open(kReferences / "llama");
  const auto twin = checkpoint.without_bytes();
  load_model(*twin, LayerLoader(*twin, Shares::equal(1), 0));
  EXPECT_NE(checkpoint.read_ahead(*twin), nullptr);
}

std::vector<ExpectedRead> all_reads(const SafetensorsDirectory& weights) {
  std::vector<ExpectedRead> reads;
  for (const auto& [name, entry] : weights.tensors())
    reads.push_back({name, weights.file_of(name).runs(name), entry.shape});
  return reads;
}

TEST(ReadAhead, GivesWhatIsInTheFiles) {
  const auto weights = SafetensorsDirectory::open(kReferences / "llama");
  const auto reads = all_reads(weights);
  ReadAhead ahead(weights, reads);
  for (const ExpectedRead& read : reads) {
    const auto found = ahead.take(read);
    ASSERT_TRUE(found) << read.tensor;
    EXPECT_TRUE(std::ranges::equal(found->bytes(), weights.read(read.tensor).bytes()));
  }
}

TEST(ReadAhead, DropsWhatNobodyAsksFor) {
  const auto weights = SafetensorsDirectory::open(kReferences / "llama");
  const auto reads = all_reads(weights);
  ASSERT_GT(reads.size(), 5u);
  ReadAhead ahead(weights, reads);
  EXPECT_TRUE(ahead.take(reads[4]));
  EXPECT_FALSE(ahead.take(reads[2]));
  EXPECT_TRUE(ahead.take(reads.back()));
  EXPECT_FALSE(ahead.take(reads.back()));
}

TEST(ReadAhead, GivesNothingThatCannotBeRead) {
  const auto weights = SafetensorsDirectory::open(kReferences / "llama");
  auto reads = all_reads(weights);
  reads[1].runs.offset = int64_t{1} << 40;
  ReadAhead ahead(weights, reads);
  EXPECT_TRUE(ahead.take(reads[0]));
  EXPECT_FALSE(ahead.take(reads[1]));
  EXPECT_FALSE(ahead.take(reads[2]));
}

}  // namespace
}  // namespace strake
