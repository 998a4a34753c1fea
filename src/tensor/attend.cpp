#include "tensor/attend.h"

#include <algorithm>
#include <type_traits>

#include "tensor/access.h"

namespace landfall {
namespace {

// Up to 16 lanes: query rows of heads that share keys and values.
struct LanePanel {
  int lanes;
  const float* q[16];
  float* out[16];
  int64_t visible[16];  // positions that the lane sees
};

}  // namespace
}  // namespace landfall

#define LANDFALL_TARGET_FILE "tensor/attend.inl"
#include "tensor/simd/foreach_target.h"

namespace landfall {
namespace {

struct Kernels {
  KernelSet set;
  void (*prepare_queries)(const AttendJob&, const LanePanel&, float*);
  void (*attend_panel)(const AttendJob&, int64_t, const LanePanel&, int64_t, int64_t, float*, float*, float*);
  int64_t (*scratch_floats)(const AttendJob&);
  void (*merge_state)(const float*, const float*, float*, float*, float*, float*);
  void (*merge_columns)(const LanePanel&, const float* const*, const float*, const float*, int64_t, int64_t);
  void (*normalise)(const LanePanel&, const float*, int64_t);
  void (*store_numbers)(CacheType, const float*, int64_t, std::byte*);
  void (*load_numbers)(const CachedRows&, const std::byte*, int64_t, int64_t, float*);
};

#define LANDFALL_ATTEND_ROW(set)                                                                                     \
  {KernelSet::set,     set::prepare_queries, set::attend_panel,  set::attend_scratch_floats, set::merge_block_state, \
   set::merge_columns, set::normalise,       set::store_numbers, set::load_numbers},

constexpr Kernels kKernels[] = {LANDFALL_EACH_SET(LANDFALL_ATTEND_ROW)};

// One panel of one job, and where its blocks' own results go when the threads share them.
struct Task {
  const AttendJob* job;
  int64_t group, first_lane, blocks, first_part;
};

LanePanel panel_of(const Task& task) {
  const AttendJob& job = *task.job;
  const int64_t per_group = job.heads / job.groups;
  LanePanel out;
  out.lanes = static_cast<int>(std::min<int64_t>(16, job.count * per_group - task.first_lane));
  for (int lane = 0; lane < out.lanes; ++lane) {
    const int64_t row = (task.first_lane + lane) / per_group;
    const int64_t head = task.group * per_group + (task.first_lane + lane) % per_group;
    out.q[lane] = job.q + row * job.q_row_stride + head * job.q_head_stride;
    out.out[lane] = job.out + row * job.out_row_stride + head * job.out_head_stride;
    out.visible[lane] = job.past + row + 1;
  }
  return out;
}

// The state of a panel before its first block.
constexpr AttendState kNothing = [] {
  AttendState out{};
  std::fill(out.most, out.most + 16, -3.0e38f);
  return out;
}();

void clear(const LanePanel& panel, int64_t width) {
  for (int lane = 0; lane < panel.lanes; ++lane) std::fill(panel.out[lane], panel.out[lane] + width, 0.0f);
}

// The panels of all jobs, and room for what a thread needs to compute one.
class Tasks {
 public:
  Tasks(Ctx& ctx, const Kernels& kernels, std::span<const AttendJob> jobs) : kernels_(kernels) {
    int64_t count = 0;
    for (const AttendJob& job : jobs) {
      count += attend_states(job);
      scratch_floats_ = std::max(scratch_floats_, kernels.scratch_floats(job));
      widest_ = std::max(widest_, job.value_width);
    }
    auto* tasks = reinterpret_cast<Task*>(ctx.arena.scratch(static_cast<size_t>(count) * sizeof(Task)));
    all_ = {tasks, static_cast<size_t>(count)};
    for (const AttendJob& job : jobs) {
      const int64_t per_group = job.heads / job.groups, lanes = job.count * per_group;
      for (int64_t group = 0; group < job.groups; ++group) {
        for (int64_t first = 0; first < lanes; first += 16) {
          const int64_t visible = job.past + (std::min(first + 16, lanes) - 1) / per_group + 1;
          const int64_t blocks = (visible + kPagePositions - 1) / kPagePositions;
          *tasks++ = {&job, group, first, blocks, parts_};
          parts_ += blocks;
        }
      }
    }
    const auto floats = static_cast<size_t>(scratch_floats_) * static_cast<size_t>(ctx.pool.threads());
    scratch_ = reinterpret_cast<float*>(ctx.arena.scratch(floats * 4));
  }

