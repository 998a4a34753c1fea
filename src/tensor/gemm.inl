// Matrix products of floats and of bf16, compiled per target.

// A register tile: rows of C, and vectors of 16 of its columns. Sums, one row of B and one number of A have to fit into
// the registers: 16 of 8 lanes (AVX2), 32 of 16 lanes (AVX-512) or of 4 lanes (NEON), 16 of 4 lanes (portable x86-64).
#if defined(LANDFALL_VECTOR_SCALAR)
inline constexpr int kGemmRows = 2, kGemmVectors = 1;
#elif defined(LANDFALL_HAS_BF16_DOT)
inline constexpr int kGemmRows = 12, kGemmVectors = 2;
#else
inline constexpr int kGemmRows = 6, kGemmVectors = 1;
#endif
inline constexpr int kStrip = 16 * kGemmVectors;  // columns

// Packed factors: strips of kGemmRows rows of A and of kStrip columns of B. A cache line more than a power of two, or
// all strips would compete for the same sets of the cache.
inline constexpr int64_t kDepthStride = kGemmDepth + 16;
inline constexpr int64_t kStripFloats = kGemmDepth * kStrip + 16;
static_assert(kGemmTileRows % kGemmRows == 0 && kGemmTileColumns % kStrip == 0);
static_assert(kGemmTileRows * kDepthStride <= kGemmAFloats);
static_assert(kGemmTileColumns / kStrip * kStripFloats <= kGemmBFloats);

// out[k * stride + j] = row[j][k] for 16 rows, k < n.
inline void transpose_16(const float* const* row, int64_t n, float* out, int64_t stride) {
  int64_t whole = 0;
#if defined(__x86_64__) && !defined(LANDFALL_VECTOR_SCALAR)
  whole = n / 8 * 8;
  for (int64_t k = 0; k < whole; k += 8) {
    LANDFALL_UNROLL
    for (int half = 0; half < 2; ++half) {
      __m256 r[8], pair[8], four[8];
      LANDFALL_UNROLL
      for (int j = 0; j < 8; ++j) r[j] = _mm256_loadu_ps(row[8 * half + j] + k);
      LANDFALL_UNROLL
      for (int j = 0; j < 8; j += 2) {
        pair[j] = _mm256_unpacklo_ps(r[j], r[j + 1]);
        pair[j + 1] = _mm256_unpackhi_ps(r[j], r[j + 1]);
      }
      LANDFALL_UNROLL
      for (int j = 0; j < 8; j += 4) {
        four[j] = _mm256_shuffle_ps(pair[j], pair[j + 2], 0x44);
        four[j + 1] = _mm256_shuffle_ps(pair[j], pair[j + 2], 0xee);
        four[j + 2] = _mm256_shuffle_ps(pair[j + 1], pair[j + 3], 0x44);
        four[j + 3] = _mm256_shuffle_ps(pair[j + 1], pair[j + 3], 0xee);
      }
      LANDFALL_UNROLL
      for (int j = 0; j < 4; ++j) {
        float* to = out + (k + j) * stride + 8 * half;
        _mm256_storeu_ps(to, _mm256_permute2f128_ps(four[j], four[j + 4], 0x20));
        _mm256_storeu_ps(to + 4 * stride, _mm256_permute2f128_ps(four[j], four[j + 4], 0x31));
      }
    }
  }
#endif
  for (int64_t k = whole; k < n; ++k) {
    for (int j = 0; j < 16; ++j) out[k * stride + j] = row[j][k];
  }
}

// Asks for n numbers of a row that is packed three rows later: rows lie far apart, often on pages of their own, where
// the processor does not look ahead by itself.
inline constexpr int64_t kAhead = 3;
inline void fetch_row(const float* p, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) __builtin_prefetch(p + i);
}

// Columns [k0, k0 + depth) of rows [m0, m0 + rows) of A: strip by strip [kGemmRows][kDepthStride], or where its rows
// are columns [kGemmDepth][kGemmRows].
inline void pack_a(const Factor& a, int64_t m0, int64_t rows, int64_t k0, int64_t depth, float* out) {
  if (!a.transposed) {
    for (int64_t i = 0; i < rows; ++i) {
      if (i + kAhead < rows) fetch_row(a.row(m0 + i + kAhead) + k0, depth);
      const float* from = a.row(m0 + i) + k0;
      float* to = out + i * kDepthStride;
      for (int64_t k = 0; k < depth; k += 16) {
        const int n = static_cast<int>(depth - k < 16 ? depth - k : 16);
        store(to + k, load_partial(from + k, n));
      }
    }
    return;
  }
  for (int64_t k = 0; k < depth; ++k) {
    if (k + kAhead < depth) fetch_row(a.row(k0 + k + kAhead) + m0, rows);
    const float* from = a.row(k0 + k) + m0;
    float* to = out + k * kGemmRows;
    int64_t i = 0;
    for (; i + kGemmRows <= rows; i += kGemmRows, to += kGemmRows * kDepthStride) {
      std::memcpy(to, from + i, kGemmRows * 4);
    }
    if (i < rows) std::memcpy(to, from + i, static_cast<size_t>(rows - i) * 4);
  }
}

