// Timing of queries, and the statistics of what was timed.
#include "latency.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <numeric>
#include <utility>

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

double Microseconds(Clock::time_point start, Clock::time_point end) {
  return std::chrono::duration<double, std::micro>(end - start).count();
}

// What a child of WakefulProcessors does, until its parent ends it or itself. A session of its own has a
// scheduling group of its own, where the kernel makes groups of sessions.
[[noreturn]] void Idle(int processor) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setsid();
  const sched_param lowest{};
  cpu_set_t processors;
  CPU_ZERO(&processors);
  CPU_SET(processor, &processors);
  if (sched_setscheduler(0, SCHED_IDLE, &lowest) != 0 ||
      sched_setaffinity(0, sizeof(processors), &processors) != 0) {
    _exit(1);
  }
  if (const int group = open("/proc/self/autogroup", O_WRONLY); group >= 0) {
    constexpr useconds_t kAWhile = 20'000;
    while (write(group, "19", 2) != 2) {
      if (errno != EAGAIN) _exit(1);
      usleep(kAWhile);  // another child has just done the same
    }
  }
  for (;;) {
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
  }
}

}  // namespace

void Timings::Append(const Timings& other) {
  const auto append = [](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
  append(answers, other.answers);
  append(microseconds, other.microseconds);
  append(select_1_microseconds, other.select_1_microseconds);
  append(cpu_microseconds, other.cpu_microseconds);
}

// Other processes of this machine have clocks that clock_gettime reads; only a Unix socket tells that it is
// this one.
ServerClock::ServerClock(Connection& connection) {
  const char* host = PQhost(connection.get());
  clockid_t clock = 0;
  if (host != nullptr && host[0] == '/' && clock_getcpuclockid(PQbackendPID(connection.get()), &clock) == 0) {
    clock_ = clock;
  }
}

std::optional<double> ServerClock::Now() const {
  timespec time{};
  if (!clock_ || clock_gettime(*clock_, &time) != 0) return std::nullopt;
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

WakefulProcessors::WakefulProcessors() {
  cpu_set_t processors;
  if (sched_getaffinity(0, sizeof(processors), &processors) != 0) return;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (!CPU_ISSET(i, &processors)) continue;
    const pid_t child = fork();
    if (child == 0) Idle(i);
    if (child > 0) children_.push_back(child);
  }
}

WakefulProcessors::~WakefulProcessors() {
  for (const pid_t child : children_) kill(child, SIGKILL);
  for (const pid_t child : children_) waitpid(child, nullptr, 0);
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
