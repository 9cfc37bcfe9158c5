// Index scans. See src/README.md, "The flow of a query".
#pragma once

#include "am/backend.hpp"

namespace scann::am {

// What the last index scan of this session did, for scann_scan_stats().
struct ScanStats {
  int64 rounds;     // passes over the index
  int64 leaves;     // lists visited
  int64 entries;    // entries scored, by code or by int8 vector
  int64 reordered;  // rows fetched and compared exactly
  int64 returned;   // rows handed to the executor
};
extern ScanStats last_scan_stats;

extern "C" {
IndexScanDesc scann_begin_scan(Relation index, int keys, int order_bys);
void scann_rescan(IndexScanDesc scan, ScanKey keys, int key_count, ScanKey order_bys, int order_by_count);
bool scann_get_tuple(IndexScanDesc scan, ScanDirection direction);
void scann_end_scan(IndexScanDesc scan);
}

}  // namespace scann::am