// Rows [k0, k0 + depth) of columns [n0, n0 + columns) of B, strip by strip [kGemmDepth][kStrip]. What stands in columns
// past the last never reaches C. stage: [kGemmTileColumns][16] for a panel of a weight.
inline void pack_b(const Factor& b, PanelColumns unpack, int64_t n0, int64_t columns, int64_t k0, int64_t depth,
                   float* out, float* stage) {
  auto place = [&](int64_t column) { return out + column / kStrip * kStripFloats + column % kStrip; };
  auto panel_of = [&](int64_t row, int64_t column) {
    const Weight& w = *b.weight;
    return w.buffer->host() + w.offset +
           (b.expert * w.panels() + row / kPanelRows) * w.format->panel_bytes(w.padded_in) +
           w.format->panel_bytes(column);
  };
  auto unpacked = [&](int64_t column, int64_t most) {
    return b.weight->padded_in - column < most ? b.weight->padded_in - column : most;
  };
  const float* row[16];
  if (b.weight && b.transposed) {
    for (int64_t i = 0; i < columns; i += 16) unpack(panel_of(n0 + i, k0), unpacked(k0, kGemmDepth), place(i), kStrip);
  } else if (b.weight) {
    for (int64_t k = 0; k < depth; k += kPanelRows) {
      unpack(panel_of(k0 + k, n0), unpacked(n0, kGemmTileColumns), stage, 16);
      for (int64_t i = 0; i < columns; i += 16) {
        for (int j = 0; j < 16; ++j) row[j] = stage + (i + j) * 16;
        transpose_16(row, 16, place(i) + k * kStrip, kStrip);
      }
    }
  } else if (b.transposed) {
    for (int64_t i = 0; i < columns; i += 16) {
      for (int64_t j = 0; j < 16; ++j) row[j] = b.row(n0 + (i + j < columns ? i + j : i)) + k0;
      transpose_16(row, depth, place(i), kStrip);
    }
  } else {
    for (int64_t k = 0; k < depth; ++k) {
      if (k + kAhead < depth) fetch_row(b.row(k0 + k + kAhead) + n0, columns);
      const float* from = b.row(k0 + k) + n0;
      for (int64_t i = 0; i < columns; i += 16) {
        const int n = static_cast<int>(columns - i < 16 ? columns - i : 16);
        store(place(i) + k * kStrip, load_partial(from + i, n));
      }
    }
  }
}

// What numbers are multiplied: how packed factors are made ready, and what is added to a sum. `places`: of k, in the
// packed factors.
struct Floats {
  static int64_t places(int64_t depth) { return depth; }
  static void prepare_row(float*, int64_t) {}
  template <int kWidth>
  static void prepare_strip(float*, int64_t) {}
  static F32 multiply_add(F32 acc, const float* number, F32 line) { return fma(set_f32(*number), line, acc); }
};

#if defined(LANDFALL_HAS_BF16_DOT)
// Two numbers of bf16 in one place.
struct Bf16 {
  static int64_t places(int64_t depth) { return (depth + 1) / 2; }
  // Numbers of a row, behind which a zero stands where they are odd.
  static void prepare_row(float* row, int64_t depth) {
    to_bf16(row, (depth + 1) / 2 * 2, reinterpret_cast<uint16_t*>(row));  // reads ahead of what it writes
  }
  // Rows of a strip, each kWidth wide. A store past a row's end is in rows that are read already.
  template <int kWidth>
  static void prepare_strip(float* strip, int64_t depth) {
    for (int64_t k = 0; k < depth; k += 2) {
      for (int i = 0; i < kWidth; i += 16) {
        const int n = kWidth - i < 16 ? kWidth - i : 16;
        const F32 even = load_partial(strip + k * kWidth + i, n);
        const F32 odd = k + 1 < depth ? load_partial(strip + (k + 1) * kWidth + i, n) : zero();
        store_partial(strip + k / 2 * kWidth + i, as_float(bf16_pairs(even, odd)), n);
      }
    }
  }
  static F32 multiply_add(F32 acc, const float* pair, F32 line) {
    return dot_bf16(acc, as_bits(line), set_i32(read_i32(pair)));
  }
};
#else
// Without such products: floats that were rounded.
struct Bf16 : Floats {
  static void prepare_row(float* row, int64_t depth) { round_floats(row, depth, row); }
  template <int kWidth>
  static void prepare_strip(float* strip, int64_t depth) {
    round_floats(strip, depth * kWidth, strip);
  }
};
#endif

