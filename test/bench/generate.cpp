// scann_bench generate: writes clustered vectors where no real ones are at hand.
#include <stdexcept>

#include "commands.hpp"
#include "vectors.hpp"

namespace bench {

void Generate(const Options& options, Report& report) {
  if (options.out.empty()) throw std::runtime_error("--out is needed");
  ClusterOptions clusters;
  if (options.rows != 0) clusters.rows = options.rows;
  if (options.dims != 0) clusters.dims = options.dims;
  clusters.clusters = options.clusters;
  clusters.spread = options.spread;
  clusters.seed = options.seed;
  if (clusters.clusters == 0) throw std::runtime_error("--clusters must not be 0");
  const Matrix vectors = GenerateClustered(clusters);
  WriteRaw(options.out, vectors);
  report.Number("rows", "rows", static_cast<double>(vectors.rows()), 0);
  report.Number("dims", "dimensions", static_cast<double>(vectors.dims), 0);
}

}  // namespace bench
