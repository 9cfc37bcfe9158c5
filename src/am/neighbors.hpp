// The exact nearest neighbours of the calibration queries, found while a build passes over the rows.
#pragma once

#include "am/model.hpp"

namespace scann::am {

// Rows that NeighborSearch::observe() takes at a time.
inline constexpr std::size_t kObserveBatch = 256;

// Large limits take more time and memory. They are calibrated by one query in kDeepEvery, of which each has
// so many neighbours that fewer queries tell as much.
inline constexpr std::size_t kShallowLimits = 3;
inline constexpr std::size_t kDeepEvery = 10;
inline bool is_deep(std::size_t query) { return query % kDeepEvery == 0; }
inline std::size_t neighbors_kept(std::size_t query) {
  return is_deep(query) ? kCalibratedLimits.back() : kCalibratedLimits[kShallowLimits - 1];
}

// The position of a row in its partition's list, until the build has put it there; and the partition of a
// query's own row until that was seen.
inline constexpr std::uint32_t kUnknown = UINT32_MAX;

// Where an entry of a row is.
struct EntryPlace {
  std::uint32_t partition = kUnknown;
  std::uint32_t position = kUnknown;  // in the partition's list
};

struct Neighbor {
  float score;           // inner product with the query; Euclidean: less half the row's squared norm
  EntryPlace places[2];  // the second is known where rows have two entries
  ItemPointerData tid;
};

// Rows which serve as queries, centred, with the TIDs they were sampled from, so that none finds itself.
struct CalibrationQueries {
  Metric metric;
  std::size_t dims;
  std::span<const float> rows;  // count x dims
  std::span<const ItemPointerData> tids;

  std::size_t count() const { return tids.size(); }
  const float* row(std::size_t query) const { return &rows[query * dims]; }
};

// What it finds depends on the rows observed, not on their order: ties go to the lower TID.
class NeighborSearch {
 public:
  // `memory`: bytes(queries.count()), where the neighbours are kept; another process's search may merge them
  // from there. Allocates scratch in the current context.
  NeighborSearch(const CalibrationQueries& queries, std::span<std::byte> memory);
  static std::size_t bytes(std::size_t queries);

  // A batch of rows (centred; at least tids.size() x dims, more are padding) with their partitions; `second`
  // is empty where rows have one entry.
  void observe(std::span<const float> rows, std::span<const ItemPointerData> tids,
               std::span<const std::uint32_t> nearest, std::span<const std::uint32_t> second);
  // Adds what another search, over other rows, has kept in its memory.
  void merge(std::span<std::byte> memory);
  // All rows were observed: puts each query's neighbours in order, the nearest first.
  void rank();

  std::span<Neighbor> neighbors_of(std::size_t query) const {
    return kept_.found.subspan(first(query), kept_.counts[query]);
  }
  // The query's own row.
  Neighbor& self(std::size_t query) const { return kept_.selves[query]; }

 private:
  struct Kept {
    Kept(std::size_t queries, std::span<std::byte> memory);
    std::span<Neighbor> selves;
    std::span<Neighbor> found;  // capacity(q) from first(q) on for each query q
    std::span<std::uint32_t> counts;
  };

  static std::size_t capacity(std::size_t query) { return neighbors_kept(query) * 3 / 2; }
  // The room of all queries before this one.
  static std::size_t first(std::size_t query);
  void observe_queries(std::size_t begin, std::size_t end, std::span<const float> rows,
                       std::span<const ItemPointerData> tids, std::span<const std::uint32_t> nearest,
                       std::span<const std::uint32_t> second, const float* half_norms);
  void add(std::size_t query, const Neighbor& neighbor);
  void trim(std::size_t query);
  std::uint32_t query_of(const ItemPointerData& tid) const;

  CalibrationQueries queries_;
  Kept kept_;
  std::span<Neighbor> worst_;        // of each query's best when last trimmed: what a row must surpass
  std::span<std::uint32_t> by_tid_;  // queries in order of their TIDs
  std::span<float> products_;        // some queries times a batch of rows
};

}  // namespace scann::am
