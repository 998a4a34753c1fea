#include "model/safetensors_writer.h"

#include "base/json.h"

namespace landfall {
namespace {

constexpr uint64_t kHeaderAlignment = 64;

}  // namespace

Status write_safetensors(Env& env, const std::string& path, std::span<const OutputTensor> tensors, const FillRows& fill,
                         const WriteProgress& progress) {
  Json::Object header;  // not by set(), which compares each name with all before
  header.emplace_back("__metadata__", Json().set("format", "pt"));
  uint64_t offset = 0;
  for (const OutputTensor& t : tensors) {
    const std::string type(t.format ? t.format->name : "");
    if (type != "F32" && type != "F16" && type != "BF16") {
      return Status(Code::unsupported, "tensor '" + t.name + "' cannot be " + (type.empty() ? "of no type" : type) +
                                           " in a safetensors file; F32, F16 and BF16 are possible");
    }
    Json row;
    const uint64_t end = offset + static_cast<uint64_t>(t.bytes());
    row.set("dtype", type).set("shape", Json(Json::Array(t.shape.begin(), t.shape.end())));
    row.set("data_offsets", Json(Json::Array{Json(offset), Json(end)}));
    header.emplace_back(t.name, std::move(row));
    offset = end;
  }
  std::string text = Json(std::move(header)).dump();
  // Spaces behind the header move the data.
  text.resize(aligned(8 + text.size(), kHeaderAlignment) - 8, ' ');
  const uint64_t length = text.size();
  return write_tensor_file(env, path, std::string(reinterpret_cast<const char*>(&length), 8) + text, 1, tensors, fill,
                           progress);
}

}  // namespace landfall
