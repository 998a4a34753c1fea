// Attention core, compiled per target. A panel is 16 lanes, each one query row of one head; all see the same keys and
// values, up to a position of their own. What a lane computes does not depend on its neighbours.

// y[0..n) = x in the given type. int8: 32 numbers share a scale, the largest of them over 127, rounded up to bf16.
inline void store_numbers(CacheType type, const float* x, int64_t n, std::byte* y) {
  if (type == CacheType::f32) {
    std::memcpy(y, x, static_cast<size_t>(n) * 4);
    return;
  }
  if (type == CacheType::bf16) {
    to_bf16(x, n, reinterpret_cast<uint16_t*>(y));
    return;
  }
  for (int64_t first = 0; first < n; first += 32) {
    const int64_t left = n - first;
    const int low = static_cast<int>(left < 16 ? left : 16), high = static_cast<int>(left < 32 ? left - low : 16);
    const F32 a = load_partial(x + first, low), b = load_partial(x + first + low, high);
    const F32 odd = fma(a, zero(), fma(b, zero(), zero()));  // not zero where a number is infinite or none
    const float range = (largest(max(abs(a), abs(b))) + sum(odd)) * (1.0f / 127.0f);
    uint32_t bits;
    std::memcpy(&bits, &range, 4);
    const auto scale = static_cast<uint16_t>((bits + 0xffff) >> 16);
    std::memcpy(y + n + first / 32 * 2, &scale, 2);
    const float rounded = bf16_to_float(scale);
    const F32 inverse = set_f32(rounded > 1e-30f && rounded < 1e30f ? 1.0f / rounded : 0.0f);
    int8_t code[32];
    store_i8(code, clamp_i32(round_to_int(mul(a, inverse)), -127, 127));
    store_i8(code + 16, clamp_i32(round_to_int(mul(b, inverse)), -127, 127));
    std::memcpy(y + first, code, static_cast<size_t>(low + high));
  }
}

// Numbers [column, column + n) of a row of codes, 16 or fewer at a time: visit(i, how many, their values).
template <class Visit>
inline void for_codes(const CachedRows& rows, const std::byte* row, int64_t column, int64_t n, Visit&& visit) {
  for (int64_t i = 0; i < n;) {
    const int64_t at = column + i, to_edge = 16 - at % 16;
    const int count = static_cast<int>(to_edge < n - i ? to_edge : n - i);
    uint16_t scale;
    std::memcpy(&scale, row + rows.width + at / 32 * 2, 2);
    alignas(16) int8_t few[16];
    const auto* code = reinterpret_cast<const int8_t*>(row) + at;
    if (count < 16) {
      std::memcpy(few, code, static_cast<size_t>(count));
      code = few;
    }
    visit(i, count, mul(load_i8(code), set_f32(bf16_to_float(scale))));
    i += count;
  }
}

// Numbers [column, column + n) of a row as float.
inline void load_numbers(const CachedRows& rows, const std::byte* row, int64_t column, int64_t n, float* out) {
  if (rows.type == CacheType::f32) {
    std::memcpy(out, row + column * 4, static_cast<size_t>(n) * 4);
  } else if (rows.type == CacheType::bf16) {
    const auto* halves = reinterpret_cast<const uint16_t*>(row) + column;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) store(out + i, load_bf16(halves + i));
    for (; i < n; ++i) out[i] = bf16_to_float(halves[i]);
  } else {
    for_codes(rows, row, column, n, [&](int64_t i, int count, F32 v) { store_partial(out + i, v, count); });
  }
}

// The numbers of one group of n rows as float: where they are, or in `wide`. Sets the stride between rows, in floats.
inline const float* float_rows(const CachedRows& rows, const std::byte* p, int64_t group, int64_t n, int64_t width,
                               float* wide, int64_t& stride) {
  const int64_t column = group * rows.group_width;
  if (rows.type == CacheType::f32) {
    stride = rows.width;
    return reinterpret_cast<const float*>(p) + column;
  }
  stride = width;
  for (int64_t r = 0; r < n; ++r) load_numbers(rows, p + r * rows.row_bytes(), column, width, wide + r * width);
  return wide;
}

