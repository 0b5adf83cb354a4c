#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "base/fail.h"

namespace strake {
namespace fs = std::filesystem;

namespace {

int advice(ReadPattern pattern) {
  return pattern == ReadPattern::kAnywhere ? POSIX_FADV_RANDOM : POSIX_FADV_SEQUENTIAL;
}

}  // namespace

FileReader::FileReader(const fs::path& path, ReadPattern pattern) : path_(path) {
  // Without O_NONBLOCK, opening a pipe would wait for somebody to write.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) fail_errno("cannot open {}", path.string());
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    fail(ErrorKind::kSystem, "{} is not a regular file", path.string());
  }
  size_ = status.st_size;
  ::posix_fadvise(descriptor_, 0, 0, advice(pattern));
}

FileReader::FileReader(FileReader&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

FileReader& FileReader::operator=(FileReader&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

FileReader::~FileReader() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void FileReader::read(int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = ::pread(descriptor_, out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_errno("cannot read {}", path_.string());
    if (got == 0)
      fail(ErrorKind::kCheckpoint, "{}: ends at byte {}, {} more were expected", path_.string(),
           offset, out.size());
    out = out.subspan(static_cast<size_t>(got));
    offset += got;
  }
}

void FileReader::will_read(int64_t offset, int64_t bytes) const {
  ::posix_fadvise(descriptor_, offset, bytes, POSIX_FADV_WILLNEED);
}

std::string read_text_file(const fs::path& path, int64_t limit) {
  const FileReader reader(path);
  if (reader.size() > limit)
    fail(ErrorKind::kCheckpoint, "{}: {} bytes, at most {} are read", path.string(), reader.size(),
         limit);
  std::string text(static_cast<size_t>(reader.size()), '\0');
  reader.read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

FileWriter::FileWriter(const fs::path& path) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail_errno("cannot create {}", path.string());
}

FileWriter::~FileWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void FileWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(descriptor_, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail_errno("cannot write {} at byte {}", path_.string(), size_);
    bytes = bytes.subspan(static_cast<size_t>(put));
    size_ += put;
  }
}

void FileWriter::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void FileWriter::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  const bool flushed = ::fsync(descriptor) == 0;
  if (!flushed) {
    const int error = errno;
    ::close(descriptor);
    errno = error;
    fail_errno("cannot flush {}", path_.string());
  }
  if (::close(descriptor) != 0) fail_errno("cannot close {}", path_.string());
}

void write_text_file(const fs::path& path, std::string_view text) {
  FileWriter writer(path);
  writer.write(text);
  writer.close();
}

PendingDirectory::PendingDirectory(const fs::path& target)
    : target_(fs::absolute(target).lexically_normal()) {
  if (!target_.has_filename()) target_ = target_.parent_path();
  if (fs::exists(fs::symlink_status(target_)))
    fail(ErrorKind::kUsage, "{} exists already; nothing was written", target.string());
  std::error_code error;
  fs::create_directories(target_.parent_path(), error);
  pending_ = target_.parent_path() /
             fmt::format(".{}.partial-{}", target_.filename().string(), ::getpid());
  if (!fs::create_directory(pending_, error) || error)
    fail(ErrorKind::kSystem, "cannot create directory {}: {}", pending_.string(), error.message());
}

PendingDirectory::~PendingDirectory() {
  if (pending_.empty()) return;
  std::error_code ignored;
  fs::remove_all(pending_, ignored);
}

void PendingDirectory::commit() {
  // renameat2's RENAME_NOREPLACE semantics: rename() would replace an empty directory made since.
  if (fs::exists(fs::symlink_status(target_)))
    fail(ErrorKind::kUsage, "{} appeared meanwhile; nothing was written", target_.string());
  std::error_code error;
  fs::rename(pending_, target_, error);
  if (error)
    fail(ErrorKind::kSystem, "cannot rename {} to {}: {}", pending_.string(), target_.string(),
         error.message());
  pending_.clear();
}

}  // namespace strake
