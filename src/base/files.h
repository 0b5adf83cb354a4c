// Reading and writing files: exact byte ranges in, whole files out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace strake {

// How a file will be read. Anywhere: the kernel's read-ahead is off, so that a rank that wants a
// slice does not fetch its neighbours' bytes. Onward: it is on, far, and so in large pages, which
// take less processor time.
enum class ReadPattern { kAnywhere, kOnward };

// A file opened for reading at any offset.
class FileReader {
 public:
  // Throws Error(kSystem) with the path when it cannot be opened.
  explicit FileReader(const std::filesystem::path& path,
                      ReadPattern pattern = ReadPattern::kAnywhere);
  FileReader(FileReader&& other) noexcept;
  FileReader& operator=(FileReader&& other) noexcept;
  ~FileReader();

  const std::filesystem::path& path() const { return path_; }
  int64_t size() const { return size_; }

  // Fills `out` with the bytes from `offset`. Throws Error(kCheckpoint) past the end of the file.
  void read(int64_t offset, std::span<std::byte> out) const;

  // Tells the kernel that the range will be read in one piece soon.
  void will_read(int64_t offset, int64_t bytes) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
};

// The whole file as text; throws Error(kSystem), or Error(kCheckpoint) above `limit` bytes.
std::string read_text_file(const std::filesystem::path& path, int64_t limit = int64_t{1} << 30);

// A file under construction. Every write is checked; close() flushes to the device.
class FileWriter {
 public:
  // Throws Error(kSystem) when the file exists or cannot be made.
  explicit FileWriter(const std::filesystem::path& path);
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  ~FileWriter();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  int64_t size() const { return size_; }
  void close();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
};

void write_text_file(const std::filesystem::path& path, std::string_view text);

// A directory that appears under its name only when it is complete: files are made in a hidden
// sibling, which commit() renames and the destructor removes otherwise.
class PendingDirectory {
 public:
  // Throws Error(kUsage) when `target` exists already.
  explicit PendingDirectory(const std::filesystem::path& target);
  PendingDirectory(const PendingDirectory&) = delete;
  PendingDirectory& operator=(const PendingDirectory&) = delete;
  ~PendingDirectory();

  const std::filesystem::path& path() const { return pending_; }
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path pending_;
};

}  // namespace strake