#if defined(LANDFALL_HAS_BF16_DOT)
// The same as bf16. Sets the bytes between rows.
inline const std::byte* bf16_rows(const CachedRows& rows, const std::byte* p, int64_t group, int64_t n, int64_t width,
                                  float* wide, int64_t& row_bytes) {
  const int64_t column = group * rows.group_width;
  row_bytes = rows.row_bytes();
  if (rows.type == CacheType::bf16) return p + column * 2;
  auto* out = reinterpret_cast<uint16_t*>(wide);
  for (int64_t r = 0; r < n; ++r, out += width) {
    for_codes(rows, p + r * row_bytes, column, width, [&](int64_t i, int count, F32 v) {
      if (count == 16) {
        store_bf16(out + i, v);
        return;
      }
      alignas(64) float few[16];
      store(few, v);
      to_bf16(few, count, out + i);
    });
  }
  row_bytes = width * 2;
  return reinterpret_cast<const std::byte*>(wide);
}
#endif

// Sums of 16 numbers that the registers hold beside what they are products of: 16 of 8 lanes (AVX2), 32 of 16 lanes
// (AVX-512) or of 4 lanes (NEON), 16 of 4 lanes (portable x86-64).
#if defined(LANDFALL_VECTOR_SCALAR)
inline constexpr int kSums = 2;
#elif defined(LANDFALL_HAS_BF16_DOT)
inline constexpr int kSums = 8;
#else
inline constexpr int kSums = 6;
#endif

// Applies f<N>(first) to groups of kMost, 4, 2 and 1 of n things.
template <int kMost, class F>
inline void for_groups(int64_t n, F&& f) {
  int64_t i = 0;
  for (; i + kMost <= n; i += kMost) f.template operator()<kMost>(i);
  if constexpr (kMost > 4) {
    for (; i + 4 <= n; i += 4) f.template operator()<4>(i);
  }
  if constexpr (kMost > 2) {
    if (i + 2 <= n) f.template operator()<2>(i), i += 2;
  }
  if (i < n) f.template operator()<1>(i);
}

// score[t][lane] = query lane times key t, for T keys.
template <int T>
inline void score_f32(const float* query, const float* key, int64_t stride, int64_t width, float* score) {
  F32 acc[T];
  LANDFALL_UNROLL
  for (int t = 0; t < T; ++t) acc[t] = zero();
  for (int64_t i = 0; i < width; ++i) {
    const F32 q = load_f32(query + i * 16);
    LANDFALL_UNROLL
    for (int t = 0; t < T; ++t) acc[t] = fma(q, set_f32(key[t * stride + i]), acc[t]);
  }
  LANDFALL_UNROLL
  for (int t = 0; t < T; ++t) store(score + t * 16, acc[t]);
}

// out = out * keep[lane] + add[lane] * sum over positions of weight[p][lane] * value[p], for N lanes and 16 columns.
template <int N>
inline void value_f32(const float* weight, const float* value, int64_t stride, int64_t n, int columns,
                      const float* keep, const float* add_factor, float* const* out) {
  F32 acc[N];
  LANDFALL_UNROLL
  for (int i = 0; i < N; ++i) acc[i] = zero();
  for (int64_t p = 0; p < n; ++p) {
    const F32 v = columns == 16 ? load_f32(value + p * stride) : load_partial(value + p * stride, columns);
    LANDFALL_UNROLL
    for (int i = 0; i < N; ++i) acc[i] = fma(v, set_f32(weight[p * 16 + i]), acc[i]);
  }
  LANDFALL_UNROLL
  for (int i = 0; i < N; ++i) {
    const F32 before = mul(load_partial(out[i], columns), set_f32(keep[i]));
    store_partial(out[i], fma(acc[i], set_f32(add_factor[i]), before), columns);
  }
}

