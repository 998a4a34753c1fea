#include "train/step.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tensor/access.h"
#include "tensor/gemm.h"
#include "tensor/ops.h"

namespace landfall {

extern const Operator k_router;

namespace {

// Rows of logits at a time.
constexpr size_t kHeadRows = 256;

int64_t segment_of(const Recompute& recompute, int64_t layers) {
  const int64_t root = std::llround(std::sqrt(static_cast<double>(layers)));
  return std::clamp<int64_t>(recompute.segment > 0 ? recompute.segment : root, 1, layers);
}

}  // namespace

// The passes over one set of rows. Kept states lie in the step's arena until the end.
class Step::Pass {
 public:
  Pass(Step& step, const TrainingRows& rows, bool reference = false)
      : s_(step),
        rows_(rows),
        a_(step.model_.architecture()),
        overlay_(reference ? nullptr : &step.trainable_.overlay()) {
    s_.arena_.reset();
    for (size_t r = 0; r < rows.targets.size(); ++r) {
      if (rows.targets[r] >= 0) learned_.push_back(static_cast<int32_t>(r));
    }
  }

  std::vector<double> losses() {
    return with(run_, {}, [&](Ctx& ctx) {
      const Tensor hidden = kept(a_.norm(ctx, s_.model_, through(ctx, 0, layers(), embedded(ctx))));
      std::vector<double> out;
      for (size_t at = 0; at < learned_.size(); at += kHeadRows) {
        const std::vector<double> some = head_losses(run_, hidden, at, {});
        out.insert(out.end(), some.begin(), some.end());
      }
      return out;
    });
  }

  double gradients(std::span<const double> weights, double balance) {
    LANDFALL_CHECK(weights.size() == learned_.size());
    balance_ = balance;
    const int64_t group = segment_of(s_.recompute_, layers());
    std::vector<Tensor> states;  // before each group
    with(run_, {}, [&](Ctx& ctx) {
      Tensor state = embedded(ctx);
      gradient_ = kept(state);
      states.push_back(state);
      for (int64_t first = 0; first + group < layers(); first += group) {
        state = through(ctx, first, first + group, state);
        states.push_back(state);
      }
      return 0;
    });
    // The last group leads to the loss; its gradient then goes down group by group.
    double sum = 0;
    for (auto g = static_cast<int64_t>(states.size()) - 1; g >= 0; --g) {
      const int64_t first = g * group, last = std::min(first + group, layers());
      back(first, last, states[static_cast<size_t>(g)],
           [&](const Tensor& state) { head_gradient(state, weights, sum); });
    }
    // The embedding itself.
    with(s_.tape_, {}, [&](Ctx& ctx) {
      const Tensor state = a_.embed(ctx, s_.model_);
      if (state.node > 0) {
        const Tape::Seed seed{state, gradient_};
        s_.tape_.backward(ctx, {&seed, 1});
      }
      s_.tape_.forget();
      return 0;
    });
    return sum;
  }

 private:
  int64_t layers() const { return s_.model_.config().layers; }

  template <class Body>
  std::invoke_result_t<const Body&, Ctx&> with(Reader& reader, std::span<const int32_t> wanted, const Body& body) {
    const Arena::Mark mark = s_.scratch_.mark();
    const Batch batch{rows_.tokens, rows_.positions, rows_.runs, wanted, {}};
    Ctx ctx = make_ctx(reader, s_.device(), s_.pool_, s_.scratch_, batch, nullptr);
    ctx.overlay = overlay_;
    auto out = body(ctx);
    s_.scratch_.rewind(mark);
    return out;
  }

  // A copy that stays until the pass ends.
  Tensor kept(const Tensor& t) {
    Tensor out = Tensor::of(t.type, {t.rows(), t.elements() / std::max<int64_t>(t.rows(), 1)});
    out.shape = t.shape;
    out.stride = t.stride;
    out.rank = t.rank;
    LANDFALL_CHECK(t.contiguous(), "a state between layers is dense");
    s_.arena_.place(out);
    std::memcpy(data<std::byte>(out), data<std::byte>(t), static_cast<size_t>(t.elements() * size_of(t.type)));
    return out;
  }

  Tensor embedded(Ctx& ctx) { return kept(a_.embed(ctx, s_.model_)); }

  // Through layers [first, last) without keeping anything but the result.
  Tensor through(Ctx& ctx, int64_t first, int64_t last, Tensor state) {
    const Arena::Mark mark = ctx.arena.mark();
    const Tensor out = kept(state);
    for (int64_t layer = first; layer < last; ++layer) {
      const Tensor next = a_.layer(ctx, s_.model_, layer, out);
      std::memcpy(data<std::byte>(out), data<std::byte>(next),
                  static_cast<size_t>(next.elements() * size_of(next.type)));
      ctx.arena.rewind(mark);
    }
    return out;
  }

