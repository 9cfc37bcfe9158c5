// Writes down what `scann_bench compare` measured: tables, CSV and plots.
#include "comparison.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <sstream>
#include <stdexcept>

#include "plot.hpp"

namespace bench {
namespace {

// Recalls for which the indexes are set side by side.
constexpr std::array kRecalls = {0.90, 0.95, 0.99};

constexpr double kMegabyte = 1e6;

std::string Fixed(double value, int decimals) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(decimals) << value;
  return out.str();
}

// Three significant digits, or all before the point.
std::string Rounded(double value) { return Fixed(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0); }

// 12345.6 as 12,346.
std::string Thousands(double value) {
  std::string text = Fixed(value, 0);
  for (std::size_t i = text.size(); i > 3; i -= 3) text.insert(i - 3, 1, ',');
  return text;
}

std::string Times(double ratio) { return Rounded(ratio) + " ×"; }

std::string OrDash(const std::optional<double>& value) { return value ? Thousands(*value) : "–"; }

double QueriesPerSecond(const Point& point) { return 1e6 / point.latency.mean; }

double HighestRecall(const IndexResult& index) {
  return index.points.empty() ? 0 : std::ranges::max_element(index.points, {}, &Point::recall)->recall;
}

// ---- Markdown

void WriteRow(std::ostream& out, const std::vector<std::string>& cells) {
  out << '|';
  for (const std::string& cell : cells) out << ' ' << cell << " |";
  out << '\n';
}

// The first column holds text, the others numbers.
void WriteHeader(std::ostream& out, const std::vector<std::string>& cells) {
  WriteRow(out, cells);
  out << "|---|";
  for (std::size_t i = 1; i < cells.size(); ++i) out << "---:|";
  out << '\n';
}

void WriteCircumstances(std::ostream& out, const Comparison& c) {
  out << "## " << c.name << "\n\n"
      << Thousands(static_cast<double>(c.rows)) << " rows of " << c.dims << " dimensions; "
      << Thousands(static_cast<double>(c.queries)) << " queries `ORDER BY v " << c.op << " $1 LIMIT "
      << c.limit << "` over one connection, in " << c.rounds
      << " rounds of all indexes and settings, each query followed by `SELECT 1`. Latency is the mean over "
         "all of them unless it says "
         "otherwise.\n\n";
  for (const auto& [name, value] : c.circumstances) out << "- " << name << ": " << value << '\n';
  for (const IndexResult& index : c.indexes) {
    out << "- " << index.contender.name << ": `" << index.contender.index << "` on `"
        << index.contender.column << "`; `" << index.contender.setting << "` swept, " << index.sweep_end
        << '\n';
  }
}

void WriteIndexes(std::ostream& out, const Comparison& c) {
  const IndexResult& first = c.indexes.front();
  const auto clients = std::to_string(c.clients);
  out << "\n### Indexes\n\nIn brackets: how many times as much as " << first.contender.name << ".\n\n";
  WriteHeader(out, {"index", "build, s", "size, MB", "inserts/s", "CPU of an insert, µs",
                    "first query of a connection, ms", "queries/s, 1 client", clients + " clients", "with"});
  for (const IndexResult& index : c.indexes) {
    const auto beside = [&](const std::string& text, double value, double reference) {
      return &index == &first || reference <= 0 ? text : text + " (" + Times(value / reference) + ")";
    };
    WriteRow(
        out,
        {index.contender.name,
         beside(Fixed(index.built.seconds, 1), index.built.seconds, first.built.seconds),
         beside(Fixed(index.built.index_bytes / kMegabyte, 1), index.built.index_bytes,
                first.built.index_bytes),
         beside(Thousands(index.inserts_per_second), index.inserts_per_second, first.inserts_per_second),
         OrDash(index.insert_cpu), Fixed(index.first_query / 1e3, 1), Thousands(index.throughput.one_client),
         Thousands(index.throughput.clients), index.contender.setting + " = " + index.throughput.value});
  }
}

void WriteCold(std::ostream& out, const Comparison& c) {
  if (!c.indexes.front().cold) return;
  out << "\n### Cold queries\n\n"
      << "Each finds nothing in memory, neither the server's nor the operating system's; setting as "
         "above.\n\n";
  WriteHeader(out, {"index", "median, ms", "mean, ms"});
  for (const IndexResult& index : c.indexes) {
    WriteRow(out, {index.contender.name, Fixed(index.cold->p50 / 1e3, 1), Fixed(index.cold->mean / 1e3, 1)});
  }
}

void WriteBesideInserts(std::ostream& out, const Comparison& c) {
  if (!c.indexes.front().beside_inserts) return;
  out << "\n### Queries beside inserts\n\n"
      << "One client asks, with the setting above, while another inserts rows one by one.\n\n";
  WriteHeader(out, {"index", "queries/s alone", "beside inserts", "share kept", "inserts/s meanwhile"});
  for (const IndexResult& index : c.indexes) {
    const BesideInserts& beside = *index.beside_inserts;
    WriteRow(out, {index.contender.name, Thousands(beside.queries_alone), Thousands(beside.queries),
                   Fixed(100 * beside.queries / beside.queries_alone, 0) + "%", Thousands(beside.inserts)});
  }
}

void WriteAtRecall(std::ostream& out, const Comparison& c, double recall) {
  const IndexResult& first = c.indexes.front();
  const Point* reference = PointReaching(first, recall);
  for (const IndexResult& index : c.indexes) {
    const Point* point = PointReaching(index, recall);
    const std::string name = "≥ " + Fixed(recall, 2) + ", " + index.contender.name;
    if (point == nullptr) {
      WriteRow(out, {name, "not reached", Fixed(HighestRecall(index), 3) + " at most", "", "", "", "", "", "",
                     ""});
      continue;
    }
    const bool beside = reference != nullptr && reference != point;
    const std::string cpu_ratio =
        beside && reference->cpu && point->cpu ? " (" + Times(*point->cpu / *reference->cpu) + ")" : "";
    WriteRow(out, {name, point->value, Fixed(point->recall, 3), Thousands(QueriesPerSecond(*point)),
                   beside ? Times(QueriesPerSecond(*reference) / QueriesPerSecond(*point)) : "",
                   Thousands(point->latency.mean), Thousands(point->latency.p99),
                   Times(point->latency.p50 / point->select_1), OrDash(point->cpu) + cpu_ratio,
                   Thousands(point->buffers)});
  }
}

void WriteTargets(std::ostream& out, const Comparison& c) {
  const std::string& first = c.indexes.front().contender.name;
  out << "\n### At equal recall\n\nThe first setting of each sweep that reaches the recall@" << c.limit
      << ". CPU: of the server process, in brackets how many times as much as " << first << ".\n\n";
  WriteHeader(out, {"recall, index", "setting", "recall", "queries/s", first + " faster by", "mean, µs",
                    "p99, µs", "median in `SELECT 1`s", "CPU, µs", "buffers"});
  for (const double recall : kRecalls) WriteAtRecall(out, c, recall);
}

void WriteSweeps(std::ostream& out, const Comparison& c) {
  out << "\n### Every setting\n\n";
  WriteHeader(out, {"index", "setting", "recall", "queries/s", "mean, µs", "rounds, µs", "p50", "p95", "p99",
                    "`SELECT 1`, µs", "CPU, µs", "buffers"});
  for (const IndexResult& index : c.indexes) {
    for (const Point& point : index.points) {
      WriteRow(out, {index.contender.name, point.value, Fixed(point.recall, 4),
                     Thousands(QueriesPerSecond(point)), Thousands(point.latency.mean),
                     Thousands(point.fastest_round) + "–" + Thousands(point.slowest_round),
                     Thousands(point.latency.p50), Thousands(point.latency.p95), Thousands(point.latency.p99),
                     Thousands(point.select_1), OrDash(point.cpu), Thousands(point.buffers)});
    }
  }
}

// ---- CSV

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + '"';
}

