// scann_bench compare: builds and measures every index that is installed, in turns, on the same rows and
// queries.
#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <iostream>
#include <memory>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

#include "answers.hpp"
#include "commands.hpp"
#include "comparison.hpp"
#include "dataset.hpp"
#include "load.hpp"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

// A setting is given up once its queries take longer than this, in microseconds: so does every later one.
constexpr double kTooSlow = 50000;

// Where this recall is reached in the first round, more thorough settings have nothing left to show.
constexpr double kPerfect = 0.9985;

// Queries before each round's part, unmeasured: the others' pages are in the processor's caches.
constexpr std::size_t kWarmup = 10;

constexpr std::size_t kExplained = 20;
constexpr std::size_t kNewConnections = 5;
constexpr double kThroughputRecall = 0.95;
constexpr std::size_t kThroughputRounds = 3;
constexpr std::chrono::milliseconds kThroughputTime{1500};

// The same for all. Every table has one vector index, and it is to be used at any setting.
constexpr std::array kSessionSettings = {"jit=off", "enable_seqscan=off", "synchronous_commit=off"};

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void Say(const std::string& text) { std::cerr << "-- " << text << '\n'; }

std::unique_ptr<Connection> Connect(const Options& options) {
  auto connection = std::make_unique<Connection>(options.conninfo);
  for (const char* setting : kSessionSettings) connection->Set(setting);
  for (const std::string& setting : options.settings) connection->Set(setting);
  return connection;
}

// One value of an entrant's setting while it is measured.
struct Trial {
  std::string value;
  Timings timings;
  std::vector<double> round_means;
  Quality quality;
};

// An index in the comparison.
struct Entrant {
  Options options;  // with its table and column type
  IndexResult result;
  std::unique_ptr<Statement> statement;
  std::vector<Trial> trials;

  std::string Setting(const std::string& value) const { return result.contender.setting + "=" + value; }
};

// What all entrants share.
struct Course {
  const Options& options;
  Dataset data;
  Table table;  // the rows that are loaded
  ExactDistances exact;
  std::unique_ptr<Connection> client;
  std::unique_ptr<Connection> observer;
};

Table TableOf(const Rows& rows) {
  Table table;
  table.vectors.dims = rows.vectors.dims;
  table.vectors.values.reserve(rows.ids.size() * rows.vectors.dims);
  for (const std::size_t id : rows.ids) {
    table.row_of_id.emplace(static_cast<std::int32_t>(id), table.ids.size());
    table.ids.push_back(static_cast<std::int32_t>(id));
    const auto row = rows.vectors.row(id);
    table.vectors.values.insert(table.vectors.values.end(), row.begin(), row.end());
  }
  return table;
}

// ---- Who takes part

std::string MetricName(const std::string& op) {
  switch (MetricOfOperator(op)) {
    case Metric::kInnerProduct:
      return "ip";
    case Metric::kCosine:
      return "cosine";
    case Metric::kEuclidean:
      return "l2";
  }
  return "";
}

bool IsWanted(const Options& options, const Contender& contender) {
  return options.contenders.empty() || std::ranges::count(options.contenders, contender.name) > 0;
}

// Creates the extension if it can be had.
bool IsInstalled(Connection& connection, const std::string& extension) {
  const std::string name = connection.Quote(extension);
  if (connection.Run("SELECT FROM pg_available_extensions WHERE name = " + name).rows() == 0) return false;
  connection.Run("SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS \"" + extension +
                 "\" CASCADE");
  return true;
}

std::vector<Entrant> Enter(const Course& course) {
  std::ifstream file(course.options.contenders_file);
  if (!file) throw std::runtime_error(course.options.contenders_file + ": cannot be opened");
  std::vector<Entrant> entrants;
  for (const Contender& described : ReadContenders(file)) {
    if (!IsWanted(course.options, described)) continue;
    if (!IsInstalled(*course.client, described.extension)) {
      Say(described.name + " is left out: the extension " + described.extension + " is not installed");
      continue;
    }
    Entrant entrant{course.options, {}, nullptr, {}};
    entrant.result.contender = Adapt(described, course.data.rows.ids.size(), course.data.rows.vectors.dims,
                                     MetricName(course.options.op));
    entrant.options.table += "_" + std::to_string(entrants.size() + 1);
    entrant.options.type = entrant.result.contender.column;
    entrants.push_back(std::move(entrant));
  }
  if (entrants.empty()) throw std::runtime_error("there is no index to measure");
  return entrants;
}

