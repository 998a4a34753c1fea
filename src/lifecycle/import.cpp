// Bringing a model that is on this machine already into the store.
#include <algorithm>
#include <cctype>
#include <filesystem>

#include "base/thread_pool.h"
#include "base/topology.h"
#include "lifecycle/digest.h"
#include "lifecycle/export_model.h"
#include "lifecycle/store.h"
#include "lifecycle/summary.h"
#include "model/model.h"
#include "model/packed.h"

namespace landfall {
namespace {

// Beside the weights, what a Hugging Face folder's model is made of.
constexpr std::string_view kCompanions[] = {"config.json",
                                            "generation_config.json",
                                            "tokenizer.json",
                                            "tokenizer_config.json",
                                            "chat_template.jinja",
                                            "model.safetensors.index.json",
                                            "special_tokens_map.json",
                                            "README.md",
                                            "LICENSE"};

std::string absolute_path(const std::string& path) {
  std::error_code failure;
  const std::filesystem::path full = std::filesystem::absolute(path, failure).lexically_normal();
  return failure ? path : full.string();
}

Status copy_file(Env& env, const std::string& from, const std::string& to, StoredFile& file, const Watch& watch,
                 uint64_t before, uint64_t total) {
  LANDFALL_ASSIGN(const auto source, env.map(from));
  LANDFALL_ASSIGN(const auto target, env.open_output(to, false));
  Digest digest;
  LANDFALL_TRY(in_pieces(source->bytes(), watch, before, total, [&](std::span<const std::byte> piece) {
    digest.update(piece);
    return target->append(piece);
  }));
  file.size = source->bytes().size();
  file.sha256 = digest.hex();
  return target->sync();
}

// Loads the model and writes it packed. Half of the work that is told is reading, half writing.
Status pack_file(Env& env, const ModelSource& source, Model model, const std::string& to, StoredFile& file,
                 const Watch& watch) {
  const uint64_t total = 2 * static_cast<uint64_t>(model.memory_bytes());
  ThreadPool pool(this_machine().default_threads());
  LANDFALL_TRY(load_to_write(env, source, pool, "packing", model, watch));
  LANDFALL_ASSIGN(const auto target, env.open_output(to, false));
  Digest digest;
  LANDFALL_TRY(write_packed(source, model, [&](std::span<const std::byte> piece) -> Status {
    if (watch.stop()) return Status(Code::cancelled, "importing was stopped");
    digest.update(piece);
    file.size += piece.size();
    watch.at(std::min(total, total / 2 + file.size), total);
    return target->append(piece);
  }));
  file.sha256 = digest.hex();
  return target->sync();
}

}  // namespace

std::string model_name_of(const std::string& path) {
  std::string_view name = path;
  while (name.size() > 1 && name.back() == '/') name.remove_suffix(1);
  name = file_name(name);
  for (const std::string_view end : {".gguf", ".safetensors"}) {
    if (name.ends_with(end)) name.remove_suffix(end.size());
  }
  if (const size_t of = name.rfind("-of-"); of != std::string_view::npos && of >= 6 && name[of - 6] == '-')
    name = name.substr(0, of - 6);
  std::string out;
  for (const char c : name)
    out += std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' ? c : '-';
  while (!out.empty() && out[0] == '.') out.erase(0, 1);
  return out;
}

Result<StoredModel> Store::import_model(const std::string& path, const ImportOptions& options, const Watch& watch) {
  LANDFALL_ASSIGN(const ModelSource source, ModelSource::open(env_, path));
  LANDFALL_TRY(summarize(env_, path).status());

  StoredModel model;
  model.name = options.name.empty() ? model_name_of(path) : options.name;
  LANDFALL_TRY(check_model_name(model.name).within("--name gives it a name"));
  LANDFALL_ASSIGN(const auto held, lock(model.name));
  if (has(model.name)) {
    return Status(Code::failed_precondition, "there is a model '" + model.name +
                                                 "' already; remove it with 'landfall rm " + model.name +
                                                 "', or give this one another name with --name");
  }
  const std::string first = source.files.empty() ? source.path : source.files[0];
  const std::string folder(source.kind == ModelSource::Kind::hugging_face ? std::string_view(source.path)
                                                                          : folder_of(first));
  if (options.pack && (options.link || !source.packed.empty())) {
    return Status(Code::invalid_argument, options.link ? "--pack makes a file of its own, so it cannot leave the files "
                                                         "where they are: give --pack or --link, not both"
                                                       : "'" + path + "' is packed already; import it as it is");
  }
  if (source.kind == ModelSource::Kind::gguf || !source.packed.empty()) model.entry = file_name(first);
  for (const std::string& file : source.files) model.files.push_back({std::string(file_name(file)), 0, ""});
  if (source.kind == ModelSource::Kind::hugging_face) {
    for (const std::string_view companion : kCompanions) {
      if (env_.exists(join_path(folder, companion))) model.files.push_back({std::string(companion), 0, ""});
    }
  }
  uint64_t total = 0;
  for (StoredFile& file : model.files) {
    LANDFALL_ASSIGN(file.size, env_.size(join_path(folder, file.name)));
    total += file.size;
  }
  model.source = absolute_path(path);
  model.linked = options.link;
  if (options.link) model.folder = absolute_path(folder);

  const std::string staging = staging_folder(model.name);
  LANDFALL_TRY(remove_tree(env_, staging));
  LANDFALL_TRY(env_.make_directories(staging));
  Status done = [&]() -> Status {
    if (options.pack) {
      LANDFALL_ASSIGN(Model described, describe_model(source));
      LANDFALL_TRY(check_space(model.name, packed_bytes(described)));
      model.entry = std::string(file_name(model.name)) + ".landfall";
      std::replace(model.entry.begin(), model.entry.end(), ':', '-');
      StoredFile packed{model.entry, 0, ""};
      LANDFALL_TRY(pack_file(env_, source, std::move(described), join_path(staging, model.entry), packed, watch));
      model.files = {packed};
      return commit(model);
    }
    if (!options.link) LANDFALL_TRY(check_space(model.name, total));
    uint64_t before = 0;
    for (StoredFile& file : model.files) {
      const std::string from = join_path(folder, file.name);
      const uint64_t size = file.size;
      if (options.link) {
        LANDFALL_ASSIGN(file.sha256, sha256_of_file(env_, from, watch, before, total));
      } else {
        LANDFALL_TRY(copy_file(env_, from, join_path(staging, file.name), file, watch, before, total));
      }
      before += size;
    }
    return commit(model);
  }();
  if (!done.ok()) {
    (void)remove_tree(env_, staging).ok();
    return done;
  }
  return model;
}

}  // namespace landfall
