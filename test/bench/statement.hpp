// The prepared statement that is measured.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "options.hpp"
#include "postgres.hpp"

namespace bench {

using Ids = std::vector<std::int32_t>;

// What EXPLAIN (ANALYZE, BUFFERS) shows of a query.
struct Plan {
  double buffers = 0;  // read, whether they were in memory or not
  std::string nodes;
};

// SELECT id FROM table [WHERE condition] ORDER BY v <operator> $1 LIMIT k; {i} in the condition becomes $2.
class Statement {
 public:
  // Prepares the statement under `name`; the connection must outlive it.
  Statement(const Options& options, Connection& connection, const std::string& name);

  const std::string& sql() const { return sql_; }

  // The parameters of query number `i`, to be encoded outside the time that is measured.
  std::vector<BinaryValue> Parameters(std::span<const float> query, std::size_t i) const;

  Ids Run(std::span<const BinaryValue> parameters) const;

  // Runs it once more to see how.
  Plan Explain(std::span<const float> query, std::size_t i) const;

 private:
  // The same query as an SQL command.
  std::string Execute(std::span<const float> query, std::size_t i) const;

  std::string name_;
  Connection& connection_;
  VectorFormat format_;
  bool numbered_;  // has the parameter $2
  std::string sql_;
};

}  // namespace bench
