// scann_bench generate: writes clustered vectors where no real ones are at hand.
#include <fstream>
#include <stdexcept>
#include <vector>

#include "commands.hpp"
#include "nested_clusters.hpp"
#include "vectors.hpp"

namespace bench {
namespace {

// Row by row: there may be more than fit into memory.
void GenerateNested(const Options& options, const ClusterOptions& size) {
  std::ofstream out(options.out, std::ios::binary);
  NestedClusters clusters(size.dims, size.seed);
  std::vector<float> row(size.dims);
  for (std::size_t i = 0; i < size.rows; ++i) {
    clusters.Next(row);
    out.write(reinterpret_cast<const char*>(row.data()),
              static_cast<std::streamsize>(row.size() * sizeof(float)));
  }
  out.close();
  if (!out) throw std::runtime_error(options.out + ": cannot be written");
}

}  // namespace

void Generate(const Options& options, Report& report) {
  if (options.out.empty()) throw std::runtime_error("--out is needed");
  ClusterOptions clusters;
  if (options.rows != 0) clusters.rows = options.rows;
  if (options.dims != 0) clusters.dims = options.dims;
  clusters.clusters = options.clusters;
  clusters.spread = options.spread;
  clusters.seed = options.seed;
  if (clusters.clusters == 0) throw std::runtime_error("--clusters must not be 0");
  if (options.nested) {
    GenerateNested(options, clusters);
  } else {
    WriteRaw(options.out, GenerateClustered(clusters));
  }
  report.Number("rows", "rows", static_cast<double>(clusters.rows), 0);
  report.Number("dims", "dimensions", static_cast<double>(clusters.dims), 0);
}

}  // namespace bench
