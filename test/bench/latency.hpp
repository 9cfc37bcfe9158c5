// Timing of queries, and the statistics of what was timed.
#pragma once

#include <sys/types.h>

#include <ctime>

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "postgres.hpp"
#include "statement.hpp"
#include "vectors.hpp"

namespace bench {

// One entry a query, in the order they were asked.
struct Timings {
  std::vector<Ids> answers;
  std::vector<double> microseconds;
  std::vector<double> select_1_microseconds;
  std::vector<double> cpu_microseconds;  // of the server process; empty if unknown

  void Append(const Timings& other);
};

// The processor time of the server process behind a connection, if it runs on this machine.
class ServerClock {
 public:
  explicit ServerClock(Connection& connection);
  // Microseconds since the process started.
  std::optional<double> Now() const;

 private:
  std::optional<clockid_t> clock_;
};

// Keeps all processors from falling asleep while it lives, by a child process for each that does nothing, and
// gives way to whatever else wants to run (SCHED_IDLE). Between a query and its answer client and server
// sleep by turns; to wake a virtual processor may take longer than a query does, and leaves it with cold
// caches.
class WakefulProcessors {
 public:
  WakefulProcessors();
  ~WakefulProcessors();
  WakefulProcessors(const WakefulProcessors&) = delete;
  WakefulProcessors& operator=(const WakefulProcessors&) = delete;

 private:
  std::vector<pid_t> children_;
};

// Prepares the SELECT 1 that accompanies each query.
void PrepareSelect1(Connection& client);

// Asks the queries from number `first` to before `last`, each followed by a SELECT 1, so that both meet the
// same machine.
void Ask(Connection& client, const Statement& statement, const Matrix& queries, std::size_t first,
         std::size_t last, Timings& timings);

double Mean(std::span<const double> values);

// Of values in ascending order.
double Percentile(std::span<const double> sorted, double share);

struct LatencySummary {
  double mean = 0;
  double p50 = 0;
  double p95 = 0;
  double p99 = 0;
};
LatencySummary Summarise(std::vector<double> microseconds);

}  // namespace bench
