// Calibration.
#include "am/calibrate.hpp"

#include "am/replay.hpp"

namespace scann::am {
namespace {

// The rank in a Place that stands for a query's own row.
constexpr std::uint32_t kSelf = UINT32_MAX;

}  // namespace

std::size_t Calibrator::bytes_per_query(std::size_t dims) {
  return dims * sizeof(float) +
         (NeighborSearch::bytes(kDeepEvery) + neighbors_kept(0) * sizeof(Place)) / kDeepEvery +
         neighbors_kept(1) * sizeof(Place);
}

Calibrator::Calibrator(const CalibrationQueries& queries, const NeighborSearch& neighbors)
    : queries_(queries), neighbors_(neighbors) {
  std::size_t size = queries.count();
  for (std::size_t q = 0; q < queries.count(); ++q) size += neighbors.neighbors_of(q).size();
  places_ = palloc_span<Place>(size);
  size = 0;
  for (std::uint32_t q = 0; q < queries.count(); ++q) {
    const std::size_t count = neighbors.neighbors_of(q).size();
    for (std::uint32_t r = 0; r < count; ++r) places_[size++] = {q, r};
    if (neighbors.self(q).partition != kUnknown) places_[size++] = {q, kSelf};
  }
  places_ = places_.first(size);
  std::sort(places_.begin(), places_.end(), [this](const Place& a, const Place& b) {
    Neighbor left = at(a);
    Neighbor right = at(b);
    if (left.partition != right.partition) return left.partition < right.partition;
    return ItemPointerCompare(&left.tid, &right.tid) < 0;
  });
}

Neighbor& Calibrator::at(const Place& place) const {
  return place.rank == kSelf ? neighbors_.self(place.query)
                             : neighbors_.neighbors_of(place.query)[place.rank];
}

void Calibrator::placed(std::uint32_t partition, const ItemPointerData& tid, std::uint32_t position) {
  ItemPointerData here = tid;
  while (next_place_ < places_.size()) {
    Neighbor& neighbor = at(places_[next_place_]);
    if (neighbor.partition > partition) return;
    if (neighbor.partition == partition) {
      const int order = ItemPointerCompare(&neighbor.tid, &here);
      if (order > 0) return;
      if (order == 0) neighbor.position = position;
    }
    ++next_place_;
  }
}

EffortTable Calibrator::run(Relation index, const Model& model) const {
  return replay_searches(index, model, queries_, neighbors_);
}

}  // namespace scann::am
