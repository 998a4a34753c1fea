// Hugging Face model folders: config.json, safetensors (one file, or shards named by model.safetensors.index.json),
// tokenizer.json. Source: the safetensors format description.
#include <algorithm>
#include <cstring>

#include "model/source.h"
#include "model/split_files.h"
#include "model/tokenizer/tokenizer.h"

namespace landfall {
namespace {

constexpr uint64_t kMaxHeader = uint64_t{100} << 20;

struct DType {
  const char* name;
  const char* format;  // null: known, but not read as weights
  uint64_t bytes;
};
constexpr DType kDTypes[] = {{"F32", "F32", 4},   {"F16", "F16", 2},   {"BF16", "BF16", 2},  {"F8_E4M3", "F8_E4M3", 1},
                             {"F64", nullptr, 8}, {"I64", nullptr, 8}, {"I32", nullptr, 4},  {"I16", nullptr, 2},
                             {"I8", nullptr, 1},  {"U8", nullptr, 1},  {"BOOL", nullptr, 1}, {"F8_E5M2", nullptr, 1},
                             {"U64", nullptr, 8}, {"U32", nullptr, 4}, {"U16", nullptr, 2},  {"F8_E8M0", nullptr, 1}};

Status damaged(const std::string& file, const std::string& what) {
  return Status(Code::data_loss, "'" + file + "': " + what + "; the file is truncated or damaged: fetch it again");
}

Status read_tensor(const std::string& file, const std::string& name, const Json& row, std::span<const std::byte> data,
                   FileTensor& t) {
  t.name = name;
  t.type_name = row["dtype"].string();
  const auto* type =
      std::find_if(std::begin(kDTypes), std::end(kDTypes), [&](const DType& d) { return t.type_name == d.name; });
  if (type == std::end(kDTypes))
    return damaged(file, "tensor '" + name + "' has the unknown type '" + t.type_name + "'");
  t.format = type->format ? format_by_name(type->format) : nullptr;
  uint64_t elements = 1;
  for (const Json& n : row["shape"].array()) {
    const int64_t size = n.integer(-1);
    if (size < 0 || (size > 0 && elements > (uint64_t{1} << 40) / static_cast<uint64_t>(size))) {
      return damaged(file, "tensor '" + name + "' has an impossible shape");
    }
    elements *= static_cast<uint64_t>(size);
    t.shape.push_back(size);
  }
  const Json::Array& offsets = row["data_offsets"].array();
  const int64_t begin = offsets.size() == 2 ? offsets[0].integer(-1) : -1,
                end = offsets.size() == 2 ? offsets[1].integer(-1) : -1;
  if (begin < 0 || end < begin || static_cast<uint64_t>(end) > data.size() ||
      static_cast<uint64_t>(end - begin) != elements * type->bytes) {
    return damaged(file, "tensor '" + name + "' of shape " + t.shape_text() + " " + t.type_name + " claims bytes " +
                             std::to_string(begin) + " to " + std::to_string(end) + " of " +
                             std::to_string(data.size()));
  }
  t.data = data.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  return {};
}

}  // namespace

Status read_safetensors(const std::string& file, std::span<const std::byte> bytes, std::vector<FileTensor>& out) {
  if (bytes.size() < 8) return damaged(file, "it is only " + std::to_string(bytes.size()) + " bytes long");
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  if (length > bytes.size() - 8 || length > kMaxHeader) {
    return damaged(file,
                   "its header claims " + std::to_string(length) + " bytes of " + std::to_string(bytes.size() - 8));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + 8, static_cast<size_t>(length));
  auto header = parse_json(text, {.bytes = kMaxHeader, .depth = 8});
  if (!header.ok()) return damaged(file, "header: " + header.status().message());
  if (!header->is_object()) return damaged(file, "its header is not a JSON object");
  const std::span<const std::byte> data = bytes.subspan(8 + static_cast<size_t>(length));
  for (const auto& [name, row] : header->object()) {
    if (name == "__metadata__") continue;
    FileTensor tensor;
    LANDFALL_TRY(read_tensor(file, name, row, data, tensor));
    out.push_back(std::move(tensor));
  }
  return {};
}

Status read_hugging_face(Env& env, const std::string& folder, ModelSource& out) {
  out.kind = ModelSource::Kind::hugging_face;
  out.path = folder;
  const std::string config_path = join_path(folder, "config.json");
  LANDFALL_ASSIGN(const std::string config_text, env.read(config_path, 16 << 20));
  auto config = parse_json(config_text);
  if (!config.ok()) return config.status().within("'" + config_path + "'");
  if (!config->is_object()) return Status(Code::invalid_argument, "'" + config_path + "' is not a JSON object");
  out.config = std::move(*config);
  out.architecture = out.config["model_type"].string();

  std::vector<std::string> names;
  const std::string index_path = join_path(folder, "model.safetensors.index.json");
  if (env.exists(index_path)) {
    LANDFALL_ASSIGN(const std::string index_text, env.read(index_path, 256 << 20));
    auto index = parse_json(index_text);
    if (!index.ok()) return index.status().within("'" + index_path + "'");
    for (const auto& [tensor, file] : (*index)["weight_map"].object()) {
      const std::string& name = file.string();
      if (name.empty() || name.find('/') != std::string::npos || name.find("..") != std::string::npos) {
        return Status(Code::invalid_argument,
                      "'" + index_path + "' places tensor '" + tensor + "' in the impossible file '" + name + "'");
      }
      names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
  } else {
    LANDFALL_ASSIGN(const auto entries, env.list(folder));
    for (const DirectoryEntry& entry : entries) {
      if (entry.name.size() <= 12 || !entry.name.ends_with(".safetensors")) continue;
      LANDFALL_TRY(all_parts(env, join_path(folder, entry.name), ".safetensors").status());
      names.push_back(entry.name);
    }
  }
  if (names.empty()) {
    return Status(Code::not_found, "folder '" + folder +
                                       "' has a config.json but no .safetensors file; weights in other "
                                       "formats (.bin, .pt) are not read: they can run code");
  }
  std::vector<FileTensor> tensors;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string file = join_path(folder, names[i]);
    if (!env.exists(file)) {
      return Status(Code::not_found, "file " + std::to_string(i + 1) + " of " + std::to_string(names.size()) +
                                         " is missing: '" + file + "'; put it beside the others");
    }
    LANDFALL_ASSIGN(std::shared_ptr<MappedFile> mapped, env.map(file));
    out.mappings_.push_back(mapped);
    out.files.push_back(file);
    out.file_bytes += mapped->bytes().size();
    LANDFALL_TRY(read_safetensors(file, mapped->bytes(), tensors));
  }
  // Scales of 8-bit weights go with their weight.
  std::unordered_map<std::string, const FileTensor*> scales;
  for (const FileTensor& t : tensors) {
    if (t.name.ends_with(".weight_scale_inv")) scales[t.name.substr(0, t.name.size() - 10)] = &t;
  }
  for (const FileTensor& original : tensors) {
    FileTensor t = original;
    if (t.type_name == "F8_E4M3") {
      const auto scale = scales.find(t.name);
      if (scale == scales.end()) {
        return Status(Code::data_loss, "tensor '" + t.name + "' is F8_E4M3 without '" + t.name + "_scale_inv'");
      }
      const FileTensor& s = *scale->second;
      const std::vector<int64_t> wanted = {(t.rows() + 127) / 128, (t.columns() + 127) / 128};
      t.exponent_scales = s.type_name == "F8_E8M0";
      if ((s.type_name != "F32" && !t.exponent_scales) || s.shape != wanted || t.shape.size() != 2) {
        return Status(Code::unsupported,
                      "tensor '" + s.name + "' is " + s.type_name + " " + s.shape_text() +
                          "; scales per block of 128x128 in F32 or F8_E8M0 are supported, which for '" + t.name + "' " +
                          t.shape_text() + " is [" + std::to_string(wanted[0]) + ", " + std::to_string(wanted[1]) +
                          "]");
      }
      t.scales = s.data;
    }
    LANDFALL_TRY(out.add(std::move(t)));
  }

  const std::string tokenizer_path = join_path(folder, "tokenizer.json");
  if (!env.exists(tokenizer_path)) {
    out.tokenizer_problem = "there is no tokenizer.json in '" + folder + "'";
    return {};
  }
  LANDFALL_ASSIGN(const std::string tokenizer_text, env.read(tokenizer_path, 256 << 20));
  auto tokenizer_json = parse_json(tokenizer_text);
  if (!tokenizer_json.ok()) return tokenizer_json.status().within("'" + tokenizer_path + "'");
  Json tokenizer_config;
  if (const std::string path = join_path(folder, "tokenizer_config.json"); env.exists(path)) {
    LANDFALL_ASSIGN(const std::string text, env.read(path, 64 << 20));
    auto parsed = parse_json(text);
    if (!parsed.ok()) return parsed.status().within("'" + path + "'");
    tokenizer_config = std::move(*parsed);
  }
  if (const std::string path = join_path(folder, "chat_template.jinja");
      env.exists(path) && !tokenizer_config["chat_template"].is_string()) {
    LANDFALL_ASSIGN(std::string text, env.read(path, 4 << 20));
    tokenizer_config.set("chat_template", Json(std::move(text)));
  }
  auto spec = parse_tokenizer_json(*tokenizer_json, tokenizer_config);
  if (spec.ok()) {
    out.tokenizer = std::move(*spec);
  } else {
    out.tokenizer_problem = spec.status().message();
  }
  return {};
}

}  // namespace landfall
