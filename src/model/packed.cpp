#include "model/packed.h"

#include <cstring>

#include "model/model.h"
#include "model/source.h"

namespace landfall {
namespace {

constexpr std::string_view kMagic = "LNDFPACK";
constexpr uint64_t kHeader = 40, kAlign = uint64_t{2} << 20;

template <class T>
T number_at(std::span<const std::byte> bytes, size_t at) {
  T out;
  std::memcpy(&out, bytes.data() + at, sizeof out);
  return out;
}

Json strings(const std::vector<std::string>& values) {
  Json::Array out(values.begin(), values.end());
  return Json(std::move(out));
}

std::vector<std::string> strings_of(const Json& json) {
  std::vector<std::string> out;
  for (const Json& value : json.array()) out.push_back(value.string());
  return out;
}

Json packed_tokenizer(const TokenizerSpec& t) {
  Json out;
  out.set("pre", t.pre).set("tokens", strings(t.tokens)).set("merges", strings(t.merges));
  out.set("types", Json(Json::Array(t.types.begin(), t.types.end())));
  out.set("bos", t.bos).set("eos", t.eos).set("eot", t.eot).set("pad", t.pad);
  out.set("add_bos", t.add_bos).set("add_eos", t.add_eos).set("chat_template", t.chat_template);
  if (t.rules) {
    out.set("rules", Json()
                         .set("patterns", strings(t.rules->patterns))
                         .set("nfc", t.rules->nfc)
                         .set("ignore_merges", t.rules->ignore_merges));
  }
  return out;
}

int32_t int32_of(const Json& json, int32_t otherwise) {
  const int64_t v = json.integer(otherwise);
  return v >= INT32_MIN && v <= INT32_MAX ? static_cast<int32_t>(v) : otherwise;
}

TokenizerSpec tokenizer_of(const Json& json) {
  TokenizerSpec out;
  out.pre = json["pre"].string();
  out.tokens = strings_of(json["tokens"]);
  out.merges = strings_of(json["merges"]);
  for (const Json& type : json["types"].array()) out.types.push_back(int32_of(type, kTokenNormal));
  out.bos = int32_of(json["bos"], -1), out.eos = int32_of(json["eos"], -1);
  out.eot = int32_of(json["eot"], -1), out.pad = int32_of(json["pad"], -1);
  out.add_bos = json["add_bos"].boolean(), out.add_eos = json["add_eos"].boolean();
  out.chat_template = json["chat_template"].string();
  if (const Json* rules = json.find("rules")) {
    out.rules =
        TextRules{strings_of((*rules)["patterns"]), (*rules)["nfc"].boolean(), (*rules)["ignore_merges"].boolean()};
  }
  return out;
}

Result<FileTensor> tensor_of(const std::string& path, const Json& json) {
  FileTensor out;
  out.name = json["name"].string();
  out.type_name = json["type"].string();
  out.format = format_by_name(out.type_name);
  int64_t elements = 1;
  for (const Json& axis : json["shape"].array()) {
    const int64_t n = axis.integer();
    if (n < 1 || out.shape.size() == 4 || __builtin_mul_overflow(elements, n, &elements) ||
        elements > (int64_t{1} << 50)) {
      return Status(Code::data_loss, "'" + path + "' gives tensor '" + out.name.substr(0, 100) +
                                         "' a shape that cannot be; make the file again with 'landfall import --pack'");
    }
    out.shape.push_back(n);
  }
  return out;
}

}  // namespace

bool is_packed(std::span<const std::byte> file) {
  return file.size() >= kHeader && std::memcmp(file.data(), kMagic.data(), kMagic.size()) == 0;
}

Status ModelSource::set_packed(std::shared_ptr<MappedFile> file, std::span<const std::byte> weights,
                               std::vector<FileTensor> tensors) {
  mappings_.push_back(std::move(file));
  packed = weights;
  for (FileTensor& tensor : tensors) LANDFALL_TRY(add(std::move(tensor)));
  return {};
}

Status read_packed(Env& env, const std::string& path, ModelSource& out) {
  LANDFALL_ASSIGN(std::shared_ptr<MappedFile> file, env.map(path));
  const std::span<const std::byte> bytes = file->bytes();
  LANDFALL_CHECK(is_packed(bytes));
  const auto version = number_at<uint32_t>(bytes, 8);
  if (version != kPackedVersion) {
    return Status(Code::unsupported, "'" + path + "' was packed for version " + std::to_string(version) +
                                         " of the panels, and this program has version " +
                                         std::to_string(kPackedVersion) +
                                         "; pack the original again with 'landfall import --pack'");
  }
  const auto index = number_at<uint64_t>(bytes, 16), begin = number_at<uint64_t>(bytes, 24),
             size = number_at<uint64_t>(bytes, 32);
  if (index > bytes.size() - kHeader || begin > bytes.size() || begin < kHeader + index || begin % kAlign != 0 ||
      size != bytes.size() - begin) {
    return Status(Code::data_loss, "'" + path + "' has " + std::to_string(bytes.size()) +
                                       " bytes, but its first lines ask for an index of " + std::to_string(index) +
                                       " and for weights of " + std::to_string(size) + " from " +
                                       std::to_string(begin) + " on; it is damaged or cut off");
  }
  auto json = parse_json({reinterpret_cast<const char*>(bytes.data()) + kHeader, static_cast<size_t>(index)});
  if (!json.ok()) return json.status().within("the index of '" + path + "'");
  out.kind = (*json)["kind"].string() == "hugging_face" ? ModelSource::Kind::hugging_face : ModelSource::Kind::gguf;
  out.files = {path};
  out.file_bytes = bytes.size();
  out.config = (*json)["config"];
  out.architecture = (*json)["architecture"].string();
  out.tokenizer_problem = (*json)["tokenizer_problem"].string();
  if (const Json* tokenizer = json->find("tokenizer")) out.tokenizer = tokenizer_of(*tokenizer);
  out.notes = strings_of((*json)["notes"]);
  std::vector<FileTensor> tensors;
  for (const Json& each : (*json)["tensors"].array()) {
    LANDFALL_ASSIGN(FileTensor tensor, tensor_of(path, each));
    tensors.push_back(std::move(tensor));
  }
  return out.set_packed(std::move(file), bytes.subspan(static_cast<size_t>(begin)), std::move(tensors));
}

uint64_t packed_bytes(const Model& model) { return static_cast<uint64_t>(model.memory_bytes()) + 2 * kAlign; }

Status write_packed(const ModelSource& source, const Model& model,
                    const std::function<Status(std::span<const std::byte>)>& append) {
  Json index;
  index.set("kind", source.kind == ModelSource::Kind::gguf ? "gguf" : "hugging_face");
  index.set("architecture", source.architecture).set("config", source.config).set("notes", strings(source.notes));
  index.set("tokenizer_problem", source.tokenizer_problem);
  if (source.tokenizer) index.set("tokenizer", packed_tokenizer(*source.tokenizer));
  Json::Array tensors;
  for (const FileTensor& tensor : source.tensors()) {
    tensors.push_back(Json()
                          .set("name", tensor.name)
                          .set("type", tensor.type_name)
                          .set("shape", Json(Json::Array(tensor.shape.begin(), tensor.shape.end()))));
  }
  index.set("tensors", Json(std::move(tensors)));
  const std::string text = index.dump();

  const std::span<const std::byte> weights = model.memory();
  const uint64_t begin = (kHeader + text.size() + kAlign - 1) / kAlign * kAlign;
  std::string head(kMagic);
  auto put = [&](auto v) { head.append(reinterpret_cast<const char*>(&v), sizeof v); };
  put(kPackedVersion), put(uint32_t{0}), put(uint64_t{text.size()}), put(begin), put(uint64_t{weights.size()});
  head += text;
  head.resize(static_cast<size_t>(begin), '\0');
  LANDFALL_TRY(append(std::as_bytes(std::span(head))));
  for (size_t at = 0; at < weights.size(); at += kAlign)
    LANDFALL_TRY(append(weights.subspan(at, std::min<size_t>(kAlign, weights.size() - at))));
  return {};
}

}  // namespace landfall
