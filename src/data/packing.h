// Batches from documents. The order of an epoch is a permutation that depends on seed and epoch alone; documents are
// taken in that order, whole, until the next does not fit. Each is a run of its own with positions from 0, so no
// document sees another, and since runs are flat there is no padding: `sequences` times the context bounds a batch's
// tokens, not its shape. A batch never spans two epochs, so no
// document of the dataset stands in it twice.
//
// Where a second dataset is replayed, against forgetting, its documents are taken whenever their share of all tokens so
// far is below the wanted one.
//
// Where a run stands is in the Cursor alone: saved and given back, it continues with the same batches, bit for bit, at
// no cost. Immutable; const methods are safe from any thread. The datasets must outlive it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "data/token_dataset.h"

namespace landfall {

struct PackingOptions {
  int64_t sequences = 1;  // the most tokens of a batch, in contexts of the dataset
  uint64_t seed = 0;
  const TokenDataset* replay = nullptr;  // none: no replay
  double replay_share = 0;               // of all tokens, from 0 to below 1
};

struct Cursor {
  uint64_t epoch = 0, position = 0;  // the next unit of the dataset
  uint64_t replay_epoch = 0, replay_position = 0;
  uint64_t tokens = 0, replayed = 0;  // given so far, all and those from replay
  bool operator==(const Cursor&) const = default;
};

struct PackedRun {
  int32_t first = 0, count = 0;  // rows of the batch
  bool operator==(const PackedRun&) const = default;
};

struct PackedBatch {
  std::vector<int32_t> tokens;     // [rows]
  std::vector<int32_t> positions;  // [rows], from 0 in each run
  std::vector<int32_t> targets;    // [rows]: the next token where it is learned, else -1
  std::vector<PackedRun> runs;     // a document each; of preferences, chosen and rejected in turn
  int64_t learned = 0;             // targets that are not -1
  bool operator==(const PackedBatch&) const = default;
};

class Packing {
 public:
  static Result<Packing> create(const TokenDataset& data, const PackingOptions& options);

  // The batch at the cursor, which moves behind it. Never empty; epochs go on for ever. An error when the cursor is not
  // of this data.
  Result<PackedBatch> next(Cursor& cursor) const;

  // How many batches the first `epochs` epochs give. Takes a step for each document.
  uint64_t batches(uint64_t epochs) const;
  // How many give at least so many tokens: batches are not quite full. Likewise.
  uint64_t batches_of_tokens(uint64_t tokens) const;

  // The same for packings that give the same batches; to be kept with a cursor.
  const std::string& identity() const { return identity_; }

 private:
  Packing(const TokenDataset& data, const PackingOptions& options) : data_(&data), options_(options) {}
  template <class Take>
  Status advance(Cursor& cursor, const Take& take) const;
  template <class Goes>
  uint64_t count_while(const Goes& goes) const;

  const TokenDataset* data_;
  PackingOptions options_;
  uint64_t budget_ = 0;  // tokens
  std::string identity_;
};

}  // namespace landfall
