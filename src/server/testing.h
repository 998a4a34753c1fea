// What tests of the server share: a running server over real sockets, a stand-in for the model behind it, and a client
// that knows nothing but bytes.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "base/json.h"
#include "server/http_server.h"
#include "server/routes.h"

namespace landfall {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// What the last message says decides: "words" gives max_tokens words, "silent" none until it is cancelled, "fail" an
// error, "long" and "unloaded" a refusal, "big" one word of a megabyte after another. With an adapter words begin with
// its name. Adapters are loaded from any folder but "damaged".
class FakeModel {
 public:
  explicit FakeModel(milliseconds pause = milliseconds(1)) : pause_(pause), thread_([this] { run(); }) {}
  ~FakeModel() {
    stop_ = true;
    thread_.join();
  }

  Result<Service::CancelFlag> submit(GenerateRequest request, GenerateEvents events) {
    const std::string what = request.prompt ? *request.prompt : request.messages.back().content;
    if (what == "long")
      return Status(Code::resource_exhausted, "the prompt has 9000 tokens, and the context holds 2048");
    if (what == "unloaded") return Status(Code::not_found, "there is no adapter '" + request.adapter + "'");
    auto flag = std::make_shared<std::atomic<bool>>(false);
    std::lock_guard lock(mutex_);
    jobs_.push_back({what, request.adapter, request.max_tokens.value_or(3), std::move(events), flag});
    ++started;
    return flag;
  }

  std::vector<std::string> adapters() {
    std::lock_guard lock(mutex_);
    return {adapters_.begin(), adapters_.end()};
  }
  Status load_adapter(const std::string& name, const std::string& folder, bool replace) {
    std::lock_guard lock(mutex_);
    if (folder == "damaged") return Status(Code::data_loss, "'damaged' is damaged");
    if (!adapters_.insert(name).second && !replace) return Status(Code::failed_precondition, "is there already");
    return {};
  }
  Status unload_adapter(const std::string& name) {
    std::lock_guard lock(mutex_);
    return adapters_.erase(name) > 0 ? Status() : Status(Code::not_found, "there is no adapter '" + name + "'");
  }

  std::atomic<int> started{0}, cancelled{0}, finished{0};

 private:
  struct Job {
    std::string what, adapter;
    int64_t left;
    GenerateEvents events;
    Service::CancelFlag flag;
    int64_t given = 0;
  };

  // Whether the job goes on.
  bool step(Job& job) {
    const Usage usage{.prompt_tokens = 7, .answer_tokens = job.given};
    if (*job.flag || stop_) {
      ++cancelled;
      job.events.on_done({}, FinishReason::cancelled, usage);
      return false;
    }
    if (job.what == "silent") return true;
    if (job.what == "fail" && job.given == 1) {
      job.events.on_done(Status(Code::internal, "secret /home/me"), FinishReason::stop, usage);
      return false;
    }
    if (job.left-- == 0) {
      ++finished;
      job.events.on_done({}, job.what == "words" ? FinishReason::stop : FinishReason::length, usage);
      return false;
    }
    job.events.on_text(
        "", job.what == "big" ? std::string(100000, 'x') : job.adapter + "w" + std::to_string(job.given) + " ");
    ++job.given;
    return true;
  }

  void run() {
    while (true) {
      std::list<Job> jobs;
      {
        std::lock_guard lock(mutex_);
        jobs.splice(jobs.end(), jobs_);
      }
      for (auto it = jobs.begin(); it != jobs.end();) it = step(*it) ? std::next(it) : jobs.erase(it);
      {
        std::lock_guard lock(mutex_);
        jobs_.splice(jobs_.begin(), jobs);
        if (stop_ && jobs_.empty()) return;
      }
      std::this_thread::sleep_for(pause_);
    }
  }

