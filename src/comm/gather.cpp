#include "comm/gather.h"

namespace strake {

std::vector<std::vector<std::string>> gather_names(Group& group,
                                                   std::span<const std::string> mine) {
  std::vector<int64_t> lengths;
  std::string joined;
  for (const std::string& name : mine) {
    lengths.push_back(std::ssize(name));
    joined += name;
  }
  const auto all_lengths = gather_lists(group, lengths);
  const auto all_joined = gather_lists(group, joined);
  std::vector<std::vector<std::string>> names(all_lengths.size());
  for (size_t rank = 0; rank < names.size(); ++rank) {
    size_t begin = 0;
    for (const int64_t length : all_lengths[rank]) {
      names[rank].push_back(all_joined[rank].substr(begin, static_cast<size_t>(length)));
      begin += static_cast<size_t>(length);
    }
  }
  return names;
}

}  // namespace strake
