#include "lifecycle/download.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "lifecycle/digest.h"

namespace landfall {
namespace {

constexpr int kAttempts = 5;       // in a row without a new byte
constexpr double kFirstPause = 1;  // seconds; doubled each time
constexpr double kLongestPause = 60;

// "bytes 100-199/200" -> 100 and 200.
bool parse_content_range(const std::string& text, uint64_t& first, uint64_t& total) {
  if (text.rfind("bytes ", 0) != 0) return false;
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return false;
  const auto a = std::from_chars(text.data() + 6, text.data() + text.size(), first);
  const auto b = std::from_chars(text.data() + slash + 1, text.data() + text.size(), total);
  return a.ec == std::errc() && b.ec == std::errc() && *a.ptr == '-';
}

class Download {
 public:
  Download(Env& env, HttpClient& client, const HubRepository& repository, const HubFile& file, const std::string& path,
           const Watch& watch, uint64_t before, uint64_t total)
      : env_(env),
        client_(client),
        repository_(repository),
        file_(file),
        path_(path),
        partial_(path + ".partial"),
        watch_(watch),
        before_(before),
        total_(total) {}

  Result<std::string> run() {
    LANDFALL_TRY(env_.make_directories(std::string(folder_of(path_))));
    LANDFALL_TRY(take_up());
    int attempt = 0;
    while (true) {
      const uint64_t done = done_;
      Status status = done_ == file_.size && done_ > 0 ? Status() : transfer();
      out_.reset();
      if (status.ok()) {
        auto checked = finish();
        // Old bytes may have been damaged on this disk, or belong to another version: one more try without them.
        if (checked.ok() || checked.status().code() != Code::data_loss || !continued_) return checked;
        watch_.say(std::string(file_name(path_)) + ": what was there before does not fit, starting over");
        LANDFALL_TRY(start_over());
        continue;
      }
      if (disk_failed_) {
        return Status(status.code(), status.message() + "; what came is kept, and the same command continues it");
      }
      if (status.code() == Code::data_loss) (void)env_.remove(partial_).ok();
      if (status.code() != Code::unavailable) return status;
      attempt = done_ > done ? 1 : attempt + 1;
      if (attempt >= kAttempts) {
        return Status(Code::unavailable, status.message() + "; gave up after " + std::to_string(kAttempts) +
                                             " attempts, and the same command continues");
      }
      const double seconds = std::min(kLongestPause, std::max(kFirstPause * (1 << (attempt - 1)), retry_after_));
      watch_.say(status.message() + "; trying again in " + std::to_string(static_cast<int>(seconds)) + " s");
      client_.pause(seconds, watch_.cancelled);
      if (watch_.stop()) return Status(Code::cancelled, "stopped; the same command continues");
    }
  }

 private:
  // Hashes what an earlier call left.
  Status take_up() {
    if (!env_.exists(partial_)) return start_over();
    LANDFALL_ASSIGN(const uint64_t size, env_.size(partial_));
    if (size > file_.size) return start_over();
    reset_digests();
    LANDFALL_ASSIGN(const auto bytes, env_.map(partial_));
    LANDFALL_TRY(in_pieces(bytes->bytes(), watch_, before_, total_, [&](std::span<const std::byte> piece) {
      hash(piece);
      return Status();
    }));
    done_ = bytes->bytes().size();
    continued_ = done_ > 0;
    return {};
  }

  Status start_over() {
    out_.reset();
    done_ = 0;
    continued_ = false;
    reset_digests();
    LANDFALL_ASSIGN(out_, env_.open_output(partial_, false));
    return {};
  }

  void reset_digests() {
    sha256_ = Digest();
    sha1_ = Digest(Digest::Kind::sha1);
    // How git names content: by the hash of this and the bytes.
    sha1_.update("blob " + std::to_string(file_.size) + std::string(1, '\0'));
  }

  void hash(std::span<const std::byte> data) {
    sha256_.update(data);
    if (file_.sha256.empty()) sha1_.update(data);
  }

