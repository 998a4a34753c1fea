// What stands at which path: /v1/chat/completions, /v1/completions, /v1/models, /v1/models/{id} and /health; for
// adapters, each a model of its own name, /v1/load_lora_adapter and /v1/unload_lora_adapter as of vLLM.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/env.h"
#include "runtime/service.h"
#include "server/http_server.h"

namespace landfall {

struct ServedModel {
  std::string name;                  // as clients ask for it
  std::vector<std::string> aliases;  // understood as well
  int64_t context = 0;               // tokens
  // Service::submit, or what a test puts in its place.
  std::function<Result<Service::CancelFlag>(GenerateRequest, GenerateEvents)> submit;
  // Service's of the same names, or what a test puts in their place.
  std::function<std::vector<std::string>()> adapters = [] { return std::vector<std::string>(); };
  std::function<Status(const std::string& name, const std::string& folder, bool replace)> load_adapter = nullptr;
  std::function<Status(const std::string& name)> unload_adapter = nullptr;
};

struct RouteOptions {
  int running = 128;  // answers that run or wait for their turn; a request beyond them gets 429
  // Whether clients may load and unload adapters, and so have this machine read folders of their choice. If not, they
  // get 403.
  bool change_adapters = true;
  // One line for the operator about each failure that clients are not told the cause of.
  std::function<void(const std::string& line)> log = [](const std::string&) {};
};

// The handler may be copied and called from any thread. `env` gives identifiers, seeds and the time, and outlives it.
HttpHandler make_routes(Env& env, ServedModel model, RouteOptions options = {});

// The body of an error of HTTP itself, in the form of the other errors.
std::string http_error_body(int status, const std::string& message);

}  // namespace landfall
