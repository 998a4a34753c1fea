#include "data/packing.h"

#include <bit>

#include "data/permutation.h"

namespace landfall {
namespace {

// Keeps the order of a replayed dataset apart from that of the first, should they be the same.
constexpr uint64_t kReplaySeed = 0x7265706C61790000u;

uint64_t units_of(const TokenDataset& data) { return data.documents() / data.documents_of_a_unit(); }

uint64_t tokens_of_unit(const TokenDataset& data, uint64_t unit) {
  uint64_t out = 0;
  for (uint64_t i = 0; i < data.documents_of_a_unit(); ++i)
    out += data.document(unit * data.documents_of_a_unit() + i).size();
  return out;
}

void append(std::span<const MarkedToken> document, PackedBatch& out) {
  out.runs.push_back({static_cast<int32_t>(out.tokens.size()), static_cast<int32_t>(document.size())});
  for (size_t i = 0; i < document.size(); ++i) {
    const bool learned = i + 1 < document.size() && is_learned(document[i + 1]);
    out.tokens.push_back(token_of(document[i]));
    out.positions.push_back(static_cast<int32_t>(i));
    out.targets.push_back(learned ? token_of(document[i + 1]) : -1);
    out.learned += learned;
  }
}

}  // namespace

Result<Packing> Packing::create(const TokenDataset& data, const PackingOptions& options) {
  if (options.sequences < 1 || options.sequences > (int64_t{1} << 30) / data.context()) {
    return Status(Code::invalid_argument, "a batch of " + std::to_string(options.sequences) + " sequences of " +
                                              std::to_string(data.context()) + " tokens; from 1 to " +
                                              std::to_string((int64_t{1} << 30) / data.context()) + " are possible");
  }
  if (!(options.replay_share >= 0 && options.replay_share < 1)) {
    return Status(Code::invalid_argument, "the share of replayed tokens is " + std::to_string(options.replay_share) +
                                              "; it must be at least 0 and less than 1");
  }
  Packing out(data, options);
  if (options.replay_share == 0) out.options_.replay = nullptr;
  const TokenDataset* replay = out.options_.replay;
  if (replay && (replay->kind() == Example::Kind::preference) != (data.kind() == Example::Kind::preference))
    return Status(Code::unsupported, "preferences cannot be mixed with other data; replay a file of the same kind");
  out.budget_ = static_cast<uint64_t>(options.sequences * data.context());
  for (const TokenDataset* source : {&data, replay}) {
    for (uint64_t unit = 0; source && unit < units_of(*source); ++unit) {
      const uint64_t size = tokens_of_unit(*source, unit);
      if (size > out.budget_) {
        return Status(Code::invalid_argument, "a batch holds " + std::to_string(out.budget_) + " tokens, and one " +
                                                  (source->documents_of_a_unit() > 1 ? "pair of answers" : "document") +
                                                  " has " + std::to_string(size) + "; allow " +
                                                  std::to_string((size + static_cast<uint64_t>(data.context()) - 1) /
                                                                 static_cast<uint64_t>(data.context())) +
                                                  " sequences");
      }
    }
  }
  Digest digest;
  digest.update("packing 1 " + data.identity() + " " + std::to_string(out.budget_) + " " +
                std::to_string(options.seed));
  if (replay)
    digest.update(" " + replay->identity() + " " + std::to_string(std::bit_cast<uint64_t>(options.replay_share)));
  out.identity_ = digest.hex();
  return out;
}

// Moves the cursor over the units of one batch; `take(data, unit)` gets each.
template <class Take>
Status Packing::advance(Cursor& cursor, const Take& take) const {
  const TokenDataset* replay = options_.replay;
  const uint64_t units = units_of(*data_), replay_units = replay ? units_of(*replay) : 1;
  if (cursor.position >= units || cursor.replay_position >= replay_units || cursor.replayed > cursor.tokens) {
    return Status(Code::invalid_argument, "the place to continue is row " + std::to_string(cursor.position) + " of " +
                                              std::to_string(units) + ": it is a place in other data");
  }
  const Permutation order(units, options_.seed, cursor.epoch);
  uint64_t size = 0;
  while (true) {
    const bool replays =
        replay && static_cast<double>(cursor.replayed) < options_.replay_share * static_cast<double>(cursor.tokens);
    const TokenDataset& source = replays ? *replay : *data_;
    const uint64_t unit =
        replays ? Permutation(replay_units, options_.seed ^ kReplaySeed, cursor.replay_epoch)(cursor.replay_position)
                : order(cursor.position);
    const uint64_t more = tokens_of_unit(source, unit);
    if (size + more > budget_) return {};
    size += more;
    take(source, unit);
    cursor.tokens += more;
    if (replays) {
      cursor.replayed += more;
      if (++cursor.replay_position == replay_units) cursor.replay_position = 0, ++cursor.replay_epoch;
    } else if (++cursor.position == units) {
      cursor.position = 0, ++cursor.epoch;
      return {};
    }
  }
}

Result<PackedBatch> Packing::next(Cursor& cursor) const {
  PackedBatch out;
  LANDFALL_TRY(advance(cursor, [&](const TokenDataset& source, uint64_t unit) {
    const uint64_t count = source.documents_of_a_unit();
    for (uint64_t i = 0; i < count; ++i) append(source.document(unit * count + i), out);
  }));
  return out;
}

template <class Goes>
uint64_t Packing::count_while(const Goes& goes) const {
  Cursor cursor;
  uint64_t out = 0;
  for (; goes(cursor); ++out) {
    const Status moved = advance(cursor, [](const TokenDataset&, uint64_t) {});
    LANDFALL_CHECK(moved.ok(), moved.message());
  }
  return out;
}

uint64_t Packing::batches(uint64_t epochs) const {
  return count_while([&](const Cursor& c) { return c.epoch < epochs; });
}

uint64_t Packing::batches_of_tokens(uint64_t tokens) const {
  return count_while([&](const Cursor& c) { return c.tokens < tokens; });
}

}  // namespace landfall