void BuildEntrant(Course& course, Entrant& entrant) {
  Say(entrant.result.contender.name);
  LoadTable(entrant.options, *course.client, course.data.rows, {});
  // What loading wrote must not be written out during the build.
  course.client->Run("CHECKPOINT");
  const std::string& table = entrant.options.table;
  entrant.result.built = CreateIndex(*course.client, *course.observer, table,
                                     "CREATE INDEX ON " + table + " USING " + entrant.result.contender.index);
  course.client->Run("CHECKPOINT");
  entrant.statement = std::make_unique<Statement>(entrant.options, *course.client, table);
  for (const std::string& value : entrant.result.contender.values) {
    entrant.trials.push_back({value, {}, {}, {}});
  }
}

// ---- Queries

// Asks the queries from `first` to before `last` with one value of the setting.
void AskPart(Course& course, Entrant& entrant, Trial& trial, std::size_t first, std::size_t last) {
  const Matrix& queries = course.data.queries;
  course.client->Set(entrant.Setting(trial.value));
  Timings warmup;
  Ask(*course.client, *entrant.statement, queries, 0, std::min(kWarmup, queries.rows()), warmup);
  Timings part;
  Ask(*course.client, *entrant.statement, queries, first, last, part);
  trial.round_means.push_back(Mean(part.microseconds));
  for (std::size_t i = first; i < last; ++i) {
    Judge(MetricOfOperator(course.options.op), course.table, queries.row(i), course.exact[i],
          part.answers[i - first], trial.quality);
  }
  trial.timings.Append(part);
}

double Recall(const Quality& quality) {
  return quality.wanted == 0 ? 1 : static_cast<double>(quality.hits) / static_cast<double>(quality.wanted);
}

// After the first round: forgets the settings beyond those that are worth measuring.
void EndSweep(Entrant& entrant, std::size_t last) {
  const Trial& trial = entrant.trials[last];
  const bool is_too_slow = trial.round_means.front() > kTooSlow;
  if (is_too_slow) {
    entrant.result.sweep_end = "up to where a query takes 50 ms";
  } else if (Recall(trial.quality) >= kPerfect) {
    entrant.result.sweep_end = "up to where nothing is missing";
  } else if (last + 1 == entrant.trials.size()) {
    entrant.result.sweep_end = "up to " + trial.value;
  } else {
    return;
  }
  entrant.trials.resize(is_too_slow ? last : last + 1);
}

// Each round asks its part of the queries of every index with every setting, so that all meet the same
// machine.
void MeasureQueries(Course& course, std::vector<Entrant>& entrants) {
  const std::size_t queries = course.data.queries.rows();
  const std::size_t rounds = course.options.rounds;
  PrepareSelect1(*course.client);
  for (std::size_t round = 0; round < rounds; ++round) {
    Say("queries, round " + std::to_string(round + 1) + " of " + std::to_string(rounds));
    for (std::size_t i = 0, left = 1; left > 0; ++i) {
      left = 0;
      for (Entrant& entrant : entrants) {
        if (i >= entrant.trials.size()) continue;
        AskPart(course, entrant, entrant.trials[i], queries * round / rounds, queries * (round + 1) / rounds);
        if (round == 0) EndSweep(entrant, i);
        ++left;
      }
    }
  }
}

