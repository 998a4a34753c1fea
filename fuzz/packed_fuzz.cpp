// A hostile packed file: opened, its model described, its tokenizer made.
#include <cstddef>
#include <cstdint>

#include "memory_env.h"
#include "model/model.h"
#include "read_source.h"

using namespace landfall;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  MemoryEnv env;
  env.add("m/model.landfall", {reinterpret_cast<const char*>(data), size});
  Result<ModelSource> source = ModelSource::open(env, "m/model.landfall");
  if (source.ok()) {
    Result<Model> model = describe_model(*source);
    if (model.ok()) {
      ThreadPool pool(1);
      (void)load_weights(*source, pool, {}, *model).ok();
    }
  }
  read_source(std::move(source));
  return 0;
}