// Makes packed factors ready: `rows` of A, or B for `columns`.
template <class Numbers>
inline void prepare_a(const Factor& a, int64_t rows, int64_t depth, float* packed) {
  for (int64_t i = 0; i < rows; i += a.transposed ? kGemmRows : 1) {
    if (a.transposed) {
      Numbers::template prepare_strip<kGemmRows>(packed + i * kDepthStride, depth);
    } else {
      Numbers::prepare_row(packed + i * kDepthStride, depth);
    }
  }
}
template <class Numbers>
inline void prepare_b(int64_t columns, int64_t depth, float* packed) {
  for (int64_t j = 0; j < columns; j += kStrip) {
    Numbers::template prepare_strip<kStrip>(packed + j / kStrip * kStripFloats, depth);
  }
}

// Adds a strip of A times a strip of B to C. Place k of row i of A stands at i * kRowStep + k * kStep.
template <class Numbers, int kRowStep, int kStep>
inline void multiply_strips(const float* a, const float* b, int64_t places, float* const* c, int rows, int columns) {
  F32 acc[kGemmRows][kGemmVectors];
  for (int i = 0; i < rows; ++i) __builtin_prefetch(c[i], 1);  // it is far away, and wanted at the end
  LANDFALL_UNROLL
  for (int i = 0; i < kGemmRows; ++i) {
    LANDFALL_UNROLL
    for (int v = 0; v < kGemmVectors; ++v) acc[i][v] = zero();
  }
  for (int64_t k = 0; k < places; ++k, a += kStep, b += kStrip) {
    F32 line[kGemmVectors];
    LANDFALL_UNROLL
    for (int v = 0; v < kGemmVectors; ++v) line[v] = load_f32(b + 16 * v);
    LANDFALL_UNROLL
    for (int i = 0; i < kGemmRows; ++i) {
      LANDFALL_UNROLL
      for (int v = 0; v < kGemmVectors; ++v) acc[i][v] = Numbers::multiply_add(acc[i][v], a + i * kRowStep, line[v]);
    }
  }
  LANDFALL_UNROLL
  for (int i = 0; i < kGemmRows; ++i) {
    if (i >= rows) continue;
    LANDFALL_UNROLL
    for (int v = 0; v < kGemmVectors; ++v) {
      float* to = c[i] + 16 * v;
      if (columns >= 16 * (v + 1)) {
        store(to, add(load_f32(to), acc[i][v]));
      } else if (columns > 16 * v) {
        store_partial(to, add(load_partial(to, columns - 16 * v), acc[i][v]), columns - 16 * v);
      }
    }
  }
}

// Rows [m0, m0 + rows) and columns [n0, n0 + columns) of C; n0 is a multiple of kGemmTileColumns, which is the most.
template <class Numbers>
void gemm_tile(const Gemm& g, PanelColumns unpack, int64_t m0, int64_t rows, int64_t n0, int64_t columns,
               float* scratch) {
  float *a = scratch, *b = a + kGemmAFloats, *stage = b + kGemmBFloats;
  for (int64_t k0 = 0; k0 < g.k; k0 += kGemmDepth) {
    const int64_t depth = g.k - k0 < kGemmDepth ? g.k - k0 : kGemmDepth, places = Numbers::places(depth);
    pack_b(g.b, unpack, n0, columns, k0, depth, b, stage);
    prepare_b<Numbers>(columns, depth, b);
    for (int64_t part = 0; part < rows; part += kGemmTileRows) {
      const int64_t m = m0 + part, in_part = rows - part < kGemmTileRows ? rows - part : kGemmTileRows;
      pack_a(g.a, m, in_part, k0, depth, a);
      prepare_a<Numbers>(g.a, in_part, depth, a);
      for (int64_t j = 0; j < columns; j += kStrip) {
        const int width = static_cast<int>(columns - j < kStrip ? columns - j : kStrip);
        const float* strip = b + j / kStrip * kStripFloats;
        for (int64_t i = 0; i < in_part; i += kGemmRows) {
          const int height = static_cast<int>(in_part - i < kGemmRows ? in_part - i : kGemmRows);
          float* c[kGemmRows];
          for (int r = 0; r < height; ++r) c[r] = g.c_row(m + i + r) + n0 + j;
          if (g.a.transposed) {
            multiply_strips<Numbers, 1, kGemmRows>(a + i * kDepthStride, strip, places, c, height, width);
          } else {
            multiply_strips<Numbers, kDepthStride, 1>(a + i * kDepthStride, strip, places, c, height, width);
          }
        }
      }
    }
  }
}
