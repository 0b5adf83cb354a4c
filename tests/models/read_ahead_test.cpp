// What a loading is expected to read, against what it reads.
#include "io/read_ahead.h"

#include <gtest/gtest.h>

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
  const Checkpoint checkpoint = Checkpoint::open(kReferences / "llama");
  const auto twin = checkpoint.without_bytes();
  load_model(*twin, LayerLoader(*twin, Shares::equal(1), 0));
  EXPECT_NE(checkpoint.read_ahead(*twin), nullptr);
}

}  // namespace
}  // namespace strake
