// The right answers to queries on a table, and how good given answers are beside them.
#pragma once

#include <cstddef>
#include <span>

#include "exact.hpp"
#include "options.hpp"
#include "postgres.hpp"
#include "statement.hpp"

namespace bench {

// The table as it is now, whatever has been inserted and deleted since it was loaded.
Table ReadTable(const Options& options, Connection& connection, std::size_t dims);

// By brute force in this process; with a condition, over the rows that meet it.
ExactDistances ExactInMemory(const Options& options, Connection& connection, const Table& table,
                             const Matrix& queries);

// By the statement itself without indexes: slow, but owes nothing to this program's choice of rows.
ExactDistances ExactBySql(const Options& options, Connection& connection, const Table& table,
                          const Matrix& queries);

struct Quality {
  std::size_t wanted = 0;         // rows in the exact answers
  std::size_t hits = 0;           // rows given that are as near as the exact answer's last; each counts once
  std::size_t repeated_rows = 0;  // rows given more than once in one answer
  std::size_t short_answers = 0;  // answers with fewer rows than the exact one
  std::size_t disordered_answers = 0;  // answers whose rows do not come in the order of their distances

  double recall() const { return wanted == 0 ? 1 : static_cast<double>(hits) / static_cast<double>(wanted); }
};

// Adds one answer to the quality of all.
void Judge(Metric metric, const Table& table, std::span<const float> query, std::span<const double> exact,
           const Ids& answer, Quality& quality);

}  // namespace bench
