// scann_bench targets: which recall each of several values of scann.target_recall reaches with nothing else
// set, and how many codes are scored for it.
#include <algorithm>
#include <array>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "answers.hpp"
#include "commands.hpp"
#include "dataset.hpp"
#include "postgres.hpp"
#include "scan_stats.hpp"
#include "statement.hpp"

namespace bench {
namespace {

constexpr std::array<std::size_t, 4> kLimits = {1, 10, 100, 1000};
constexpr std::array kTargets = {0.80, 0.90, 0.95, 0.98, 0.99};

struct Questions {
  const Table& table;
  const Matrix& queries;
  const ExactDistances& exact;  // for the largest limit
  Metric metric;
};

// Long answers take longer, and tell more.
std::size_t QueryCount(std::size_t limit, std::size_t queries) {
  const std::size_t count = limit <= 10 ? queries : limit <= 100 ? queries * 2 / 5 : queries / 10;
  return std::max<std::size_t>(count, 1);
}

// The recall of the first `count` queries with the current settings; their work is added to `stats`.
double Recall(const Questions& questions, const Statement& statement, std::size_t limit, std::size_t count,
              ScanStats& stats) {
  Quality quality;
  for (std::size_t i = 0; i < count; ++i) {
    const auto query = questions.queries.row(i);
    const Ids answer = statement.Run(statement.Parameters(query, i));
    stats.Read();
    const std::span<const double> exact = questions.exact[i];
    Judge(questions.metric, questions.table, query, exact.first(std::min(limit, exact.size())), answer,
          quality);
  }
  return quality.recall();
}

void MeasureLimit(Options options, Connection& client, const Questions& questions, std::size_t limit,
                  Report& report) {
  options.limit = limit;
  const std::string at = "@" + std::to_string(limit);
  const Statement statement(options, client, "limit_" + std::to_string(limit));
  const Plan plan = statement.Explain(questions.queries.row(0), 0);
  if (plan.nodes.find("Index Scan using") == std::string::npos) {
    throw std::runtime_error("the index was not used: " + plan.nodes);
  }
  std::array<double, kTargets.size()> recalls{};
  std::array<double, kTargets.size()> codes{};
  for (std::size_t t = 0; t < kTargets.size(); ++t) {
    client.Set("scann.target_recall=" + std::to_string(kTargets[t]));
    ScanStats stats(client);
    recalls[t] = Recall(questions, statement, limit, QueryCount(limit, questions.queries.rows()), stats);
    codes[t] = stats.Mean("entries");
  }
  report.Numbers("recall" + at, "recall" + at, recalls, 4);
  report.Numbers("codes" + at, "codes" + at, codes, 0);
}

}  // namespace

void Targets(const Options& options, Report& report) {
  const Matrix queries = ReadQueries(options);
  Connection client(options.conninfo);
  client.Set("enable_seqscan=off");  // the index is to be used, however small the table
  for (const std::string& setting : options.settings) client.Set(setting);
  const Table table = ReadTable(options, client, queries.dims);
  Options longest = options;
  longest.limit = kLimits.back();
  const ExactDistances exact = ExactInMemory(longest, client, table, queries);

  report.Number("rows", "rows", static_cast<double>(table.ids.size()), 0);
  report.Number("queries", "queries", static_cast<double>(queries.rows()), 0);
  report.Numbers("targets", "scann.target_recall", kTargets, 2);
  for (const std::size_t limit : kLimits) {
    if (limit > table.ids.size()) break;
    MeasureLimit(options, client, {table, queries, exact, MetricOfOperator(options.op)}, limit, report);
  }
}

}  // namespace bench