#if defined(LANDFALL_HAS_BF16_DOT)
// Asks meanwhile for the keys that follow, one line of the cache for each product: those come first from memory, and
// twelve rows at once are more than the processor looks ahead for.
template <int T>
inline void score_bf16(const std::byte* query, const std::byte* key, int64_t row_bytes, int64_t width, float* score) {
  F32 acc[T];
  LANDFALL_UNROLL
  for (int t = 0; t < T; ++t) acc[t] = zero();
  for (int64_t i = 0; i < width / 2; ++i) {
    const I32 q = load_i32(query + i * 64);
    __builtin_prefetch(key + T * row_bytes + i * 64, 0, 2);
    LANDFALL_UNROLL
    for (int t = 0; t < T; ++t) acc[t] = dot_bf16(acc[t], q, set_i32(read_i32(key + t * row_bytes + i * 4)));
  }
  LANDFALL_UNROLL
  for (int t = 0; t < T; ++t) store(score + t * 16, acc[t]);
}

// The same with two positions a product, for 32 columns. weight: [pairs][16 lanes] of two bf16 numbers.
template <int N>
inline void value_bf16(const int32_t* weight, const std::byte* value, int64_t row_bytes, int64_t n, const float* keep,
                       const float* add_factor, float* const* out) {
  F32 low[N], high[N];
  LANDFALL_UNROLL
  for (int i = 0; i < N; ++i) low[i] = high[i] = zero();
  auto add_pair = [&](int64_t pair, I32 even, I32 odd) __attribute__((always_inline)) {
    const I32 l = interleave_low_16(even, odd), h = interleave_high_16(even, odd);
    LANDFALL_UNROLL
    for (int i = 0; i < N; ++i) {
      const I32 w = set_i32(weight[pair * 16 + i]);
      low[i] = dot_bf16(low[i], l, w);
      high[i] = dot_bf16(high[i], h, w);
    }
  };
  for (int64_t pair = 0; pair < n / 2; ++pair) {
    const std::byte* v = value + 2 * pair * row_bytes;
    add_pair(pair, load_i32(v), load_i32(v + row_bytes));
  }
  if (n % 2 != 0) add_pair(n / 2, load_i32(value + (n - 1) * row_bytes), set_i32(0));
  LANDFALL_UNROLL
  for (int i = 0; i < N; ++i) {
    F32 first, second;
    columns_in_order(low[i], high[i], first, second);
    const F32 k = set_f32(keep[i]), a = set_f32(add_factor[i]);
    store(out[i], fma(first, a, mul(load_f32(out[i]), k)));
    store(out[i] + 16, fma(second, a, mul(load_f32(out[i] + 16), k)));
  }
}
#endif

// What merging a block changes: the largest score so far, the factors of what was and of what comes, the total.
inline void merge_state(F32 block_most, F32 block_total, float* most, float* total, float* keep, float* add_factor) {
  const F32 old = load_f32(most), now = max(old, block_most);
  const F32 k = exp(sub(old, now)), a = exp(sub(block_most, now));
  store(most, now);
  store(keep, k);
  store(add_factor, a);
  store(total, fma(block_total, a, mul(load_f32(total), k)));
}

// Room for one panel's queries, scores, weights and widened rows, in floats.
inline int64_t attend_scratch_floats(const AttendJob& job) {
  const int64_t widest = job.key_width > job.value_width ? job.key_width : job.value_width;
  return (job.key_width + 1) * 16 + 2 * kPagePositions * 16 + widest * kPagePositions + 64;
}

// The queries of a panel as the products want them, into the first (key_width + 1) * 16 floats of `scratch`:
// [key_width][16 lanes], where kRounded of pairs of bf16 numbers.
template <bool kRounded>
void prepare_queries_as(const AttendJob& job, const LanePanel& panel, float* scratch) {
  if constexpr (kRounded) {
    auto* pairs = reinterpret_cast<int32_t*>(scratch);
    auto* row = reinterpret_cast<uint16_t*>(scratch + (job.key_width + 1) * 16);
    for (int lane = 0; lane < 16; ++lane) {
      if (lane < panel.lanes) {
        store_numbers(CacheType::bf16, panel.q[lane], job.key_width, reinterpret_cast<std::byte*>(row));
        for (int64_t i = 0; i < job.key_width / 2; ++i) pairs[i * 16 + lane] = read_i32(row + 2 * i);
      } else {
        for (int64_t i = 0; i < job.key_width / 2; ++i) pairs[i * 16 + lane] = 0;
      }
    }
  } else {
    for (int lane = 0; lane < 16; ++lane) {
      for (int64_t i = 0; i < job.key_width; ++i) scratch[i * 16 + lane] = lane < panel.lanes ? panel.q[lane][i] : 0.0f;
    }
  }
}

