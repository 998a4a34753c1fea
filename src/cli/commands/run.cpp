// run: a chat in the terminal, or one answer for a question given as an argument or on standard input.
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <mutex>

#include "cli/model_loading.h"
#include "cli/terminal.h"

namespace landfall {
namespace {

constexpr Flag kFlags[] = {
    {.name = "MODEL", .help = "a name from 'landfall list', or a path", .required = true},
    {.name = "QUESTION", .help = "answered once; without it, and with a terminal, a chat begins", .repeated = true},
    {.name = "system", .help = "system message"},
    {.name = "adapter", .help = "folder of a low-rank adapter in PEFT's layout, added to the model"},
    {.name = "temperature",
     .kind = Flag::Kind::number,
     .help = "0 takes the most likely word each time",
     .otherwise = "0.6"},
    {.name = "top-p",
     .kind = Flag::Kind::number,
     .help = "draw from the fewest tokens that are this likely together",
     .otherwise = "0.95"},
    {.name = "top-k",
     .kind = Flag::Kind::integer,
     .help = "draw from this many most likely tokens",
     .otherwise = "all"},
    {.name = "min-p",
     .kind = Flag::Kind::number,
     .help = "leave out tokens less likely than this part of the best",
     .otherwise = "0"},
    {.name = "repetition-penalty",
     .kind = Flag::Kind::number,
     .help = "above 1 makes words that were used less likely",
     .otherwise = "1"},
    {.name = "seed", .kind = Flag::Kind::integer, .help = "the same seed gives the same answer", .otherwise = "random"},
    {.name = "max-tokens",
     .kind = Flag::Kind::integer,
     .help = "longest answer",
     .otherwise = "what the context holds"},
    {.name = "think", .kind = Flag::Kind::toggle, .help = "ask a model that can choose to think first"},
    {.name = "no-think", .kind = Flag::Kind::toggle, .help = "ask it to answer at once"},
    {.name = "file-template",
     .kind = Flag::Kind::toggle,
     .help = "use the chat template of the file even for DeepSeek models"},
    kContextFlag,
    kDraftFlag,
    kThreadsFlag,
    kHugePagesFlag,
    kCacheTypeFlag,
    {.name = "verbose", .kind = Flag::Kind::toggle, .help = "print load, prefill and decode rates"},
};

constexpr const char* kInside =
    "  /help            this list\n"
    "  /clear           forget the conversation\n"
    "  /system TEXT     set the system message and forget the conversation\n"
    "  /stats           how full the context is\n"
    "  /exit            leave (also Ctrl+D)\n"
    "  \"\"\"              begins and ends a message of several lines\n"
    "  Ctrl+C           stops the answer; a second one leaves\n";

std::atomic<int> g_interrupts{0};
void on_interrupt(int) { g_interrupts.fetch_add(1); }

// Lines from standard input; Ctrl+C interrupts the wait.
class Input {
 public:
  enum class Event { line, end, interrupted };
  // `interrupts`: how many there were when the prompt was printed. One may come before the wait begins, so the wait
  // looks for itself now and then.
  Event next(std::string& line, int interrupts) {
    while (true) {
      if (const size_t at = buffer_.find('\n'); at != std::string::npos) {
        line = buffer_.substr(0, at);
        buffer_.erase(0, at + 1);
        return Event::line;
      }
      if (g_interrupts.load() != interrupts) return Event::interrupted;
      pollfd input = {STDIN_FILENO, POLLIN, 0};
      if (::poll(&input, 1, 50) <= 0) continue;
      char chunk[4096];
      const ssize_t n = ::read(STDIN_FILENO, chunk, sizeof chunk);
      if (n > 0) {
        buffer_.append(chunk, static_cast<size_t>(n));
        continue;
      }
      if (n < 0 && errno == EINTR) continue;
      if (buffer_.empty()) return Event::end;
      line = std::move(buffer_);
      buffer_.clear();
      return Event::line;
    }
  }