std::string OrNothing(const std::optional<double>& value) { return value ? Fixed(*value, 1) : ""; }

// A named column's value.
using Field = std::pair<std::string, std::string>;

// With the names above the first row.
void WriteCsv(std::ostream& out, const std::vector<std::vector<Field>>& rows) {
  const auto write = [&](const std::vector<Field>& row, std::string Field::*part) {
    for (std::size_t i = 0; i < row.size(); ++i) out << (i == 0 ? "" : ",") << row[i].*part;
    out << '\n';
  };
  if (!rows.empty()) write(rows.front(), &Field::first);
  for (const std::vector<Field>& row : rows) write(row, &Field::second);
}

std::vector<Field> CommonFields(const Comparison& c, const IndexResult& index) {
  return {{"dataset", Quoted(c.name)},        {"rows", std::to_string(c.rows)},
          {"dims", std::to_string(c.dims)},   {"operator", Quoted(c.op)},
          {"limit", std::to_string(c.limit)}, {"index", Quoted(index.contender.name)}};
}

std::vector<Field> PointFields(const Comparison& c, const IndexResult& index, const Point& point) {
  std::vector<Field> out = CommonFields(c, index);
  const std::vector<Field> figures = {{"setting", index.contender.setting},
                                      {"value", point.value},
                                      {"recall", Fixed(point.recall, 4)},
                                      {"queries_per_second", Fixed(QueriesPerSecond(point), 1)},
                                      {"mean_us", Fixed(point.latency.mean, 1)},
                                      {"p50_us", Fixed(point.latency.p50, 1)},
                                      {"p95_us", Fixed(point.latency.p95, 1)},
                                      {"p99_us", Fixed(point.latency.p99, 1)},
                                      {"fastest_round_us", Fixed(point.fastest_round, 1)},
                                      {"slowest_round_us", Fixed(point.slowest_round, 1)},
                                      {"select_1_p50_us", Fixed(point.select_1, 1)},
                                      {"cpu_us", OrNothing(point.cpu)},
                                      {"buffers", Fixed(point.buffers, 1)}};
  out.insert(out.end(), figures.begin(), figures.end());
  return out;
}

