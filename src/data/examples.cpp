#include "data/examples.h"

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "data/row_shapes.h"
#include "data/source_rows.h"
#include "model/tokenizer/utf8.h"

namespace landfall {
namespace {

// A row of a dataset is far smaller; these bound the memory that a hostile one takes to some 100 MB.
constexpr JsonLimits kRowLimits{.bytes = kMaxRowBytes, .depth = 32, .values = 1'000'000};

constexpr std::string_view kKnown =
    "known are \"text\"; \"instruction\" with \"output\"; \"conversations\"; \"messages\"; \"chosen\" with "
    "\"rejected\"";

std::string keys_of(const Json& row) {
  std::string out;
  for (const auto& [key, value] : row.object()) {
    if (out.size() > 100) return out + ", ...";
    out += (out.empty() ? "\"" : ", \"") + key.substr(0, 40) + "\"";
  }
  return out.empty() ? "no keys" : "the keys " + out;
}

// A link that leads back up would be followed for ever.
constexpr int kMostFolders = 16;

constexpr std::string_view kTextEndings[] = {".txt", ".md"}, kRowEndings[] = {".jsonl", ".ndjson", ".json"};

bool ends_with_one(const std::string& path, std::span<const std::string_view> endings) {
  const std::string lower = ascii_lower(file_name(path));
  return std::any_of(endings.begin(), endings.end(), [&](std::string_view e) { return lower.ends_with(e); });
}

bool is_example_file(const std::string& path) {
  return ends_with_one(path, kTextEndings) || ends_with_one(path, kRowEndings);
}

Status add_files(Env& env, const std::string& folder, int depth, std::vector<std::string>& out) {
  if (depth > kMostFolders)
    return Status(Code::invalid_argument, "'" + folder + "' lies more than " + std::to_string(kMostFolders) +
                                              " folders deep; name the folder that is meant");
  LANDFALL_ASSIGN(const auto entries, env.list(folder));
  const auto is_run = [](const DirectoryEntry& e) { return e.is_directory && e.name == "checkpoints"; };
  if (std::any_of(entries.begin(), entries.end(), is_run)) return {};
  for (const DirectoryEntry& entry : entries) {
    const std::string path = join_path(folder, entry.name);
    if (entry.name.starts_with(".") || entry.name.ends_with(kRefusedEnding)) continue;
    if (entry.is_directory) {
      LANDFALL_TRY(add_files(env, path, depth + 1, out));
    } else if (is_example_file(path)) {
      out.push_back(path);
    }
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> example_files(Env& env, const std::vector<std::string>& paths) {
  std::vector<std::string> out;
  for (const std::string& path : paths) {
    const size_t before = out.size();
    if (!env.is_directory(path)) {
      out.push_back(path);
      continue;
    }
    LANDFALL_TRY(add_files(env, path, 1, out));
    if (out.size() == before) {
      return Status(Code::invalid_argument, "the folder '" + path +
                                                "' has no file that training reads: .txt or .md for text, .jsonl, "
                                                ".ndjson or .json for rows");
    }
  }
  return out;
}

// A file that is being read.
struct ExampleReader::Source {
  Source(std::string p, std::unique_ptr<MappedFile> f, std::string_view b, bool is_text)
      : path(std::move(p)),
        file(std::move(f)),
        bytes(b),
        reading(b, is_text ? SourceRows::Form::documents : SourceRows::json_form(b)) {
    if (is_text) shape = RowShape::documents;
  }

  static Result<Source> open(Env& env, const std::string& path) {
    LANDFALL_ASSIGN(std::unique_ptr<MappedFile> file, env.map(path));
    const std::span<const std::byte> data = file->bytes();
    const std::string_view bytes(reinterpret_cast<const char*>(data.data()), data.size());
    return Source(path, std::move(file), bytes, ends_with_one(path, kTextEndings));
  }

  // The example of a row, whose file and line are not known here.
  Result<Example> read(const SourceRow& row) {
    if (!row.fault.empty()) return Status(Code::invalid_argument, row.fault);
    if (const std::optional<size_t> at = find_invalid_utf8(row.bytes))
      return Status(Code::invalid_argument, "is not UTF-8 from byte " + std::to_string(*at) + " of the row on");
    if (shape == RowShape::documents) {
      Example out;
      out.text = row.bytes;
      return out;
    }
    const Result<Json> parsed = parse_json(row.bytes, kRowLimits);
    if (!parsed.ok()) return Status(Code::invalid_argument, parsed.status().message() + " (counted in the row)");
    const Json& json = *parsed;
    if (!json.is_object()) return Status(Code::invalid_argument, "is no JSON object");
    const std::optional<RowShape> found = shape_of(json);
    if (!found)
      return Status(Code::invalid_argument, "has " + keys_of(json) + " and so no known shape; " + std::string(kKnown));
    if (shape && *found != *shape) {
      return Status(Code::invalid_argument, "has " + keys_of(json) + ": " + std::string(name(*found)) +
                                                " in a file of " + std::string(name(*shape)));
    }
    LANDFALL_ASSIGN(Example out, example_of(*found, json));
    shape = *found;
    return out;
  }

  std::string path;
  std::unique_ptr<MappedFile> file;
  std::string_view bytes;
  SourceRows reading;
  std::optional<RowShape> shape;
  uint64_t rows = 0, bad = 0;
  std::vector<BadRow> first_bad;
};

struct ExampleReader::State {
  State(Env& e, std::vector<std::string> f, std::string q)
      : env(e), files(std::move(f)), quarantine_path(std::move(q)) {}

  Env& env;
  std::vector<std::string> files;
  std::string quarantine_path;
  uint64_t bytes = 0, bytes_before = 0;  // of all files, and of those that are done
  size_t at = 0;                         // of the files
  std::optional<Source> source;
  SourceRow row;
  std::unique_ptr<OutputFile> quarantine;
  ReadReport report;

  // The next row of any file in `row`; false behind the last.
  Result<bool> next_row() {
    while (true) {
      if (!source) {
        if (at == files.size()) return false;
        LANDFALL_ASSIGN(source, Source::open(env, files[at]));
      }
      Result<bool> more = source->reading.next(row);
      if (!more.ok()) return more.status().within("'" + source->path + "'");
      if (*more) return true;
      LANDFALL_TRY(judge());
      bytes_before += source->bytes.size();
      source.reset();
      if (++at < files.size()) continue;
      if (quarantine) LANDFALL_TRY(quarantine->sync());
      if (files.size() > 1)
        LANDFALL_TRY(
            half_good("in " + std::to_string(files.size()) + " files ", report.rows, report.bad, report.first_bad));
    }
  }

  // What is said of the file at its end. Texts are documents of one row each, so several are judged together.
  Status judge() {
    const bool one_of_several = files.size() > 1 && source->shape == RowShape::documents;
    if (source->rows == 0) {
      if (!one_of_several) {
        return Status(Code::invalid_argument,
                      "'" + source->path + "' holds nothing to learn from: " + std::to_string(source->bytes.size()) +
                          " bytes without a row; name a file with text or rows");
      }
      ++report.rows;
      note_bad(1, "the file holds no text");
    }
    if (one_of_several) return {};
    return half_good("'" + source->path + "': ", source->rows, source->bad, source->first_bad);
  }

  Status half_good(const std::string& where, uint64_t rows, uint64_t bad, const std::vector<BadRow>& first_bad) const {
    if (bad * 2 <= rows) return {};
    std::string text =
        where + std::to_string(bad) + " of " + std::to_string(rows) + " rows cannot be used, which is more than half";
    for (size_t i = 0; i < std::min<size_t>(first_bad.size(), 3); ++i) {
      text += "; " + (files.size() > 1 ? std::string(file_name(files[first_bad[i].file])) + ", " : "") + "line " +
              std::to_string(first_bad[i].line) + ": " + first_bad[i].cause;
    }
    return Status(Code::invalid_argument, text + "; mend what these lines tell, or name the file that was meant");
  }

  void note_bad(uint64_t line, const std::string& cause) {
    ++report.bad;
    ++source->bad;
    for (std::vector<BadRow>* list : {&source->first_bad, &report.first_bad}) {
      if (list->size() < kBadRowsShown) list->push_back({at, line, cause});
    }
  }

  Status reject(const std::string& cause) {
    note_bad(row.line, cause);
    if (quarantine_path.empty()) return {};
    if (!quarantine) {
      LANDFALL_TRY(env.make_directories(std::string(folder_of(quarantine_path))));
      LANDFALL_ASSIGN(quarantine, env.open_output(quarantine_path, /*append=*/false));
    }
    Json line;
    line.set("file", source->path).set("line", row.line).set("cause", cause);
    return quarantine->append(line.set("row", row.bytes.substr(0, kMaxRowBytes)).dump() + "\n");
  }
};

ExampleReader::ExampleReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
ExampleReader::ExampleReader(ExampleReader&&) noexcept = default;
ExampleReader& ExampleReader::operator=(ExampleReader&&) noexcept = default;
ExampleReader::~ExampleReader() = default;

Result<ExampleReader> ExampleReader::open(Env& env, const std::vector<std::string>& files,
                                          const std::string& quarantine) {
  auto state = std::make_unique<State>(env, files, quarantine);
  for (const std::string& file : files) {
    if (!is_example_file(file)) {
      return Status(Code::unsupported, "'" + file +
                                           "' is no kind of file that training reads; give it as .txt or .md for "
                                           "text, or as .jsonl or .json for rows");
    }
    if (quarantine == file) return Status(Code::invalid_argument, "bad rows of '" + file + "' cannot go to it");
    LANDFALL_ASSIGN(const uint64_t bytes, env.size(file));
    state->bytes += bytes;
  }
  if (!quarantine.empty() && env.exists(quarantine)) LANDFALL_TRY(env.remove(quarantine));
  return ExampleReader(std::move(state));
}

Result<bool> ExampleReader::next(Example& out) {
  State& s = *state_;
  while (true) {
    LANDFALL_ASSIGN(const bool more, s.next_row());
    if (!more) return false;
    ++s.report.rows;
    ++s.source->rows;
    Result<Example> example = s.source->read(s.row);
    if (s.at == 0 && s.source->shape) s.report.shape = *s.source->shape;
    if (example.ok()) {
      out = std::move(*example);
      out.file = s.at;
      out.line = s.row.line;
      return true;
    }
    LANDFALL_TRY(s.reject(example.status().message()));
  }
}

Status ExampleReader::reject(const std::string& cause) { return state_->reject(cause); }

const ReadReport& ExampleReader::report() const { return state_->report; }
uint64_t ExampleReader::bytes_read() const {
  return state_->bytes_before + (state_->source ? state_->source->reading.consumed() : 0);
}
uint64_t ExampleReader::bytes() const { return state_->bytes; }

}  // namespace landfall
