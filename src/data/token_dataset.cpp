#include "data/token_dataset.h"

#include <algorithm>

#include "data/near_duplicates.h"

namespace landfall {
namespace {

constexpr std::string_view kPartial = ".partial";

Result<std::string> key_of(Env& env, const std::vector<std::string>& files, const ExampleEncoder& encoder,
                           const TokenDatasetOptions& options) {
  Digest digest;
  digest.update("documents 1 " + encoder.identity() + " " + std::to_string(options.context) +
                (options.drop_near_duplicates ? " distinct " : " all "));
  for (size_t i = 0; i < files.size(); ++i) {
    LANDFALL_ASSIGN(const std::unique_ptr<MappedFile> file, env.map(files[i]));
    const std::string_view name = file_name(files[i]);
    const size_t dot = name.rfind('.');
    if (i > 0) digest.update("\n" + std::to_string(file->bytes().size()) + " ");  // where the last one ended
    digest.update(std::string(dot == name.npos ? "" : name.substr(dot)) + "\n");
    digest.update(file->bytes());
  }
  return digest.hex();
}

// What near duplicates are sought in: all that people wrote, without roles.
std::string words_of(const Example& example) {
  std::string out = example.text;
  for (const ChatMessage& message : example.messages) out += message.content + "\n";
  return out + example.chosen.content + "\n" + example.rejected.content;
}

Status make(Env& env, const std::vector<std::string>& files, const ExampleEncoder& encoder,
            const TokenDatasetOptions& options, const std::string& key, const TokenShardWriter::Sink& sink,
            ReadReport& report) {
  LANDFALL_ASSIGN(ExampleReader reader, ExampleReader::open(env, files, options.quarantine));
  std::optional<TokenShardWriter> writer;
  NearDuplicates duplicates;
  ShardCounts counts;
  Example example;
  while (true) {
    LANDFALL_ASSIGN(const bool more, reader.next(example));
    if (!more) break;
    const std::string& path = files[example.file];
    if (example.kind != Example::Kind::text) LANDFALL_TRY(encoder.chat_status().within("'" + path + "'"));
    if (options.progress && !options.progress(reader.bytes_read(), reader.bytes()))
      return Status(Code::cancelled, "stopped while '" + path + "' was tokenised");
    const bool preference = example.kind == Example::Kind::preference;
    if (preference != (kind_of(reader.report().shape) == Example::Kind::preference)) {
      return Status(Code::invalid_argument, "'" + path +
                                                (preference ? "' holds preferences and '" : "' holds none, and '") +
                                                files[0] + (preference ? "' does not" : "' holds preferences") +
                                                "; they are learned in runs of their own");
    }
    Result<std::vector<MarkedTokens>> documents = encoder.encode(example, options.context);
    if (!documents.ok()) {
      LANDFALL_TRY(reader.reject(documents.status().message()));
      continue;
    }
    if (options.drop_near_duplicates && duplicates.seen(words_of(example))) {
      ++counts.near_duplicates;
      continue;
    }
    if (!writer) writer.emplace(sink, reader.report().shape, static_cast<uint64_t>(options.context), key);
    counts.cut += example.kind == Example::Kind::text && documents->size() > 1;
    for (const MarkedTokens& document : *documents) LANDFALL_TRY(writer->add(document));
  }
  report = reader.report();
  counts.rows = report.rows;
  counts.bad = report.bad;
  return writer->finish(counts);  // files without a good row are the reader's error
}

// What a run that was killed has left half-written.
Status remove_partial(Env& env, const std::string& folder) {
  LANDFALL_ASSIGN(const auto entries, env.list(folder));
  for (const DirectoryEntry& entry : entries) {
    if (entry.name.ends_with(kPartial)) LANDFALL_TRY(env.remove(join_path(folder, entry.name)));
  }
  return {};
}

}  // namespace

Result<TokenDataset> TokenDataset::open(Env& env, const std::vector<std::string>& files, const ExampleEncoder& encoder,
                                        const TokenDatasetOptions& options) {
  if (options.context < 2) {
    return Status(Code::invalid_argument, "a document of at most " + std::to_string(options.context) +
                                              " tokens has nothing to learn; the context must be 2 or more");
  }
  LANDFALL_CHECK(!files.empty());
  LANDFALL_ASSIGN(const std::string key, key_of(env, files, encoder, options));
  TokenDataset out;
  for (const std::string& file : files) out.names_.emplace_back(file_name(file));
  const auto take = [&](std::span<const std::byte> bytes) -> Status {
    LANDFALL_ASSIGN(out.shard_, read_token_shard(bytes, encoder.tokenizer().vocab_size()));
    if (out.shard_.key != key || out.shard_.context != static_cast<uint64_t>(options.context))
      return Status(Code::data_loss, "tokenised documents: they are of another file");
    return {};
  };

  if (options.cache_folder.empty()) {
    LANDFALL_TRY(make(
        env, files, encoder, options, key,
        [&](std::span<const std::byte> bytes) {
          out.memory_.insert(out.memory_.end(), bytes.begin(), bytes.end());
          return Status();
        },
        out.report_));
    LANDFALL_TRY(take(out.memory_));
    return out;
  }

  const std::string shard = join_path(options.cache_folder, key.substr(0, 32) + ".tokens");
  const auto map_shard = [&]() -> Status {
    LANDFALL_ASSIGN(out.file_, env.map(shard));
    return take(out.file_->bytes());
  };
  const auto quarantined = [&] {
    return out.counts().bad == 0 || options.quarantine.empty() || env.exists(options.quarantine);
  };
  if (env.exists(shard) && map_shard().ok() && quarantined()) {
    out.from_cache_ = true;
    return out;
  }
  LANDFALL_TRY(env.make_directories(options.cache_folder));
  LANDFALL_TRY(remove_partial(env, options.cache_folder));
  const std::string partial = shard + std::string(kPartial);
  Status written = [&]() -> Status {
    LANDFALL_ASSIGN(const std::unique_ptr<OutputFile> file, env.open_output(partial, /*append=*/false));
    LANDFALL_TRY(make(
        env, files, encoder, options, key, [&](std::span<const std::byte> bytes) { return file->append(bytes); },
        out.report_));
    return file->sync();
  }();
  if (written.ok()) written = env.rename(partial, shard);
  if (!written.ok()) {
    (void)!env.remove(partial).ok();
    return written;
  }
  LANDFALL_TRY(map_shard());
  return out;
}

std::string TokenDataset::summary() const {
  const ShardCounts& c = counts();
  const bool several = names_.size() > 1;
  std::string out = std::to_string(c.rows) + " " +
                    (several ? "rows of " + std::to_string(names_.size()) + " files" : std::string(name(shape()))) +
                    ", " + std::to_string(documents()) + " documents of " + std::to_string(tokens()) + " tokens, " +
                    std::to_string(c.learned) + " of them learned";
  if (c.cut) out += "; " + std::to_string(c.cut) + " texts cut into pieces of " + std::to_string(context());
  if (c.near_duplicates) out += "; " + std::to_string(c.near_duplicates) + " near duplicates left out";
  if (c.bad) out += "; " + std::to_string(c.bad) + (c.bad == 1 ? " row refused" : " rows refused");
  for (const BadRow& row : report_.first_bad) {
    out += "\n  " + (several ? names_[row.file] + ", " : "") + "line " + std::to_string(row.line) + ": " + row.cause;
  }
  if (report_.bad > report_.first_bad.size()) out += "\n  ...";
  return out;
}

}  // namespace landfall