  // Makes gradient_ that of the state before layers [first, last), from that of the state behind them, which `head`
  // makes of the state behind the last layer of all.
  template <class Head>
  void back(int64_t first, int64_t last, const Tensor& state, const Head& head) {
    if (s_.recompute_.two_level && last - first > 1) {
      const Arena::Mark mark = s_.arena_.mark();
      std::vector<Tensor> states = {state};
      with(run_, {}, [&](Ctx& ctx) {
        for (int64_t layer = first; layer + 1 < last; ++layer)
          states.push_back(through(ctx, layer, layer + 1, states.back()));
        return 0;
      });
      for (int64_t layer = last - 1; layer >= first; --layer)
        back(layer, layer + 1, states[static_cast<size_t>(layer - first)], head);
      s_.arena_.rewind(mark);
      return;
    }
    with(s_.tape_, {}, [&](Ctx& ctx) {
      Tensor begin = state;
      s_.tape_.watch(begin);
      Tensor end = begin;
      for (int64_t layer = first; layer < last; ++layer) end = a_.layer(ctx, s_.model_, layer, end);
      s_.count_loads();
      if (last == layers()) head(end);
      std::vector<Tape::Seed> seeds = {{end, gradient_}};
      if (balance_ != 0) s_.add_balance(ctx, balance_, seeds);
      s_.tape_.backward(ctx, seeds);
      set_gradient(s_.tape_.gradient(begin));
      s_.tape_.forget();
      return 0;
    });
  }

  void set_gradient(const Tensor& t) {
    LANDFALL_CHECK(t.contiguous() && t.type == gradient_.type && t.elements() == gradient_.elements());
    std::memcpy(data<std::byte>(gradient_), data<std::byte>(t), static_cast<size_t>(t.elements() * size_of(t.type)));
  }

  // Losses of learned rows [at, at + kHeadRows) given the hidden states; `then` gets them as a tensor, too.
  std::vector<double> head_losses(Reader& reader, const Tensor& hidden, size_t at,
                                  const std::function<void(Ctx&, const Tensor&)>& then) {
    const std::span<const int32_t> wanted = std::span(learned_).subspan(at, std::min(kHeadRows, learned_.size() - at));
    return with(reader, wanted, [&](Ctx& ctx) {
      Tensor targets = Tensor::of(DType::i32, {static_cast<int64_t>(wanted.size())});
      ctx.arena.place(targets);
      for (size_t i = 0; i < wanted.size(); ++i)
        data<int32_t>(targets)[i] = rows_.targets[static_cast<size_t>(wanted[i])];
      const Tensor losses = cross_entropy(ctx, a_.head(ctx, s_.model_, hidden), targets);
      if (then) then(ctx, losses);
      return load_doubles(losses);
    });
  }

  // Makes gradient_ that of the state behind the last layer; adds the losses to `sum`.
  void head_gradient(const Tensor& state, std::span<const double> weights, double& sum) {
    const Arena::Mark mark = s_.arena_.mark();
    Tensor plain = state;
    plain.node = 0;
    const Tensor hidden = with(run_, {}, [&](Ctx& ctx) { return kept(a_.norm(ctx, s_.model_, plain)); });
    Tensor total = kept(hidden);
    std::memset(data<std::byte>(total), 0, static_cast<size_t>(total.elements() * size_of(total.type)));
    for (size_t at = 0; at < learned_.size(); at += kHeadRows) {
      Tensor watched = hidden;
      s_.head_tape_.watch(watched);
      const auto some = head_losses(s_.head_tape_, watched, at, [&](Ctx& ctx, const Tensor& losses) {
        Tensor slopes = Tensor::of(losses.type, {losses.rows()});
        ctx.arena.place(slopes);
        const auto own = weights.subspan(at, static_cast<size_t>(losses.rows()));
        store_doubles(slopes, {own.begin(), own.end()});
        const Tape::Seed seed{losses, slopes};
        s_.head_tape_.backward(ctx, {&seed, 1});
        add_rows(total, s_.head_tape_.gradient(watched));
      });
      for (double loss : some) sum += loss;
      s_.head_tape_.forget();
    }
    with(s_.head_tape_, {}, [&](Ctx& ctx) {
      s_.head_tape_.watch(plain);
      const Tape::Seed seed{a_.norm(ctx, s_.model_, plain), total};
      s_.head_tape_.backward(ctx, {&seed, 1});
      set_gradient(s_.head_tape_.gradient(plain));
      s_.head_tape_.forget();
      return 0;
    });
    s_.arena_.rewind(mark);
  }

