#include "base/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>

#include "base/text.h"

namespace landfall {
namespace {

constexpr int kMaxRedirects = 10;
constexpr size_t kMaxHeaderBytes = 256 << 10;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// Where a peer's answer goes during one transfer.
struct Transfer {
  const HttpGet& request;
  const HttpSink& sink;
  HttpResponse response;
  size_t header_bytes = 0;
  bool began = false;    // the sink has seen the head
  bool discard = false;  // content of a redirect
  Status failure;        // from the sink
};

Status begin(Transfer& t) {
  if (t.began) return {};
  t.began = true;
  return t.sink.head ? t.sink.head(t.response) : Status();
}

size_t on_header(char* data, size_t, size_t size, void* user) {
  auto& t = *static_cast<Transfer*>(user);
  t.header_bytes += size;
  if (t.header_bytes > kMaxHeaderBytes) {
    t.failure =
        Status(Code::data_loss, "the peer sent more than " + std::to_string(kMaxHeaderBytes) + " bytes of headers");
    return 0;
  }
  const std::string_view line(data, size);
  if (line.rfind("HTTP/", 0) == 0) {  // of this response or of one before it (100 Continue, a proxy's)
    t.response = HttpResponse();
    const size_t space = line.find(' ');
    if (space != std::string_view::npos) t.response.status = std::atoi(std::string(line.substr(space + 1, 3)).c_str());
    t.discard = is_redirect(t.response.status);
  } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    t.response.headers[lower(trimmed(line.substr(0, colon)))] = std::string(trimmed(line.substr(colon + 1)));
  }
  return size;
}

size_t on_content(char* data, size_t, size_t size, void* user) {
  auto& t = *static_cast<Transfer*>(user);
  if (t.discard) return size;
  t.failure = begin(t);
  if (t.failure.ok()) t.failure = t.sink.content(std::as_bytes(std::span(data, size)));
  return t.failure.ok() ? size : 0;
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& t = *static_cast<Transfer*>(user);
  return t.request.cancelled && t.request.cancelled() ? 1 : 0;
}

Status curl_status(CURLcode code, const std::string& url, const char* detail) {
  const std::string what = "'" + url_origin(url) + "': " + (*detail ? detail : curl_easy_strerror(code));
  switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
      return Status(Code::cancelled, "stopped");
    case CURLE_URL_MALFORMAT:
      return Status(Code::invalid_argument, "'" + url + "' is not an http or https address");
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return Status(
          Code::failed_precondition,
          what + "; install the package ca-certificates, or name the certificate of your network in SSL_CERT_FILE");
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:  // of the reply: the address was looked at before
    case CURLE_BAD_CONTENT_ENCODING:
      return Status(Code::data_loss, what + "; is it an HTTP server?");
    case CURLE_OUT_OF_MEMORY:
      return Status(Code::resource_exhausted, what);
    default:
      return Status(Code::unavailable, what);
  }
}

class CurlClient : public HttpClient {
 public:
  explicit CurlClient(const HttpPatience& patience) : patience_(patience), handle_(curl_easy_init()) {}
  ~CurlClient() override { curl_easy_cleanup(handle_); }

  Result<HttpResponse> get(const HttpGet& request, const HttpSink& sink) override {
    if (!handle_) return Status(Code::resource_exhausted, "cannot start an HTTP transfer: out of memory");
    const std::string home = url_origin(request.url);
    if (home.empty()) return Status(Code::invalid_argument, "'" + request.url + "' is not an http or https address");
    std::string url = request.url;
    for (int hop = 0; hop <= kMaxRedirects; ++hop) {
      Transfer transfer{request, sink};
      std::string next;
      LANDFALL_TRY(perform(url, url_origin(url) == home, transfer, next));
      if (!transfer.discard) return std::move(transfer.response);
      const std::string origin = url_origin(next);
      if (origin.empty() || (url.rfind("https:", 0) == 0 && origin.rfind("https:", 0) != 0)) {
        return Status(Code::data_loss, "'" + home +
                                           "' leads to an address that is refused because it is not secure: '" +
                                           next.substr(0, 200) + "'");
      }
      url = next;
    }
    return Status(Code::data_loss, "'" + home + "' redirects more than " + std::to_string(kMaxRedirects) + " times");
  }

