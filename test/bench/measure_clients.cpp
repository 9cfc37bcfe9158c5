// Measures new connections, several clients at a time, and inserts, alone and beside queries.
#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <numeric>
#include <thread>
#include <utility>

#include "contest.hpp"
#include "load.hpp"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kNewConnections = 5;
constexpr double kUsualRecall = 0.95;
constexpr std::size_t kThroughputRounds = 3;
constexpr std::chrono::milliseconds kThroughputTime{1000};

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double FirstQuery(const Contest& contest, const Entrant& entrant, std::size_t i) {
  const Client client(entrant);
  ShareProcessor(*client.connection, 0);
  return client.Ask(contest.data.queries, i);
}

// What a connection does again and again.
struct Worker {
  Connection& connection;
  std::function<void(std::size_t)> step;  // called with 0, 1, 2, ...
};

// How many steps a second each does while all are at work, on threads and processors of their own.
std::vector<double> WorkTogether(const std::vector<Worker>& workers) {
  std::vector<std::size_t> done(workers.size());
  std::vector<std::exception_ptr> errors(workers.size());
  const auto work = [&](std::size_t w, Clock::time_point end) {
    try {
      ShareProcessor(workers[w].connection, w);
      for (; Clock::now() < end; ++done[w]) workers[w].step(done[w]);
    } catch (...) {
      errors[w] = std::current_exception();
    }
  };
  const auto start = Clock::now();
  {
    std::vector<std::jthread> threads;
    for (std::size_t w = 0; w < workers.size(); ++w) threads.emplace_back(work, w, start + kThroughputTime);
  }
  const double seconds = SecondsSince(start);
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  std::vector<double> rates;
  for (const std::size_t steps : done) rates.push_back(static_cast<double>(steps) / seconds);
  return rates;
}

// Clients that have asked their first query, each of which goes on with another part of the queries.
class Askers {
 public:
  Askers(const Contest& contest, const Entrant& entrant, std::size_t count) {
    const Matrix& queries = contest.data.queries;
    for (std::size_t i = 0; i < count; ++i) {
      const Client& client = *clients_.emplace_back(std::make_unique<Client>(entrant));
      client.Ask(queries, 0);
      const std::size_t first = i * queries.rows() / count;
      workers_.push_back({*client.connection, [&client, &queries, first](std::size_t step) {
                            client.Ask(queries, (first + step) % queries.rows());
                          }});
    }
  }

  const std::vector<Worker>& workers() const { return workers_; }

 private:
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<Worker> workers_;
};

// Queries per second of so many clients together.
double MeasureClients(const Contest& contest, const Entrant& entrant, std::size_t count) {
  const Askers askers(contest, entrant, count);
  const std::vector<double> rates = WorkTogether(askers.workers());
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

// Queries and inserts per second of two connections at the same time. The rows to insert come again and
// again, with ids from `next_id` on.
std::pair<double, double> MeasureBesideInserts(const Contest& contest, const Entrant& entrant,
                                               std::size_t& next_id) {
  const Askers asker(contest, entrant, 1);
  const auto connection = Connect(entrant.options);
  const Inserter inserter(entrant.options, *connection, "insert");
  const auto& ids = contest.data.insert_ids;
  const auto insert = [&](std::size_t step) {
    inserter.Insert(next_id++, contest.data.rows.vectors.row(ids[step % ids.size()]));
  };
  const std::vector<double> rates = WorkTogether({asker.workers().front(), {*connection, insert}});
  return {rates[0], rates[1]};
}

// One client's queries alone and beside inserts, in turns.
void MeasureQueriesBesideInserts(const Contest& contest, std::vector<Entrant>& entrants) {
  Announce("queries beside inserts");
  std::size_t next_id = contest.data.rows.vectors.rows();  // above all ids, which are row numbers of the file
  for (Entrant& entrant : entrants) entrant.result.beside_inserts.emplace();
  for (std::size_t round = 0; round < kThroughputRounds; ++round) {
    for (Entrant& entrant : entrants) {
      BesideInserts& sums = *entrant.result.beside_inserts;
      sums.queries_alone += MeasureClients(contest, entrant, 1) / kThroughputRounds;
      const auto [queries, inserts] = MeasureBesideInserts(contest, entrant, next_id);
      sums.queries += queries / kThroughputRounds;
      sums.inserts += inserts / kThroughputRounds;
    }
  }
}

// The setting that other measurements are made with.
const Point& UsualPoint(const IndexResult& index) {
  const Point* point = PointReaching(index, kUsualRecall);
  return point != nullptr ? *point : *std::ranges::max_element(index.points, {}, &Point::recall);
}

}  // namespace

void MeasureConnections(const Contest& contest, std::vector<Entrant>& entrants) {
  Announce("new connections, and several at a time");
  for (Entrant& entrant : entrants) entrant.result.throughput.value = UsualPoint(entrant.result).value;
  std::vector<std::vector<double>> first_queries(entrants.size());
  for (std::size_t i = 0; i < kNewConnections; ++i) {
    for (std::size_t e = 0; e < entrants.size(); ++e) {
      first_queries[e].push_back(FirstQuery(contest, entrants[e], i));
    }
  }
  for (std::size_t e = 0; e < entrants.size(); ++e) {
    entrants[e].result.first_query = Summarise(first_queries[e]).p50;
  }
  for (std::size_t round = 0; round < kThroughputRounds; ++round) {
    for (Entrant& entrant : entrants) {
      Throughput& throughput = entrant.result.throughput;
      throughput.one_client += MeasureClients(contest, entrant, 1) / kThroughputRounds;
      throughput.clients += MeasureClients(contest, entrant, contest.options.clients) / kThroughputRounds;
    }
  }
}

void MeasureInserts(const Contest& contest, std::vector<Entrant>& entrants) {
  const auto& ids = contest.data.insert_ids;
  if (ids.empty()) return;
  Announce("inserts of " + std::to_string(ids.size()) + " rows");
  const ServerClock server(*contest.client);
  std::vector<Inserter> inserters;
  for (const Entrant& entrant : entrants)
    inserters.emplace_back(entrant.options, *contest.client, "insert_" + entrant.options.table);
  std::vector<double> seconds(entrants.size());
  std::vector<double> cpu(entrants.size());
  const std::size_t rounds = contest.options.rounds;
  for (std::size_t round = 0; round < rounds; ++round) {
    for (std::size_t e = 0; e < entrants.size(); ++e) {
      const auto cpu_start = server.Now();
      const auto start = Clock::now();
      for (std::size_t i = ids.size() * round / rounds; i < ids.size() * (round + 1) / rounds; ++i) {
        inserters[e].Insert(ids[i], contest.data.rows.vectors.row(ids[i]));
      }
      seconds[e] += SecondsSince(start);
      cpu[e] += server.Now().value_or(0) - cpu_start.value_or(0);
    }
  }
  const auto count = static_cast<double>(ids.size());
  for (std::size_t e = 0; e < entrants.size(); ++e) {
    entrants[e].result.inserts_per_second = count / seconds[e];
    if (server.Now()) entrants[e].result.insert_cpu = cpu[e] / count;
  }
  MeasureQueriesBesideInserts(contest, entrants);
}

}  // namespace bench