  std::span<const Task> all() const { return all_; }
  int64_t count() const { return static_cast<int64_t>(all_.size()); }
  int64_t parts() const { return parts_; }    // blocks of all panels
  int64_t widest() const { return widest_; }  // of the values
  float* scratch_of(int thread) const { return scratch_ + scratch_floats_ * thread; }

  // Each panel's blocks in [first, last), by one thread.
  void run(Ctx& ctx, int64_t first, int64_t last, AttendState* states) const {
    ctx.pool.parallel_for(count(), 1, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t t = begin; t < end; ++t) {
        const Task& task = all_[static_cast<size_t>(t)];
        if (task.blocks <= first) continue;
        const LanePanel panel = panel_of(task);
        if (first == 0) {
          states[t] = kNothing;
          clear(panel, task.job->value_width);
        }
        kernels_.prepare_queries(*task.job, panel, scratch_of(thread));
        kernels_.attend_panel(*task.job, task.group, panel, first, std::min(last, task.blocks), states[t].most,
                              states[t].total, scratch_of(thread));
        if (task.blocks <= last) kernels_.normalise(panel, states[t].total, task.job->value_width);
      }
    });
  }

 private:
  const Kernels& kernels_;
  std::span<const Task> all_;
  int64_t parts_ = 0, scratch_floats_ = 0, widest_ = 0;
  float* scratch_ = nullptr;
};

AttendState* states_in(Ctx& ctx, int64_t count) {
  return reinterpret_cast<AttendState*>(ctx.arena.scratch(static_cast<size_t>(count) * sizeof(AttendState)));
}

}  // namespace

int64_t attend_states(const AttendJob& job) { return job.groups * ((job.count * (job.heads / job.groups) + 15) / 16); }

void attend_blocks(Ctx& ctx, const AttendJob& job, int64_t blocks, AttendState* states) {
  const Arena::Mark mark = ctx.arena.mark();
  Tasks(ctx, row_for(kKernels, ctx.device.kernels), {&job, 1})
      .run(ctx, job.first_block, job.first_block + blocks, states);
  ctx.arena.rewind(mark);
}