  void add_rows(const Tensor& to, const Tensor& from) {
    if (to.type != DType::f32) return add_doubles(to, load_doubles(from));
    s_.pool_.parallel_for(to.elements(), 4096, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) data<float>(to)[i] += data<float>(from)[i];
    });
  }

  Step& s_;
  const TrainingRows& rows_;
  const Architecture& a_;
  const Overlay* overlay_;
  RunReader run_;

  std::vector<int32_t> learned_;  // rows with a target
  double balance_ = 0;
  Tensor gradient_;  // of the state that the way back has come to
};

Step::Step(const Model& model, const Trainable& trainable, ThreadPool& pool, KernelSet kernels, Recompute recompute)
    : model_(model),
      trainable_(trainable),
      pool_(pool),
      kernels_(kernels),
      recompute_(recompute),
      tape_([&trainable](const Weight& w) { return trainable.trains(w); }),
      head_tape_([&trainable](const Weight& w) { return trainable.trains(w); }, &tape_) {}

double Step::add_gradients(const TrainingRows& rows, std::span<const double> weights, double balance) {
  return Pass(*this, rows).gradients(weights, balance);
}

void Step::add_balance(Ctx& ctx, double weight, std::vector<Tape::Seed>& seeds) {
  struct Routed {
    Tensor scores, ids;
  };
  std::vector<Routed> routed;  // first all: what follows is put on the same tape
  tape_.each(k_router, [&](const OpCall& call) { routed.push_back({call.in[0], call.out[0]}); });
  std::vector<double> slope;
  for (const Run& run : ctx.batch.runs) slope.push_back(weight * run.count);
  for (const Routed& r : routed) {
    const Tensor losses = balance_loss(ctx, r.scores, r.ids, model_.config().router.gate);
    Tensor slopes = Tensor::of(losses.type, {losses.rows()});
    ctx.arena.place(slopes);
    store_doubles(slopes, slope);
    seeds.push_back({losses, slopes});
  }
}

void Step::count_loads() {
  tape_.each(k_router, [&](const OpCall& call) {
    if (!call.weights[0]) return;  // a gate without a bias has nothing that moves
    std::vector<int64_t>& counts = loads_[call.weights[0]->id];
    counts.resize(static_cast<size_t>(call.in[0].last()));
    for (int64_t i = 0; i < call.out[0].elements(); ++i) ++counts[static_cast<size_t>(data<int32_t>(call.out[0])[i])];
  });
}

std::span<const int64_t> Step::loads(const Parameter& selection_bias) const {
  const auto found = loads_.find(selection_bias.seen.id);
  return found == loads_.end() ? std::span<const int64_t>{} : found->second;
}

void Step::zero_gradients() {
  tape_.zero_gradients();
  loads_.clear();
}

int64_t Step::activation_bytes(const TrainingRows& rows) const {
  CountReader count;
  Arena arena;
  const Batch batch{rows.tokens, rows.positions, rows.runs, {}, {}};
  Ctx ctx = make_ctx(count, device(), pool_, arena, batch, nullptr);
  ctx.overlay = &trainable_.overlay();
  const Architecture& a = model_.architecture();
  const Tensor state = a.embed(ctx, model_);
  const auto before = static_cast<int64_t>(count.activation_bytes());
  a.layer(ctx, model_, model_.config().layers - 1, state);  // where only some layers have experts, the last does
  // An output and its gradient each; a layer that is computed again had its outputs once before.
  const int64_t layer = 2 * (static_cast<int64_t>(count.activation_bytes()) - before);
  const int64_t bytes = state.elements() * size_of(state.type), layers = model_.config().layers;
  const int64_t segment = segment_of(recompute_, layers);
  const auto learned = std::count_if(rows.targets.begin(), rows.targets.end(), [](int32_t t) { return t >= 0; });
  const int64_t logits = 3 * std::min<int64_t>(kHeadRows, learned) * model_.config().vocab * 4;
  const int64_t scratch = gemm_scratch_floats() * 4 * pool_.threads();
  const int64_t rest = 6 * bytes + logits + scratch;
  if (segment == layers) return layers * layer + rest;
  const int64_t between = (layers + segment - 1) / segment;  // states
  if (recompute_.two_level) return layer + layer / 2 + (between + segment) * bytes + rest;
  return segment * layer + layer / 2 + between * bytes + rest;
}

int64_t Step::peak_bytes() const {
  return static_cast<int64_t>(tape_.peak_bytes() + head_tape_.peak_bytes() + arena_.peak() + scratch_.peak());
}

std::vector<double> Step::losses(const TrainingRows& rows, bool reference) {
  return Pass(*this, rows, reference).losses();
}

}  // namespace landfall
