// Sets of vectors in memory: read from files, generated, split into rows and queries.
#include "vectors.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <numeric>
#include <regex>
#include <stdexcept>
#include <utility>

#include "random.hpp"

static_assert(std::endian::native == std::endian::little, "the file formats are little-endian");

namespace bench {
namespace {

std::runtime_error Broken(const std::string& path, const std::string& why) {
  return std::runtime_error(path + ": " + why);
}

std::ifstream Open(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Broken(path, "cannot be opened");
  return in;
}

std::size_t RemainingBytes(std::ifstream& in) {
  const auto here = in.tellg();
  in.seekg(0, std::ios::end);
  const auto end = in.tellg();
  in.seekg(here);
  return static_cast<std::size_t>(end - here);
}

void ReadBytes(std::ifstream& in, const std::string& path, void* to, std::size_t size) {
  if (!in.read(static_cast<char*>(to), static_cast<std::streamsize>(size)))
    throw Broken(path, "is too short");
}

std::size_t AtMost(std::size_t rows, std::size_t max_rows) {
  return max_rows == 0 ? rows : std::min(rows, max_rows);
}

// Each vector is preceded by its number of dimensions as int32.
Matrix ReadFvecs(const std::string& path, std::size_t max_rows) {
  auto in = Open(path);
  const std::size_t size = RemainingBytes(in);
  std::int32_t dims = 0;
  ReadBytes(in, path, &dims, sizeof dims);
  if (dims <= 0) throw Broken(path, "is not an .fvecs file");
  in.seekg(0);

  Matrix out{static_cast<std::size_t>(dims), {}};
  const std::size_t rows = AtMost(size / (sizeof dims + sizeof(float) * out.dims), max_rows);
  out.values.resize(rows * out.dims);
  for (std::size_t i = 0; i < rows; ++i) {
    std::int32_t row_dims = 0;
    ReadBytes(in, path, &row_dims, sizeof row_dims);
    if (row_dims != dims) throw Broken(path, "has vectors of different dimensions");
    ReadBytes(in, path, out.row(i).data(), out.row(i).size_bytes());
  }
  return out;
}

Matrix ReadRawFrom(std::ifstream& in, const std::string& path, std::size_t dims, std::size_t max_rows) {
  const std::size_t size = RemainingBytes(in);
  const std::size_t row_size = dims * sizeof(float);
  if (dims == 0 || size % row_size != 0) throw Broken(path, "does not hold whole vectors");
  Matrix out{dims, std::vector<float>(AtMost(size / row_size, max_rows) * dims)};
  ReadBytes(in, path, out.values.data(), out.values.size() * sizeof(float));
  return out;
}

// A magic, a version, the length of a Python dictionary, the dictionary, the data.
Matrix ReadNpy(const std::string& path, std::size_t max_rows) {
  auto in = Open(path);
  char magic[8];
  ReadBytes(in, path, magic, sizeof magic);
  if (std::memcmp(magic, "\x93NUMPY", 6) != 0) throw Broken(path, "is not a .npy file");
  std::uint32_t length = 0;
  ReadBytes(in, path, &length, magic[6] == 1 ? 2 : 4);
  std::string header(length, '\0');
  ReadBytes(in, path, header.data(), header.size());

  std::smatch shape;
  const bool is_float32 = header.find("'<f4'") != std::string::npos;
  const bool is_row_major = header.find("'fortran_order': False") != std::string::npos;
  if (!is_float32 || !is_row_major ||
      !std::regex_search(header, shape, std::regex(R"('shape': \((\d+), *(\d+)\))"))) {
    throw Broken(path, "is not a two-dimensional float32 array in C order");
  }
  Matrix out = ReadRawFrom(in, path, std::stoull(shape[2]), max_rows);
  if (max_rows == 0 && out.rows() != std::stoull(shape[1])) throw Broken(path, "is too short");
  return out;
}

}  // namespace

Matrix ReadVectors(const std::string& path, std::size_t dims, std::size_t max_rows) {
  if (path.ends_with(".fvecs")) return ReadFvecs(path, max_rows);
  if (path.ends_with(".npy")) return ReadNpy(path, max_rows);
  if (dims == 0) throw Broken(path, "is neither .fvecs nor .npy: give --dims to read it as raw float32");
  auto in = Open(path);
  return ReadRawFrom(in, path, dims, max_rows);
}

void WriteRaw(const std::string& path, const Matrix& vectors) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(vectors.values.data()),
            static_cast<std::streamsize>(vectors.values.size() * sizeof(float)));
  out.close();
  if (!out) throw Broken(path, "cannot be written");
}

void Normalise(Matrix& vectors) {
  for (std::size_t i = 0; i < vectors.rows(); ++i) {
    const auto row = vectors.row(i);
    double squares = 0;
    for (const float x : row) squares += double{x} * x;
    if (squares == 0) continue;
    const double scale = 1 / std::sqrt(squares);
    for (float& x : row) x = static_cast<float>(x * scale);
  }
}

Matrix GenerateClustered(const ClusterOptions& options) {
  Random random(options.seed);
  Matrix centres{options.dims, std::vector<float>(options.clusters * options.dims)};
  for (float& x : centres.values) x = static_cast<float>(random.Normal());

  std::vector<double> cumulative(options.clusters);
  double total = 0;
  for (std::size_t c = 0; c < options.clusters; ++c)
    cumulative[c] = total += 1.0 / static_cast<double>(c + 1);

  Matrix out{options.dims, std::vector<float>(options.rows * options.dims)};
  for (std::size_t i = 0; i < options.rows; ++i) {
    const auto found = std::ranges::lower_bound(cumulative, random.Uniform() * total);
    const auto cluster =
        std::min<std::size_t>(static_cast<std::size_t>(found - cumulative.begin()), options.clusters - 1);
    const auto centre = std::as_const(centres).row(cluster);
    const auto row = out.row(i);
    for (std::size_t j = 0; j < options.dims; ++j) {
      row[j] = centre[j] + static_cast<float>(options.spread * random.Normal());
    }
  }
  return out;
}

Split HoldOut(std::size_t rows, std::size_t count, std::uint64_t seed) {
  if (count > rows) throw std::runtime_error("more rows are to be held out than there are");
  // The first steps of a Fisher-Yates shuffle.
  std::vector<std::size_t> order(rows);
  std::iota(order.begin(), order.end(), std::size_t{0});
  Random random(seed);
  for (std::size_t i = 0; i < count; ++i) std::swap(order[i], order[i + random.Below(rows - i)]);

  const auto end = order.begin() + static_cast<std::ptrdiff_t>(count);
  Split split{{order.begin(), end}, {end, order.end()}};
  std::ranges::sort(split.kept);
  return split;
}

}  // namespace bench
