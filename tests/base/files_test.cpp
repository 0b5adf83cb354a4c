#include "base/files.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <set>
#include <string>
#include <utility>

#include "io/expect_error.h"
#include "io/temp_directory.h"

namespace strake {
namespace {

namespace fs = std::filesystem;

std::string read_at(const FileReader& reader, int64_t offset, size_t bytes) {
  std::string text(bytes, '?');
  reader.read(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

std::set<std::string> names_in(const fs::path& directory) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory))
    names.insert(entry.path().filename().string());
  return names;
}

TEST(FileReader, ReadsRanges) {
  const TempDirectory directory;
  const FileReader reader(directory.write("x", "0123456789"));
  EXPECT_EQ(reader.size(), 10);
  EXPECT_EQ(read_at(reader, 0, 10), "0123456789");
  EXPECT_EQ(read_at(reader, 3, 4), "3456");
  EXPECT_EQ(read_at(reader, 10, 0), "");
  reader.will_read(0, 10);
  const FileReader onward(reader.path(), ReadPattern::kOnward);
  EXPECT_EQ(read_at(onward, 3, 4), "3456");
}

TEST(FileReader, RefusesToReadPastTheEnd) {
  const TempDirectory directory;
  const FileReader reader(directory.write("short", "0123456789"));
  expect_error(ErrorKind::kCheckpoint, "short: ends at byte 10, 3 more were expected",
               [&] { read_at(reader, 5, 8); });
  expect_error(ErrorKind::kCheckpoint, "ends at byte 100", [&] { read_at(reader, 100, 1); });
}

TEST(FileReader, NamesWhatItCannotOpen) {
  const TempDirectory directory;
  expect_error(ErrorKind::kSystem, "missing: No such file or directory",
               [&] { FileReader reader(directory.path() / "missing"); });
  expect_error(ErrorKind::kSystem, "is not a regular file",
               [&] { FileReader reader(directory.path()); });
  const fs::path pipe = directory.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_error(ErrorKind::kSystem, "pipe is not a regular file", [&] { FileReader reader(pipe); });
}

TEST(FileReader, Moves) {
  const TempDirectory directory;
  FileReader first(directory.write("a", "aaa"));
  FileReader second(directory.write("b", "bb"));
  second = std::move(first);
  EXPECT_EQ(second.size(), 3);
  EXPECT_EQ(read_at(second, 0, 3), "aaa");
  const FileReader third(std::move(second));
  EXPECT_EQ(read_at(third, 0, 3), "aaa");
}

TEST(TextFile, IsReadWhole) {
  const TempDirectory directory;
  const fs::path path = directory.path() / "t";
  write_text_file(path, "line\nline\n");
  EXPECT_EQ(read_text_file(path), "line\nline\n");
  EXPECT_EQ(read_text_file(path, 10), "line\nline\n");
  expect_error(ErrorKind::kCheckpoint, "t: 10 bytes, at most 9 are read",
               [&] { read_text_file(path, 9); });
}

TEST(FileWriter, WritesWhatItIsGiven) {
  const TempDirectory directory;
  const fs::path path = directory.path() / "out";
  FileWriter writer(path);
  writer.write("head ");
  const std::array<std::byte, 2> bytes = {std::byte{'o'}, std::byte{'k'}};
  writer.write(bytes);
  EXPECT_EQ(writer.size(), 7);
  writer.close();
  EXPECT_EQ(read_text_file(path), "head ok");
}

TEST(FileWriter, NeverReplacesAFile) {
  const TempDirectory directory;
  const fs::path path = directory.write("kept", "content");
  expect_error(ErrorKind::kSystem, "kept: File exists", [&] { FileWriter writer(path); });
  EXPECT_EQ(read_text_file(path), "content");
  expect_error(ErrorKind::kSystem, "No such file or directory",
               [&] { FileWriter writer(directory.path() / "no" / "file"); });
}

// In a child process: a limit on the size of files stands for a device that is full.
[[noreturn]] void write_beyond_the_limit(const fs::path& path) {
  const rlimit limit{4096, 4096};
  ::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &limit);
  try {
    FileWriter writer(path);
    writer.write(std::string(10000, 'x'));
  } catch (const Error& error) {
    std::fputs(error.what(), stderr);
    ::_exit(exit_code(error.kind()));
  }
  ::_exit(0);
}

TEST(FileWriter, ReportsAFullDevice) {
  const TempDirectory directory;
  EXPECT_EXIT(write_beyond_the_limit(directory.path() / "full"),
              testing::ExitedWithCode(exit_code(ErrorKind::kSystem)),
              "cannot write .*full at byte 4096: File too large");
}

TEST(PendingDirectory, AppearsWhenCommitted) {
  const TempDirectory directory;
  const fs::path target = directory.path() / "made" / "model";
  PendingDirectory pending(target);
  write_text_file(pending.path() / "config.json", "{}");
  EXPECT_FALSE(fs::exists(target));
  EXPECT_EQ(pending.path().parent_path(), target.parent_path());
  pending.commit();
  EXPECT_EQ(names_in(target), (std::set<std::string>{"config.json"}));
  EXPECT_EQ(names_in(target.parent_path()), (std::set<std::string>{"model"}));
}

TEST(PendingDirectory, LeavesNothingBehind) {
  const TempDirectory directory;
  {
    PendingDirectory pending(directory.path() / "model");
    write_text_file(pending.path() / "half", "x");
  }
  EXPECT_TRUE(names_in(directory.path()).empty());
}

TEST(PendingDirectory, NeverReplacesWhatIsThere) {
  const TempDirectory directory;
  const fs::path target = directory.path() / "model";
  fs::create_directory(target);
  expect_error(ErrorKind::kUsage, "model exists already; nothing was written",
               [&] { PendingDirectory pending(target); });
  expect_error(ErrorKind::kUsage, "exists already",
               [&] { PendingDirectory pending(directory.path() / "model" / ""); });
  const fs::path dangling = directory.path() / "dangling";
  fs::create_symlink("nowhere", dangling);
  expect_error(ErrorKind::kUsage, "exists already", [&] { PendingDirectory pending(dangling); });
  {
    PendingDirectory late(directory.path() / "late");
    fs::create_directory(directory.path() / "late");
    expect_error(ErrorKind::kUsage, "appeared meanwhile", [&] { late.commit(); });
  }
  EXPECT_EQ(names_in(directory.path()), (std::set<std::string>{"model", "dangling", "late"}));
}

TEST(PendingDirectory, TakesATrailingSlash) {
  const TempDirectory directory;
  PendingDirectory pending(directory.path() / "model" / "");
  pending.commit();
  EXPECT_EQ(names_in(directory.path()), (std::set<std::string>{"model"}));
}

}  // namespace
}  // namespace strake