// Blocks [first_block, last_block) of one panel, merged into out, most and total. kRounded: in bf16 products.
// `scratch` begins with the panel's prepared queries.
template <bool kRounded>
void attend_panel_as(const AttendJob& job, int64_t group, const LanePanel& panel, int64_t first_block,
                     int64_t last_block, float* most, float* total, float* scratch) {
  float* query = scratch;
  float* score = query + (job.key_width + 1) * 16;
  float* weight = score + kPagePositions * 16;  // two positions a number where kRounded
  float* wide = weight + kPagePositions * 16;
  alignas(64) float keep[16], add_factor[16], limit[16];
  int64_t visible = 0, all_see = INT64_MAX;
  for (int lane = 0; lane < 16; ++lane) {
    const int64_t sees = lane < panel.lanes ? panel.visible[lane] : 0;
    limit[lane] = static_cast<float>(sees);
    visible = sees > visible ? sees : visible;
    if (lane < panel.lanes && sees < all_see) all_see = sees;
  }
  for (int64_t block = first_block; block < last_block; ++block) {
    const int64_t first = block * kPagePositions;
    const int64_t n = visible - first < kPagePositions ? visible - first : kPagePositions;
    const std::byte *keys = job.keys.blocks[block - job.first_block],
                    *values = job.values.blocks[block - job.first_block];
    const bool same_rows = keys == values;  // latent rows are both: values are the first columns of keys
    const std::conditional_t<kRounded, std::byte, float>* rows = nullptr;
    int64_t stride;  // between rows, in the same unit
    if constexpr (kRounded) {
#if defined(LANDFALL_HAS_BF16_DOT)
      const auto* q = reinterpret_cast<const std::byte*>(query);
      rows = bf16_rows(job.keys, keys, group, n, job.key_width, wide, stride);
      for_groups<12>(
          n, [&]<int T>(int64_t p) __attribute__((always_inline)) {
            score_bf16<T>(q, rows + p * stride, stride, job.key_width, score + p * 16);
          });
#endif
    } else {
      rows = float_rows(job.keys, keys, group, n, job.key_width, wide, stride);
      for_groups<kSums>(
          n, [&]<int T>(int64_t p) __attribute__((always_inline)) {
            score_f32<T>(query, rows + p * stride, stride, job.key_width, score + p * 16);
          });
    }
    const F32 scale = set_f32(job.scale), never = set_f32(-3.0e38f), ends = load_f32(limit);
    const bool masked = first + n > all_see || panel.lanes < 16;
    F32 block_most = never;
    for (int64_t p = 0; p < n; ++p) {
      F32 s = mul(load_f32(score + p * 16), scale);
      if (masked) s = select_less(set_f32(static_cast<float>(first + p)), ends, s, never);
      store(score + p * 16, s);
      block_most = max(block_most, s);
    }
    F32 sums[2] = {zero(), zero()};
    for (int64_t p = 0; p < n; ++p) {
      F32 e = exp(sub(load_f32(score + p * 16), block_most));
      if (masked) e = select_less(set_f32(static_cast<float>(first + p)), ends, e, zero());
      store(score + p * 16, e);
      sums[p % 2] = add(sums[p % 2], e);
    }
    merge_state(block_most, add(sums[0], sums[1]), most, total, keep, add_factor);
    float* out[16];
    if constexpr (kRounded) {
#if defined(LANDFALL_HAS_BF16_DOT)
      auto* pairs = reinterpret_cast<int32_t*>(weight);
      for (int64_t pair = 0; pair < (n + 1) / 2; ++pair) {
        const F32 odd = 2 * pair + 1 < n ? load_f32(score + (2 * pair + 1) * 16) : zero();
        store_i32(pairs + pair * 16, bf16_pairs(load_f32(score + 2 * pair * 16), odd));
      }
      if (!same_rows) rows = bf16_rows(job.values, values, group, n, job.value_width, wide, stride);
      for (int64_t column = 0; column < job.value_width; column += 32) {
        for (int lane = 0; lane < panel.lanes; ++lane) out[lane] = panel.out[lane] + column;
        for_groups<8>(
            panel.lanes, [&]<int N>(int64_t lane) __attribute__((always_inline)) {
              value_bf16<N>(pairs + lane, rows + column * 2, stride, n, keep + lane, add_factor + lane, out + lane);
            });
      }
#endif
    } else {
      if (!same_rows) rows = float_rows(job.values, values, group, n, job.value_width, wide, stride);
      for (int64_t column = 0; column < job.value_width; column += 16) {
        const int columns = static_cast<int>(job.value_width - column < 16 ? job.value_width - column : 16);
        for (int lane = 0; lane < panel.lanes; ++lane) out[lane] = panel.out[lane] + column;
        for_groups<kSums>(
            panel.lanes, [&]<int N>(int64_t lane) __attribute__((always_inline)) {
              value_f32<N>(score + lane, rows + column, stride, n, columns, keep + lane, add_factor + lane, out + lane);
            });
      }
    }
  }
}

