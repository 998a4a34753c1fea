#include "server/routes.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>

#include "server/openai.h"

namespace landfall {
namespace {

// Tells a request that runs to stop, whichever comes first: its flag or its client's leaving.
class Cancellation {
 public:
  void attach(Service::CancelFlag flag) {
    std::lock_guard lock(mutex_);
    flag_ = std::move(flag);
    if (wanted_) flag_->store(true);
  }
  void cancel() {
    std::lock_guard lock(mutex_);
    wanted_ = true;
    if (flag_) flag_->store(true);
  }

 private:
  std::mutex mutex_;
  bool wanted_ = false;
  Service::CancelFlag flag_;
};

HttpReply error_reply(const ApiError& error) {
  HttpReply out{error.status, error_json(error), {}};
  if (error.status == 429 || error.status == 503) out.headers.emplace_back("Retry-After", "1");
  return out;
}

class Routes : public std::enable_shared_from_this<Routes> {
 public:
  Routes(Env& env, ServedModel model, RouteOptions options)
      : env_(env), model_(std::move(model)), options_(std::move(options)), created_(env.unix_time()) {}

  void handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange);

 private:
  void complete(ParsedCall parsed, std::shared_ptr<HttpExchange> exchange);
  HttpReply load_adapter(const std::string& body);
  HttpReply unload_adapter(const std::string& body);
  bool is_base(const std::string& name) const;
  // The adapter of that name, "" for the model alone.
  std::variant<std::string, ApiError> find_model(const std::string& name) const;
  ApiError reported(const Status& status) const;
  std::string identifier() const;
  Json model_json(const std::string& adapter) const;

  Env& env_;
  const ServedModel model_;
  const RouteOptions options_;
  const int64_t created_;
  std::atomic<int> running_{0};

  friend class Answer;
};

// One answer on its way to its client. Events arrive on the Service's thread, one at a time.
class Answer {
 public:
  Answer(std::shared_ptr<Routes> routes, std::shared_ptr<HttpExchange> exchange, OpenAiFormat format, bool stream)
      : routes_(std::move(routes)), exchange_(std::move(exchange)), format_(std::move(format)), stream_(stream) {}
  ~Answer() { --routes_->running_; }

  void text(const std::string& reasoning, const std::string& content) {
    if (stream_) {
      start();
      exchange_->write(format_.delta(reasoning, content));
    } else {
      reasoning_ += reasoning;
      content_ += content;
    }
  }

  void done(const Status& status, FinishReason reason, const Usage& usage) {
    const bool well = status.ok() && reason != FinishReason::cancelled;
    const ApiError error = well ? ApiError{} : routes_->reported(status.ok() ? Status(Code::cancelled, "") : status);
    if (stream_) {
      start();
      exchange_->write(well ? format_.closing(reason, usage) : OpenAiFormat::failure(error));
      exchange_->finish();
    } else {
      exchange_->reply(well ? HttpReply{200, format_.reply(reasoning_, content_, reason, usage), {}}
                            : error_reply(error));
    }
  }

  // Opens the stream before anything is written to it. Called by the submitter too, so that a client that waits for its
  // turn knows that it is heard.
  void start() {
    std::lock_guard lock(mutex_);
    if (started_) return;
    started_ = true;
    exchange_->start_stream();
    exchange_->write(format_.opening());
  }

 private:
  std::shared_ptr<Routes> routes_;
  std::shared_ptr<HttpExchange> exchange_;
  const OpenAiFormat format_;
  const bool stream_;
  std::mutex mutex_;
  bool started_ = false;
  std::string reasoning_, content_;
};

void Routes::handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
  constexpr std::string_view kModels = "/v1/models", kChat = "/v1/chat/completions", kCompletions = "/v1/completions",
                             kLoad = "/v1/load_lora_adapter", kUnload = "/v1/unload_lora_adapter";
  const std::string_view path = request.path;
  const bool one_model = path.size() > kModels.size() + 1 && path.starts_with(kModels) && path[kModels.size()] == '/';
  const bool posts = path == kChat || path == kCompletions || path == kLoad || path == kUnload;
  if (!posts && !one_model && path != kModels && path != "/health") {
    return exchange->reply(error_reply({404,
                                        "there is nothing at this path; there are POST /v1/chat/completions, POST "
                                        "/v1/completions, POST /v1/load_lora_adapter, POST /v1/unload_lora_adapter, "
                                        "GET /v1/models and GET /health",
                                        "", "unknown_path"}));
  }
  const std::string allowed = posts ? "POST" : "GET";
  if (request.method != allowed) {
    HttpReply reply = error_reply({405, "this path takes " + allowed + " only", "", "method_not_allowed"});
    reply.headers.emplace_back("Allow", posts ? "POST" : "GET, HEAD");
    return exchange->reply(std::move(reply));
  }
  if (path == kChat) return complete(parse_chat_completion(request.body), std::move(exchange));
  if (path == kCompletions) return complete(parse_completion(request.body), std::move(exchange));
  if (path == kLoad) return exchange->reply(load_adapter(request.body));
  if (path == kUnload) return exchange->reply(unload_adapter(request.body));
  if (path == "/health") return exchange->reply({200, R"({"status":"ok"})", {}});
  if (path == kModels) {
    Json::Array models{model_json("")};
    for (const std::string& adapter : model_.adapters()) models.push_back(model_json(adapter));
    return exchange->reply({200, Json().set("object", "list").set("data", std::move(models)).dump(), {}});
  }
  const auto found = find_model(std::string(path.substr(kModels.size() + 1)));
  if (const ApiError* error = std::get_if<ApiError>(&found)) return exchange->reply(error_reply(*error));
  exchange->reply({200, model_json(std::get<std::string>(found)).dump(), {}});
}

