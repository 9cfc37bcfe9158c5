// scann_bench query: runs ORDER BY ... LIMIT queries; measures recall against exact answers, latency and
// work.
#include <algorithm>
#include <stdexcept>

#include "answers.hpp"
#include "commands.hpp"
#include "dataset.hpp"
#include "latency.hpp"
#include "postgres.hpp"
#include "scan_stats.hpp"
#include "statement.hpp"

namespace bench {
namespace {

// Counters of the table and of its indexes, as differences per query.
struct Counters {
  double heap_blocks = 0;
  double index_blocks = 0;
  double heap_fetches = 0;
};

Counters ReadCounters(Connection& client, Connection& observer, const std::string& table) {
  client.Run("SELECT pg_stat_force_next_flush()");
  const std::string relid = observer.Quote(table) + "::regclass";
  const Result row = observer.Run(
      "SELECT heap_blks_read + heap_blks_hit + coalesce(toast_blks_read + toast_blks_hit, 0), "
      "coalesce(idx_blks_read + idx_blks_hit, 0), "
      "(SELECT coalesce(sum(idx_tup_fetch), 0) FROM pg_stat_all_indexes WHERE relid = " +
      relid + ") FROM pg_statio_all_tables WHERE relid = " + relid);
  return {row.Number(0, 0), row.Number(0, 1), row.Number(0, 2)};
}

Timings Measure(const Options& options, Connection& client, const Statement& statement,
                const Matrix& queries) {
  PrepareSelect1(client);
  ShareProcessor(client, 0);
  Timings warmup;
  Ask(client, statement, queries, 0, std::min(options.warmup, queries.rows()), warmup);
  Timings timings;
  Ask(client, statement, queries, 0, queries.rows(), timings);
  return timings;
}

// ---- Reporting
// -------------------------------------------------------------------------------------------------

void ReportQuality(const Options& options, const Quality& quality, std::size_t queries, Report& report) {
  report.Number("recall", "recall@" + std::to_string(options.limit), quality.recall(), 4);
  const std::string of = "of " + std::to_string(queries);
  report.Number("disordered_answers", "answers out of order", static_cast<double>(quality.disordered_answers),
                0, of);
  report.Number("repeated_rows", "rows given twice", static_cast<double>(quality.repeated_rows), 0);
  report.Number("short_answers", "answers with too few rows", static_cast<double>(quality.short_answers), 0,
                of);
}

void ReportLatency(const Timings& timings, Report& report) {
  const LatencySummary query = Summarise(timings.microseconds);
  const LatencySummary select_1 = Summarise(timings.select_1_microseconds);
  report.Number("mean_us", "latency, mean", query.mean, 0, "us");
  report.Number("p50_us", "latency, median", query.p50, 0, "us");
  report.Number("p95_us", "latency, 95th percentile", query.p95, 0, "us");
  report.Number("p99_us", "latency, 99th percentile", query.p99, 0, "us");
  report.Number("select_1_us", "SELECT 1, mean", select_1.mean, 0, "us");
  report.Number("select_1_p50_us", "SELECT 1, median", select_1.p50, 0, "us");
  report.Number("ratio_to_select_1", "mean in SELECT 1s", query.mean / select_1.mean, 1);
  report.Number("ratio_of_medians", "median in SELECT 1s", query.p50 / select_1.p50, 1);
  report.Number("queries_per_second", "queries per second", 1e6 / query.mean, 0);
}

void ReportCounters(const Counters& before, const Counters& after, std::size_t queries, Report& report) {
  const auto per_query = [&](double difference) { return difference / static_cast<double>(queries); };
  report.Number("heap_fetches", "heap rows fetched by index, per query",
                per_query(after.heap_fetches - before.heap_fetches));
  report.Number("heap_blocks", "heap blocks per query", per_query(after.heap_blocks - before.heap_blocks));
  report.Number("index_blocks", "index blocks per query",
                per_query(after.index_blocks - before.index_blocks));
}

// Buffers from EXPLAIN, on some of the queries.
void ReportPlans(const Options& options, Connection& client, const Statement& statement,
                 const Matrix& queries, Report& report) {
  ScanStats stats(client);
  std::vector<double> buffers;
  std::string nodes;
  for (std::size_t i = 0; i < std::min(options.sample, queries.rows()); ++i) {
    const Plan plan = statement.Explain(queries.row(i), i);
    stats.Read();
    buffers.push_back(plan.buffers);
    nodes = plan.nodes;
  }
  if (buffers.empty()) return;
  report.Text("plan", "plan", nodes);
  report.Number("buffers", "buffers per query", Mean(buffers));
  stats.AddTo(report);
}

}  // namespace

void Query(const Options& options, Report& report) {
  if (options.exact != "memory" && options.exact != "sql" && options.exact != "none") {
    throw std::runtime_error("--exact is memory, sql or none");
  }
  const Matrix queries = ReadQueries(options);
  Connection client(options.conninfo);
  Connection observer(options.conninfo);
  for (const std::string& setting : options.settings) client.Set(setting);

  const Statement statement(options, client, "measured");
  report.Text("query", "query", statement.sql());
  report.Number("queries", "queries", static_cast<double>(queries.rows()), 0);

  const Counters before = ReadCounters(client, observer, options.table);
  const Timings measured = Measure(options, client, statement, queries);
  const Counters after = ReadCounters(client, observer, options.table);

  if (options.exact != "none") {
    const Table table = ReadTable(options, observer, queries.dims);
    const ExactDistances exact = options.exact == "sql" ? ExactBySql(options, observer, table, queries)
                                                        : ExactInMemory(options, observer, table, queries);
    Quality quality;
    for (std::size_t i = 0; i < queries.rows(); ++i) {
      Judge(MetricOfOperator(options.op), table, queries.row(i), exact[i], measured.answers[i], quality);
    }
    ReportQuality(options, quality, queries.rows(), report);
  }
  ReportLatency(measured, report);
  ReportCounters(before, after, queries.rows() + std::min(options.warmup, queries.rows()), report);
  ReportPlans(options, client, statement, queries, report);
}

}  // namespace bench