std::vector<Field> IndexFields(const Comparison& c, const IndexResult& index) {
  std::vector<Field> out = CommonFields(c, index);
  const Throughput& throughput = index.throughput;
  const std::vector<Field> figures = {{"definition", Quoted(index.contender.index)},
                                      {"build_seconds", Fixed(index.built.seconds, 3)},
                                      {"index_bytes", Fixed(index.built.index_bytes, 0)},
                                      {"table_bytes", Fixed(index.built.table_bytes, 0)},
                                      {"inserts_per_second", Fixed(index.inserts_per_second, 1)},
                                      {"insert_cpu_us", OrNothing(index.insert_cpu)},
                                      {"first_query_us", Fixed(index.first_query, 1)},
                                      {"throughput_setting", throughput.value},
                                      {"one_client_queries_per_second", Fixed(throughput.one_client, 1)},
                                      {"clients", std::to_string(c.clients)},
                                      {"clients_queries_per_second", Fixed(throughput.clients, 1)}};
  out.insert(out.end(), figures.begin(), figures.end());
  const auto cold = [&](double LatencySummary::*time) {
    return index.cold ? Fixed((*index.cold).*time, 1) : "";
  };
  const auto beside = [&](double BesideInserts::*rate) {
    return index.beside_inserts ? Fixed((*index.beside_inserts).*rate, 1) : "";
  };
  out.push_back({"cold_p50_us", cold(&LatencySummary::p50)});
  out.push_back({"cold_mean_us", cold(&LatencySummary::mean)});
  out.push_back({"queries_alone_per_second", beside(&BesideInserts::queries_alone)});
  out.push_back({"queries_beside_inserts_per_second", beside(&BesideInserts::queries)});
  out.push_back({"inserts_beside_queries_per_second", beside(&BesideInserts::inserts)});
  for (const double recall : kRecalls) {
    const Point* point = PointReaching(index, recall);
    const std::string at = "_at_" + Fixed(recall, 2);
    out.push_back({"queries_per_second" + at, point == nullptr ? "" : Fixed(QueriesPerSecond(*point), 1)});
    out.push_back({"cpu_us" + at, point == nullptr ? "" : OrNothing(point->cpu)});
  }
  return out;
}

