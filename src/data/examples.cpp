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

}  // namespace

struct ExampleReader::State {
  State(Env& e, std::string p, std::string q, std::unique_ptr<MappedFile> f, std::string_view b, SourceRows::Form form)
      : env(e), path(std::move(p)), quarantine_path(std::move(q)), file(std::move(f)), bytes(b), rows(b, form) {}

  Env& env;
  std::string path, quarantine_path;
  std::unique_ptr<MappedFile> file;
  std::string_view bytes;
  SourceRows rows;
  SourceRow row;
  std::optional<RowShape> shape;
  std::unique_ptr<OutputFile> quarantine;
  ReadReport report;

  Result<Example> read() {
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
    shape = report.shape = *found;
    return out;
  }

  Status reject(const std::string& cause) {
    ++report.bad;
    if (report.first_bad.size() < kBadRowsShown) report.first_bad.push_back({row.line, cause});
    if (quarantine_path.empty()) return {};
    if (!quarantine) {
      LANDFALL_TRY(env.make_directories(std::string(folder_of(quarantine_path))));
      LANDFALL_ASSIGN(quarantine, env.open_output(quarantine_path, /*append=*/false));
    }
    Json line;
    line.set("line", row.line).set("cause", cause).set("row", row.bytes.substr(0, kMaxRowBytes));
    return quarantine->append(line.dump() + "\n");
  }

  Status finish() {
    if (quarantine) {
      LANDFALL_TRY(quarantine->sync());
      quarantine.reset();
    }
    if (report.rows == 0) {
      return Status(Code::invalid_argument, "'" + path +
                                                "' holds nothing to learn from: " + std::to_string(bytes.size()) +
                                                " bytes without a row; name a file with text or rows");
    }
    if (report.bad * 2 <= report.rows) return {};
    std::string text = "'" + path + "': " + std::to_string(report.bad) + " of " + std::to_string(report.rows) +
                       " rows cannot be used, which is more than half";
    for (size_t i = 0; i < std::min<size_t>(report.first_bad.size(), 3); ++i) {
      text += "; line " + std::to_string(report.first_bad[i].line) + ": " + report.first_bad[i].cause;
    }
    return Status(Code::invalid_argument, text + "; mend what these lines tell, or name the file that was meant");
  }
};

ExampleReader::ExampleReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
ExampleReader::ExampleReader(ExampleReader&&) noexcept = default;
ExampleReader& ExampleReader::operator=(ExampleReader&&) noexcept = default;
ExampleReader::~ExampleReader() = default;

Result<ExampleReader> ExampleReader::open(Env& env, const std::string& path, const std::string& quarantine) {
  const std::string lower = ascii_lower(file_name(path));
  const auto ends = [&](std::initializer_list<std::string_view> endings) {
    return std::any_of(endings.begin(), endings.end(), [&](std::string_view e) { return lower.ends_with(e); });
  };
  const bool is_text = ends({".txt", ".md"});
  if (!is_text && !ends({".jsonl", ".ndjson", ".json"})) {
    return Status(Code::unsupported, "'" + path +
                                         "' is no kind of file that training reads; give it as .txt or .md for text, "
                                         "or as .jsonl or .json for rows");
  }
  if (quarantine == path) return Status(Code::invalid_argument, "bad rows of '" + path + "' cannot go to it");
  if (!quarantine.empty() && env.exists(quarantine)) LANDFALL_TRY(env.remove(quarantine));
  LANDFALL_ASSIGN(std::unique_ptr<MappedFile> file, env.map(path));
  const std::span<const std::byte> data = file->bytes();
  const std::string_view bytes(reinterpret_cast<const char*>(data.data()), data.size());
  const SourceRows::Form form = is_text ? SourceRows::Form::documents : SourceRows::json_form(bytes);
  auto state = std::make_unique<State>(env, path, quarantine, std::move(file), bytes, form);
  if (is_text) state->shape = RowShape::documents;
  return ExampleReader(std::move(state));
}

Result<bool> ExampleReader::next(Example& out) {
  while (true) {
    Result<bool> more = state_->rows.next(state_->row);
    if (!more.ok()) return more.status().within("'" + state_->path + "'");
    if (!*more) {
      LANDFALL_TRY(state_->finish());
      return false;
    }
    ++state_->report.rows;
    Result<Example> example = state_->read();
    if (example.ok()) {
      out = std::move(*example);
      out.line = state_->row.line;
      return true;
    }
    LANDFALL_TRY(state_->reject(example.status().message()));
  }
}

Status ExampleReader::reject(const std::string& cause) { return state_->reject(cause); }

const ReadReport& ExampleReader::report() const { return state_->report; }
uint64_t ExampleReader::bytes_read() const { return state_->rows.consumed(); }
uint64_t ExampleReader::bytes() const { return state_->bytes.size(); }

}  // namespace landfall
