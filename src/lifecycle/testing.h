// For tests of this room: a hub in memory behind the HttpClient seam, and an Env over the real one whose disk can fill.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/http_client.h"
#include "base/testing.h"
#include "lifecycle/digest.h"
#include "lifecycle/store.h"

namespace landfall {

inline std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string sha256_of(const std::string& text) {
  Digest digest;
  digest.update(text);
  return digest.hex();
}

// Answers by address. `answer` may look at the request, change the content and end the transfer with an error.
class FakeHttp : public HttpClient {
 public:
  struct Answer {
    HttpResponse response;
    std::string content;
    Status end;  // after the content
  };
  std::function<Answer(const HttpGet&)> answer;
  std::vector<HttpGet> requests;
  std::vector<double> pauses;

  Result<HttpResponse> get(const HttpGet& request, const HttpSink& sink) override {
    requests.push_back(request);
    const Answer a = answer(request);
    if (sink.head) LANDFALL_TRY(sink.head(a.response));
    for (size_t at = 0; at < a.content.size(); at += 7) {  // in odd pieces
      LANDFALL_TRY(sink.content(bytes_of(a.content.substr(at, 7))));
    }
    LANDFALL_TRY(a.end);
    return a.response;
  }
  void pause(double seconds, const std::function<bool()>&) override { pauses.push_back(seconds); }

  static Answer whole(std::string content) { return {{200, {}}, std::move(content), {}}; }
  static Answer part(const std::string& content, uint64_t first) {
    Answer out{{206, {}}, content.substr(first), {}};
    out.response.headers["content-range"] = "bytes " + std::to_string(first) + "-" +
                                            std::to_string(content.size() - 1) + "/" + std::to_string(content.size());
    return out;
  }
};

// The real Env, whose writes fail once `room` bytes have been written, and whose free space can be set.
class SmallDisk : public EnvOverReal {
 public:
  uint64_t room = UINT64_MAX;
  uint64_t free = UINT64_MAX;

  Result<std::unique_ptr<OutputFile>> open_output(const std::string& path, bool append) override {
    LANDFALL_ASSIGN(auto file, real_.open_output(path, append));
    return std::unique_ptr<OutputFile>(std::make_unique<Output>(*this, std::move(file)));
  }
  Result<uint64_t> free_space(const std::string&) override { return free; }
  int64_t unix_time() override { return 1'700'000'000; }

 private:
  class Output : public OutputFile {
   public:
    Output(SmallDisk& disk, std::unique_ptr<OutputFile> file) : disk_(disk), file_(std::move(file)) {}
    Status append(std::span<const std::byte> data) override {
      const size_t fits = std::min<uint64_t>(data.size(), disk_.room);
      LANDFALL_TRY(file_->append(data.subspan(0, fits)));  // as a full disk does: the first part is there
      if (disk_.room != UINT64_MAX) disk_.room -= fits;
      return fits == data.size() ? Status() : Status(Code::resource_exhausted, "cannot write: No space left on device");
    }
    Status sync() override { return file_->sync(); }

   private:
    SmallDisk& disk_;
    std::unique_ptr<OutputFile> file_;
  };
};

}  // namespace landfall
