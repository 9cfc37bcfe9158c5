// Calibration of a fresh index: sampled rows run as queries against exact answers, and the effort that each
// recall needs is stored in the meta page.
#pragma once

#include "am/model.hpp"

namespace scann::am {

// Rows that Calibrator::observe() takes at a time.
inline constexpr std::size_t kCalibrationBatch = 256;

// Collects the exact nearest neighbours of the calibration queries while a build passes over the rows, and
// where the build puts them.
class Calibrator {
 public:
  // `queries`: count x dims centred rows, with the TIDs they were sampled from, so that a query does not find
  // itself. Allocates in the current context; copies the queries.
  Calibrator(Metric metric, std::size_t dims, std::span<const float> queries,
             std::span<const ItemPointerData> tids);

  // Bytes that a calibrator allocates, give or take that one query in ten keeps more neighbours.
  static std::size_t memory(std::size_t queries, std::size_t dims);

  // A batch of rows (count x dims, centred) that goes into the index, with their partitions.
  void observe(std::span<const float> rows, std::span<const ItemPointerData> tids,
               std::span<const std::uint32_t> partitions);
  // All rows were observed: call once before placed().
  void rank();
  // The row was written to its partition's list as its `position`-th entry. Called in order of (partition,
  // TID).
  void placed(std::uint32_t partition, const ItemPointerData& tid, std::uint32_t position);
  // Replays searches on the finished leaf lists.
  EffortTable run(Relation index, const Model& model);

 private:
  struct Neighbor {
    float score;
    std::uint32_t partition;
    std::uint32_t position;  // in its list; unset until placed
    ItemPointerData tid;
  };
  // A neighbour by where it goes in the index.
  struct Place {
    std::uint32_t query;
    std::uint32_t rank;
  };

  // How many neighbours are kept for all queries before this one.
  static std::size_t first_neighbor(std::size_t query);
  std::span<Neighbor> neighbors_of(std::size_t query) {
    return neighbors_.subspan(first_neighbor(query), counts_[query]);
  }
  void insert(std::size_t query, const Neighbor& neighbor);
  const Neighbor& at(const Place& place) const;
  void replay(Relation index, const Model& model, std::size_t query, struct ReplayState& state);

  Metric metric_;
  std::size_t dims_;
  std::size_t count_;
  std::span<float> queries_;
  std::span<ItemPointerData> tids_;
  std::span<Neighbor> neighbors_;  // from first_neighbor() on for each query, best first once ranked
  std::span<std::uint32_t> counts_;
  std::span<Neighbor> selves_;  // each query's own row
  std::span<float> products_;   // all queries times a batch of rows
  std::span<Place> places_;     // all neighbours by (partition, TID)
  std::size_t next_place_ = 0;
};

}  // namespace scann::am
