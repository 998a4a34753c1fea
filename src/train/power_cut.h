// For tests of this room: a disk whose power fails.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/testing.h"

namespace landfall {

// The power fails at the n-th operation: from then on nothing happens, and what was not synced is lost. A file
// not synced keeps half of its bytes; names in a folder that was not synced are not there. rename() ends with a sync of
// the folder: the failure may come before that, too.
class PowerCut : public EnvOverReal {
 public:
  int left = 1 << 30;  // operations
  // Where it is not 0: the power fails behind the so-manieth rename of a folder, before the sync that follows.
  int renames = 0;
  bool off = false;

  Result<std::unique_ptr<OutputFile>> open_output(const std::string& path, bool append) override {
    if (!alive()) return gone();
    LANDFALL_ASSIGN(auto file, real_.open_output(path, append));
    unsynced_names_.push_back(path);
    return std::unique_ptr<OutputFile>(std::make_unique<File>(*this, std::move(file), path));
  }
  Status rename(const std::string& from, const std::string& to) override {
    if (!alive()) return gone();
    LANDFALL_TRY(real_.rename(from, to));
    if (renames > 0 && real_.is_directory(to) && --renames == 0) off = true;
    if (!alive()) {  // between the rename and the sync: the old name is what the disk has
      (void)!real_.rename(to, from).ok();
      return gone();
    }
    return {};
  }
  Status remove(const std::string& path) override { return alive() ? real_.remove(path) : gone(); }
  Status make_directories(const std::string& path) override { return alive() ? real_.make_directories(path) : gone(); }
  Status sync_folder(const std::string& path) override {
    if (!alive()) return gone();
    std::erase_if(unsynced_names_, [&](const std::string& name) { return folder_of(name) == path; });
    return {};
  }
  // What the disk has when the power is back.
  void restart() {
    for (const std::string& name : unsynced_names_) (void)!real_.remove(name).ok();
    for (const auto& [name, synced] : sizes_) {
      if (!real_.exists(name) || synced) continue;
      auto text = real_.read(name, size_t{1} << 20);
      ASSERT_TRUE(text.ok());
      auto file = real_.open_output(name, false);
      ASSERT_TRUE(file.ok());
      ASSERT_TRUE((*file)->append(std::string_view(*text).substr(0, text->size() / 2)).ok());
    }
  }

 private:
  bool alive() {
    if (off || left-- <= 0) off = true;
    return !off;
  }
  static Status gone() { return {Code::unavailable, "staged: the power is off"}; }
  class File : public OutputFile {
   public:
    File(PowerCut& env, std::unique_ptr<OutputFile> file, std::string path)
        : env_(env), file_(std::move(file)), path_(std::move(path)) {
      env_.sizes_[path_] = false;
    }
    Status append(std::span<const std::byte> data) override {
      if (env_.alive()) return file_->append(data);
      (void)!file_->append(data.subspan(0, data.size() / 3)).ok();
      return gone();
    }
    Status sync() override {
      if (!env_.alive()) return gone();
      env_.sizes_[path_] = true;
      return file_->sync();
    }

   private:
    PowerCut& env_;
    std::unique_ptr<OutputFile> file_;
    std::string path_;
  };
  std::map<std::string, bool> sizes_;  // whether the bytes of a file are on the disk
  std::vector<std::string> unsynced_names_;
};

}  // namespace landfall
