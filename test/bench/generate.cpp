// scann_bench generate: writes clustered vectors where no real ones are at hand, or maps real ones to more
// dimensions.
#include <fstream>
#include <span>
#include <stdexcept>
#include <vector>

#include "commands.hpp"
#include "dataset.hpp"
#include "nested_clusters.hpp"
#include "random_map.hpp"
#include "vectors.hpp"

namespace bench {
namespace {

// Row by row, as raw float32: there may be more than fit into memory. `fill` makes row number `i`.
template <typename Fill>
void WriteRows(const std::string& path, std::size_t rows, std::size_t dims, Fill fill) {
  std::ofstream out(path, std::ios::binary);
  std::vector<float> row(dims);
  for (std::size_t i = 0; i < rows; ++i) {
    fill(i, row);
    out.write(reinterpret_cast<const char*>(row.data()),
              static_cast<std::streamsize>(row.size() * sizeof(float)));
  }
  out.close();
  if (!out) throw std::runtime_error(path + ": cannot be written");
}

void ReportSize(std::size_t rows, std::size_t dims, Report& report) {
  report.Number("rows", "rows", static_cast<double>(rows), 0);
  report.Number("dims", "dimensions", static_cast<double>(dims), 0);
}

void GenerateMap(const Options& options, Report& report) {
  const Matrix from = ReadRows(options).vectors;
  const RandomMap map(from.dims, options.map_to, options.seed);
  WriteRows(options.out, from.rows(), options.map_to,
            [&](std::size_t i, std::span<float> row) { map.Apply(from.row(i), row); });
  ReportSize(from.rows(), options.map_to, report);
}

void GenerateClusters(const Options& options, Report& report) {
  ClusterOptions clusters;
  if (options.rows != 0) clusters.rows = options.rows;
  if (options.dims != 0) clusters.dims = options.dims;
  clusters.clusters = options.clusters;
  clusters.spread = options.spread;
  clusters.seed = options.seed;
  if (clusters.clusters == 0) throw std::runtime_error("--clusters must not be 0");
  if (options.nested) {
    NestedClusters nested(clusters.dims, clusters.seed);
    WriteRows(options.out, clusters.rows, clusters.dims,
              [&](std::size_t, std::span<float> row) { nested.Next(row); });
  } else {
    WriteRaw(options.out, GenerateClustered(clusters));
  }
  ReportSize(clusters.rows, clusters.dims, report);
}

}  // namespace

void Generate(const Options& options, Report& report) {
  if (options.out.empty()) throw std::runtime_error("--out is needed");
  if (options.data.empty() != (options.map_to == 0)) {
    throw std::runtime_error("--data and --map-to are needed together");
  }
  options.map_to == 0 ? GenerateClusters(options, report) : GenerateMap(options, report);
}

}  // namespace bench
