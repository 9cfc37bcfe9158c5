// The rows and queries that the options name, the same for each command.
#include "dataset.hpp"

#include <algorithm>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>

#include "hdf5_file.hpp"

namespace bench {
namespace {

Matrix Prepared(Matrix vectors, const Options& options, const std::string& path) {
  if (vectors.rows() == 0) throw std::runtime_error(path + ": holds no vectors");
  if (options.normalise) Normalise(vectors);
  return vectors;
}

Matrix Read(const Options& options, const std::string& path, std::size_t max_rows) {
  return Prepared(
      IsHdf5(path) ? ReadHdf5(path, "train", max_rows) : ReadVectors(path, options.dims, max_rows), options,
      path);
}

// Held-out rows, at most `count`.
Matrix Select(const Matrix& all, std::span<const std::size_t> rows, std::size_t count) {
  Matrix out{all.dims, {}};
  for (std::size_t i = 0; i < std::min(count, rows.size()); ++i) {
    const auto row = all.row(rows[i]);
    out.values.insert(out.values.end(), row.begin(), row.end());
  }
  return out;
}

// Queries that need no held-out rows; none if there are no such.
std::optional<Matrix> ReadOwnQueries(const Options& options) {
  if (!options.query_data.empty()) return Read(options, options.query_data, options.queries);
  if (!IsHdf5(options.data)) return std::nullopt;
  return Prepared(ReadHdf5(options.data, "test", options.queries), options, options.data);
}

void CheckHoldsOut(const Options& options) {
  if (options.data.empty() || options.holdout == 0) {
    throw std::runtime_error("--query-data, or --data with --holdout, is needed");
  }
}

}  // namespace

Rows ReadRows(const Options& options) {
  if (options.data.empty()) throw std::runtime_error("--data is needed");
  Rows rows{Read(options, options.data, options.rows), {}};
  rows.ids = HoldOut(rows.vectors.rows(), options.holdout, options.seed).kept;
  return rows;
}

Matrix ReadQueries(const Options& options) {
  if (auto queries = ReadOwnQueries(options)) return std::move(*queries);
  CheckHoldsOut(options);
  const Matrix all = Read(options, options.data, options.rows);
  return Select(all, HoldOut(all.rows(), options.holdout, options.seed).held_out, options.queries);
}

Dataset ReadDataset(const Options& options) {
  if (options.data.empty()) throw std::runtime_error("--data is needed");
  auto own_queries = ReadOwnQueries(options);
  if (!own_queries) CheckHoldsOut(options);

  Dataset data{{Read(options, options.data, options.rows), {}}, {}, {}};
  Split split = HoldOut(data.rows.vectors.rows(), options.holdout, options.seed);
  data.rows.ids = std::move(split.kept);
  std::span<const std::size_t> held_out = split.held_out;
  if (own_queries) {
    data.queries = std::move(*own_queries);
  } else {
    data.queries = Select(data.rows.vectors, held_out, options.queries);
    held_out = held_out.subspan(data.queries.rows());
  }
  held_out = held_out.first(std::min(options.inserts, held_out.size()));
  data.insert_ids.assign(held_out.begin(), held_out.end());
  return data;
}

std::string UsualOperator(const std::string& path) {
  if (!IsHdf5(path)) return "<#>";
  const std::string distance = ReadHdf5Distance(path);
  if (distance == "angular") return "<=>";
  if (distance == "euclidean") return "<->";
  if (distance == "dot" || distance == "ip") return "<#>";
  throw std::runtime_error(path + ": its distance is \"" + distance + "\": give --operator");
}

}  // namespace bench
