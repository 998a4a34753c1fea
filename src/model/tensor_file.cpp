#include "model/tensor_file.h"

#include <algorithm>

namespace landfall {
namespace {

constexpr int64_t kPieceBytes = int64_t{16} << 20;

Status write_all(OutputFile& file, const std::string& header, uint64_t alignment, std::span<const OutputTensor> tensors,
                 uint64_t total, const FillRows& fill, const WriteProgress& progress) {
  LANDFALL_TRY(file.append(header));
  uint64_t done = header.size();
  std::vector<std::byte> piece;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const OutputTensor& t = tensors[i];
    if (t.bytes() == 0) continue;
    const int64_t at_once = std::clamp<int64_t>(kPieceBytes / t.row_bytes(), 1, t.rows());
    for (int64_t row = 0; row < t.rows(); row += at_once) {
      if (progress && !progress(done, total)) return Status(Code::cancelled, "writing was stopped");
      const int64_t count = std::min(at_once, t.rows() - row);
      const auto bytes = static_cast<size_t>(count * t.row_bytes());
      piece.resize(row + count == t.rows() ? aligned(done + bytes, alignment) - done : bytes);
      LANDFALL_TRY(fill(i, row, count, {piece.data(), bytes}));
      std::fill(piece.begin() + static_cast<std::ptrdiff_t>(bytes), piece.end(), std::byte{0});
      LANDFALL_TRY(file.append(piece));
      done += piece.size();
    }
  }
  LANDFALL_TRY(file.sync());
  if (progress) (void)progress(total, total);
  return {};
}

}  // namespace

int64_t OutputTensor::rows() const {
  int64_t n = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) n *= shape[i];
  return n;
}

Status write_tensor_file(Env& env, const std::string& path, const std::string& header, uint64_t alignment,
                         std::span<const OutputTensor> tensors, const FillRows& fill, const WriteProgress& progress) {
  uint64_t total = header.size();
  for (const OutputTensor& t : tensors) total = aligned(total + static_cast<uint64_t>(t.bytes()), alignment);
  const std::string folder(folder_of(path));
  if (auto space = env.free_space(folder); space.ok() && *space < total) {
    return Status(Code::resource_exhausted, "'" + path + "' will have " + std::to_string(total) + " bytes, but only " +
                                                std::to_string(*space) +
                                                " are free there; make room or name another "
                                                "folder");
  }
  const std::string partial = path + ".partial";
  Status written = [&]() -> Status {
    LANDFALL_ASSIGN(auto file, env.open_output(partial, false));
    return write_all(*file, header, alignment, tensors, total, fill, progress);
  }();
  if (written.ok()) written = env.rename(partial, path);
  if (!written.ok()) (void)env.remove(partial).ok();
  return written;
}

}  // namespace landfall
