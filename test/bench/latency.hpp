// Timing of queries, and the statistics of what was timed.
#pragma once

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

// Puts the calling thread and the server process of a connection on one processor, the one of this number
// (modulo how many there are). One of the two always waits for the other; were they apart, a processor would
// have to be woken for each message, which in a virtual machine may take longer than a query. False where the
// server is elsewhere or belongs to another user.
bool ShareProcessor(Connection& connection, std::size_t number);

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