  void pause(double seconds, const std::function<bool()>& cancelled) override {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < end && !(cancelled && cancelled())) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }

 private:
  // One request to one address; `next` is where a redirect leads.
  Status perform(const std::string& url, bool with_secret, Transfer& transfer, std::string& next) {
    char detail[CURL_ERROR_SIZE] = "";
    curl_easy_reset(handle_);  // options, not connections
    curl_easy_setopt(handle_, CURLOPT_URL, url.c_str());
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(handle_, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(handle_, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
    curl_easy_setopt(handle_, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle_, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(handle_, CURLOPT_USERAGENT, "landfall");
    curl_easy_setopt(handle_, CURLOPT_CONNECTTIMEOUT, patience_.connect);
    curl_easy_setopt(handle_, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(handle_, CURLOPT_LOW_SPEED_TIME, patience_.standstill);
    if (const char* file = std::getenv("SSL_CERT_FILE")) curl_easy_setopt(handle_, CURLOPT_CAINFO, file);
    curl_easy_setopt(handle_, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(handle_, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(handle_, CURLOPT_WRITEFUNCTION, on_content);
    curl_easy_setopt(handle_, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(handle_, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(handle_, CURLOPT_XFERINFODATA, &transfer);
    curl_easy_setopt(handle_, CURLOPT_NOPROGRESS, 0L);
    curl_slist* headers = nullptr;
    if (with_secret && !transfer.request.bearer.empty()) {
      headers = curl_slist_append(headers, ("Authorization: Bearer " + transfer.request.bearer).c_str());
    }
    if (transfer.request.first_byte > 0) {
      headers =
          curl_slist_append(headers, ("Range: bytes=" + std::to_string(transfer.request.first_byte) + "-").c_str());
    }
    curl_easy_setopt(handle_, CURLOPT_HTTPHEADER, headers);
    const CURLcode code = curl_easy_perform(handle_);
    curl_slist_free_all(headers);
    if (!transfer.failure.ok()) return transfer.failure;
    if (code != CURLE_OK) return curl_status(code, url, detail);
    if (transfer.discard) {
      char* location = nullptr;
      curl_easy_getinfo(handle_, CURLINFO_REDIRECT_URL, &location);
      next = location ? location : "";
      return {};
    }
    return begin(transfer);  // a response without content
  }

  const HttpPatience patience_;
  CURL* handle_;
};

}  // namespace

std::string HttpResponse::header(const std::string& name) const {
  const auto it = headers.find(name);
  return it == headers.end() ? "" : it->second;
}

std::unique_ptr<HttpClient> HttpClient::create(const HttpPatience& patience) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);  // once, before any handle
  (void)ready;
  return std::make_unique<CurlClient>(patience);
}

Result<HttpResponse> http_get_text(HttpClient& client, const HttpGet& request, size_t limit, std::string& text) {
  text.clear();
  HttpSink sink;
  sink.content = [&](std::span<const std::byte> data) -> Status {
    if (text.size() + data.size() > limit) {
      return Status(Code::data_loss,
                    "'" + request.url + "' is longer than the limit of " + std::to_string(limit) + " bytes");
    }
    text.append(reinterpret_cast<const char*>(data.data()), data.size());
    return {};
  };
  return client.get(request, sink);
}

std::string url_origin(const std::string& url) {
  const size_t colon = url.find("://");
  if (colon == std::string::npos) return "";
  const std::string scheme = lower(url.substr(0, colon));
  if (scheme != "http" && scheme != "https") return "";
  const size_t begin = colon + 3, end = std::min(url.find_first_of("/?#\\", begin), url.size());
  std::string host = lower(url.substr(begin, end - begin));
  if (host.empty() || host.find('@') != std::string::npos) return "";  // a name in the address is never meant here
  const size_t port = host.rfind(':');
  const bool has_port = port != std::string::npos && host.find(']', port) == std::string::npos;
  if (!has_port) host += scheme == "https" ? ":443" : ":80";
  return scheme + "://" + host;
}

std::string url_escape(std::string_view text, bool keep_slashes) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte < 128 && std::isalnum(byte)) || c == '-' || c == '.' || c == '_' || c == '~' ||
                       (c == '/' && keep_slashes);
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace landfall