// The mean of some queries' buffers. Throws where another plan than the index was measured.
double MeanBuffers(Course& course, const Entrant& entrant, const Trial& trial) {
  course.client->Set(entrant.Setting(trial.value));
  std::vector<double> buffers;
  for (std::size_t i = 0; i < std::min(kExplained, course.data.queries.rows()); ++i) {
    const Plan plan = entrant.statement->Explain(course.data.queries.row(i), i);
    if (!plan.nodes.ends_with("Index Scan using " + entrant.result.built.name)) {
      throw std::runtime_error(entrant.result.contender.name + " was not used: " + plan.nodes);
    }
    buffers.push_back(plan.buffers);
  }
  return Mean(buffers);
}

Point Summary(Course& course, const Entrant& entrant, const Trial& trial) {
  Point point;
  point.value = trial.value;
  point.recall = Recall(trial.quality);
  point.latency = Summarise(trial.timings.microseconds);
  point.fastest_round = std::ranges::min(trial.round_means);
  point.slowest_round = std::ranges::max(trial.round_means);
  point.select_1 = Summarise(trial.timings.select_1_microseconds).p50;
  if (!trial.timings.cpu_microseconds.empty()) point.cpu = Mean(trial.timings.cpu_microseconds);
  point.buffers = MeanBuffers(course, entrant, trial);
  return point;
}

// ---- New connections, several clients, inserts

// A new connection that is ready to run the entrant's query with the setting's `value`.
struct Client {
  Client(const Entrant& entrant, const std::string& value)
      : connection(Connect(entrant.options)), statement(entrant.options, *connection, "measured") {
    connection->Set(entrant.Setting(value));
  }
  std::unique_ptr<Connection> connection;
  Statement statement;
};

double FirstQuery(const Course& course, const Entrant& entrant, const std::string& value, std::size_t i) {
  const Client client(entrant, value);
  const auto parameters = client.statement.Parameters(course.data.queries.row(i), i);
  const auto start = Clock::now();
  client.statement.Run(parameters);
  return SecondsSince(start) * 1e6;
}

