// The rows and queries that the options name, the same for each command.
#pragma once

#include <cstdint>
#include <vector>

#include "options.hpp"
#include "vectors.hpp"

namespace bench {

// Rows of the table; a row's id is its number in the file.
struct Rows {
  Matrix vectors;  // the whole file
  std::vector<std::size_t> ids;
};

Rows ReadRows(const Options& options);

// The first --queries rows of --query-data or of the held-out rows.
Matrix ReadQueries(const Options& options);

}  // namespace bench