  Status transfer() {
    retry_after_ = 0;
    if (!out_) {
      LANDFALL_ASSIGN(out_, env_.open_output(partial_, true));
    }
    HttpSink sink;
    sink.head = [&](const HttpResponse& response) { return on_head(response); };
    sink.content = [&](std::span<const std::byte> data) { return on_content(data); };
    const HttpGet request{.url = repository_.file_url(file_.path),
                          .bearer = repository_.token,
                          .first_byte = done_,
                          .cancelled = watch_.cancelled};
    LANDFALL_TRY(client_.get(request, sink).status());
    if (done_ < file_.size)
      return Status(Code::unavailable,
                    "the connection ended after " + size_text(done_) + " of " + size_text(file_.size));
    return {};
  }

  Status on_head(const HttpResponse& response) {
    if (response.status == 416) {  // the peer has no such range: nothing of ours can be continued
      LANDFALL_TRY(start_over());
      return Status(Code::unavailable, "the hub cannot continue '" + file_.path + "'");
    }
    retry_after_ = std::clamp(std::atof(response.header("retry-after").c_str()), 0.0, kLongestPause);
    LANDFALL_TRY(hub_status(repository_, response, repository_.name + "/" + file_.path));
    if (response.status == 206) {
      uint64_t first = 0, total = 0;
      if (!parse_content_range(response.header("content-range"), first, total) || first != done_ ||
          total != file_.size) {
        return Status(Code::data_loss, "the hub sends another part of '" + file_.path + "' than was asked for ('" +
                                           response.header("content-range").substr(0, 100) + "'); pull it again");
      }
      return {};
    }
    if (done_ > 0) {
      watch_.say(std::string(file_name(path_)) + ": the hub cannot continue it, starting over");
      return start_over();
    }
    return {};
  }

  Status on_content(std::span<const std::byte> data) {
    if (data.size() > file_.size - done_) {
      return Status(Code::data_loss, "the hub sends more than the " + std::to_string(file_.size) +
                                         " bytes that it promised for '" + file_.path + "'; pull it again");
    }
    if (Status written = out_->append(data); !written.ok()) {
      disk_failed_ = true;
      return written;
    }
    hash(data);
    done_ += data.size();
    watch_.at(before_ + done_, total_);
    return {};
  }

  Result<std::string> finish() {
    {
      LANDFALL_ASSIGN(const auto file, env_.open_output(partial_, true));
      LANDFALL_TRY(file->sync());
    }
    const std::string sha256 = sha256_.hex(), git_oid = sha1_.hex();
    const bool right =
        !file_.sha256.empty() ? sha256 == file_.sha256 : file_.git_oid.empty() || git_oid == file_.git_oid;
    if (!right) {
      (void)env_.remove(partial_).ok();
      const bool large = !file_.sha256.empty();
      return Status(Code::data_loss, "'" + file_.path + "' came damaged and was deleted: its " +
                                         (large ? "SHA-256" : "git SHA-1") + " is " + (large ? sha256 : git_oid) +
                                         " instead of " + (large ? file_.sha256 : file_.git_oid) +
                                         "; pull it again, or try another mirror with HF_ENDPOINT");
    }
    LANDFALL_TRY(env_.rename(partial_, path_));
    return sha256;
  }

  Env& env_;
  HttpClient& client_;
  const HubRepository& repository_;
  const HubFile& file_;
  const std::string path_, partial_;
  const Watch& watch_;
  const uint64_t before_, total_;

  std::unique_ptr<OutputFile> out_;
  Digest sha256_, sha1_;
  uint64_t done_ = 0;
  bool continued_ = false;    // begins with bytes of an earlier call
  bool disk_failed_ = false;  // not the peer's fault: trying again is of no use
  double retry_after_ = 0;
};

}  // namespace

Result<std::string> download(Env& env, HttpClient& client, const HubRepository& repository, const HubFile& file,
                             const std::string& path, const Watch& watch, uint64_t before, uint64_t total) {
  return Download(env, client, repository, file, path, watch, before, total).run();
}

uint64_t downloaded_bytes(Env& env, const HubFile& file, const std::string& path) {
  const std::string there = env.exists(path) ? path : path + ".partial";
  if (!env.exists(there)) return 0;
  const auto size = env.size(there);
  return size.ok() ? std::min(*size, file.size) : 0;
}

}  // namespace landfall
