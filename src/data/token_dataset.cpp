#include "data/token_dataset.h"

#include <algorithm>
#include <cstdio>

#include "data/near_duplicates.h"

namespace landfall {
namespace {

Result<std::string> key_of(Env& env, const std::string& path, const ExampleEncoder& encoder,
                           const TokenDatasetOptions& options) {
  LANDFALL_ASSIGN(const std::unique_ptr<MappedFile> file, env.map(path));
  const std::string_view name = file_name(path);
  const size_t dot = name.rfind('.');
  Digest digest;
  digest.update("documents 1 " + encoder.identity() + " " + std::to_string(options.context) +
                (options.drop_near_duplicates ? " distinct " : " all ") +
                std::string(dot == name.npos ? "" : name.substr(dot)) + "\n");
  digest.update(file->bytes());
  return digest.hex();
}

// What near duplicates are sought in: all that people wrote, without roles.
std::string words_of(const Example& example) {
  std::string out = example.text;
  for (const ChatMessage& message : example.messages) out += message.content + "\n";
  return out + example.chosen.content + "\n" + example.rejected.content;
}

Status make(Env& env, const std::string& path, const ExampleEncoder& encoder, const TokenDatasetOptions& options,
            const std::string& key, const TokenShardWriter::Sink& sink, ReadReport& report) {
  LANDFALL_ASSIGN(ExampleReader reader, ExampleReader::open(env, path, options.quarantine));
  std::optional<TokenShardWriter> writer;
  NearDuplicates duplicates;
  ShardCounts counts;
  Example example;
  while (true) {
    LANDFALL_ASSIGN(const bool more, reader.next(example));
    if (!more) break;
    if (example.kind != Example::Kind::text) LANDFALL_TRY(encoder.chat_status().within("'" + path + "'"));
    if (options.progress && !options.progress(reader.bytes_read(), reader.bytes()))
      return Status(Code::cancelled, "stopped while '" + path + "' was tokenised");
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
  return writer->finish(counts);  // a file without a good row is the reader's error
}

}  // namespace

Result<TokenDataset> TokenDataset::open(Env& env, const std::string& path, const ExampleEncoder& encoder,
                                        const TokenDatasetOptions& options) {
  if (options.context < 2) {
    return Status(Code::invalid_argument, "a document of at most " + std::to_string(options.context) +
                                              " tokens has nothing to learn; the context must be 2 or more");
  }
  LANDFALL_ASSIGN(const std::string key, key_of(env, path, encoder, options));
  TokenDataset out;
  const auto take = [&](std::span<const std::byte> bytes) -> Status {
    LANDFALL_ASSIGN(out.shard_, read_token_shard(bytes, encoder.tokenizer().vocab_size()));
    if (out.shard_.key != key || out.shard_.context != static_cast<uint64_t>(options.context))
      return Status(Code::data_loss, "tokenised documents: they are of another file");
    return {};
  };

  if (options.cache_folder.empty()) {
    LANDFALL_TRY(make(
        env, path, encoder, options, key,
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
  // Two runs may make the same shard at once: each under a name of its own.
  char suffix[32];
  std::snprintf(suffix, sizeof suffix, ".%016llx.partial", static_cast<unsigned long long>(env.random_u64()));
  const std::string partial = shard + suffix;
  Status written = [&]() -> Status {
    LANDFALL_ASSIGN(const std::unique_ptr<OutputFile> file, env.open_output(partial, /*append=*/false));
    LANDFALL_TRY(make(
        env, path, encoder, options, key, [&](std::span<const std::byte> bytes) { return file->append(bytes); },
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
  std::string out = std::to_string(c.rows) + " " + std::string(name(shape())) + ", " + std::to_string(documents()) +
                    " documents of " + std::to_string(tokens()) + " tokens, " + std::to_string(c.learned) +
                    " of them learned";
  if (c.cut) out += "; " + std::to_string(c.cut) + " texts cut into pieces of " + std::to_string(context());
  if (c.near_duplicates) out += "; " + std::to_string(c.near_duplicates) + " near duplicates left out";
  if (c.bad) out += "; " + std::to_string(c.bad) + (c.bad == 1 ? " row refused" : " rows refused");
  for (const BadRow& row : report_.first_bad) out += "\n  line " + std::to_string(row.line) + ": " + row.cause;
  if (report_.bad > report_.first_bad.size()) out += "\n  ...";
  return out;
}

}  // namespace landfall
