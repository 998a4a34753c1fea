// Cuts a file into rows: the lines of a JSON-lines file, the elements of a JSON array, the documents of a text file.
// Looks at each byte once and keeps none: rows are views into the given bytes, which must outlive them. One reader, one
// thread.
//
// Documents of a text file are separated by lines that hold nothing but a form feed (U+000C), which no paragraph does;
// without one the whole file is one document. A document over kMaxRowBytes is cut after the last line end before that.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace landfall {

inline constexpr size_t kMaxRowBytes = size_t{16} << 20;

struct SourceRow {
  uint64_t line = 0;  // where it begins, from 1
  std::string_view bytes;
  std::string fault;  // why it cannot be read, when it cannot
};

class SourceRows {
 public:
  enum class Form : uint8_t { documents, lines, array };

  // JSON is an array when its first character that is not white space is '['.
  static Form json_form(std::string_view bytes);

  SourceRows(std::string_view bytes, Form form);

  // The next row that is not blank; false at the end. An error where an array is broken, because nothing says then
  // where its next row begins.
  Result<bool> next(SourceRow& row);

  size_t consumed() const { return at_; }  // bytes

 private:
  std::string_view take_line();
  bool next_line(SourceRow& row);
  bool next_document(SourceRow& row);
  Result<bool> next_element(SourceRow& row);
  void skip_space();

  std::string_view bytes_;
  Form form_;
  size_t at_ = 0;
  uint64_t line_ = 1;
  bool in_array_ = false;
};

}  // namespace landfall