void attend(Ctx& ctx, std::span<const AttendJob> jobs) {
  const Kernels& kernels = row_for(kKernels, ctx.device.kernels);
  const Arena::Mark mark = ctx.arena.mark();
  const Tasks tasks(ctx, kernels, jobs);
  const int64_t count = tasks.count(), parts = tasks.parts(), widest = tasks.widest();
  const int threads = ctx.pool.threads();
  if (count >= 4 * threads || parts == count || threads == 1) {
    tasks.run(ctx, 0, INT64_MAX, states_in(ctx, count));
    ctx.arena.rewind(mark);
    return;
  }

  // Few panels, several blocks: threads share the blocks, each with a result of its own, merged afterwards.
  const int64_t part_floats = 16 * widest;
  auto* results = reinterpret_cast<float*>(ctx.arena.scratch(static_cast<size_t>(parts * part_floats) * 4));
  AttendState* states = states_in(ctx, parts);
  auto* prepared = reinterpret_cast<int64_t*>(ctx.arena.scratch(static_cast<size_t>(threads) * sizeof(int64_t)));
  std::fill(prepared, prepared + threads, int64_t{-1});  // the task whose queries a thread's scratch holds
  ctx.pool.parallel_for(parts, 1, [&](int64_t begin, int64_t end, int thread) {
    int64_t t = 0;
    for (int64_t part = begin; part < end; ++part) {
      while (t + 1 < count && tasks.all()[static_cast<size_t>(t + 1)].first_part <= part) ++t;
      const Task& task = tasks.all()[static_cast<size_t>(t)];
      LanePanel panel = panel_of(task);
      if (prepared[thread] != t) kernels.prepare_queries(*task.job, panel, tasks.scratch_of(thread));
      prepared[thread] = t;
      for (int lane = 0; lane < panel.lanes; ++lane) panel.out[lane] = results + part * part_floats + lane * widest;
      AttendState& state = states[part] = kNothing;
      clear(panel, task.job->value_width);
      const int64_t block = part - task.first_part;
      kernels.attend_panel(*task.job, task.group, panel, block, block + 1, state.most, state.total,
                           tasks.scratch_of(thread));
    }
  });
  ctx.pool.parallel_for(count * 4, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t quarter = begin; quarter < end; ++quarter) {
      const Task& task = tasks.all()[static_cast<size_t>(quarter / 4)];
      const LanePanel panel = panel_of(task);
      const int64_t width = task.job->value_width, step = (width + 63) / 64 * 16;
      const int64_t first = std::min(width, quarter % 4 * step), last = std::min(width, first + step);
      LanePanel columns = panel;
      for (int lane = 0; lane < panel.lanes; ++lane) columns.out[lane] += first;
      AttendState state = kNothing;
      clear(columns, last - first);
      for (int64_t block = 0; block < task.blocks; ++block) {
        const int64_t part = task.first_part + block;
        alignas(64) float keep[16], add_factor[16];
        const float* block_out[16];
        for (int lane = 0; lane < panel.lanes; ++lane)
          block_out[lane] = results + part * part_floats + lane * widest + first;
        kernels.merge_state(states[part].most, states[part].total, state.most, state.total, keep, add_factor);
        kernels.merge_columns(columns, block_out, keep, add_factor, 0, last - first);
      }
      kernels.normalise(columns, state.total, last - first);
    }
  });
  ctx.arena.rewind(mark);
}

CachedRows in_blocks(Ctx& ctx, const std::byte* rows, int64_t count, int64_t width, int64_t group_width,
                     CacheType type) {
  const int64_t n = (count + kPagePositions - 1) / kPagePositions;
  auto** blocks = reinterpret_cast<const std::byte**>(ctx.arena.scratch(static_cast<size_t>(n) * sizeof(std::byte*)));
  for (int64_t b = 0; b < n; ++b) blocks[b] = rows + b * kPagePositions * cache_row_bytes(type, width);
  return {blocks, width, group_width, type};
}

void store_as(const Ctx& ctx, CacheType type, const float* from, int64_t n, std::byte* to) {
  row_for(kKernels, ctx.device.kernels).store_numbers(type, from, n, to);
}

void append_rows(Ctx& ctx, int slot, const Run& run, const float* rows, int64_t stride, int64_t width) {
  const std::span<std::byte* const> pages = ctx.kv->pages(slot, run.sequence);
  const CacheType type = ctx.kv->type();
  ctx.pool.parallel_for(run.count, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t position = run.past + i;
      store_as(ctx, type, rows + i * stride, width,
               pages[static_cast<size_t>(position / kPagePositions)] +
                   position % kPagePositions * cache_row_bytes(type, width));
    }
  });
}

void gather_rows(Ctx& ctx, int slot, int32_t sequence, int64_t first, int64_t count, int64_t slot_width, int64_t column,
                 int64_t width, float* out) {
  const Kernels& kernels = row_for(kKernels, ctx.device.kernels);
  const CachedRows rows{ctx.kv->pages(slot, sequence).data(), slot_width, 0, ctx.kv->type()};
  ctx.pool.parallel_for(count, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t position = first + i;
      kernels.load_numbers(rows, rows.blocks[position / kPagePositions] + position % kPagePositions * rows.row_bytes(),
                           column, width, out + i * width);
    }
  });
}

}  // namespace landfall