 private:
  std::string buffer_;
};

// What arrives from the Service's thread, for the thread that prints.
struct Answer {
  std::mutex mutex;
  std::condition_variable wake;
  std::string reasoning, content;  // not yet printed
  bool done = false;
  Status status;
  FinishReason reason = FinishReason::stop;
  Usage usage;
};

class Chat {
 public:
  Chat(CommandContext& context, Service& service)
      : context_(context), service_(service), colours_(stdout_is_terminal()) {}

  Status configure() {
    const Arguments& a = context_.arguments;
    sampler_.temperature = static_cast<float>(a.number("temperature", 0.6));
    sampler_.top_p = static_cast<float>(a.number("top-p", 0.95));
    sampler_.top_k = static_cast<int32_t>(std::min<int64_t>(a.integer("top-k", 0), INT32_MAX));
    sampler_.min_p = static_cast<float>(a.number("min-p", 0));
    sampler_.repetition_penalty = static_cast<float>(a.number("repetition-penalty", 1));
    sampler_.seed = static_cast<uint64_t>(a.integer("seed", static_cast<int64_t>(context_.env.random_u64() >> 1)));
    if (a.has("think")) thinking_ = true;
    if (a.has("no-think")) thinking_ = false;
    if (a.has("max-tokens")) max_tokens_ = a.integer("max-tokens", 0);
    system_ = a.text("system");
    clear();
    if (a.has("adapter")) {
      adapter_ = a.text("adapter");
      LANDFALL_TRY(service_.load_adapter(adapter_, adapter_));
    }
    return check_sampler(sampler_);
  }

  // One question, one answer on standard output. Ctrl+C ends the program.
  Status once(const std::string& question) {
    messages_.push_back({"user", question, ""});
    LANDFALL_TRY(answer());
    if (last_reason_ == FinishReason::cancelled) return Status(Code::cancelled, "stopped");
    return {};
  }

  Status converse() {
    conversing_ = true;
    std::fprintf(stderr, "%s, context %lld tokens. /help for help, /exit to leave.\n",
                 std::string(file_name(service_.source().path)).c_str(),
                 static_cast<long long>(service_.engine_options().context));
    Input input;
    std::string line, message;
    bool block = false, warned = false;
    while (true) {
      const int interrupts = g_interrupts.load();
      std::fprintf(stderr, block ? "... " : "\n>>> ");
      const Input::Event event = input.next(line, interrupts);
      if (event == Input::Event::end) {
        std::fprintf(stderr, "\n");
        return {};
      }
      if (event == Input::Event::interrupted) {
        if (warned) {
          std::fprintf(stderr, "\n");
          return {};
        }
        std::fprintf(stderr, "\n(Ctrl+C once more, Ctrl+D or /exit leaves)");
        warned = true;
        block = false;
        message.clear();
        continue;
      }
      warned = false;
      const size_t quotes = line.find("\"\"\"");
      if (quotes != std::string::npos) {
        message += line.substr(0, quotes);
        const std::string rest = line.substr(quotes + 3);
        if (!block && rest.find("\"\"\"") == std::string::npos) {
          block = true;
          message += rest.empty() ? "" : rest + "\n";
          continue;
        }
        block = false;
        line = message + (rest.ends_with("\"\"\"") ? rest.substr(0, rest.size() - 3) : rest);
        message.clear();
      } else if (block) {
        message += line + "\n";
        continue;
      } else if (line.starts_with("/")) {
        if (line == "/exit" || line == "/bye" || line == "/quit") return {};
        inside(line);
        continue;
      }
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      messages_.push_back({"user", line, ""});
      if (const Status status = answer(); !status.ok()) {
        std::fprintf(stderr, "%s\n", status.message().c_str());
        if (used_ > 0 || messages_.size() > 2)
          std::fprintf(stderr, "%s /clear starts a new conversation.\n", fullness().c_str());
        messages_.pop_back();  // the question was not answered: it can be asked again, shorter
      }
    }
  }

 private:
  void clear() {
    messages_.clear();
    used_ = 0;
    if (!system_.empty()) messages_.push_back({"system", system_, ""});
  }

