// INSERT and UPDATE: one row into one leaf.
#pragma once

#include "am/backend.hpp"

namespace scann::am {

// Rows at which an index that was never trained says that it should be.
inline constexpr std::size_t kUntrainedWarningRows = 10'000;

extern "C" bool scann_insert(Relation index, Datum* values, bool* isnull, ItemPointer tid, Relation heap,
                             IndexUniqueCheck check_unique, bool index_unchanged, IndexInfo* info);

}  // namespace scann::am
