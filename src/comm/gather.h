// What each rank has to say, on every rank.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "strake/comm/group.h"

namespace strake {

// Each rank's value, by rank.
template <class T>
std::vector<T> gather_values(Group& group, const T& mine) {
  std::vector<T> all(static_cast<size_t>(group.size()));
  const std::vector<int64_t> counts(all.size(), sizeof mine);
  group.all_gather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all)),
                   counts);
  return all;
}

// Each rank's list, by rank; the lists may differ in length.
template <class List>
std::vector<List> gather_lists(Group& group, const List& mine) {
  const auto bytes = std::as_bytes(std::span(mine));
  const auto counts = gather_values(group, static_cast<int64_t>(bytes.size()));
  List joined;
  for (const int64_t count : counts)
    joined.resize(joined.size() + static_cast<size_t>(count) / sizeof mine[0]);
  group.all_gather(bytes, std::as_writable_bytes(std::span(joined)), counts);
  std::vector<List> lists;
  auto begin = joined.begin();
  for (const int64_t count : counts) {
    const auto end = begin + count / static_cast<int64_t>(sizeof mine[0]);
    lists.emplace_back(begin, end);
    begin = end;
  }
  return lists;
}

// Each rank's list of bytes, of any length, by rank.
std::vector<std::vector<std::string>> gather_names(Group& group, std::span<const std::string> mine);

}  // namespace strake
