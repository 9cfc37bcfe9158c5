// The right answers to queries on a table, and how good given answers are beside them.
#include "answers.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_set>

namespace bench {
namespace {

// The server may add up in float32: distances this close, in units of what was added up, are ties.
constexpr double kTie = 1e-6;

double TieWidth(Metric metric, std::span<const float> query, std::span<const float> row, double distance) {
  switch (metric) {
    case Metric::kInnerProduct:
      return kTie * Norm(query) * Norm(row);
    case Metric::kCosine:
      return kTie;
    case Metric::kEuclidean:
      return kTie * distance;
  }
  return 0;
}

}  // namespace

Table ReadTable(const Options& options, Connection& connection, std::size_t dims) {
  Table table;
  table.vectors.dims = dims;
  const std::string v = options.type == "real[]" ? "v" : "v::real[]";
  CopyOut copy(connection, "COPY (SELECT id, " + v + " FROM " + options.table +
                               " WHERE v IS NOT NULL) TO STDOUT (FORMAT binary)");
  for (std::vector<std::string_view> fields; copy.Next(fields);) {
    const std::size_t row = table.ids.size();
    table.ids.push_back(ParseInt(fields.at(0)));
    table.row_of_id.emplace(table.ids.back(), row);
    table.vectors.values.resize((row + 1) * dims);
    ParseRealArray(fields.at(1), table.vectors.row(row));
  }
  if (table.ids.empty()) throw std::runtime_error("the table holds no vectors");
  return table;
}

ExactDistances ExactInMemory(const Options& options, Connection& connection, const Table& table,
                             const Matrix& queries) {
  const Metric metric = MetricOfOperator(options.op);
  if (options.where.empty()) return NearestDistances(metric, table, queries, options.limit);
  ExactDistances out;
  std::map<std::string, Ids> rows_meeting;
  for (std::size_t i = 0; i < queries.rows(); ++i) {
    const std::string condition = Substitute(options.where, "i", std::to_string(i));
    const auto [found, is_new] = rows_meeting.try_emplace(condition);
    if (is_new) {
      const Result ids =
          connection.Run("SELECT id FROM " + options.table + " WHERE v IS NOT NULL AND (" + condition + ")");
      for (int row = 0; row < ids.rows(); ++row) found->second.push_back(std::stoi(ids.Text(row, 0)));
    }
    out.push_back(NearestDistances(metric, table, queries.row(i), found->second, options.limit));
  }
  return out;
}

ExactDistances ExactBySql(const Options& options, Connection& connection, const Table& table,
                          const Matrix& queries) {
  connection.Run("SET enable_indexscan = off; SET enable_bitmapscan = off");
  const Statement statement(options, connection, "exact");
  ExactDistances out;
  for (std::size_t i = 0; i < queries.rows(); ++i) {
    const Ids ids = statement.Run(statement.Parameters(queries.row(i), i));
    out.push_back(NearestDistances(MetricOfOperator(options.op), table, queries.row(i), ids, options.limit));
  }
  return out;
}

void Judge(Metric metric, const Table& table, std::span<const float> query, std::span<const double> exact,
           const Ids& answer, Quality& quality) {
  std::unordered_set<std::int32_t> seen;
  double previous = -std::numeric_limits<double>::infinity();
  bool in_order = true;
  std::size_t hits = 0;
  for (const std::int32_t id : answer) {
    const auto found = table.row_of_id.find(id);
    if (found == table.row_of_id.end()) continue;  // a row without a vector
    const auto row = table.vectors.row(found->second);
    const double distance = Distance(metric, query, row);
    const double tie = TieWidth(metric, query, row, distance);
    if (distance < previous - tie) in_order = false;
    previous = distance;
    if (!seen.insert(id).second) {
      ++quality.repeated_rows;
    } else if (!exact.empty() && distance <= exact.back() + tie) {
      ++hits;
    }
  }
  quality.hits += std::min(hits, exact.size());
  quality.wanted += exact.size();
  quality.short_answers += answer.size() < exact.size() ? 1 : 0;
  quality.disordered_answers += in_order ? 0 : 1;
}

}  // namespace bench