// The adapter's folder is the client's own choice, so what is wrong with it is told, damage included.
ApiError adapter_error(const Status& status) {
  ApiError error{400, status.message(), "", ""};
  if (status.code() == Code::resource_exhausted || status.code() == Code::not_found)
    error.status = http_status(status.code());
  return error;
}

const ApiError kAdaptersAreFixed = {403,
                                    "adapters are not changed over the network; give them with --adapter when the "
                                    "server starts",
                                    "", "adapters_fixed"};

HttpReply Routes::load_adapter(const std::string& body) {
  if (!options_.change_adapters) return error_reply(kAdaptersAreFixed);
  const ParsedAdapterCall parsed = parse_load_adapter(body);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return error_reply(*error);
  const AdapterCall& call = std::get<AdapterCall>(parsed);
  if (is_base(call.name))
    return error_reply({400, "'" + call.name + "' is the name of the model itself", "lora_name", ""});
  if (const Status status = model_.load_adapter(call.name, call.folder, call.replace); !status.ok())
    return error_reply(adapter_error(status));
  return {200, model_json(call.name).dump(), {}};
}

HttpReply Routes::unload_adapter(const std::string& body) {
  if (!options_.change_adapters) return error_reply(kAdaptersAreFixed);
  const ParsedAdapterCall parsed = parse_unload_adapter(body);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return error_reply(*error);
  const AdapterCall& call = std::get<AdapterCall>(parsed);
  if (const Status status = model_.unload_adapter(call.name); !status.ok()) return error_reply(adapter_error(status));
  return {200, Json().set("id", call.name).set("object", "model").set("deleted", true).dump(), {}};
}

void Routes::complete(ParsedCall parsed, std::shared_ptr<HttpExchange> exchange) {
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return exchange->reply(error_reply(*error));
  OpenAiCall& call = std::get<OpenAiCall>(parsed);
  if (call.model) {
    auto found = find_model(*call.model);
    if (const ApiError* error = std::get_if<ApiError>(&found)) return exchange->reply(error_reply(*error));
    call.generate.adapter = std::get<std::string>(std::move(found));
  }
  const std::string& served = call.generate.adapter.empty() ? model_.name : call.generate.adapter;
  call.generate.sampler.seed = call.seed ? *call.seed : env_.random_u64();

  if (++running_ > options_.running) {
    --running_;
    return exchange->reply(
        error_reply({429, "the server is busy with " + std::to_string(options_.running) + " requests; try again soon",
                     "", "busy"}));
  }
  auto answer = std::make_shared<Answer>(shared_from_this(), exchange,
                                         OpenAiFormat(call, served, identifier(), env_.unix_time()), call.stream);
  auto cancellation = std::make_shared<Cancellation>();
  GenerateEvents events;
  events.on_text = [answer](const std::string& reasoning, const std::string& content) {
    answer->text(reasoning, content);
  };
  events.on_done = [answer](const Status& status, FinishReason reason, const Usage& usage) {
    answer->done(status, reason, usage);
  };
  auto flag = model_.submit(std::move(call.generate), std::move(events));
  if (!flag.ok()) {
    ApiError error = reported(flag.status());
    if (flag.status().code() == Code::resource_exhausted) {
      error = {400, flag.status().message(), call.chat ? "messages" : "prompt", "context_length_exceeded"};
    } else if (flag.status().code() == Code::not_found) {  // the adapter has been unloaded meanwhile
      error = {404, flag.status().message(), "model", "model_not_found"};
    }
    return exchange->reply(error_reply(error));
  }
  cancellation->attach(std::move(*flag));
  exchange->on_gone([cancellation] { cancellation->cancel(); });
  if (call.stream) answer->start();
}

bool Routes::is_base(const std::string& name) const {
  return name == model_.name || std::find(model_.aliases.begin(), model_.aliases.end(), name) != model_.aliases.end();
}

std::variant<std::string, ApiError> Routes::find_model(const std::string& name) const {
  if (is_base(name)) return "";
  const std::vector<std::string> adapters = model_.adapters();
  if (std::find(adapters.begin(), adapters.end(), name) != adapters.end()) return name;
  std::string known = model_.name;
  for (const std::string& alias : model_.aliases) known += ", " + alias;
  for (const std::string& adapter : adapters) known += ", " + adapter;
  const std::string shown = name.size() > 60 ? name.substr(0, 60) + "..." : name;
  return ApiError{404, "there is no model '" + shown + "' here; known: " + known, "model", "model_not_found"};
}

// The cause of a failure on this side goes to the operator, not to the client.
ApiError Routes::reported(const Status& status) const {
  ApiError error = api_error(status);
  if (error.status == 500) options_.log(std::string(name(status.code())) + ": " + status.message());
  return error;
}

std::string Routes::identifier() const {
  char text[40];
  std::snprintf(text, sizeof text, "%016llx%08llx", static_cast<unsigned long long>(env_.random_u64()),
                static_cast<unsigned long long>(env_.random_u64() & 0xFFFFFFFF));
  return text;
}

Json Routes::model_json(const std::string& adapter) const {
  Json out;
  out.set("id", adapter.empty() ? model_.name : adapter).set("object", "model").set("created", created_);
  out.set("owned_by", "landfall");
  if (!adapter.empty()) out.set("parent", model_.name);
  return out.set("context_length", model_.context);
}

}  // namespace

HttpHandler make_routes(Env& env, ServedModel model, RouteOptions options) {
  auto routes = std::make_shared<Routes>(env, std::move(model), std::move(options));
  return [routes](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    routes->handle(std::move(request), std::move(exchange));
  };
}

std::string http_error_body(int status, const std::string& message) { return error_json({status, message, "", ""}); }

}  // namespace landfall
