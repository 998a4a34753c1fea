// What the commands that run a model share: finding it, loading it with progress, saying what it takes.
#pragma once

#include <memory>
#include <string>

#include "cli/command.h"
#include "runtime/service.h"

namespace landfall {

// The flags that they share, and their values.
inline constexpr Flag kContextFlag = {"context", Flag::Kind::integer, "positions a conversation may hold",
                                      "the model's own, or what memory holds"};
inline constexpr Flag kHugePagesFlag = {
    "huge-pages", Flag::Kind::toggle,
    "copy a packed model into 2 MiB pages, where the system maps files in small ones; it starts later for that"};
inline constexpr Flag kDraftFlag = {
    "draft", Flag::Kind::text,
    "guess tokens ahead: 'ngram' from the text so far, 'mtp' with the multi-token layer "
    "of the file, or a smaller model of the same vocabulary; the same answers sooner",
    "off"};
inline constexpr Flag kCacheTypeFlag = {
    .name = "cache-type", .help = "numbers of the KV cache: bf16, int8 (half the memory) or f32", .otherwise = "bf16"};
inline constexpr Flag kThreadsFlag = {"threads", Flag::Kind::integer, "processor threads", "one for each core"};
Result<EngineOptions> engine_options(const Arguments& arguments);
// As Service::Options::draft has it, the path of a model resolved.
Result<std::string> chosen_draft(CommandContext& context);

// Resolves a name from the store or a path, and loads it with a progress line on standard error.
Result<std::unique_ptr<Service>> load_service(CommandContext& context, const std::string& model,
                                              Service::Options options);

}  // namespace landfall
