#include "model/gguf_writer.h"

#include <algorithm>

namespace landfall {
namespace {

constexpr int64_t kPieceBytes = int64_t{16} << 20;

enum ValueType : uint32_t { kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kString = 8, kArray = 9, kI64 = 11 };

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
  void align(uint64_t alignment) { text_.resize((text_.size() + alignment - 1) / alignment * alignment); }
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

uint64_t aligned(uint64_t at, uint64_t alignment) { return (at + alignment - 1) / alignment * alignment; }

std::string header(const Json& metadata, std::span<const GgufTensor> tensors, uint64_t alignment) {
  Bytes out;
  out.put(uint32_t{0x46554747});
  out.put(uint32_t{3});
  out.put(static_cast<uint64_t>(tensors.size()));
  out.put(static_cast<uint64_t>(metadata.object().size()));
  put_metadata(out, metadata);
  uint64_t offset = 0;
  for (const GgufTensor& t : tensors) {
    out.string(t.name);
    out.put(static_cast<uint32_t>(t.shape.size()));
    for (auto n = t.shape.rbegin(); n != t.shape.rend(); ++n) out.put(static_cast<uint64_t>(*n));
    out.put(static_cast<uint32_t>(t.format->gguf_type));
    out.put(offset);
    offset = aligned(offset + static_cast<uint64_t>(t.bytes()), alignment);
  }
  out.align(alignment);
  return out.text();
}

Status check(const GgufTensor& t) {
  if (t.format == nullptr || t.format->gguf_type < 0)
    return Status(Code::unsupported, "tensor '" + t.name + "' has a type that GGUF does not know");
  if (t.shape.empty() || t.shape.size() > 4 || t.columns() % t.format->block != 0) {
    return Status(Code::invalid_argument, "tensor '" + t.name + "' has rows of " +
                                              std::to_string(t.shape.empty() ? 0 : t.columns()) + " numbers, which " +
                                              std::string(t.format->name) + " cannot hold (blocks of " +
                                              std::to_string(t.format->block) + ")");
  }
  return {};
}

Status write_all(OutputFile& file, const std::string& head, std::span<const GgufTensor> tensors, uint64_t alignment,
                 uint64_t total, const FillRows& fill, const std::function<bool(uint64_t, uint64_t)>& progress) {
  LANDFALL_TRY(file.append(head));
  uint64_t done = head.size();
  std::vector<std::byte> piece;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const GgufTensor& t = tensors[i];
    const int64_t at_once = std::clamp<int64_t>(kPieceBytes / t.row_bytes(), 1, t.rows());
    for (int64_t row = 0; row < t.rows(); row += at_once) {
      if (progress && !progress(done, total)) return Status(Code::cancelled, "writing was stopped");
      const int64_t count = std::min(at_once, t.rows() - row);
      const auto bytes = static_cast<size_t>(count * t.row_bytes());
      piece.resize(row + count == t.rows() ? aligned(done + bytes, alignment) - done : bytes);
      LANDFALL_TRY(fill(i, row, count, {piece.data(), bytes}));
      std::fill(piece.begin() + static_cast<std::ptrdiff_t>(bytes), piece.end(), std::byte{0});
      LANDFALL_TRY(file.append(piece));
      done += piece.size();
    }
  }
  LANDFALL_TRY(file.sync());
  if (progress) (void)progress(total, total);
  return {};
}

}  // namespace

int64_t GgufTensor::rows() const {
  int64_t n = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) n *= shape[i];
  return n;
}

Status write_gguf(Env& env, const std::string& path, const Json& metadata, std::span<const GgufTensor> tensors,
                  const FillRows& fill, const std::function<bool(uint64_t, uint64_t)>& progress) {
  const auto alignment = static_cast<uint64_t>(metadata["general.alignment"].integer(32));
  for (const GgufTensor& t : tensors) LANDFALL_TRY(check(t));
  const std::string head = header(metadata, tensors, alignment);
  uint64_t total = head.size();
  for (const GgufTensor& t : tensors) total = aligned(total + static_cast<uint64_t>(t.bytes()), alignment);
  const std::string folder(folder_of(path));
  if (auto space = env.free_space(folder); space.ok() && *space < total) {
    return Status(Code::resource_exhausted, "'" + path + "' will have " + std::to_string(total) + " bytes, but only " +
                                                std::to_string(*space) +
                                                " are free there; make room or name another "
                                                "folder");
  }
  const std::string partial = path + ".partial";
  Status written = [&]() -> Status {
    LANDFALL_ASSIGN(auto file, env.open_output(partial, false));
    return write_all(*file, head, tensors, alignment, total, fill, progress);
  }();
  if (written.ok()) written = env.rename(partial, path);
  if (!written.ok()) (void)env.remove(partial).ok();
  return written;
}

}  // namespace landfall
