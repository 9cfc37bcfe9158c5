// Sets of vectors in memory: read from files, generated, split into rows and queries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace bench {

// Row-major matrix of float32.
struct Matrix {
  std::size_t dims = 0;
  std::vector<float> values;

  std::size_t rows() const { return dims == 0 ? 0 : values.size() / dims; }
  std::span<const float> row(std::size_t i) const { return std::span(values).subspan(i * dims, dims); }
  std::span<float> row(std::size_t i) { return std::span(values).subspan(i * dims, dims); }
};

// Reads .fvecs, .npy (float32, C order, two dimensions) or, given `dims`, raw little-endian float32; at most
// `max_rows` rows of it (0: all). Throws std::runtime_error.
Matrix ReadVectors(const std::string& path, std::size_t dims, std::size_t max_rows);

// Writes raw little-endian float32.
void WriteRaw(const std::string& path, const Matrix& vectors);

// Scales each row to unit length; rows of zeros stay as they are.
void Normalise(Matrix& vectors);

struct ClusterOptions {
  std::size_t rows = 10000;
  std::size_t dims = 100;
  std::size_t clusters = 100;
  // Standard deviation within a cluster, where the centres' is 1.
  double spread = 0.5;
  std::uint64_t seed = 1;
};

// Normally distributed around normally distributed centres; the clusters' sizes follow Zipf's law.
Matrix GenerateClustered(const ClusterOptions& options);

// Row numbers of the file that are held out as queries (in random order), and the rest (ascending).
struct Split {
  std::vector<std::size_t> held_out;
  std::vector<std::size_t> kept;
};
Split HoldOut(std::size_t rows, std::size_t count, std::uint64_t seed);

}  // namespace bench
