// scann_bench index: creates an index, shows its progress from a second connection, and reports time and
// size.
#include "build_index.hpp"

#include <poll.h>

#include <chrono>
#include <iomanip>
#include <iostream>

#include "commands.hpp"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

// Waits until the connection has something to read; false when that took too long.
bool WaitForInput(Connection& connection, int milliseconds) {
  pollfd socket{PQsocket(connection.get()), POLLIN, 0};
  return poll(&socket, 1, milliseconds) > 0;
}

// Shows a line on standard error for each phase when it ends, with its time.
class Progress {
 public:
  Progress(Connection& observer, int pid)
      : observer_(observer),
        query_(
            "SELECT phase, CASE WHEN by_tuples THEN tuples_done ELSE blocks_done END, "
            "CASE WHEN by_tuples THEN tuples_total ELSE blocks_total END "
            "FROM pg_stat_progress_create_index, LATERAL (SELECT tuples_total > 0) AS unit(by_tuples) "
            "WHERE pid = " +
            std::to_string(pid)) {}

  void Poll() {
    const Result row = observer_.Run(query_);
    if (row.rows() == 0) return;
    if (row.Text(0, 0) != phase_) {
      EndPhase();
      phase_ = row.Text(0, 0);
    }
    done_ = row.Number(0, 1);
    total_ = row.Number(0, 2);
  }

  void EndPhase() {
    const std::chrono::duration<double> elapsed = Clock::now() - phase_start_;
    phase_start_ = Clock::now();
    if (phase_.empty()) return;
    std::cerr << std::fixed << std::setprecision(1) << std::setw(8) << elapsed.count() << " s  " << phase_;
    if (total_ > 0) std::cerr << std::setprecision(0) << " (" << done_ << " of " << total_ << ")";
    std::cerr << '\n';
    phase_.clear();
    done_ = total_ = 0;
  }

 private:
  Connection& observer_;
  std::string query_;
  std::string phase_;
  Clock::time_point phase_start_ = Clock::now();
  double done_ = 0;
  double total_ = 0;
};

// Runs a statement while showing its progress.
void RunWithProgress(Connection& connection, Connection& observer, const std::string& sql) {
  constexpr int kPollMilliseconds = 100;
  Progress progress(observer, PQbackendPID(connection.get()));
  if (PQsendQuery(connection.get(), sql.c_str()) != 1) {
    throw PostgresError(PQerrorMessage(connection.get()));
  }
  while (PQisBusy(connection.get()) != 0) {
    if (WaitForInput(connection, kPollMilliseconds)) {
      if (PQconsumeInput(connection.get()) != 1) throw PostgresError(PQerrorMessage(connection.get()));
    } else {
      progress.Poll();
    }
  }
  progress.EndPhase();
  while (PGresult* pointer = PQgetResult(connection.get())) {
    const Result result(pointer);
    if (PQresultStatus(pointer) != PGRES_COMMAND_OK) throw PostgresError(PQresultErrorMessage(pointer));
  }
}

void DropIndexes(Connection& connection, const std::string& table) {
  const Result indexes =
      connection.Run("SELECT indexrelid::regclass FROM pg_index WHERE indrelid = " + connection.Quote(table) +
                     "::regclass AND NOT indisprimary");
  for (int i = 0; i < indexes.rows(); ++i) connection.Run("DROP INDEX " + indexes.Text(i, 0));
}

}  // namespace

BuiltIndex CreateIndex(Connection& connection, Connection& observer, const std::string& table,
                       const std::string& sql) {
  std::cerr << sql << '\n';
  const auto start = Clock::now();
  RunWithProgress(connection, observer, sql);
  const std::chrono::duration<double> elapsed = Clock::now() - start;

  const Result index = connection.Run(
      "SELECT indexrelid::regclass, pg_relation_size(indexrelid), pg_relation_size(indrelid) FROM pg_index "
      "WHERE indrelid = " +
      connection.Quote(table) + "::regclass ORDER BY indexrelid DESC LIMIT 1");
  if (index.rows() == 0) throw PostgresError("the table has no index");
  return {index.Text(0, 0), elapsed.count(), index.Number(0, 1), index.Number(0, 2)};
}

void BuildIndex(const Options& options, Report& report) {
  Connection connection(options.conninfo);
  Connection observer(options.conninfo);
  for (const std::string& setting : options.settings) connection.Set(setting);
  if (options.drop_indexes) DropIndexes(connection, options.table);

  const BuiltIndex index =
      CreateIndex(connection, observer, options.table, Substitute(options.index, "table", options.table));
  constexpr double kMegabyte = 1e6;
  report.Text("index", "index", index.name);
  report.Number("build_seconds", "build", index.seconds, 1, "s");
  report.Number("index_megabytes", "index size", index.index_bytes / kMegabyte, 1, "MB");
  report.Number("table_megabytes", "table size", index.table_bytes / kMegabyte, 1, "MB");
}

}  // namespace bench
