// Measures new connections, several clients at a time, and inserts.
#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>

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

// A new connection that is ready to run the entrant's query with the setting's `value`.
struct Client {
  Client(const Entrant& entrant, const std::string& value)
      : connection(Connect(entrant.options)), statement(entrant.options, *connection, "measured") {
    connection->Set(entrant.Setting(value));
  }
  std::unique_ptr<Connection> connection;
  Statement statement;
};

double FirstQuery(const Contest& contest, const Entrant& entrant, const std::string& value, std::size_t i) {
  const Client client(entrant, value);
  ShareProcessor(*client.connection, 0);
  const auto parameters = client.statement.Parameters(contest.data.queries.row(i), i);
  const auto start = Clock::now();
  client.statement.Run(parameters);
  return SecondsSince(start) * 1e6;
}

// Queries per second of so many clients together.
double MeasureClients(const Contest& contest, const Entrant& entrant, const std::string& value,
                      std::size_t count) {
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < count; ++i) clients.push_back(std::make_unique<Client>(entrant, value));
  std::vector<std::size_t> answered(count);
  std::vector<std::exception_ptr> errors(count);
  const Matrix& queries = contest.data.queries;
  const auto work = [&](std::size_t i, Clock::time_point end) {
    try {
      ShareProcessor(*clients[i]->connection, i);
      for (std::size_t q = i * queries.rows() / count; Clock::now() < end; q = (q + 1) % queries.rows()) {
        clients[i]->statement.Run(clients[i]->statement.Parameters(queries.row(q), q));
        ++answered[i];
      }
    } catch (...) {
      errors[i] = std::current_exception();
    }
  };
  for (const auto& client : clients) client->statement.Run(client->statement.Parameters(queries.row(0), 0));
  const auto start = Clock::now();
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < count; ++i) threads.emplace_back(work, i, start + kThroughputTime);
  }
  const double seconds = SecondsSince(start);
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
  std::size_t total = 0;
  for (const std::size_t n : answered) total += n;
  return static_cast<double>(total) / seconds;
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
      first_queries[e].push_back(FirstQuery(contest, entrants[e], entrants[e].result.throughput.value, i));
    }
  }
  for (std::size_t e = 0; e < entrants.size(); ++e) {
    entrants[e].result.first_query = Summarise(first_queries[e]).p50;
  }
  for (std::size_t round = 0; round < kThroughputRounds; ++round) {
    for (Entrant& entrant : entrants) {
      Throughput& throughput = entrant.result.throughput;
      throughput.one_client += MeasureClients(contest, entrant, throughput.value, 1) / kThroughputRounds;
      throughput.clients +=
          MeasureClients(contest, entrant, throughput.value, contest.options.clients) / kThroughputRounds;
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
}

}  // namespace bench
