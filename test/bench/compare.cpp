// scann_bench compare: builds and measures every index that is installed, in turns, on the same rows and
// queries.
#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <utility>

#include "circumstances.hpp"
#include "commands.hpp"
#include "contest.hpp"
#include "load.hpp"

namespace bench {
namespace {

// The same for all. Every table has one vector index, and it is to be used at any setting.
constexpr std::array kSessionSettings = {"jit=off", "enable_seqscan=off", "synchronous_commit=off"};

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

std::vector<Entrant> Enter(const Contest& contest) {
  std::ifstream file(contest.options.contenders_file);
  if (!file) throw std::runtime_error(contest.options.contenders_file + ": cannot be opened");
  std::vector<Entrant> entrants;
  for (const Contender& described : ReadContenders(file)) {
    if (!IsWanted(contest.options, described)) continue;
    if (!contest.client->CreateExtension(described.extension)) {
      Announce(described.name + " is left out: the extension " + described.extension + " is not installed");
      continue;
    }
    Entrant entrant{contest.options, {}, nullptr, {}};
    entrant.result.contender = Adapt(described, contest.data.rows.ids.size(), contest.data.rows.vectors.dims,
                                     MetricName(contest.options.op));
    entrant.options.table += "_" + std::to_string(entrants.size() + 1);
    entrant.options.type = entrant.result.contender.column;
    entrants.push_back(std::move(entrant));
  }
  if (entrants.empty()) throw std::runtime_error("there is no index to measure");
  return entrants;
}

void BuildEntrant(Contest& contest, Entrant& entrant) {
  Announce(entrant.result.contender.name);
  LoadTable(entrant.options, *contest.client, contest.data.rows, {});
  // What loading wrote must not be written out during the build.
  contest.client->Run("CHECKPOINT");
  const std::string& table = entrant.options.table;
  entrant.result.built = CreateIndex(*contest.client, *contest.observer, table,
                                     "CREATE INDEX ON " + table + " USING " + entrant.result.contender.index);
  contest.client->Run("CHECKPOINT");
  entrant.statement = std::make_unique<Statement>(entrant.options, *contest.client, table);
  for (const std::string& value : entrant.result.contender.values) {
    entrant.trials.push_back({value, {}, {}, {}});
  }
}

Comparison Describe(const Contest& contest, const std::string& load_before) {
  const Options& options = contest.options;
  Comparison out;
  out.name = options.name;
  out.rows = contest.table.ids.size();
  out.dims = contest.table.vectors.dims;
  out.op = options.op;
  out.limit = options.limit;
  out.queries = contest.data.queries.rows();
  out.rounds = options.rounds;
  out.clients = options.clients;
  out.inserts = contest.data.insert_ids.size();
  out.circumstances = Circumstances(options, *contest.client, load_before);
  out.circumstances.emplace_back("clients", contest.shares_processor
                                                ? "each on one processor together with its server process"
                                                : "not on the processors of their server processes");
  return out;
}

void CheckOptions(const Options& options) {
  if (options.out.empty()) throw std::runtime_error("--out is needed");
  if (options.rounds == 0 || options.clients == 0) {
    throw std::runtime_error("--rounds and --clients must not be 0");
  }
}

}  // namespace

std::unique_ptr<Connection> Connect(const Options& options) {
  auto connection = std::make_unique<Connection>(options.conninfo);
  for (const char* setting : kSessionSettings) connection->Set(setting);
  for (const std::string& setting : options.settings) connection->Set(setting);
  return connection;
}

Client::Client(const Entrant& entrant)
    : connection(Connect(entrant.options)), statement(entrant.options, *connection, "measured") {
  connection->Set(entrant.Setting(entrant.result.throughput.value));
}

double Client::Ask(const Matrix& queries, std::size_t i) const {
  const auto parameters = statement.Parameters(queries.row(i), i);
  const auto start = std::chrono::steady_clock::now();
  statement.Run(parameters);
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

void Announce(const std::string& text) { std::cerr << "-- " << text << '\n'; }

void Compare(const Options& options, Report& report) {
  CheckOptions(options);
  const std::string load_before = LoadAverage();
  Contest contest{options, ReadDataset(options), {}, {}, Connect(options), Connect(options), false};
  if (contest.data.queries.rows() < options.rounds) throw std::runtime_error("fewer queries than rounds");
  contest.table = TableOf(contest.data.rows);
  CheckCold(contest);
  std::vector<Entrant> entrants = Enter(contest);
  Announce("exact answers");
  contest.exact =
      NearestDistances(MetricOfOperator(options.op), contest.table, contest.data.queries, options.limit);
  for (Entrant& entrant : entrants) BuildEntrant(contest, entrant);

  contest.shares_processor = ShareProcessor(*contest.client, 0);
  MeasureQueries(contest, entrants);
  MeasureConnections(contest, entrants);
  MeasureCold(contest, entrants);
  MeasureInserts(contest, entrants);

  Comparison comparison = Describe(contest, load_before);
  for (Entrant& entrant : entrants) {
    comparison.indexes.push_back(std::move(entrant.result));
    contest.client->Run("DROP TABLE " + entrant.options.table);
  }
  WriteComparison(comparison, options.out);
  report.Number("indexes", "indexes", static_cast<double>(comparison.indexes.size()), 0);
  report.Text("results", "results", options.out + "/" + options.name + ".*");
}

}  // namespace bench
