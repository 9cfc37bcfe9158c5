// Calibration of a fresh index: sampled rows run as queries against exact answers, and the effort that each
// recall needs is stored in the meta page.
#pragma once

#include "am/neighbors.hpp"

namespace scann::am {

// Replays the calibration queries, when it has learnt where the build puts their neighbours.
class Calibrator {
 public:
  // All rows were observed, and the neighbours ranked. `spilled`: rows have two entries. Allocates in the
  // current context.
  Calibrator(const CalibrationQueries& queries, const NeighborSearch& neighbors, bool spilled);

  // Bytes that calibration takes for each query, give or take that one in ten keeps more neighbours.
  static std::size_t bytes_per_query(std::size_t dims);

  // The row was written to its partition's list as its `position`-th entry. Called in order of (partition,
  // TID).
  void placed(std::uint32_t partition, const ItemPointerData& tid, std::uint32_t position);
  // Replays searches on the finished leaf lists.
  EffortTable run(Relation index, const Model& model) const;

 private:
  // An entry of a neighbour by where it goes in the index.
  struct Sought {
    std::uint32_t query;
    std::uint32_t rank;
    std::uint32_t place;  // of its two
  };

  Neighbor& neighbor(const Sought& sought) const;
  EntryPlace& place(const Sought& sought) const { return neighbor(sought).places[sought.place]; }
  void seek(std::uint32_t query, std::uint32_t rank);

  const CalibrationQueries& queries_;
  const NeighborSearch& neighbors_;
  std::span<Sought> sought_;  // entries of all neighbours by (partition, TID)
  std::size_t sought_count_ = 0;
  std::size_t next_ = 0;
};

}  // namespace scann::am
