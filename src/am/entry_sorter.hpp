// The sort of a build: entries by (partition, TID), in memory or spilled to disk, in one process or several.
#pragma once

#include "am/posting_list.hpp"

namespace scann::am {

// Sort key of rows in the null list: behind every partition.
inline constexpr int32 kNullPartition = INT32_MAX;

class EntrySorter {
 public:
  // `coordinate`: this process's part in a parallel sort; null when there is none. Allocates in the current
  // context. Keeps a reference to the geometry.
  EntrySorter(const ListGeometry& geometry, std::size_t memory, SortCoordinate coordinate);

  // To be called when the geometry given to the constructor got its dimensions.
  void geometry_changed();
  void put(int32 partition, const ItemPointerData& tid, const Entry& entry);
  void sort();
  // The next entry, valid until the next call; false at the end.
  bool next(int32* partition, Entry* entry);
  void end();

 private:
  const ListGeometry& geometry_;
  TupleDesc descriptor_;
  Tuplesortstate* sort_;
  TupleTableSlot* in_;
  TupleTableSlot* out_;
  bytea* payload_ = nullptr;
};

}  // namespace scann::am
