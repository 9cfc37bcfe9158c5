// What is written beside the figures: versions, settings, machine.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "options.hpp"
#include "postgres.hpp"

namespace bench {

// Runnable processes, averaged over the last minute.
std::string LoadAverage();

// Names and values; `load_before` is the load average before the measurements.
std::vector<std::pair<std::string, std::string>> Circumstances(const Options& options, Connection& connection,
                                                               const std::string& load_before);

}  // namespace bench
