#include <algorithm>

#include "base/fail.h"
#include "base/json.h"
#include "io/safetensors.h"

namespace strake {
namespace fs = std::filesystem;
namespace {

constexpr const char* kIndexName = "model.safetensors.index.json";

std::vector<fs::path> weight_files(const fs::path& directory) {
  std::error_code error;
  fs::directory_iterator entries(directory, error);
  if (error) fail(ErrorKind::kSystem, "cannot list {}: {}", directory.string(), error.message());
  std::vector<fs::path> files;
  for (const auto& item : entries) {
    const std::string name = item.path().filename().string();
    if (name.starts_with("model") && name.ends_with(".safetensors")) files.push_back(item.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty())
    fail(ErrorKind::kCheckpoint, "{}: neither {} nor any model*.safetensors", directory.string(),
         kIndexName);
  return files;
}

// tensor -> file name
std::map<std::string, std::string> read_weight_map(const fs::path& index) {
  const std::string what = index.string();
  const Json json = parse_json(read_text_file(index, kSafetensorsHeaderLimit), what);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    fail(ErrorKind::kCheckpoint, "{}: an object with an object 'weight_map' expected", what);
  std::map<std::string, std::string> map;
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    if (!file.is_string())
      fail(ErrorKind::kCheckpoint, "{}: weight_map['{}']: a file name expected, found {}", what,
           tensor, dump_json(file).substr(0, 80));
    const auto& name = file.get_ref<const std::string&>();
    if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos ||
        name.find('\0') != name.npos)
      fail(ErrorKind::kCheckpoint,
           "{}: weight_map['{}']: a file of the same directory expected, found '{}'", what, tensor,
           name);
    map.emplace(tensor, name);
  }
  if (map.empty()) fail(ErrorKind::kCheckpoint, "{}: weight_map names no tensor", what);
  return map;
}

}  // namespace

SafetensorsDirectory SafetensorsDirectory::open(const fs::path& directory) {
  SafetensorsDirectory result(directory);
  const fs::path index = directory / kIndexName;
  if (fs::exists(index))
    result.add_indexed(index);
  else
    for (const fs::path& file : weight_files(directory)) result.add(file);
  return result;
}

void SafetensorsDirectory::add(const fs::path& path) {
  SafetensorsFile file = SafetensorsFile::open(path);
  for (const auto& [name, entry] : file.tensors()) {
    const auto [other, added] = file_of_.emplace(name, files_.size());
    if (!added)
      fail(ErrorKind::kCheckpoint, "tensor '{}' stands in both {} and {}", name,
           files_[other->second].path().string(), path.string());
    tensors_.emplace(name, entry);
  }
  files_.push_back(std::move(file));
}

void SafetensorsDirectory::add_indexed(const fs::path& index) {
  const auto map = read_weight_map(index);
  std::vector<std::string> names;
  for (const auto& [tensor, file] : map) names.push_back(file);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  for (const std::string& name : names) {
    if (!fs::exists(path_ / name))
      fail(ErrorKind::kCheckpoint, "{}: lists {}, which is missing", index.string(), name);
    add(path_ / name);
  }
  for (const auto& [tensor, name] : map)
    if (const auto found = file_of_.find(tensor);
        found == file_of_.end() || files_[found->second].path().filename() != name)
      fail(ErrorKind::kCheckpoint, "{}: places tensor '{}' in {}, which has none of that name",
           index.string(), tensor, name);
  for (const auto& [tensor, position] : file_of_)
    if (!map.contains(tensor))
      fail(ErrorKind::kCheckpoint, "{}: does not list tensor '{}' of {}", index.string(), tensor,
           files_[position].path().filename().string());
}

const SafetensorsFile& SafetensorsDirectory::file_of(const std::string& name) const {
  const auto found = file_of_.find(name);
  if (found == file_of_.end())
    fail(ErrorKind::kCheckpoint, "{}: no tensor '{}'", path_.string(), name);
  return files_[found->second];
}

int64_t SafetensorsDirectory::bytes_read() const {
  int64_t sum = 0;
  for (const SafetensorsFile& file : files_) sum += file.bytes_read();
  return sum;
}

}  // namespace strake
