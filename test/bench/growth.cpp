// scann_bench growth: plots how the figures of comparisons grow with the number of rows.
#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "commands.hpp"
#include "csv.hpp"
#include "plot.hpp"

namespace bench {
namespace {

struct Figure {
  const char* column;  // of NAME-indexes.csv
  const char* file;
  const char* title;
  const char* label;
};
constexpr Figure kFigures[] = {
    {"cpu_us_at_0.95", "growth-query.svg", "Queries and the number of rows",
     "processor time of a query at recall 0.95, µs"},
    {"build_seconds", "growth-build.svg", "Builds and the number of rows", "build time, s"},
    {"index_bytes", "growth-size.svg", "Size and the number of rows", "size of the index, bytes"},
};

std::vector<CsvRow> ReadAll(const std::vector<std::string>& paths) {
  std::vector<CsvRow> all;
  for (const std::string& path : paths) {
    std::ifstream in(path);
    if (!in) throw std::runtime_error(path + ": cannot be opened");
    std::ranges::move(ReadCsv(in), std::back_inserter(all));
  }
  return all;
}

Series& SeriesOf(Plot& plot, const std::string& name) {
  const auto found = std::ranges::find(plot.series, name, &Series::name);
  if (found != plot.series.end()) return *found;
  plot.series.push_back({name, {}});
  return plot.series.back();
}

Plot PlotOf(const Figure& figure, const std::vector<CsvRow>& rows) {
  Plot plot{figure.title, rows.front().at("dims") + " dimensions", {"rows"}, {figure.label}, {}};
  for (const CsvRow& row : rows) {
    Series& series = SeriesOf(plot, row.at("index"));
    const std::string& value = row.at(figure.column);
    if (value.empty()) continue;  // the recall was not reached
    series.points.push_back({std::stod(row.at("rows")), std::stod(value), row.at("dataset") + ": " + value});
  }
  for (Series& series : plot.series) std::ranges::sort(series.points, {}, &PlotPoint::x);
  return plot;
}

}  // namespace

void Growth(const Options& options, Report& report) {
  if (options.results.empty() || options.out.empty())
    throw std::runtime_error("--results and --out are needed");
  const std::vector<CsvRow> rows = ReadAll(options.results);
  if (rows.empty()) throw std::runtime_error("the results are empty");
  for (const Figure& figure : kFigures) {
    const std::string path = options.out + "/" + figure.file;
    std::ofstream out(path);
    out << DrawSvg(PlotOf(figure, rows));
    out.close();
    if (!out) throw std::runtime_error(path + ": cannot be written");
    report.Text(figure.column, "plot", path);
  }
}

}  // namespace bench