  std::string fullness() const {
    return "The conversation fills " + std::to_string(used_) + " of " +
           std::to_string(service_.engine_options().context) + " tokens.";
  }

  void inside(const std::string& line) {
    if (line == "/help" || line == "/?") {
      std::fprintf(stderr, "%s", kInside);
    } else if (line == "/clear") {
      clear();
      std::fprintf(stderr, "The conversation is forgotten.\n");
    } else if (line.starts_with("/system")) {
      system_ = line.size() > 8 ? line.substr(8) : "";
      clear();
      std::fprintf(stderr, system_.empty() ? "No system message; the conversation is forgotten.\n"
                                           : "The system message is set; the conversation is forgotten.\n");
    } else if (line == "/stats") {
      std::fprintf(stderr, "%s Memory in use: %s.\n", fullness().c_str(),
                   human_bytes(static_cast<uint64_t>(service_.used_bytes())).c_str());
    } else {
      std::fprintf(stderr, "'%s' is not a command; /help lists them.\n", line.c_str());
    }
  }

  // Answers the conversation so far, printing as it comes, and appends the answer to it.
  Status answer() {
    GenerateRequest request;
    request.messages = messages_;
    request.sampler = sampler_;
    request.thinking = thinking_;
    request.max_tokens = max_tokens_;
    request.adapter = adapter_;
    auto shared = std::make_shared<Answer>();
    const int before = g_interrupts.load();
    LANDFALL_ASSIGN(const Service::CancelFlag cancel,
                    service_.submit(std::move(request),
                                    {.on_text =
                                         [shared](const std::string& reasoning, const std::string& content) {
                                           std::lock_guard lock(shared->mutex);
                                           shared->reasoning += reasoning;
                                           shared->content += content;
                                           shared->wake.notify_one();
                                         },
                                     .on_done =
                                         [shared](const Status& status, FinishReason reason, const Usage& usage) {
                                           std::lock_guard lock(shared->mutex);
                                           shared->done = true;
                                           shared->status = status;
                                           shared->reason = reason;
                                           shared->usage = usage;
                                           shared->wake.notify_one();
                                         }}));
    ChatMessage reply{"assistant", "", ""};
    bool dimmed = false;
    std::unique_lock lock(shared->mutex);
    while (true) {
      shared->wake.wait_for(lock, std::chrono::milliseconds(50));
      if (g_interrupts.load() > before) cancel->store(true);
      const std::string reasoning = std::move(shared->reasoning), content = std::move(shared->content);
      shared->reasoning.clear();
      shared->content.clear();
      const bool done = shared->done;
      lock.unlock();
      // Thinking is for watching: dimmed on a terminal, left out where a program reads the answer.
      if (!reasoning.empty() && colours_) {
        std::printf("%s%s", dimmed ? "" : "\033[2m", reasoning.c_str());
        dimmed = true;
      }
      if (!content.empty()) {
        std::printf("%s%s", dimmed ? "\033[0m\n\n" : "", content.c_str());
        dimmed = false;
      }
      std::fflush(stdout);
      reply.reasoning += reasoning;
      reply.content += content;
      lock.lock();
      if (done && shared->reasoning.empty() && shared->content.empty()) break;
    }
    std::printf("%s\n", dimmed ? "\033[0m" : "");
    std::fflush(stdout);
    if (!shared->status.ok()) return shared->status;
    last_reason_ = shared->reason;
    const Usage& u = shared->usage;
    used_ = u.prompt_tokens + u.answer_tokens;
    if (shared->reason == FinishReason::cancelled) std::fprintf(stderr, "(stopped)\n");
    if (shared->reason == FinishReason::length) {
      if (used_ >= service_.engine_options().context) {
        std::fprintf(stderr, "(the context is full) %s %s--context gives a larger one.\n", fullness().c_str(),
                     conversing_ ? "/clear starts a new conversation; " : "");
      } else {
        std::fprintf(stderr, "(the longest answer is reached: --max-tokens)\n");
      }
    }
    if (context_.arguments.has("verbose")) {
      const auto fresh = static_cast<double>(u.prompt_tokens - u.reused_tokens);
      std::fprintf(
          stderr,
          "prompt %lld tokens (%lld from the cache) in %.2f s, %.1f tokens/s; answer %lld tokens, %.1f tokens/s, "
          "longest gap %.0f ms\n",
          static_cast<long long>(u.prompt_tokens), static_cast<long long>(u.reused_tokens), u.prefill_seconds,
          u.prefill_seconds > 0 ? fresh / u.prefill_seconds : 0, static_cast<long long>(u.answer_tokens),
          u.decode_seconds > 0 ? static_cast<double>(u.answer_tokens - 1) / u.decode_seconds : 0,
          u.longest_gap_seconds * 1000);
      if (context_.arguments.text("draft", "off") != "off") {
        std::fprintf(stderr, "drafted %lld tokens, %lld of them accepted (%.0f%%)\n",
                     static_cast<long long>(u.drafted_tokens), static_cast<long long>(u.accepted_tokens),
                     u.drafted_tokens > 0
                         ? 100 * static_cast<double>(u.accepted_tokens) / static_cast<double>(u.drafted_tokens)
                         : 0);
      }
    }
    messages_.push_back(std::move(reply));
    return {};
  }

