#include "base/http_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace landfall {
namespace {

// Answers one connection: reads a request, then does as it is told.
class Peer {
 public:
  explicit Peer(std::function<void(int socket)> answer) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    LANDFALL_CHECK(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 && ::listen(listener_, 1) == 0);
    LANDFALL_CHECK(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/file";
    thread_ = std::thread([this, answer = std::move(answer)] {
      const int socket = ::accept(listener_, nullptr, nullptr);
      if (socket < 0) return;
      std::string request;
      char byte = 0;
      while (!request.ends_with("\r\n\r\n") && ::read(socket, &byte, 1) == 1) request += byte;
      answer(socket);
      ::close(socket);
    });
  }
  ~Peer() {
    ::shutdown(listener_, SHUT_RDWR);  // nobody may have come
    thread_.join();
    ::close(listener_);
  }
  std::string url;

  static void send(int socket, std::string_view text) { (void)!::send(socket, text.data(), text.size(), MSG_NOSIGNAL); }
  // Stands still until the other side has had enough.
  static void wait(int socket) {
    char byte = 0;
    while (::read(socket, &byte, 1) > 0) {
    }
  }

 private:
  int listener_;
  std::thread thread_;
};

class HttpClientTest : public testing::Test {
 protected:
  HttpClientTest() { ::setenv("no_proxy", "127.0.0.1", 1); }

  Result<HttpResponse> get(const Peer& peer, std::function<bool()> cancelled = {}) {
    HttpSink sink;
    sink.content = [&](std::span<const std::byte> data) {
      content_.append(reinterpret_cast<const char*>(data.data()), data.size());
      return Status();
    };
    return client_->get({.url = peer.url, .bearer = {}, .first_byte = 0, .cancelled = std::move(cancelled)}, sink);
  }

  std::unique_ptr<HttpClient> client_ = HttpClient::create({.connect = 20, .standstill = 2});
  std::string content_;
};

TEST_F(HttpClientTest, ATransferThatStandsStillIsGivenUpAndWhatCameIsKept) {
  Peer peer([](int socket) {
    Peer::send(socket, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    Peer::wait(socket);
  });
  const auto start = std::chrono::steady_clock::now();
  const auto response = get(peer);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(response.status().code(), Code::unavailable) << response.status().message();
  EXPECT_NE(response.status().message().find("127.0.0.1"), std::string::npos) << response.status().message();
  EXPECT_EQ(content_, "abc");
  EXPECT_GT(took.count(), 1.5);
  EXPECT_LT(took.count(), 15);
}

TEST_F(HttpClientTest, ATransferThatIsSlowIsWaitedFor) {
  Peer peer([](int socket) {
    Peer::send(socket, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
    for (int i = 0; i < 6; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(500));  // 3 s in all
      Peer::send(socket, "x");
    }
  });
  const auto response = get(peer);
  ASSERT_TRUE(response.ok()) << response.status().message();
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(content_, "xxxxxx");
}

TEST_F(HttpClientTest, StopsWhenAskedThoughNothingComes) {
  Peer peer([](int socket) { Peer::wait(socket); });
  client_ = HttpClient::create();
  const auto start = std::chrono::steady_clock::now();
  auto passed = [&] { return std::chrono::steady_clock::now() - start; };
  EXPECT_EQ(get(peer, [&] { return passed() > std::chrono::milliseconds(300); }).status().code(), Code::cancelled);
  EXPECT_LT(passed(), std::chrono::seconds(20)) << "before it counts as a standstill";
}

TEST_F(HttpClientTest, AConnectionThatBreaksMayBeTriedAgain) {
  Peer peer([](int socket) { Peer::send(socket, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"); });
  EXPECT_EQ(get(peer).status().code(), Code::unavailable);
  EXPECT_EQ(content_, "abc");
}

TEST_F(HttpClientTest, WhatIsNotHttpIsSaid) {
  Peer peer([](int socket) { Peer::send(socket, "SSH-2.0-OpenSSH_9.2\r\n"); });
  const auto response = get(peer);
  EXPECT_EQ(response.status().code(), Code::data_loss) << response.status().message();
  EXPECT_NE(response.status().message().find("is it an HTTP server?"), std::string::npos);
}

}  // namespace
}  // namespace landfall