void WritePointsCsv(std::ostream& out, const Comparison& c) {
  std::vector<std::vector<Field>> rows;
  for (const IndexResult& index : c.indexes) {
    for (const Point& point : index.points) rows.push_back(PointFields(c, index, point));
  }
  WriteCsv(out, rows);
}

void WriteIndexesCsv(std::ostream& out, const Comparison& c) {
  std::vector<std::vector<Field>> rows;
  for (const IndexResult& index : c.indexes) rows.push_back(IndexFields(c, index));
  WriteCsv(out, rows);
}

// ---- Plot

// `per_second` has no value for points that are not drawn.
std::string RecallPlot(const Comparison& c, const std::string& label, const auto& per_second) {
  Plot plot;
  plot.title = c.name + ": recall and speed";
  plot.subtitle = Thousands(static_cast<double>(c.rows)) + " rows, " + std::to_string(c.dims) +
                  " dimensions; " + std::to_string(c.limit) + " nearest by " + c.op + "; one connection";
  plot.x = {"recall@" + std::to_string(c.limit), Scale::kRecall};
  plot.y = {label, Scale::kLog};
  for (const IndexResult& index : c.indexes) {
    Series series{index.contender.name, {}};
    for (const Point& point : index.points) {
      const std::optional<double> speed = per_second(point);
      if (!speed) continue;
      series.points.push_back({point.recall, *speed,
                               index.contender.setting + " = " + point.value + ": recall " +
                                   Fixed(point.recall, 3) + ", " + Thousands(*speed)});
    }
    plot.series.push_back(std::move(series));
  }
  return DrawSvg(plot);
}

std::optional<double> QueriesPerCpuSecond(const Point& point) {
  if (!point.cpu || *point.cpu <= 0) return std::nullopt;
  return 1e6 / *point.cpu;
}

bool HasCpu(const Comparison& c) {
  return std::ranges::any_of(c.indexes, [](const IndexResult& index) {
    return std::ranges::any_of(index.points,
                               [](const Point& point) { return QueriesPerCpuSecond(point).has_value(); });
  });
}

template <typename Write>
void WriteFile(const std::string& path, Write write) {
  std::ofstream out(path);
  write(out);
  out.close();
  if (!out) throw std::runtime_error(path + ": cannot be written");
}

}  // namespace

const Point* PointReaching(const IndexResult& index, double recall) {
  const auto found =
      std::ranges::find_if(index.points, [&](const Point& point) { return point.recall >= recall; });
  return found == index.points.end() ? nullptr : &*found;
}

void WriteComparison(const Comparison& comparison, const std::string& directory) {
  std::filesystem::create_directories(directory);
  const std::string base = directory + "/" + comparison.name;
  WriteFile(base + ".csv", [&](std::ostream& out) { WritePointsCsv(out, comparison); });
  WriteFile(base + "-indexes.csv", [&](std::ostream& out) { WriteIndexesCsv(out, comparison); });
  WriteFile(base + ".md", [&](std::ostream& out) {
    WriteCircumstances(out, comparison);
    WriteIndexes(out, comparison);
    WriteCold(out, comparison);
    WriteBesideInserts(out, comparison);
    WriteTargets(out, comparison);
    WriteSweeps(out, comparison);
  });
  WriteFile(base + ".svg", [&](std::ostream& out) {
    out << RecallPlot(comparison, "queries per second",
                      [](const Point& point) { return std::optional(QueriesPerSecond(point)); });
  });
  if (!HasCpu(comparison)) return;
  WriteFile(base + "-cpu.svg", [&](std::ostream& out) {
    out << RecallPlot(comparison, "queries per second of the server’s processor time", QueriesPerCpuSecond);
  });
}

}  // namespace bench
