#include "model/gguf_writer.h"

#include "model/gguf_format.h"

namespace landfall {
namespace {

using namespace gguf;

class Bytes {
 public:
  template <class T>
  void put(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void string(std::string_view value) {
    put(static_cast<uint64_t>(value.size()));
    text_.append(value);
  }
  void append(std::string_view bytes) { text_.append(bytes); }
  void align(uint64_t alignment) { text_.resize(aligned(text_.size(), alignment)); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

uint32_t type_of(const Json& value) {
  if (value.is_bool()) return kBool;
  if (value.is_string()) return kString;
  if (!value.is_integer()) return kF32;
  return value.integer() >= 0 && value.integer() <= int64_t{UINT32_MAX} ? kU32 : kI64;
}

void put_value(Bytes& out, uint32_t type, const Json& value) {
  switch (type) {
    case kU32:
      return out.put(static_cast<uint32_t>(value.integer()));
    case kI32:
      return out.put(static_cast<int32_t>(value.integer()));
    case kI64:
      return out.put(value.integer());
    case kBool:
      return out.put(static_cast<uint8_t>(value.boolean()));
    case kString:
      return out.string(value.string());
    default:
      return out.put(static_cast<float>(value.number()));
  }
}

void put_metadata(Bytes& out, const Json& metadata) {
  for (const auto& [key, value] : metadata.object()) {
    out.string(key);
    if (!value.is_array()) {
      out.put(type_of(value));
      put_value(out, type_of(value), value);
      continue;
    }
    const Json::Array& list = value.array();
    uint32_t type = list.empty() ? uint32_t{kI32} : type_of(list[0]);
    if (type == kU32 || type == kI64) type = kI32;
    out.put(uint32_t{kArray});
    out.put(type);
    out.put(static_cast<uint64_t>(list.size()));
    for (const Json& element : list) put_value(out, type, element);
  }
}

std::string header(const GgufMetadata& metadata, std::span<const OutputTensor> tensors) {
  Bytes out;
  out.put(uint32_t{0x46554747});
  out.put(uint32_t{3});
  out.put(static_cast<uint64_t>(tensors.size()));
  out.put(metadata.count);
  out.append(metadata.bytes);
  uint64_t offset = 0;
  for (const OutputTensor& t : tensors) {
    out.string(t.name);
    out.put(static_cast<uint32_t>(t.shape.size()));
    for (auto n = t.shape.rbegin(); n != t.shape.rend(); ++n) out.put(static_cast<uint64_t>(*n));
    out.put(static_cast<uint32_t>(t.format->gguf_type));
    out.put(offset);
    offset = aligned(offset + static_cast<uint64_t>(t.bytes()), metadata.alignment);
  }
  out.align(metadata.alignment);
  return out.text();
}

Status check(const OutputTensor& t) {
  if (t.format == nullptr || t.format->gguf_type < 0)
    return Status(Code::unsupported, "tensor '" + t.name + "' has a type that GGUF does not know");
  if (t.shape.empty() || t.shape.size() > 4 || t.columns() % t.format->block != 0) {
    return Status(Code::invalid_argument, "tensor '" + t.name + "' has rows of " + std::to_string(t.columns()) +
                                              " numbers, which " + std::string(t.format->name) +
                                              " cannot hold (blocks of " + std::to_string(t.format->block) + ")");
  }
  return {};
}

}  // namespace

GgufMetadata encode_metadata(const Json& metadata) {
  Bytes out;
  put_metadata(out, metadata);
  return {metadata.object().size(), out.text(), static_cast<uint64_t>(metadata["general.alignment"].integer(32))};
}

Status write_gguf(Env& env, const std::string& path, const GgufMetadata& metadata,
                  std::span<const OutputTensor> tensors, const FillRows& fill, const WriteProgress& progress) {
  for (const OutputTensor& t : tensors) LANDFALL_TRY(check(t));
  return write_tensor_file(env, path, header(metadata, tensors), metadata.alignment, tensors, fill, progress);
}

}  // namespace landfall
