#include "model/row_order.h"

namespace landfall {

bool is_permuted(const Model& model, const Weight& weight) {
  const Config& c = model.config();
  const std::string& name = model.spec(weight).name;
  return c.rope_interleaved && c.kv_lora == 0 && (name == "attn_q" || name == "attn_k");
}

int64_t half_split_row(const Model& model, int64_t row) {
  const int64_t dim = model.config().head_dim, within = row % dim;
  return row - within + within % 2 * (dim / 2) + within / 2;
}

int64_t interleaved_row(const Model& model, int64_t row) {
  const int64_t dim = model.config().head_dim, within = row % dim;
  return row - within + within % (dim / 2) * 2 + within / (dim / 2);
}

}  // namespace landfall
