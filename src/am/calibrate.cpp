// Calibration.
#include "am/calibrate.hpp"

#include "am/replay.hpp"

namespace scann::am {
namespace {

// The rank that stands for a query's own row.
constexpr std::uint32_t kSelf = UINT32_MAX;

}  // namespace

std::size_t Calibrator::bytes_per_query(std::size_t dims) {
  return dims * sizeof(float) +
         (NeighborSearch::bytes(kDeepEvery) + neighbors_kept(0) * sizeof(Sought)) / kDeepEvery +
         neighbors_kept(1) * sizeof(Sought);
}

Calibrator::Calibrator(const CalibrationQueries& queries, const NeighborSearch& neighbors, bool spilled)
    : queries_(queries), neighbors_(neighbors) {
  std::size_t size = queries.count();
  for (std::size_t q = 0; q < queries.count(); ++q) size += neighbors.neighbors_of(q).size();
  sought_ = palloc_span<Sought>(spilled ? 2 * size : size);
  for (std::uint32_t q = 0; q < queries.count(); ++q) {
    const std::size_t count = neighbors.neighbors_of(q).size();
    for (std::uint32_t r = 0; r < count; ++r) seek(q, r);
    seek(q, kSelf);
  }
  sought_ = sought_.first(sought_count_);
  std::sort(sought_.begin(), sought_.end(), [this](const Sought& a, const Sought& b) {
    const std::uint32_t left = place(a).partition;
    const std::uint32_t right = place(b).partition;
    return left != right ? left < right : tid_key(neighbor(a).tid) < tid_key(neighbor(b).tid);
  });
}

void Calibrator::seek(std::uint32_t query, std::uint32_t rank) {
  for (std::uint32_t i = 0; i < std::size(Neighbor{}.places); ++i) {
    const Sought sought{query, rank, i};
    if (place(sought).partition != kUnknown) sought_[sought_count_++] = sought;
  }
}

Neighbor& Calibrator::neighbor(const Sought& sought) const {
  return sought.rank == kSelf ? neighbors_.self(sought.query)
                              : neighbors_.neighbors_of(sought.query)[sought.rank];
}

void Calibrator::placed(std::uint32_t partition, const ItemPointerData& tid, std::uint32_t position) {
  const int64 row = tid_key(tid);
  for (; next_ < sought_.size(); ++next_) {
    EntryPlace& here = place(sought_[next_]);
    if (here.partition > partition) return;
    if (here.partition < partition) continue;
    const int64 wanted = tid_key(neighbor(sought_[next_]).tid);
    if (wanted > row) return;
    if (wanted == row) here.position = position;
  }
}

EffortTable Calibrator::run(Relation index, const Model& model) const {
  return replay_searches(index, model, queries_, neighbors_);
}

}  // namespace scann::am
