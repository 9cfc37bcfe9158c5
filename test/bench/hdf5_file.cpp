// Reads the HDF5 files of ann-benchmarks: datasets "train" and "test" of float32 rows, and the attribute
// "distance".
#include "hdf5_file.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#ifdef HAVE_HDF5
#include <hdf5.h>
#endif

namespace bench {

bool IsHdf5(const std::string& path) { return path.ends_with(".hdf5") || path.ends_with(".h5"); }

#ifdef HAVE_HDF5

namespace {

// Owner of one of the library's identifiers. The library's own messages are not wanted: what failed is said
// here.
class Handle {
 public:
  Handle(hid_t id, herr_t (*close)(hid_t), const std::string& path, const std::string& what)
      : id_(id), close_(close) {
    if (id_ < 0) throw std::runtime_error(path + ": cannot read " + what);
  }
  ~Handle() { close_(id_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  operator hid_t() const { return id_; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

hid_t OpenFile(const std::string& path) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  return H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
}

std::string ReadString(hid_t attribute, hid_t type, const std::string& path) {
  if (H5Tis_variable_str(type) > 0) {
    const Handle memory_type(H5Tcopy(type), H5Tclose, path, "the attribute distance");
    char* text = nullptr;
    if (H5Aread(attribute, memory_type, &text) < 0 || text == nullptr) return "";
    std::string out(text);
    H5free_memory(text);
    return out;
  }
  std::string out(H5Tget_size(type), '\0');
  if (H5Aread(attribute, type, out.data()) < 0) return "";
  return out.substr(0, out.find('\0'));
}

}  // namespace

Matrix ReadHdf5(const std::string& path, const std::string& dataset, std::size_t max_rows) {
  const Handle file(OpenFile(path), H5Fclose, path, "it as HDF5");
  const Handle data(H5Dopen2(file, dataset.c_str(), H5P_DEFAULT), H5Dclose, path, "the dataset " + dataset);
  const Handle space(H5Dget_space(data), H5Sclose, path, "the shape of " + dataset);
  std::array<hsize_t, 2> shape{};
  if (H5Sget_simple_extent_ndims(space) != 2 ||
      H5Sget_simple_extent_dims(space, shape.data(), nullptr) != 2) {
    throw std::runtime_error(path + ": the dataset " + dataset + " does not have two dimensions");
  }
  if (max_rows != 0) shape[0] = std::min<hsize_t>(shape[0], max_rows);

  Matrix out{static_cast<std::size_t>(shape[1]), std::vector<float>(shape[0] * shape[1])};
  constexpr std::array<hsize_t, 2> kStart{0, 0};
  const Handle memory(H5Screate_simple(2, shape.data(), nullptr), H5Sclose, path, "the shape of " + dataset);
  if (H5Sselect_hyperslab(space, H5S_SELECT_SET, kStart.data(), nullptr, shape.data(), nullptr) < 0 ||
      H5Dread(data, H5T_NATIVE_FLOAT, memory, space, H5P_DEFAULT, out.values.data()) < 0) {
    throw std::runtime_error(path + ": the dataset " + dataset + " cannot be read as floating-point numbers");
  }
  return out;
}

std::string ReadHdf5Distance(const std::string& path) {
  const Handle file(OpenFile(path), H5Fclose, path, "it as HDF5");
  if (H5Aexists(file, "distance") <= 0) return "";
  const Handle attribute(H5Aopen(file, "distance", H5P_DEFAULT), H5Aclose, path, "the attribute distance");
  const Handle type(H5Aget_type(attribute), H5Tclose, path, "the attribute distance");
  if (H5Tget_class(type) != H5T_STRING) return "";
  return ReadString(attribute, type, path);
}

#else

namespace {

std::runtime_error Unavailable(const std::string& path) {
  return std::runtime_error(path +
                            ": scann_bench was built without HDF5; install libhdf5-dev and build it again");
}

}  // namespace

Matrix ReadHdf5(const std::string& path, const std::string&, std::size_t) { throw Unavailable(path); }

std::string ReadHdf5Distance(const std::string& path) { throw Unavailable(path); }

#endif

}  // namespace bench
