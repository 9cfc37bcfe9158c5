// Replays searches on the leaves of an index, for queries whose nearest neighbours and their places are
// known: how hard a search must try for each recall. The build and scann_tune share it.
#pragma once

#include "am/neighbors.hpp"

namespace scann::am {

// Where an entry is: its partition, and its position in the partition's list.
struct EntryPlace {
  std::uint32_t partition;
  std::uint32_t position;
};
inline constexpr EntryPlace kNowhere = {UINT32_MAX, UINT32_MAX};

class Replay {
 public:
  // `queries`: how many will be added, about. Allocates in the current context; the model must stay.
  Replay(Relation index, const Model& model, std::size_t queries);

  // One query, centred. `neighbors`: nearest first, as many as the largest limit it is for (or fewer in a
  // small table), kNowhere those that are not in the index. `own`: the entry of the query itself, which does
  // not count. `deep`: whether the query is for the limits beyond the first kShallowLimits, too. At least one
  // query is.
  void add(std::span<const float> query, std::span<const EntryPlace> neighbors, const EntryPlace& own,
           bool deep);

  // The least effort for each of kCalibratedLimits and kCalibratedRecalls.
  EffortTable choose() const;

 private:
  struct State* state_;
};

}  // namespace scann::am