#if defined(LANDFALL_HAS_BF16_DOT)
// Whether products are rounded to bf16: where the cache is no wider, and the shapes fit.
inline bool rounded(const AttendJob& job) {
  return job.keys.type != CacheType::f32 && job.key_width % 2 == 0 && job.value_width % 32 == 0;
}
#endif

inline void prepare_queries(const AttendJob& job, const LanePanel& panel, float* scratch) {
#if defined(LANDFALL_HAS_BF16_DOT)
  if (rounded(job)) return prepare_queries_as<true>(job, panel, scratch);
#endif
  prepare_queries_as<false>(job, panel, scratch);
}

inline void attend_panel(const AttendJob& job, int64_t group, const LanePanel& panel, int64_t first_block,
                         int64_t last_block, float* most, float* total, float* scratch) {
#if defined(LANDFALL_HAS_BF16_DOT)
  if (rounded(job)) {
    return attend_panel_as<true>(job, group, panel, first_block, last_block, most, total, scratch);
  }
#endif
  attend_panel_as<false>(job, group, panel, first_block, last_block, most, total, scratch);
}

// One more block's result into a panel's: columns [begin, end) of every lane. The state must be merged already.
inline void merge_columns(const LanePanel& panel, const float* const* block_out, const float* keep,
                          const float* add_factor, int64_t begin, int64_t end) {
  for (int lane = 0; lane < panel.lanes; ++lane) {
    const F32 k = set_f32(keep[lane]), a = set_f32(add_factor[lane]);
    for (int64_t i = begin; i < end; i += 16) {
      const int columns = static_cast<int>(end - i < 16 ? end - i : 16);
      const F32 before = mul(load_partial(panel.out[lane] + i, columns), k);
      store_partial(panel.out[lane] + i, fma(load_partial(block_out[lane] + i, columns), a, before), columns);
    }
  }
}

inline void merge_block_state(const float* block_most, const float* block_total, float* most, float* total, float* keep,
                              float* add_factor) {
  merge_state(load_f32(block_most), load_f32(block_total), most, total, keep, add_factor);
}

inline void normalise(const LanePanel& panel, const float* total, int64_t width) {
  for (int lane = 0; lane < panel.lanes; ++lane) {
    const F32 factor = set_f32(1.0f / total[lane]);
    for (int64_t i = 0; i < width; i += 16) {
      const int columns = static_cast<int>(width - i < 16 ? width - i : 16);
      store_partial(panel.out[lane] + i, mul(load_partial(panel.out[lane] + i, columns), factor), columns);
    }
  }
}
