#include "base/env.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace landfall {
namespace {

Status errno_status(const std::string& what, const std::string& path, int error) {
  Code code = Code::internal;
  std::string next;
  switch (error) {
    case ENOENT:
      code = Code::not_found;
      break;
    case EACCES:
    case EPERM:
      code = Code::permission_denied;
      break;
    case ENOSPC:
    case EDQUOT:
      code = Code::resource_exhausted;
      next = "; free some space and try again";
      break;
    case EFBIG:
      code = Code::resource_exhausted;
      next = "; the file system, or a limit of this account ('ulimit -f'), allows no larger file";
      break;
    case ENOMEM:
      code = Code::resource_exhausted;
      break;
    case EISDIR:
    case ENOTDIR:
    case ENAMETOOLONG:
      code = Code::invalid_argument;
      break;
    default:
      code = Code::unavailable;
      break;
  }
  return Status(code, "cannot " + what + " '" + path + "': " + std::strerror(error) + next);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

class RealMappedFile : public MappedFile {
 public:
  RealMappedFile(const std::byte* data, size_t size) : data_(data), size_(size) {}
  ~RealMappedFile() override {
    if (size_ > 0) ::munmap(const_cast<std::byte*>(data_), size_);
  }
  std::span<const std::byte> bytes() const override { return {data_, size_}; }

 private:
  const std::byte* data_;
  size_t size_;
};

class RealOutputFile : public OutputFile {
 public:
  RealOutputFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  Status append(std::span<const std::byte> data) override {
    while (!data.empty()) {
      const ssize_t n = ::write(fd_.get(), data.data(), data.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_status("write", path_, errno);
      data = data.subspan(static_cast<size_t>(n));
    }
    return {};
  }
  Status sync() override {
    if (::fsync(fd_.get()) != 0) return errno_status("sync", path_, errno);
    return {};
  }

 private:
  Descriptor fd_;
  std::string path_;
};

class RealFileLock : public FileLock {
 public:
  RealFileLock(std::unique_ptr<Descriptor> fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  // The name goes while the lock is held: whoever has the file open finds that it has no name any more.
  ~RealFileLock() override { ::unlink(path_.c_str()); }

 private:
  std::unique_ptr<Descriptor> fd_;
  std::string path_;
};

class RealEnv : public Env {
 public:
  Result<std::unique_ptr<MappedFile>> map(const std::string& path) override {
    Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return errno_status("open", path, errno);
    struct stat info;
    if (::fstat(fd.get(), &info) != 0) return errno_status("inspect", path, errno);
    if (!S_ISREG(info.st_mode)) return Status(Code::invalid_argument, "'" + path + "' is not a regular file");
    const size_t size = static_cast<size_t>(info.st_size);
    if (size == 0) return std::unique_ptr<MappedFile>(new RealMappedFile(nullptr, 0));
    // A large file begins at a multiple of 2 MiB, so that the system may map it in pages of that size: room is taken
    // for one such page more, and what the file leaves free is given back.
    constexpr size_t kHuge = size_t{2} << 20;
    void* data;
    if (size < kHuge) {
      data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
    } else {
      void* room = ::mmap(nullptr, size + kHuge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (room == MAP_FAILED) return errno_status("map", path, errno);
      const auto begin = reinterpret_cast<uintptr_t>(room), aligned = (begin + kHuge - 1) / kHuge * kHuge;
      const uintptr_t end = (aligned + size + 4095) / 4096 * 4096;
      data = ::mmap(reinterpret_cast<void*>(aligned), size, PROT_READ, MAP_SHARED | MAP_FIXED, fd.get(), 0);
      const int failure = errno;
      if (aligned > begin) ::munmap(room, aligned - begin);
      if (data == MAP_FAILED) ::munmap(reinterpret_cast<void*>(aligned), end - aligned);
      if (begin + size + kHuge > end) ::munmap(reinterpret_cast<void*>(end), begin + size + kHuge - end);
      errno = failure;
    }
    if (data == MAP_FAILED) return errno_status("map", path, errno);
    return std::unique_ptr<MappedFile>(new RealMappedFile(static_cast<const std::byte*>(data), size));
  }

  Result<std::string> read(const std::string& path, size_t limit) override {
    Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return errno_status("open", path, errno);
    std::string out;
    char buffer[1 << 16];
    while (true) {
      const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno_status("read", path, errno);
      if (n == 0) return out;
      if (out.size() + static_cast<size_t>(n) > limit) {
        return Status(Code::resource_exhausted,
                      "'" + path + "' is larger than the limit of " + std::to_string(limit) + " bytes for such a file");
      }
      out.append(buffer, static_cast<size_t>(n));
    }
  }

  Result<std::unique_ptr<OutputFile>> open_output(const std::string& path, bool append) override {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0644);
    if (fd < 0) return errno_status("write", path, errno);
    return std::unique_ptr<OutputFile>(new RealOutputFile(fd, path));
  }

  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
    while (true) {
      const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
      if (fd < 0) return errno_status("lock", path, errno);
      auto lock = std::make_unique<Descriptor>(fd);
      if (::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return Status(Code::unavailable, "'" + path + "' is locked by another process");
      // Whoever held it may have removed the name since it was opened: then this is a lock on nothing.
      struct stat held, named;
      if (::fstat(fd, &held) != 0) return errno_status("lock", path, errno);
      if (::stat(path.c_str(), &named) != 0 || held.st_ino != named.st_ino || held.st_dev != named.st_dev) continue;
      return std::unique_ptr<FileLock>(new RealFileLock(std::move(lock), path));
    }
  }

  Status rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return errno_status("rename to", to, errno);
    return sync_folder(std::string(folder_of(to)));
  }

  Status sync_folder(const std::string& path) override {
    Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (folder.get() < 0) return errno_status("open", path, errno);
    // Some file systems cannot sync folders; they say EINVAL.
    if (::fsync(folder.get()) != 0 && errno != EINVAL) return errno_status("sync", path, errno);
    return {};
  }

  Status remove(const std::string& path) override {
    if (::remove(path.c_str()) != 0) return errno_status("remove", path, errno);
    return {};
  }

  Status make_directories(const std::string& path) override {
    for (size_t at = 1; at <= path.size(); ++at) {
      if (at != path.size() && path[at] != '/') continue;
      const std::string part = path.substr(0, at);
      if (::mkdir(part.c_str(), 0755) == 0) {
        LANDFALL_TRY(sync_folder(std::string(folder_of(part))));
      } else if (errno != EEXIST) {
        return errno_status("create folder", part, errno);
      }
    }
    return {};
  }

  Result<std::vector<DirectoryEntry>> list(const std::string& path) override {
    DIR* folder = ::opendir(path.c_str());
    if (!folder) return errno_status("list", path, errno);
    std::vector<DirectoryEntry> out;
    while (const dirent* entry = ::readdir(folder)) {
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      struct stat info;
      if (::stat(join_path(path, name).c_str(), &info) != 0) continue;  // a dangling link
      const bool is_directory = S_ISDIR(info.st_mode);
      out.push_back({name, is_directory, is_directory ? 0 : static_cast<uint64_t>(info.st_size)});
    }
    ::closedir(folder);
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return out;
  }

  bool exists(const std::string& path) override { return ::access(path.c_str(), F_OK) == 0; }

  bool is_directory(const std::string& path) override {
    struct stat info;
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  }

  bool same(const std::string& a, const std::string& b) override {
    struct stat one, other;
    return ::stat(a.c_str(), &one) == 0 && ::stat(b.c_str(), &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
  }

  Result<uint64_t> size(const std::string& path) override {
    struct stat info;
    if (::stat(path.c_str(), &info) != 0) return errno_status("inspect", path, errno);
    return static_cast<uint64_t>(info.st_size);
  }

  Result<uint64_t> free_space(const std::string& folder) override {
    struct statvfs info;
    if (::statvfs(folder.c_str(), &info) != 0) return errno_status("inspect", folder, errno);
    return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  }

  double seconds() override {
    timespec t;
    ::clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  }

  int64_t unix_time() override { return ::time(nullptr); }

  uint64_t random_u64() override {
    uint64_t value = 0;
    while (::getrandom(&value, sizeof value, 0) != sizeof value) {
    }
    return value;
  }

  uint64_t available_memory() override {
    uint64_t available = UINT64_MAX;
    if (auto text = read("/proc/meminfo", 1 << 20); text.ok()) {
      if (auto at = text->find("MemAvailable:"); at != std::string::npos) {
        available = std::strtoull(text->c_str() + at + 13, nullptr, 10) * 1024;
      }
    }
    // A container's own limit (cgroup v2) may be lower.
    auto number = [&](const char* path, uint64_t otherwise) {
      auto text = read(path, 1 << 10);
      if (!text.ok() || text->empty() || !std::isdigit(static_cast<unsigned char>((*text)[0]))) return otherwise;
      return static_cast<uint64_t>(std::strtoull(text->c_str(), nullptr, 10));
    };
    const uint64_t limit = number("/sys/fs/cgroup/memory.max", UINT64_MAX);
    if (limit != UINT64_MAX) {
      const auto stat = read("/sys/fs/cgroup/memory.stat", 1 << 20);
      const uint64_t used = used_memory(number("/sys/fs/cgroup/memory.current", 0), stat.ok() ? *stat : "");
      available = std::min(available, limit > used ? limit - used : 0);
    }
    return available;
  }
};

}  // namespace

Env& Env::real() {
  static RealEnv* env = new RealEnv;  // never destroyed: threads may outlive main's statics
  return *env;
}

Status write_file(Env& env, const std::string& path, std::string_view data) {
  const std::string partial = path + ".partial";
  Status written = [&]() -> Status {
    LANDFALL_ASSIGN(auto file, env.open_output(partial, false));
    LANDFALL_TRY(file->append(data));
    return file->sync();
  }();
  if (written.ok()) written = env.rename(partial, path);
  if (!written.ok()) (void)!env.remove(partial).ok();
  return written;
}

uint64_t used_memory(uint64_t charged, std::string_view stat) {
  for (const std::string_view key : {"active_file ", "inactive_file "}) {
    const size_t at = stat.starts_with(key) ? 0 : stat.find("\n" + std::string(key));
    if (at == std::string_view::npos) continue;
    const std::string number(stat.substr(stat.find(' ', at) + 1, 20));
    charged -= std::min(charged, static_cast<uint64_t>(std::strtoull(number.c_str(), nullptr, 10)));
  }
  return charged;
}

Status remove_folder(Env& env, const std::string& folder) {
  if (!env.is_directory(folder)) return {};
  LANDFALL_ASSIGN(const auto entries, env.list(folder));
  for (const DirectoryEntry& e : entries) {
    if (e.is_directory) {
      return Status(Code::failed_precondition,
                    "'" + folder + "' holds a folder, '" + e.name + "', that nothing here made; take it away");
    }
  }
  for (const DirectoryEntry& e : entries) LANDFALL_TRY(env.remove(join_path(folder, e.name)));
  return env.remove(folder);
}

std::string join_path(std::string_view folder, std::string_view name) {
  std::string out(folder);
  if (!out.empty() && out.back() != '/') out += '/';
  return out.append(name);
}

std::string_view file_name(std::string_view path) {
  const size_t slash = path.find_last_of('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string_view folder_of(std::string_view path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? path.substr(0, 1) : path.substr(0, slash);
}

}  // namespace landfall
