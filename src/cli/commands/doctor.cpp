// doctor: what this machine offers, what fits into it, what is missing and how to mend it.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>

#include "base/cpu.h"
#include "base/huge_pages.h"
#include "base/json.h"
#include "base/numa.h"
#include "base/topology.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "lifecycle/store.h"
#include "tensor/tensor.h"

namespace landfall {
namespace {

// Memory that the weights of well-known models take, in bytes, by quantization. Parameters times bits, from their
// shapes.
struct Known {
  const char* name;
  double parameters;
};
constexpr Known kModels[] = {{"SmolLM2-135M", 0.135e9},       {"R1-Distill-Qwen-1.5B", 1.78e9},
                             {"R1-Distill-Llama-8B", 8.03e9}, {"V2-Lite 16B", 15.706e9},
                             {"R1-Distill-Qwen-32B", 32.8e9}, {"R1-Distill-Llama-70B", 70.6e9},
                             {"V2.5 236B", 235.741e9},        {"V3 / R1 671B", 671.026e9}};
constexpr double kBits4 = 4.5, kBits8 = 8.5;
constexpr double kOverhead = 1.1;  // cache and activations beside the weights

struct Problem {
  std::string what, fix;
};

std::string huge_pages(Env& env) {
  auto text = env.read("/sys/kernel/mm/transparent_hugepage/enabled", 256);
  if (!text.ok()) return "not available";
  const size_t open = text->find('['), close = text->find(']');
  return open == std::string::npos || close < open ? "unknown" : text->substr(open + 1, close - open - 1);
}

// What the system does with memory like that of weights: the share of it that is in 2 MiB pages.
double huge_share_of_memory(Env& env) {
  constexpr size_t kBytes = size_t{32} << 20;
  const auto buffer = Buffer::allocate(kBytes);
  if (!buffer) return 0;
  const PagesInUse before = pages_in_use(env);
  std::memset(buffer->host(), 1, kBytes);
  return static_cast<double>(pages_in_use(env).anonymous.huge - before.anonymous.huge) / kBytes;
}

// The same for a mapped model file, the first in the store, of which a part in the middle is read: its beginning is in
// the page cache in small pieces, since that is what is looked at when a model is listed. Nothing without a model.
std::optional<double> huge_share_of_files(Env& env) {
  constexpr size_t kHuge = size_t{2} << 20;
  constexpr size_t kBytes = size_t{32} << 20;
  const auto store = Store::open(env);
  if (!store.ok()) return {};
  const auto models = store->list();
  if (!models.ok()) return {};
  for (const StoredModel& model : *models) {
    std::error_code error;
    const std::string path = std::filesystem::canonical(model.path(), error).string();
    if (error || env.is_directory(path)) continue;
    const auto file = env.map(path);
    if (!file.ok() || (*file)->bytes().size() < kBytes) continue;
    const auto bytes = (*file)->bytes();
    const std::byte* part = bytes.data() + (bytes.size() - kBytes) / 2 / kHuge * kHuge;
    ::madvise(const_cast<std::byte*>(part), kBytes, MADV_HUGEPAGE);
    std::byte sum{};
    for (size_t at = 0; at < kBytes; at += 4096) sum ^= *const_cast<const volatile std::byte*>(part + at);
    return pages_in_use(env, path).file.share();
  }
  return {};
}

// Whether the system lets this process place memory: on one node nobody asks.
bool memory_can_be_placed(const Topology& machine) {
  const auto buffer = Buffer::allocate(4096);
  return machine.nodes().size() == 1 || (buffer && Numa::real().place(buffer->host(), buffer->size(), machine.nodes()));
}

// "2 nodes, 32 cores (16 + 16), 64 hardware threads; 32 threads by default"
std::string cores_text(const Topology& machine) {
  const std::vector<int> nodes = machine.nodes();
  std::string each;
  for (int node : nodes) {
    const auto cores = std::count_if(machine.cores.begin(), machine.cores.end(),
                                     [&](const Topology::Core& core) { return core.node == node; });
    each += (each.empty() ? "" : " + ") + std::to_string(cores);
  }
  const auto counted = [](int64_t n, const std::string& what) {
    return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
  };
  return counted(static_cast<int64_t>(nodes.size()), "memory node") + ", " +
         counted(static_cast<int64_t>(machine.cores.size()), "core") + (nodes.size() > 1 ? " (" + each + ")" : "") +
         ", " + counted(machine.processors, "hardware thread") +
         (machine.quota > 0 ? ", of which " + std::to_string(machine.quota) + " may run at once" : "") + "; " +
         counted(machine.default_threads(), "thread") + " by default";
}

Status run(CommandContext& context) {
  Env& env = context.env;
  const Topology& machine = this_machine();
  std::vector<Problem> problems;
  const auto chosen = chosen_kernel_set();
  if (!chosen.ok()) problems.push_back({chosen.status().message(), "unset LANDFALL_KERNELS"});
  const KernelSet set = chosen.ok() ? *chosen : available_kernel_sets().back();
  if (set <= KernelSet::scalar)
    problems.push_back(
        {"only portable kernels can run here: answers will be slow", "use a processor with AVX2, AVX-512 or Arm NEON"});
  if (!memory_can_be_placed(machine))
    problems.push_back(
        {"the system refuses to place memory by node: weights lie where it puts them, and decode is slower",
         "give the container CAP_SYS_NICE, as in 'docker run --cap-add SYS_NICE'"});
  const uint64_t memory = env.available_memory();
  if (memory < (uint64_t{1} << 30))
    problems.push_back({"only " + human_bytes(memory) + " of memory are available", "close other programs"});
  const std::string pages = huge_pages(env);
  if (pages == "never")
    problems.push_back({"2 MiB pages are switched off: reading weights is up to a third slower",
                        "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"});
  const double in_memory = huge_share_of_memory(env);
  if (pages != "never" && in_memory < 0.9)
    problems.push_back({"the system gave 2 MiB pages for only " + std::to_string(static_cast<int>(100 * in_memory)) +
                            "% of memory that asked for them: reading weights is up to a third slower",
                        "echo defer+madvise | sudo tee /sys/kernel/mm/transparent_hugepage/defrag; echo 1 | sudo tee "
                        "/proc/sys/vm/compact_memory"});
  const std::optional<double> in_files = huge_share_of_files(env);
  const char* home = std::getenv("LANDFALL_HOME");
  const char* user = std::getenv("HOME");
  const std::string folder = home ? home : user ? user : ".";
  const auto space = env.free_space(env.exists(folder) ? folder : ".");

  Json fits{Json::Array{}};
  for (const Known& m : kModels) {
    const double four = m.parameters * kBits4 / 8 * kOverhead, eight = m.parameters * kBits8 / 8 * kOverhead;
    Json row;
    row.set("model", m.name).set("bytes_4_bit", four).set("bytes_8_bit", eight);
    row.set("fits", eight <= static_cast<double>(memory)  ? "8-bit"
                    : four <= static_cast<double>(memory) ? "4-bit"
                                                          : "no");
    fits.push(std::move(row));
  }
  if (context.json) {
    Json features{Json::Array{}}, trouble{Json::Array{}}, sets{Json::Array{}};
    for (const std::string& f : cpu_features()) features.push(f);
    for (KernelSet s : available_kernel_sets()) sets.push(std::string(name(s)));
    for (const Problem& p : problems) {
      Json row;
      trouble.push(row.set("what", p.what).set("fix", p.fix));
    }
    Json out;
    out.set("processor", cpu_model_name()).set("features", std::move(features));
    out.set("threads", machine.default_threads())
        .set("cores", static_cast<int64_t>(machine.cores.size()))
        .set("hardware_threads", machine.processors)
        .set("memory_nodes", static_cast<int64_t>(machine.nodes().size()));
    out.set("kernels", std::string(name(set)))
        .set("kernel_sets", std::move(sets))
        .set("available_memory", static_cast<int64_t>(memory));
    out.set("memory_in_2mib_pages", in_memory).set("model_file_in_2mib_pages", in_files ? Json(*in_files) : Json());
    out.set("huge_pages", pages)
        .set("free_disk", space.ok() ? Json(static_cast<int64_t>(*space)) : Json())
        .set("fits", std::move(fits));
    out.set("problems", std::move(trouble));
    std::printf("%s\n", out.dump(2).c_str());
    return {};
  }
  std::string features;
  for (const std::string& f : cpu_features()) features += " " + f;
  std::printf(
      "processor   %s\ncores       %s\nfeatures   %s\nkernels     %s\nmemory      %s available, 2 MiB pages: "
      "%s\ndisk        %s free\n",
      cpu_model_name().c_str(), cores_text(machine).c_str(), features.c_str(), std::string(name(set)).c_str(),
      human_bytes(memory).c_str(), pages.c_str(), space.ok() ? human_bytes(*space).c_str() : "unknown");
  std::printf("2 MiB pages %.0f%% of memory that asks for them", 100 * in_memory);
  if (in_files) {
    std::printf(", %.0f%% of a mapped model file%s", 100 * *in_files,
                *in_files < 0.9 ? " (this matters for packed models alone: --huge-pages copies them)" : "");
  }
  std::printf("\n\nwhat fits into memory now    4-bit      8-bit\n");
  for (const Json& row : fits.array()) {
    const std::string& best = row["fits"].string();
    std::printf("  %-24s %9s  %9s  %s\n", row["model"].string().c_str(),
                human_bytes(static_cast<uint64_t>(row["bytes_4_bit"].number())).c_str(),
                human_bytes(static_cast<uint64_t>(row["bytes_8_bit"].number())).c_str(),
                best == "no" ? "does not fit" : ("fits in " + best).c_str());
  }
  std::printf("\n");
  if (problems.empty()) std::printf("Nothing is missing.\n");
  for (const Problem& p : problems) std::printf("problem: %s\n    fix: %s\n", p.what.c_str(), p.fix.c_str());
  return {};
}

}  // namespace

extern const Command k_doctor;
const Command k_doctor = {.name = "doctor",
                          .help = "what this machine offers, what fits, what is missing and the fix",
                          .example = "landfall doctor",
                          .flags = {},
                          .has_json = true,
                          .run = run};

}  // namespace landfall
