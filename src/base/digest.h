// SHA-256 and SHA-1 of streams, by OpenSSL. SHA-1 only because git names files by it. One stream, one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace landfall {

class Digest {
 public:
  enum class Kind { sha256, sha1 };
  explicit Digest(Kind kind = Kind::sha256);
  void update(std::span<const std::byte> data);
  void update(std::string_view text) { update(std::as_bytes(std::span(text.data(), text.size()))); }
  std::string hex();  // ends the stream

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
};

}  // namespace landfall
