// VACUUM: voids the entries of dead rows.
#pragma once

#include "am/backend.hpp"

namespace scann::am {

extern "C" {
IndexBulkDeleteResult* scann_bulk_delete(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                         IndexBulkDeleteCallback callback, void* callback_state);
IndexBulkDeleteResult* scann_vacuum_cleanup(IndexVacuumInfo* info, IndexBulkDeleteResult* stats);
}

}  // namespace scann::am
