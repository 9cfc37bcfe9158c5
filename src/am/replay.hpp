// Replays searches on the leaves of an index, for queries whose nearest neighbours and their places are
// known: how hard a search must try for each recall. The build and scann_tune share it.
#pragma once

#include "am/neighbors.hpp"

namespace scann::am {

// The least effort for each of kCalibratedLimits and kCalibratedRecalls. `neighbors` are ranked, and know the
// places of their entries in the index; those whose place is unknown count as never found. A query's own
// entry, where it has one, does not count. Allocates in the current context.
EffortTable replay_searches(Relation index, const Model& model, const CalibrationQueries& queries,
                            const NeighborSearch& neighbors);

}  // namespace scann::am
