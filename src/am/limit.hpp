// How many rows a query wants from an index scan. The planner does not say (its limit_tuples is unknown for
// LIMIT $1, LATERAL and SQL functions), so a hook at executor start notes which Limit node lies above which
// index scan, and the scan reads the limit when its first row is asked for.
#pragma once

#include "am/backend.hpp"

namespace scann::am {

struct WantedRows {
  double limit = -1;   // rows that the Limit node will ask for; -1: unknown, perhaps all
  double pulled = -1;  // rows the scan will probably have to give for that, filters in between considered
};

// What is wanted of a running index scan.
WantedRows wanted_rows(IndexScanDesc scan);

// States the limit of a scan that no executor runs, for as long as the object lives; one at a time.
class LimitOverride {
 public:
  LimitOverride(IndexScanDesc scan, double limit);
  LimitOverride(const LimitOverride&) = delete;
  LimitOverride& operator=(const LimitOverride&) = delete;
  ~LimitOverride() { clear(); }
  // To be called where an error may have jumped over the destructor.
  static void clear();
};

// Installs the hook; called once when the library is loaded.
void install_limit_hook();

}  // namespace scann::am
