// The keys that tokens attend to in sparse attention are those that another implementation selects.
#include <map>

#include "reference.h"

namespace strake {
namespace {

using Positions = std::vector<std::vector<int32_t>>;  // of each row

// What indexers selected, by layer.
class SelectionTrace final : public Trace {
 public:
  std::map<std::string, Positions> layers;

  void record(std::string_view name, const Tensor& value) override {
    if (!name.ends_with(".indexer")) return;
    for (int64_t row = 0; row < value.shape()[0]; ++row) {
      const Tensor one = value.slice(0, row, row + 1);
      std::vector<int32_t> positions;
      for (const int32_t position : one.data<int32_t>())
        if (position >= 0) positions.push_back(position);
      layers[std::string(name)].push_back(std::move(positions));
    }
  }
};

class SelectedKeys : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(Models, SelectedKeys, testing::Values("glm_moe_dsa", "deepseek_v32"),
                         reference_name);

TEST_P(SelectedKeys, AreTheReferences) {
  ReferenceRun run(GetParam());
  const Json golden = parse_json(read_text_file(run.path / "selected.json"), "selected.json");
  const auto ids = golden.at("ids").get<std::vector<int32_t>>();
  for (const size_t piece : {ids.size(), size_t{50}, size_t{1}}) {
    SelectionTrace trace;
    Context context = run.session.context();
    context.trace = &trace;
    SequenceCache cache = run.session.make_cache(std::ssize(ids));
    for (size_t begin = 0; begin < ids.size(); begin += piece)
      run.model().forward(context,
                          std::span(ids).subspan(begin, std::min(piece, ids.size() - begin)), cache,
                          LogitRows::kLast);
    ASSERT_EQ(trace.layers.size(), golden.at("layers").size());
    for (const auto& [layer, found] : trace.layers) {
      const auto all = golden.at("layers").at(layer).get<Positions>();
      // Token by token, the first 24 attend to all that there are without a selection.
      const Positions expected(all.end() - std::ssize(found), all.end());
      ASSERT_GE(found.size(), ids.size() - 24);
      for (size_t row = 0; row < found.size(); ++row)
        EXPECT_EQ(found[row], expected[row]) << layer << ", row " << row;
    }
  }
}

}  // namespace
}  // namespace strake
