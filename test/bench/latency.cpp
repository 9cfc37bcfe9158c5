// Timing of queries, and the statistics of what was timed.
#include "latency.hpp"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

double Microseconds(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double, std::micro>(end - start).count();
}

}  // namespace

void Timings::Append(const Timings& other) {
  const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  append(answers, other.answers);
  append(microseconds, other.microseconds);
  append(select_1_microseconds, other.select_1_microseconds);
  append(cpu_microseconds, other.cpu_microseconds);
}

ServerClock::ServerClock(Connection& connection) {
  clockid_t clock = 0;
  if (connection.IsLocal() && clock_getcpuclockid(PQbackendPID(connection.get()), &clock) == 0)
    clock_ = clock;
}

std::optional<double> ServerClock::Now() const {
  timespec time{};
  if (!clock_ || clock_gettime(*clock_, &time) != 0) return std::nullopt;
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

bool ShareProcessor(Connection& connection, std::size_t number) {
  static const cpu_set_t all = [] {  // before any thread was put on one of them
    cpu_set_t processors;
    CPU_ZERO(&processors);
    sched_getaffinity(0, sizeof(processors), &processors);
    return processors;
  }();
  if (!connection.IsLocal() || CPU_COUNT(&all) == 0) return false;
  int processor = -1;
  for (std::size_t left = number % static_cast<std::size_t>(CPU_COUNT(&all)) + 1; left > 0;) {
    if (CPU_ISSET(++processor, &all)) --left;
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor, &one);
  return sched_setaffinity(PQbackendPID(connection.get()), sizeof(one), &one) == 0 &&
         sched_setaffinity(0, sizeof(one), &one) == 0;
}

void PrepareSelect1(Connection& client) { client.Prepare("select_1", "SELECT 1", {}); }

void Ask(Connection& client, const Statement& statement, const Matrix& queries, std::size_t first,
         std::size_t last, Timings& timings) {
  const ServerClock server(client);
  for (std::size_t i = first; i < last; ++i) {
    const auto parameters = statement.Parameters(queries.row(i), i);
    const auto cpu_start = server.Now();
    const auto start = Clock::now();
    Ids ids = statement.Run(parameters);
    const auto middle = Clock::now();
    const auto cpu_end = server.Now();
    const auto select_1_start = Clock::now();
    client.RunPrepared("select_1", {});
    const auto end = Clock::now();
    timings.answers.push_back(std::move(ids));
    timings.microseconds.push_back(Microseconds(start, middle));
    timings.select_1_microseconds.push_back(Microseconds(select_1_start, end));
    if (cpu_start && cpu_end) timings.cpu_microseconds.push_back(*cpu_end - *cpu_start);
  }
}

double Mean(std::span<const double> values) {
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

double Percentile(std::span<const double> sorted, double share) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5)];
}

LatencySummary Summarise(std::vector<double> microseconds) {
  std::ranges::sort(microseconds);
  return {Mean(microseconds), Percentile(microseconds, 0.50), Percentile(microseconds, 0.95),
          Percentile(microseconds, 0.99)};
}

}  // namespace bench
