// Reads the HDF5 files of ann-benchmarks: datasets "train" and "test" of float32 rows, and the attribute
// "distance".
#pragma once

#include <cstddef>
#include <string>

#include "vectors.hpp"

namespace bench {

bool IsHdf5(const std::string& path);

// At most `max_rows` rows (0: all) of a two-dimensional dataset of floating-point numbers. Throws
// std::runtime_error, also where the program was built without libhdf5.
Matrix ReadHdf5(const std::string& path, const std::string& dataset, std::size_t max_rows);

// The attribute "distance" of the file: angular, euclidean, ...; empty if it has none.
std::string ReadHdf5Distance(const std::string& path);

}  // namespace bench
