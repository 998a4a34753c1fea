// GGUF, version 2 and 3: header, metadata, tensor directory, aligned data. Source: the format's specification in ggml.
#include <algorithm>
#include <bit>
#include <cstring>

#include "model/gguf_format.h"
#include "model/source.h"
#include "model/split_files.h"

namespace landfall {
namespace {

constexpr uint64_t kMaxDimension = uint64_t{1} << 40;

using namespace gguf;

// Reads little-endian values and never past the end; the first failure sticks.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  template <class T>
  T take() {
    T out{};
    if (remaining() < sizeof(T)) {
      failed_ = true;
      at_ = bytes_.size();
      return out;
    }
    std::memcpy(&out, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return out;
  }
  std::string string() {
    const auto length = take<uint64_t>();
    if (length > remaining()) {
      failed_ = true;
      at_ = bytes_.size();
      return {};
    }
    std::string out(reinterpret_cast<const char*>(bytes_.data()) + at_, static_cast<size_t>(length));
    at_ += static_cast<size_t>(length);
    return out;
  }
  size_t remaining() const { return bytes_.size() - at_; }
  size_t position() const { return at_; }
  std::span<const std::byte> since(size_t begin) const { return bytes_.subspan(begin, at_ - begin); }
  bool failed() const { return failed_; }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  bool failed_ = false;
};

size_t size_of_value(uint32_t type) {
  switch (type) {
    case kU8:
    case kI8:
    case kBool:
      return 1;
    case kU16:
    case kI16:
      return 2;
    case kU32:
    case kI32:
    case kF32:
      return 4;
    case kU64:
    case kI64:
    case kF64:
      return 8;
    case kString:
      return 8;  // at least its length
    default:
      return 0;
  }
}

Json scalar(Cursor& c, uint32_t type) {
  switch (type) {
    case kU8:
      return Json(int{c.take<uint8_t>()});
    case kI8:
      return Json(int{c.take<int8_t>()});
    case kU16:
      return Json(int{c.take<uint16_t>()});
    case kI16:
      return Json(int{c.take<int16_t>()});
    case kU32:
      return Json(c.take<uint32_t>());
    case kI32:
      return Json(c.take<int32_t>());
    case kF32:
      return Json(static_cast<double>(c.take<float>()));
    case kBool:
      return Json(c.take<uint8_t>() != 0);
    case kString:
      return Json(c.string());
    case kU64: {
      const auto v = c.take<uint64_t>();
      return v <= INT64_MAX ? Json(static_cast<int64_t>(v)) : Json(static_cast<double>(v));
    }
    case kI64:
      return Json(c.take<int64_t>());
    default:
      return Json(c.take<double>());
  }
}

Status truncated(const std::string& path, const Cursor& c, const char* where) {
  return Status(Code::data_loss, "'" + path + "' ends inside its " + where + " (at byte " +
                                     std::to_string(c.position()) +
                                     "); the file is truncated or damaged: fetch it again");
}

struct Arrays {
  std::unordered_map<std::string, std::vector<std::string>> strings;
  std::unordered_map<std::string, std::vector<int32_t>> integers;
};

Status read_array(const std::string& path, Cursor& c, const std::string& key, Json& config, Arrays& arrays) {
  const auto type = c.take<uint32_t>();
  const auto count = c.take<uint64_t>();
  const size_t unit = size_of_value(type);
  if (unit == 0) {
    return Status(Code::unsupported, "'" + path + "': metadata '" + key + "' is an array of type " +
                                         std::to_string(type) + ", which is not supported");
  }
  if (count > c.remaining() / unit) return truncated(path, c, "metadata");
  if (type == kString) {
    auto& out = arrays.strings[key];
    out.reserve(static_cast<size_t>(count));
    for (uint64_t i = 0; i < count && !c.failed(); ++i) out.push_back(c.string());
    return c.failed() ? truncated(path, c, "metadata") : Status();
  }
  if (type == kI32 || type == kU32) {
    auto& out = arrays.integers[key];
    for (uint64_t i = 0; i < count; ++i) out.push_back(c.take<int32_t>());
    if (count <= 4096) {
      Json list{Json::Array{}};
      for (int32_t v : out) list.push(Json(v));
      config.set(key, std::move(list));
    }
    return {};
  }
  Json list{Json::Array{}};
  for (uint64_t i = 0; i < count; ++i) {
    Json value = scalar(c, type);
    if (count <= 4096) list.push(std::move(value));
  }
  if (count <= 4096) config.set(key, std::move(list));
  return {};
}

struct Header {
  uint64_t tensors = 0;
  uint64_t alignment = 32;
  std::vector<ModelSource::RawValue> raw;
};

Status read_metadata(const std::string& path, Cursor& c, Json& config, Arrays& arrays, Header& header) {
  if (c.remaining() < 24) {
    return Status(Code::data_loss,
                  "'" + path + "' is " + std::to_string(c.remaining()) + " bytes long, too short for a model file");
  }
  const auto magic = c.take<uint32_t>();
  if (magic != 0x46554747) {
    return Status(Code::invalid_argument, "'" + path + "' is not a GGUF file (it does not start with \"GGUF\")");
  }
  const auto version = c.take<uint32_t>();
  if (version != 2 && version != 3) {
    return Status(
        Code::unsupported,
        "'" + path + "' is GGUF version " + std::to_string(version) + "; versions 2 and 3 are supported" +
            (std::endian::native == std::endian::little && version == 0x03000000 ? " (this one is big-endian)" : ""));
  }
  header.tensors = c.take<uint64_t>();
  const auto values = c.take<uint64_t>();
  if (values > c.remaining() / 13) return truncated(path, c, "metadata");  // key length, type and one byte at least
  for (uint64_t i = 0; i < values; ++i) {
    const size_t begin = c.position();
    const std::string key = c.string();
    const auto type = c.take<uint32_t>();
    if (c.failed()) return truncated(path, c, "metadata");
    if (key.size() > 65535)
      return Status(Code::data_loss, "'" + path + "' has a metadata key of " + std::to_string(key.size()) + " bytes");
    if (type == kArray) {
      LANDFALL_TRY(read_array(path, c, key, config, arrays));
    } else if (size_of_value(type) != 0) {
      config.set(key, scalar(c, type));
    } else {
      return Status(Code::data_loss,
                    "'" + path + "': metadata '" + key + "' has the unknown type " + std::to_string(type));
    }
    if (c.failed()) return truncated(path, c, "metadata");
    header.raw.push_back({key, c.since(begin)});
  }
  const int64_t alignment = config["general.alignment"].integer(32);
  if (alignment <= 0 || alignment > (1 << 20) || !std::has_single_bit(static_cast<uint64_t>(alignment))) {
    return Status(Code::data_loss, "'" + path + "' asks for an alignment of " + std::to_string(alignment) +
                                       " bytes, which is not a power of two up to 1048576");
  }
  header.alignment = static_cast<uint64_t>(alignment);
  return {};
}

Status read_tensor_row(const std::string& path, Cursor& c, FileTensor& t, uint64_t& offset, uint64_t& bytes) {
  t.name = c.string();
  const auto rank = c.take<uint32_t>();
  if (c.failed()) return truncated(path, c, "tensor list");
  if (rank < 1 || rank > 4) {
    return Status(Code::data_loss, "'" + path + "': tensor '" + t.name + "' has " + std::to_string(rank) +
                                       " dimensions; 1 to 4 are allowed");
  }
  uint64_t elements = 1;
  for (uint32_t d = 0; d < rank; ++d) {
    const auto n = c.take<uint64_t>();
    if (n == 0 || n > kMaxDimension || elements > kMaxDimension / n) {
      return Status(Code::data_loss, "'" + path + "': tensor '" + t.name + "' has an impossible size (dimension " +
                                         std::to_string(d) + " is " + std::to_string(n) + ")");
    }
    elements *= n;
    t.shape.insert(t.shape.begin(), static_cast<int64_t>(n));
  }
  const auto type = c.take<uint32_t>();
  offset = c.take<uint64_t>();
  if (c.failed()) return truncated(path, c, "tensor list");
  t.format = format_by_gguf_type(type);
  t.type_name = t.format ? std::string(t.format->name) : "GGUF type " + std::to_string(type);
  bytes = 0;
  if (!t.format) return {};  // named when somebody wants this tensor
  if (t.columns() % t.format->block != 0) {
    return Status(Code::data_loss, "'" + path + "': tensor '" + t.name + "' has rows of " +
                                       std::to_string(t.columns()) + " numbers, which " + t.type_name +
                                       " cannot hold (blocks of " + std::to_string(t.format->block) + ")");
  }
  bytes = elements / static_cast<uint64_t>(t.format->block) * static_cast<uint64_t>(t.format->block_bytes);
  return {};
}

TokenizerSpec tokenizer_spec(const Json& config, Arrays& arrays) {
  TokenizerSpec spec;
  spec.pre = config["tokenizer.ggml.pre"].string();
  spec.tokens = std::move(arrays.strings["tokenizer.ggml.tokens"]);
  spec.types = std::move(arrays.integers["tokenizer.ggml.token_type"]);
  spec.merges = std::move(arrays.strings["tokenizer.ggml.merges"]);
  auto id = [&](const char* key) {
    return static_cast<int32_t>(std::clamp<int64_t>(config[key].integer(-1), -1, INT32_MAX));
  };
  spec.bos = id("tokenizer.ggml.bos_token_id");
  spec.eos = id("tokenizer.ggml.eos_token_id");
  spec.eot = id("tokenizer.ggml.eot_token_id");
  spec.pad = id("tokenizer.ggml.padding_token_id");
  // Where older files of Llama 3 say nothing, llama.cpp begins with it.
  const bool llama3 = spec.pre == "llama-bpe" || spec.pre == "llama3" || spec.pre == "llama-v3";
  spec.add_bos = config["tokenizer.ggml.add_bos_token"].boolean(llama3);
  spec.add_eos = config["tokenizer.ggml.add_eos_token"].boolean(false);
  spec.chat_template = config["tokenizer.chat_template"].string();
  return spec;
}

}  // namespace

Status read_gguf(Env& env, const std::string& path, ModelSource& out) {
  out.kind = ModelSource::Kind::gguf;
  LANDFALL_ASSIGN(out.files, all_parts(env, path, ".gguf"));
  out.path = out.files.front();
  Arrays arrays;
  for (size_t part = 0; part < out.files.size(); ++part) {
    const std::string& file = out.files[part];
    LANDFALL_ASSIGN(std::shared_ptr<MappedFile> mapped, env.map(file));
    out.mappings_.push_back(mapped);
    const std::span<const std::byte> bytes = mapped->bytes();
    out.file_bytes += bytes.size();
    Cursor c(bytes);
    Header header;
    Json config{Json::Object{}};
    Arrays part_arrays;
    LANDFALL_TRY(read_metadata(file, c, config, part_arrays, header));
    if (header.tensors > c.remaining() / 24) return truncated(file, c, "tensor list");
    struct Row {
      FileTensor tensor;
      uint64_t offset, bytes;
    };
    std::vector<Row> rows(static_cast<size_t>(header.tensors));
    for (Row& row : rows) LANDFALL_TRY(read_tensor_row(file, c, row.tensor, row.offset, row.bytes));
    const uint64_t start = (c.position() + header.alignment - 1) / header.alignment * header.alignment;
    for (Row& row : rows) {
      const uint64_t room = start < bytes.size() ? bytes.size() - start : 0;
      if (row.offset % header.alignment != 0 || row.offset > room || row.bytes > room - row.offset) {
        return Status(Code::data_loss, "'" + file + "': tensor '" + row.tensor.name + "' needs " +
                                           std::to_string(row.bytes) + " bytes at offset " +
                                           std::to_string(row.offset) + " of the data, but the file holds " +
                                           std::to_string(room) + "; it is truncated or damaged: fetch it again");
      }
      row.tensor.data = bytes.subspan(static_cast<size_t>(start + row.offset), static_cast<size_t>(row.bytes));
      LANDFALL_TRY(out.add(std::move(row.tensor)));
    }
    if (part == 0) {
      out.config = std::move(config);
      out.raw_metadata = std::move(header.raw);
      arrays = std::move(part_arrays);
    }
  }
  out.architecture = out.config["general.architecture"].string();
  const std::string& tokenizer_model = out.config["tokenizer.ggml.model"].string();
  if (tokenizer_model == "gpt2") {
    out.tokenizer = tokenizer_spec(out.config, arrays);
  } else {
    out.tokenizer_problem = tokenizer_model.empty() ? "the file holds no tokenizer"
                                                    : "tokenizer model '" + tokenizer_model +
                                                          "' is not supported; 'gpt2' (byte-level BPE) is";
  }
  return {};
}

}  // namespace landfall
