// Exact nearest neighbours by brute force: what an index's answers are measured against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "vectors.hpp"

namespace bench {

// What the operators <#>, <=> and <-> order by.
enum class Metric { kInnerProduct, kCosine, kEuclidean };

Metric MetricOfOperator(const std::string& op);

double Norm(std::span<const float> x);

// In double precision; infinite where the operator has no number to give (cosine of a zero vector).
double Distance(Metric metric, std::span<const float> query, std::span<const float> row);

// The rows of a table.
struct Table {
  std::vector<std::int32_t> ids;
  Matrix vectors;
  std::unordered_map<std::int32_t, std::size_t> row_of_id;
};

// For each query, the distances of its `k` nearest rows, ascending (fewer where there are fewer rows).
using ExactDistances = std::vector<std::vector<double>>;

// Uses every core.
ExactDistances NearestDistances(Metric metric, const Table& table, const Matrix& queries, std::size_t k);

// The same for one query over some of the rows.
std::vector<double> NearestDistances(Metric metric, const Table& table, std::span<const float> query,
                                     std::span<const std::int32_t> ids, std::size_t k);

}  // namespace bench
