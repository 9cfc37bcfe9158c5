// The rows and queries that the options name, the same for each command.
#include "dataset.hpp"

#include <algorithm>
#include <stdexcept>

namespace bench {
namespace {

Matrix Read(const Options& options, const std::string& path, std::size_t max_rows) {
  Matrix vectors = ReadVectors(path, options.dims, max_rows);
  if (vectors.rows() == 0) throw std::runtime_error(path + ": holds no vectors");
  if (options.normalise) Normalise(vectors);
  return vectors;
}

}  // namespace

Rows ReadRows(const Options& options) {
  if (options.data.empty()) throw std::runtime_error("--data is needed");
  Rows rows{Read(options, options.data, options.rows), {}};
  rows.ids = HoldOut(rows.vectors.rows(), options.holdout, options.seed).kept;
  return rows;
}

Matrix ReadQueries(const Options& options) {
  if (!options.query_data.empty()) return Read(options, options.query_data, options.queries);
  if (options.data.empty() || options.holdout == 0) {
    throw std::runtime_error("--query-data, or --data with --holdout, is needed");
  }
  const Matrix all = Read(options, options.data, options.rows);
  const Split split = HoldOut(all.rows(), options.holdout, options.seed);
  Matrix queries{all.dims, {}};
  for (std::size_t i = 0; i < std::min(options.queries, split.held_out.size()); ++i) {
    const auto row = all.row(split.held_out[i]);
    queries.values.insert(queries.values.end(), row.begin(), row.end());
  }
  return queries;
}

}  // namespace bench