  CommandContext& context_;
  Service& service_;
  bool colours_;
  bool conversing_ = false;
  SamplerSettings sampler_;
  std::optional<bool> thinking_;
  std::optional<int64_t> max_tokens_;
  std::string adapter_;  // its name in the service
  std::string system_;
  std::vector<ChatMessage> messages_;
  int64_t used_ = 0;
  FinishReason last_reason_ = FinishReason::stop;
};

Result<std::string> read_standard_input() {
  std::string out;
  char chunk[1 << 16];
  while (true) {
    const ssize_t n = ::read(STDIN_FILENO, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) {
      if (g_interrupts.load() > 0) return Status(Code::cancelled, "stopped");
      continue;
    }
    if (n <= 0) return out;
    out.append(chunk, static_cast<size_t>(n));
    if (out.size() > (64u << 20)) return Status(Code::invalid_argument, "more than 64 MB on standard input");
  }
}

Status run(CommandContext& context) {
  struct sigaction action = {};
  action.sa_handler = on_interrupt;  // without SA_RESTART: a read is interrupted
  ::sigaction(SIGINT, &action, nullptr);
  const Arguments& a = context.arguments;
  if (a.has("think") && a.has("no-think"))
    return Status(Code::invalid_argument, "--think and --no-think exclude each other");
  std::string question;
  for (const std::string& word : a.texts("QUESTION")) question += (question.empty() ? "" : " ") + word;
  const bool piped = ::isatty(STDIN_FILENO) != 1;
  if (piped && question.empty()) {
    LANDFALL_ASSIGN(question, read_standard_input());
    if (question.find_first_not_of(" \t\r\n") == std::string::npos)
      return Status(Code::invalid_argument, "there is no question on standard input");
    if (question.ends_with('\n')) question.pop_back();
  }
  Service::Options options;
  LANDFALL_ASSIGN(options.engine, engine_options(a));
  options.use_file_template = a.has("file-template");
  LANDFALL_ASSIGN(const auto service, load_service(context, a.text("MODEL"), options));
  if (a.has("verbose")) {
    std::fprintf(stderr, "loaded in %.2f s: %s; kernels %s, %d threads\n", service->load_seconds(),
                 service->memory().text().c_str(), std::string(name(service->engine_options().device.kernels)).c_str(),
                 service->engine_options().threads);
  }
  Chat chat(context, *service);
  LANDFALL_TRY(chat.configure());
  return question.empty() ? chat.converse() : chat.once(question);
}

}  // namespace

extern const Command k_run;
const Command k_run = {
    .name = "run",
    .help = "chat with a model in the terminal, or get one answer",
    .example =
        "landfall run starter \"Why is the sky blue?\"\necho \"Write a haiku about the sea.\" | landfall run "
        "starter",
    .flags = kFlags,
    .run = run,
};

}  // namespace landfall
