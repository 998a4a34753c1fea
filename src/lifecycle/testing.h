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

}  // namespace landfall