// Queries per second of so many clients together.
double MeasureClients(const Course& course, const Entrant& entrant, const std::string& value,
                      std::size_t count) {
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < count; ++i) clients.push_back(std::make_unique<Client>(entrant, value));
  std::vector<std::size_t> answered(count);
  std::vector<std::exception_ptr> errors(count);
  const Matrix& queries = course.data.queries;
  const auto work = [&](std::size_t i, Clock::time_point end) {
    try {
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
  const Point* point = PointReaching(index, kThroughputRecall);
  return point != nullptr ? *point : *std::ranges::max_element(index.points, {}, &Point::recall);
}

void MeasureConnections(const Course& course, std::vector<Entrant>& entrants) {
  Say("new connections, and several at a time");
  for (Entrant& entrant : entrants) entrant.result.throughput.value = UsualPoint(entrant.result).value;
  std::vector<std::vector<double>> first_queries(entrants.size());
  for (std::size_t i = 0; i < kNewConnections; ++i) {
    for (std::size_t e = 0; e < entrants.size(); ++e) {
      first_queries[e].push_back(FirstQuery(course, entrants[e], entrants[e].result.throughput.value, i));
    }
  }
  for (std::size_t e = 0; e < entrants.size(); ++e) {
    entrants[e].result.first_query = Summarise(first_queries[e]).p50;
  }
  for (std::size_t round = 0; round < kThroughputRounds; ++round) {
    for (Entrant& entrant : entrants) {
      Throughput& throughput = entrant.result.throughput;
      throughput.one_client += MeasureClients(course, entrant, throughput.value, 1) / kThroughputRounds;
      throughput.clients +=
          MeasureClients(course, entrant, throughput.value, course.options.clients) / kThroughputRounds;
    }
  }
}

// Rows held out of the load, one a transaction, in rounds.
void MeasureInserts(const Course& course, std::vector<Entrant>& entrants) {
  const auto& ids = course.data.insert_ids;
  if (ids.empty()) return;
  Say("inserts of " + std::to_string(ids.size()) + " rows");
  const ServerClock server(*course.client);
  std::vector<Inserter> inserters;
  for (const Entrant& entrant : entrants)
    inserters.emplace_back(entrant.options, *course.client, "insert_" + entrant.options.table);
  std::vector<double> seconds(entrants.size());
  std::vector<double> cpu(entrants.size());
  const std::size_t rounds = course.options.rounds;
  for (std::size_t round = 0; round < rounds; ++round) {
    for (std::size_t e = 0; e < entrants.size(); ++e) {
      const auto cpu_start = server.Now();
      const auto start = Clock::now();
      for (std::size_t i = ids.size() * round / rounds; i < ids.size() * (round + 1) / rounds; ++i) {
        inserters[e].Insert(ids[i], course.data.rows.vectors.row(ids[i]));
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

// ---- What is written beside the figures

std::string Processor() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

std::string LoadAverage() {
  std::string minute = "unknown";
  std::ifstream("/proc/loadavg") >> minute;
  return minute;
}

std::string Extensions(Connection& connection) {
  return connection.Value(
      "SELECT string_agg(extname || ' ' || extversion, ', ' ORDER BY extname) FROM pg_extension "
      "WHERE extname <> 'plpgsql'");
}

// Settings of the server and of every session.
std::string ServerSettings(const Options& options, Connection& connection) {
  std::set<std::string> names = {
      "shared_buffers",     "maintenance_work_mem", "max_parallel_maintenance_workers",
      "synchronous_commit", "autovacuum",           "jit",
      "enable_seqscan"};
  for (const std::string& setting : options.settings) names.insert(setting.substr(0, setting.find('=')));
  std::string out;
  for (const std::string& name : names) {
    out += (out.empty() ? "" : ", ") + name + " = " + connection.Value("SHOW " + name);
  }
  return out;
}

Comparison Describe(const Course& course, const std::string& load_before) {
  const Options& options = course.options;
  Comparison out;
  out.name = options.name;
  out.rows = course.table.ids.size();
  out.dims = course.table.vectors.dims;
  out.op = options.op;
  out.limit = options.limit;
  out.queries = course.data.queries.rows();
  out.rounds = options.rounds;
  out.clients = options.clients;
  out.inserts = course.data.insert_ids.size();
  out.circumstances = {
      {"server",
       "PostgreSQL " + course.client->Value("SHOW server_version") + "; " + Extensions(*course.client)},
      {"settings", ServerSettings(options, *course.client)},
      {"machine", Processor() + ", " + std::to_string(std::thread::hardware_concurrency()) +
                      " processors; load average " + load_before + " before, " + LoadAverage() + " after"}};
  return out;
}

void CheckOptions(const Options& options) {
  if (options.out.empty()) throw std::runtime_error("--out is needed");
  if (options.rounds == 0 || options.clients == 0) {
    throw std::runtime_error("--rounds and --clients must not be 0");
  }
}

}  // namespace

void Compare(const Options& options, Report& report) {
  CheckOptions(options);
  const std::string load_before = LoadAverage();
  Course course{options, ReadDataset(options), {}, {}, Connect(options), Connect(options)};
  if (course.data.queries.rows() < options.rounds) throw std::runtime_error("fewer queries than rounds");
  course.table = TableOf(course.data.rows);
  std::vector<Entrant> entrants = Enter(course);
  Say("exact answers");
  course.exact =
      NearestDistances(MetricOfOperator(options.op), course.table, course.data.queries, options.limit);
  for (Entrant& entrant : entrants) BuildEntrant(course, entrant);

  MeasureQueries(course, entrants);
  for (Entrant& entrant : entrants) {
    for (const Trial& trial : entrant.trials) {
      entrant.result.points.push_back(Summary(course, entrant, trial));
    }
  }
  MeasureConnections(course, entrants);
  MeasureInserts(course, entrants);

  Comparison comparison = Describe(course, load_before);
  for (Entrant& entrant : entrants) {
    comparison.indexes.push_back(std::move(entrant.result));
    course.client->Run("DROP TABLE " + entrant.options.table);
  }
  WriteComparison(comparison, options.out);
  report.Number("indexes", "indexes", static_cast<double>(comparison.indexes.size()), 0);
  report.Text("results", "results", options.out + "/" + options.name + ".*");
}

}  // namespace bench
