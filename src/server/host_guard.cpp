#include "server/host_guard.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"

namespace landfall {
namespace {

enum class Address { none, loopback, other };

Address address_kind(const std::string& host) {
  in_addr v4;
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    return (ntohl(v4.s_addr) >> 24) == 127 ? Address::loopback : Address::other;
  }
  in6_addr v6;
  if (::inet_pton(AF_INET6, host.c_str(), &v6) == 1) {
    return std::memcmp(&v6, &in6addr_loopback, sizeof v6) == 0 ? Address::loopback : Address::other;
  }
  return Address::none;
}

bool is_port(std::string_view text) {
  return text.size() <= 5 && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// The host of "host[:port]" in lower case and without the brackets of IPv6, or "" when that is not the form.
std::string host_part(std::string_view text) {
  if (text.find('\0') != text.npos) return "";
  if (!text.empty() && text[0] == '[') {
    const size_t end = text.find(']');
    if (end == text.npos) return "";
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && (rest[0] != ':' || !is_port(rest.substr(1)))) return "";
    const std::string host = ascii_lower(text.substr(1, end - 1));
    return host.find(':') == host.npos ? "" : host;
  }
  const size_t colon = text.find(':');
  if (colon != text.npos && !is_port(text.substr(colon + 1))) return "";
  return ascii_lower(text.substr(0, colon));
}

}  // namespace

bool is_loopback_host(std::string_view host) {
  const std::string name = ascii_lower(host);
  return name == "localhost" || address_kind(name) == Address::loopback;
}

HostGuard::HostGuard(bool loopback_only, std::vector<std::string> names)
    : loopback_only_(loopback_only), names_(std::move(names)) {
  for (std::string& name : names_) name = ascii_lower(name);
}

bool HostGuard::allows_host(std::string_view header) const {
  const std::string host = host_part(header);
  if (host.empty()) return false;
  if (is_loopback_host(host)) return true;
  if (!loopback_only_ && address_kind(host) == Address::other) return true;
  return std::find(names_.begin(), names_.end(), host) != names_.end();
}

bool HostGuard::allows_origin(std::string_view header) const {
  const size_t colon = header.find("://");
  if (colon == header.npos) return false;
  const std::string scheme = ascii_lower(header.substr(0, colon));
  if (scheme != "http" && scheme != "https") return true;
  return allows_host(header.substr(colon + 3));
}

}  // namespace landfall
