// serve: one model behind an OpenAI-compatible HTTP server.
#include <algorithm>
#include <cstdio>

#include "cli/model_loading.h"
#include "lifecycle/store.h"
#include "model/chat/chat_format.h"
#include "server/http_server.h"
#include "server/routes.h"

namespace landfall {
namespace {

constexpr int64_t kParallel = 4, kStepMilliseconds = 250;

constexpr Flag kFlags[] = {
    {.name = "MODEL", .help = "a name from 'landfall list', or a path", .required = true},
    {.name = "host", .help = "address to listen at", .otherwise = "127.0.0.1"},
    {.name = "port", .kind = Flag::Kind::integer, .help = "port to listen at; 0 takes a free one", .otherwise = "8080"},
    {.name = "name", .help = "what clients call the model", .otherwise = "MODEL"},
    {.name = "adapter",
     .help = "NAME=FOLDER: a low-rank adapter in PEFT's layout, which clients ask for as the model NAME",
     .repeated = true},
    {.name = "parallel",
     .kind = Flag::Kind::integer,
     .help = "full contexts that are answered at the same time, if memory holds them; others wait",
     .otherwise = "4"},
    {.name = "step-ms",
     .kind = Flag::Kind::integer,
     .help = "milliseconds that a step may take while answers run; longer prompts are read in pieces",
     .otherwise = "250"},
    kContextFlag,
    kDraftFlag,
    kThreadsFlag,
    kHugePagesFlag,
    kCacheTypeFlag,
    {.name = "file-template",
     .kind = Flag::Kind::toggle,
     .help = "use the chat template of the file even for DeepSeek models"},
    {.name = "allow-network",
     .kind = Flag::Kind::toggle,
     .help = "let other machines connect to a --host that they reach; no key is asked for"},
    {.name = "allow-host", .help = "a host name by which requests may address this server", .repeated = true},
};

// "models/tiny.gguf" -> "tiny".
std::string stem(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  std::string_view name = file_name(path);
  for (const std::string_view end : {".gguf", ".safetensors"}) {
    if (name.size() > end.size() && name.ends_with(end)) name.remove_suffix(end.size());
  }
  return std::string(name);
}

// "ward-notes=notes/adapter"
Status load_adapters(const Arguments& arguments, Service& service) {
  for (const std::string& given : arguments.texts("adapter")) {
    const size_t equals = given.find('=');
    if (equals == given.npos || equals == 0 || equals + 1 == given.size())
      return Status(Code::invalid_argument, "--adapter " + given + " is not possible; give NAME=FOLDER");
    LANDFALL_TRY(service.load_adapter(given.substr(0, equals), given.substr(equals + 1)).within("--adapter " + given));
  }
  return {};
}

ServedModel served_model(CommandContext& context, const std::string& path, Service& service) {
  ServedModel out;
  // Clients see these names in errors, so paths are left out of them.
  const std::string given = context.arguments.text("MODEL");
  const std::string usual = context.env.exists(given) ? stem(given) : given;
  out.name = context.arguments.text("name", usual);
  if (usual != out.name) out.aliases.push_back(usual);
  if (const std::string file = stem(path); file != out.name && file != usual) out.aliases.push_back(file);
  out.context = service.engine_options().context;
  out.submit = [&service](GenerateRequest request, GenerateEvents events) {
    return service.submit(std::move(request), std::move(events));
  };
  out.adapters = [&service] { return service.adapters(); };
  out.load_adapter = [&service](const std::string& name, const std::string& folder, bool replace) {
    return service.load_adapter(name, folder, replace);
  };
  out.unload_adapter = [&service](const std::string& name) { return service.unload_adapter(name); };
  return out;
}

void print_ready(const std::string& url, const ServedModel& model, const Service& service) {
  const bool chats = ChatFormat::create(service.tokenizer()).ok();
  const std::string body =
      chats ? R"({"messages":[{"role":"user","content":"Why is the sky blue?"}],"max_tokens":80,"temperature":0})"
            : R"({"prompt":"The sky is blue because","max_tokens":40,"temperature":0})";
  const EngineOptions& engine = service.engine_options();
  std::printf("%s is ready at %s (context %lld tokens, %lld at once). Try it:\n\n", model.name.c_str(), url.c_str(),
              static_cast<long long>(engine.context), static_cast<long long>(engine.cache_positions / engine.context));
  std::printf("curl %s/v1/%s -H 'Content-Type: application/json' -d '%s'\n\n", url.c_str(),
              chats ? "chat/completions" : "completions", body.c_str());
  std::printf("OpenAI clients: base_url %s/v1, any api_key. Ctrl+C stops the server.\n", url.c_str());
  std::fflush(stdout);
}

Status run(CommandContext& context) {
  const Arguments& arguments = context.arguments;
  HttpOptions http;
  http.host = arguments.text("host", http.host);
  const int64_t port = arguments.integer("port", http.port);
  if (port < 0 || port > 65535)
    return Status(Code::invalid_argument, "--port " + std::to_string(port) + " is not possible; 0 to 65535 is");
  http.port = static_cast<uint16_t>(port);
  http.allow_network = arguments.has("allow-network");
  http.allow_hosts = arguments.texts("allow-host");
  http.handle_signals = true;
  http.error_body = http_error_body;
  http.on_stop = [](int answers) {
    if (answers == 0) return;
    std::fprintf(stderr, "stopping: %d answer%s to finish first; Ctrl+C once more stops at once\n", answers,
                 answers == 1 ? "" : "s");
  };
  // Before the model is loaded, so that a port in use shows at once.
  LANDFALL_ASSIGN(const std::unique_ptr<HttpServer> server, HttpServer::listen(std::move(http)));

  LANDFALL_ASSIGN(const std::string path, resolve_model(context.env, arguments.text("MODEL")));
  Service::Options options;
  LANDFALL_ASSIGN(options.engine, engine_options(arguments));
  const int64_t parallel = arguments.integer("parallel", kParallel);
  if (parallel < 1 || parallel > 256) {
    return Status(Code::invalid_argument, "--parallel " + std::to_string(parallel) + " is not possible; 1 to 256 is");
  }
  options.cache_contexts = static_cast<int>(parallel);
  const int64_t step_ms = arguments.integer("step-ms", kStepMilliseconds);
  if (step_ms < 1 || step_ms > 60'000) {
    return Status(Code::invalid_argument, "--step-ms " + std::to_string(step_ms) + " is not possible; 1 to 60000 is");
  }
  options.step_seconds = static_cast<double>(step_ms) / 1000;
  if (arguments.has("file-template")) options.use_file_template = true;
  LANDFALL_ASSIGN(const std::unique_ptr<Service> service, load_service(context, path, std::move(options)));
  LANDFALL_TRY(load_adapters(arguments, *service));
  const ServedModel model = served_model(context, path, *service);
  for (const std::string& adapter : service->adapters()) {
    if (adapter == model.name || std::find(model.aliases.begin(), model.aliases.end(), adapter) != model.aliases.end())
      return Status(Code::invalid_argument, "--adapter " + adapter + " has the name of the model itself; give another");
  }

  RouteOptions routes;
  routes.change_adapters = !arguments.has("allow-network");
  routes.log = [](const std::string& line) { std::fprintf(stderr, "landfall: %s\n", line.c_str()); };
  print_ready(server->url(), model, *service);
  server->run(make_routes(context.env, model, std::move(routes)));
  return {};
}

}  // namespace

extern const Command k_serve;
const Command k_serve = {
    .name = "serve",
    .help = "serve a model to OpenAI clients over HTTP",
    .example =
        "landfall serve starter\n"
        "landfall serve starter --port 9000 --name assistant\n"
        "landfall serve starter --adapter ward-notes=ward-notes/adapter\n"
        "landfall serve ./DeepSeek-R1-Distill-Qwen-7B-Q4_K_M.gguf --context 8192 --parallel 2",
    .flags = kFlags,
    .run = run,
};

}  // namespace landfall
