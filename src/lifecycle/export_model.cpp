#include "lifecycle/export_model.h"

namespace landfall {

Status load_to_write(Env& env, const ModelSource& source, ThreadPool& pool, const std::string& work, Model& model,
                     const Watch& watch) {
  const auto bytes = static_cast<uint64_t>(model.memory_bytes());
  const uint64_t available = env.available_memory();
  if (bytes > available) {
    return Status(Code::resource_exhausted, work + " holds all " + size_text(bytes) + " of weights, but only " +
                                                size_text(available) +
                                                " of memory are available; close other programs");
  }
  return load_weights(
      source, pool,
      [&](uint64_t done, uint64_t) {
        watch.at(done, 2 * bytes);
        return !watch.stop();
      },
      model);
}

Status export_model(Env& env, const std::string& path, const WriteAs& as, const std::string& out, int threads,
                    const Watch& watch) {
  LANDFALL_ASSIGN(const ModelSource source, ModelSource::open(env, path));
  if (!source.tokenizer) return Status(Code::unsupported, source.tokenizer_problem);
  LANDFALL_ASSIGN(Model model, describe_model(source));
  LANDFALL_TRY(check_writable(source, model, as));
  if (env.exists(out))
    return Status(Code::invalid_argument, "'" + out + "' is there already; take it away, or name another with --out");
  ThreadPool pool(threads);
  LANDFALL_TRY(load_to_write(env, source, pool, "exporting", model, watch));
  return write_model(env, pool, source, model, as, own_rows(), out, [&](uint64_t done, uint64_t total) {
    watch.at(total + done, 2 * total);
    return !watch.stop();
  });
}

}  // namespace landfall