  const milliseconds pause_;
  std::mutex mutex_;
  std::list<Job> jobs_;
  std::set<std::string> adapters_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class RunningServer {
 public:
  explicit RunningServer(HttpOptions options = {}, RouteOptions routes = {}) {
    options.port = 0;
    options.error_body = http_error_body;
    auto server = HttpServer::listen(std::move(options));
    LANDFALL_CHECK(server.ok(), server.status().message());
    server_ = std::move(*server);
    ServedModel served{"tiny", {"alias/tiny"}, 2048, [this](GenerateRequest r, GenerateEvents e) {
                         return model.submit(std::move(r), std::move(e));
                       }};
    served.adapters = [this] { return model.adapters(); };
    served.load_adapter = [this](const std::string& name, const std::string& folder, bool replace) {
      return model.load_adapter(name, folder, replace);
    };
    served.unload_adapter = [this](const std::string& name) { return model.unload_adapter(name); };
    thread_ = std::thread(
        [this, handler = make_routes(Env::real(), std::move(served), std::move(routes))] { server_->run(handler); });
  }
  ~RunningServer() {
    if (!thread_.joinable()) return;
    server_->stop();
    server_->stop();
    thread_.join();
  }
  // Stops politely and waits for the end.
  void stop() { server_->stop(); }
  void join() { thread_.join(); }
  uint16_t port() const { return server_->port(); }
  HttpServer& server() { return *server_; }

  FakeModel model;

 private:
  std::unique_ptr<HttpServer> server_;
  std::thread thread_;
};

class Client {
 public:
  explicit Client(uint16_t port, int receive_buffer = 0) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  bool send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  // Reads until `mark` has come `count` times, or the other side has closed, or time is up. All that came so far.
  std::string until(std::string_view mark, int count = 1, double limit = 10) {
    const auto end = steady_clock::now() + std::chrono::duration<double>(limit);
    while (occurrences(mark) < count && !closed_ && steady_clock::now() < end) read_some(100);
    return seen_;
  }
  // Whether the other side closes within the time.
  bool closes(double limit = 10) {
    const auto end = steady_clock::now() + std::chrono::duration<double>(limit);
    while (!closed_ && steady_clock::now() < end) read_some(100);
    return closed_;
  }

  // The next reply with a Content-Length, taken out of what came.
  struct Reply {
    int status = 0;
    std::string head, body;
    Json json() const {
      auto parsed = parse_json(body);
      return parsed.ok() ? *parsed : Json();
    }
    Json error() const { return json()["error"]; }
    std::string message() const { return error()["message"].string(); }
  };
  Reply reply(double limit = 10) {
    until("\r\n\r\n", 1, limit);
    Reply out;
    const size_t end = seen_.find("\r\n\r\n");
    if (end == seen_.npos) return out;
    out.head = seen_.substr(0, end + 4);
    out.status = std::atoi(out.head.c_str() + 9);
    const size_t at = out.head.find("Content-Length: ");
    const size_t size = at == out.head.npos ? 0 : static_cast<size_t>(std::atoll(out.head.c_str() + at + 16));
    const auto stop = steady_clock::now() + std::chrono::duration<double>(limit);
    while (seen_.size() < end + 4 + size && !closed_ && steady_clock::now() < stop) read_some(100);
    out.body = seen_.substr(end + 4, size);
    seen_.erase(0, end + 4 + size);
    return out;
  }

  int fd() const { return fd_; }

 private:
  int occurrences(std::string_view mark) const {
    int out = 0;
    for (size_t at = seen_.find(mark); at != seen_.npos; at = seen_.find(mark, at + mark.size())) ++out;
    return out;
  }
  void read_some(int wait_ms) {
    pollfd p{fd_, POLLIN, 0};
    if (::poll(&p, 1, wait_ms) <= 0) return;
    char buffer[65536];
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) {
      closed_ = true;
    } else {
      seen_.append(buffer, static_cast<size_t>(n));
    }
  }

  int fd_;
  std::string seen_;
  bool closed_ = false;
};

inline std::string get(const std::string& path, const std::string& headers = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n";
}
inline std::string post(const std::string& path, const std::string& body, const std::string& headers = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\n" + headers + "\r\n" + body;
}
inline std::string chat(const std::string& what, bool stream = false, int tokens = 3) {
  return post("/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"" + what +
                                          "\"}],\"max_tokens\":" + std::to_string(tokens) +
                                          ",\"stream\":" + (stream ? "true" : "false") + "}");
}

inline Client::Reply ask(const RunningServer& server, const std::string& request) {
  Client client(server.port());
  EXPECT_TRUE(client.send(request));
  return client.reply();
}

inline bool becomes(const std::atomic<int>& value, int wanted, double limit = 10) {
  const auto end = steady_clock::now() + std::chrono::duration<double>(limit);
  while (value != wanted && steady_clock::now() < end) std::this_thread::sleep_for(milliseconds(2));
  return value == wanted;
}

inline HttpOptions with_limits(const std::function<void(HttpLimits&)>& change) {
  HttpOptions options;
  change(options.limits);
  return options;
}

}  // namespace landfall
