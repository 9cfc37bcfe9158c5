// What the planner is told: the price of an index scan, and of a distance.
#pragma once

#include "am/backend.hpp"

namespace scann::am {

extern "C" void scann_cost_estimate(PlannerInfo* root, IndexPath* path, double loop_count, Cost* startup_cost,
                                    Cost* total_cost, Selectivity* selectivity, double* correlation,
                                    double* pages);

}  // namespace scann::am
