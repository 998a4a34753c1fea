// HTTP(S) downloads, the part of the outside seam that is the network: tests replace it to cut connections and to send
// wrong bytes. Certificates are checked against the system's and those in the file that SSL_CERT_FILE names, as the
// programs openssl and curl have it; a proxy is taken from the environment (https_proxy, no_proxy). One HttpClient
// serves one thread at a time and keeps its connections open between requests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace landfall {

struct HttpGet {
  std::string url;
  std::string bearer;               // a secret: sent to the host of `url` only, never where a redirect leads outside it
  uint64_t first_byte = 0;          // > 0: asks for the rest of the content from here on
  std::function<bool()> cancelled;  // asked about once a second, and whenever data comes; may be empty
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string header(const std::string& name) const;
};

// What becomes of a response. An error from either ends the transfer and is what get() returns.
struct HttpSink {
  std::function<Status(const HttpResponse&)> head;  // once, before any content; may be empty
  std::function<Status(std::span<const std::byte>)> content;
};

// Whole seconds after which a peer is given up.
struct HttpPatience {
  long connect = 20;
  long standstill = 30;  // without a byte
};

class HttpClient {
 public:
  virtual ~HttpClient() = default;
  static std::unique_ptr<HttpClient> create(const HttpPatience& patience = {});

  // Follows at most ten redirects, never from https to http. Any other status that the peer gives is a response, not an
  // error. Errors: unavailable (cannot reach the peer, or the connection broke: trying again may help), cancelled,
  // failed_precondition (its certificate is not trusted), invalid_argument (the address), data_loss (not HTTP, or a
  // redirect that is refused), and what the sink gave.
  virtual Result<HttpResponse> get(const HttpGet& request, const HttpSink& sink) = 0;

  // Waits before trying again; ends early when `cancelled` says so.
  virtual void pause(double seconds, const std::function<bool()>& cancelled) = 0;
};

// A whole small document.
Result<HttpResponse> http_get_text(HttpClient& client, const HttpGet& request, size_t limit, std::string& text);

// "https://host:port" of an address in lower case, the port always there; empty when it is not an http(s) address.
std::string url_origin(const std::string& url);

// Bytes outside A-Z a-z 0-9 - . _ ~ as %XX; '/' too unless `keep_slashes`.
std::string url_escape(std::string_view text, bool keep_slashes);

}  // namespace landfall
