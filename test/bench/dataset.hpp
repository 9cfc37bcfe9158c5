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

// The first --queries rows of --query-data, of the file's own queries or of the held-out rows.
Matrix ReadQueries(const Options& options);

// For a comparison: rows to load, queries, and rows to insert afterwards.
struct Dataset {
  Rows rows;
  Matrix queries;
  std::vector<std::size_t> insert_ids;  // held out, and not used as queries; at most --inserts
};

Dataset ReadDataset(const Options& options);

// The operator that suits the file: what it names as its distance, else <#>.
std::string UsualOperator(const std::string& path);

}  // namespace bench
