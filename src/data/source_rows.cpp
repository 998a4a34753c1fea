#include "data/source_rows.h"

#include "base/text.h"

namespace landfall {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string_view without_mark(std::string_view bytes) {
  return bytes.starts_with(kByteOrderMark) ? bytes.substr(kByteOrderMark.size()) : bytes;
}

std::string too_long(size_t bytes) {
  return "is " + std::to_string(bytes) + " bytes long; at most " + std::to_string(kMaxRowBytes) + " are read";
}

}  // namespace

SourceRows::Form SourceRows::json_form(std::string_view bytes) {
  bytes = without_mark(bytes);
  const size_t first = bytes.find_first_not_of(kWhiteSpace);
  return first != std::string_view::npos && bytes[first] == '[' ? Form::array : Form::lines;
}

SourceRows::SourceRows(std::string_view bytes, Form form) : bytes_(without_mark(bytes)), form_(form) {}

Result<bool> SourceRows::next(SourceRow& row) {
  row.fault.clear();
  switch (form_) {
    case Form::documents:
      return next_document(row);
    case Form::lines:
      return next_line(row);
    case Form::array:
      break;
  }
  return next_element(row);
}

// The line at `at_` with its end, and past it.
std::string_view SourceRows::take_line() {
  const size_t end = bytes_.find('\n', at_);
  const std::string_view line = bytes_.substr(at_, end == std::string_view::npos ? end : end + 1 - at_);
  at_ += line.size();
  ++line_;
  return line;
}

bool SourceRows::next_line(SourceRow& row) {
  while (at_ < bytes_.size()) {
    row.line = line_;
    row.bytes = take_line();
    while (!row.bytes.empty() && (row.bytes.back() == '\n' || row.bytes.back() == '\r')) row.bytes.remove_suffix(1);
    if (row.bytes.size() > kMaxRowBytes) {
      row.fault = too_long(row.bytes.size());
      return true;
    }
    if (!is_blank(row.bytes)) return true;
  }
  return false;
}

bool SourceRows::next_document(SourceRow& row) {
  while (at_ < bytes_.size()) {
    const size_t begin = at_;
    row.line = line_;
    size_t end = begin;
    while (at_ < bytes_.size()) {
      const std::string_view line = take_line();
      if (line == "\f\n" || line == "\f\r\n" || line == "\f") break;
      if (end > begin && end - begin + line.size() > kMaxRowBytes) {  // the line begins the next document
        at_ = end;
        --line_;
        break;
      }
      end += line.size();
    }
    row.bytes = bytes_.substr(begin, end - begin);
    if (row.bytes.size() > kMaxRowBytes) {
      row.fault = "a line " + too_long(row.bytes.size());
      return true;
    }
    if (!is_blank(row.bytes)) return true;
  }
  return false;
}

void SourceRows::skip_space() {
  while (at_ < bytes_.size() && kWhiteSpace.find(bytes_[at_]) != std::string_view::npos) line_ += bytes_[at_++] == '\n';
}

Result<bool> SourceRows::next_element(SourceRow& row) {
  const auto broken = [&](uint64_t line, const std::string& what) {
    return Status(Code::data_loss, "the array is broken: the row that begins on line " + std::to_string(line) + " " +
                                       what + "; mend or fetch the file again");
  };
  skip_space();
  if (!in_array_) {
    ++at_;  // the '['
    in_array_ = true;
    skip_space();
    if (at_ < bytes_.size() && bytes_[at_] == ']') return false;
  }
  if (at_ == bytes_.size() || bytes_[at_] == ']') return false;
  row.line = line_;
  const size_t begin = at_;
  uint64_t depth = 0;
  bool in_string = false;
  for (;; ++at_) {
    if (at_ == bytes_.size()) return broken(row.line, "has no end");
    const char c = bytes_[at_];
    line_ += c == '\n';
    if (in_string) {
      if (c == '\\' && at_ + 1 < bytes_.size()) {
        line_ += bytes_[++at_] == '\n';
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (depth > 0 && (c == '}' || c == ']')) {
      --depth;
    } else if (depth == 0 && (c == ',' || c == ']')) {
      break;
    }
  }
  row.bytes = bytes_.substr(begin, at_ - begin);
  if (bytes_[at_] == ',') ++at_;
  while (!row.bytes.empty() && kWhiteSpace.find(row.bytes.back()) != std::string_view::npos) row.bytes.remove_suffix(1);
  if (row.bytes.size() > kMaxRowBytes) row.fault = too_long(row.bytes.size());
  return true;
}

}  // namespace landfall
