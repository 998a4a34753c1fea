// The core that every kind of attention shares: query rows against cached rows that lie in blocks. For kernels only.
#pragma once

#include <span>

#include "tensor/ctx.h"

namespace landfall {

// Rows of keys or values, `width` numbers each: block b holds positions [128 b, 128 b + 128); group g's numbers start
// at `group_width * g`.
struct CachedRows {
  const std::byte* const* blocks;
  int64_t width, group_width;
  CacheType type;
  int64_t row_bytes() const { return cache_row_bytes(type, width); }
};

// `count` new rows of one run that see `past` rows before them. q [count][heads][key_width], out
// [count][heads][value_width]. The lists of blocks begin with block `first_block`.
struct AttendJob {
  const float* q;
  int64_t q_row_stride, q_head_stride;
  float* out;
  int64_t out_row_stride, out_head_stride;
  CachedRows keys, values;
  int64_t heads, groups, key_width, value_width;
  int64_t past, count;
  float scale;
  int64_t first_block = 0;
};

// Each block of positions has a softmax of its own; blocks are merged in order, whoever computed them, so the result of
// a row does not depend on how the rows were cut into steps, what runs beside it, or the threads. Uses the arena for
// scratch and gives it back.
void attend(Ctx& ctx, std::span<const AttendJob> jobs);

// The same for one job whose rows are there some blocks at a time: `blocks` of them from its first_block on, in
// ascending order from 0, in calls that share `states` (attend_states(job) of them). The result is that of attend().
struct AttendState {
  alignas(64) float most[16], total[16];
};
int64_t attend_states(const AttendJob& job);
void attend_blocks(Ctx& ctx, const AttendJob& job, int64_t blocks, AttendState* states);

// Copies rows [count][width] (with a row stride) into the pages of a sequence behind `past`, in the cache's type.
void append_rows(Ctx& ctx, int slot, const Run& run, const float* rows, int64_t stride, int64_t width);

// Numbers [column, column + width) of rows [first, first + count) of a slot as float: out[count][width].
void gather_rows(Ctx& ctx, int slot, int32_t sequence, int64_t first, int64_t count, int64_t slot_width, int64_t column,
                 int64_t width, float* out);

// Rows that lie one after another, as blocks. The list of blocks lives in the arena.
CachedRows in_blocks(Ctx& ctx, const std::byte* rows, int64_t count, int64_t width, int64_t group_width,
                     CacheType type);

// A row of n floats in the given type.
void store_as(const Ctx& ctx, CacheType type, const float* from, int64_t n, std::byte* to);

}  // namespace landfall
