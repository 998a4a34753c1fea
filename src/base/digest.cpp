#include "base/digest.h"

#include <openssl/evp.h>

#include "base/result.h"

namespace landfall {

void Digest::Free::operator()(void* context) const { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context)); }

Digest::Digest(Kind kind) : context_(EVP_MD_CTX_new()) {
  auto* context = static_cast<EVP_MD_CTX*>(context_.get());
  LANDFALL_CHECK(context && EVP_DigestInit_ex(context, kind == Kind::sha256 ? EVP_sha256() : EVP_sha1(), nullptr) == 1);
}

void Digest::update(std::span<const std::byte> data) {
  LANDFALL_CHECK(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_.get()), data.data(), data.size()) == 1);
}

std::string Digest::hex() {
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  LANDFALL_CHECK(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_.get()), bytes, &size) == 1);
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (unsigned i = 0; i < size; ++i) {
    out += kHex[bytes[i] >> 4];
    out += kHex[bytes[i] & 15];
  }
  return out;
}

}  // namespace landfall
