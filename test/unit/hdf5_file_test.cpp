// Reading ann-benchmarks' HDF5 files: one is written here with all it holds (train, test, neighbors,
// distances, the attribute distance as fixed and as variable text), and damaged ones. Skipped where libhdf5
// was not found.
#include "../bench/hdf5_file.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef HAVE_HDF5
#include <hdf5.h>
#endif

namespace bench {
namespace {

TEST(Hdf5File, IsKnownByItsName) {
  EXPECT_TRUE(IsHdf5("glove-100-angular.hdf5"));
  EXPECT_TRUE(IsHdf5("a.h5"));
  EXPECT_FALSE(IsHdf5("a.f32"));
  EXPECT_FALSE(IsHdf5("hdf5"));
}

#ifdef HAVE_HDF5

std::string temporary(const std::string& name) { return testing::TempDir() + name; }

constexpr std::size_t kTrain = 7;
constexpr std::size_t kTest = 3;
constexpr std::size_t kDims = 5;
constexpr std::size_t kNeighbours = 2;

// Different for each element of each dataset.
float element(std::size_t dataset, std::size_t row, std::size_t column) {
  return static_cast<float>(dataset * 1000 + row * 10 + column) / 8;
}

template <typename T>
void write_dataset(hid_t file, const char* name, hid_t type, std::vector<hsize_t> shape,
                   const std::vector<T>& values) {
  const hid_t space = H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr);
  const hid_t data = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  EXPECT_GE(H5Dwrite(data, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
  H5Dclose(data);
  H5Sclose(space);
}

std::vector<float> elements(std::size_t dataset, std::size_t rows, std::size_t columns) {
  std::vector<float> out;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) out.push_back(element(dataset, i, j));
  }
  return out;
}

// h5py writes text of variable length.
void write_distance(hid_t file, const std::string& distance, bool is_variable) {
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, is_variable ? H5T_VARIABLE : distance.size());
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t attribute = H5Acreate2(file, "distance", type, space, H5P_DEFAULT, H5P_DEFAULT);
  const char* text = distance.c_str();
  EXPECT_GE(H5Awrite(attribute, type, is_variable ? static_cast<const void*>(&text) : text), 0);
  H5Aclose(attribute);
  H5Sclose(space);
  H5Tclose(type);
}

class Hdf5FileTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    const hid_t file = H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    ASSERT_GE(file, 0);
    write_dataset(file, "train", H5T_NATIVE_FLOAT, {kTrain, kDims}, elements(1, kTrain, kDims));
    // Some sets are in double precision.
    const auto test = elements(2, kTest, kDims);
    write_dataset(file, "test", H5T_NATIVE_DOUBLE, {kTest, kDims},
                  std::vector<double>(test.begin(), test.end()));
    write_dataset(file, "neighbors", H5T_NATIVE_INT, {kTest, kNeighbours},
                  std::vector<int>(kTest * kNeighbours, 1));
    write_dataset(file, "distances", H5T_NATIVE_FLOAT, {kTest, kNeighbours}, elements(3, kTest, kNeighbours));
    write_dataset(file, "flat", H5T_NATIVE_FLOAT, {kDims}, elements(4, 1, kDims));
    write_distance(file, "angular", GetParam());
    H5Fclose(file);
  }
  void TearDown() override { std::remove(path_.c_str()); }

  std::string path_ = temporary("scann_bench.hdf5");
};

TEST_P(Hdf5FileTest, HasItsRows) {
  const Matrix train = ReadHdf5(path_, "train", 0);
  EXPECT_EQ(train.dims, kDims);
  EXPECT_EQ(train.values, elements(1, kTrain, kDims));
  EXPECT_EQ(ReadHdf5(path_, "test", 0).values, elements(2, kTest, kDims));
  EXPECT_EQ(ReadHdf5(path_, "distances", 0).values, elements(3, kTest, kNeighbours));
}

TEST_P(Hdf5FileTest, HasNoMoreRowsThanAreAskedFor) {
  EXPECT_EQ(ReadHdf5(path_, "train", 4).values, elements(1, 4, kDims));
  EXPECT_EQ(ReadHdf5(path_, "train", 1000).rows(), kTrain);
}

TEST_P(Hdf5FileTest, SaysItsDistance) { EXPECT_EQ(ReadHdf5Distance(path_), "angular"); }

TEST_P(Hdf5FileTest, RefusesWhatIsNotThere) {
  EXPECT_THROW(ReadHdf5(path_, "queries", 0), std::runtime_error);
  EXPECT_THROW(ReadHdf5(path_, "flat", 0), std::runtime_error);
  EXPECT_THROW(ReadHdf5(path_ + ".missing.hdf5", "train", 0), std::runtime_error);
  EXPECT_THROW(ReadHdf5Distance(path_ + ".missing.hdf5"), std::runtime_error);
}

TEST_P(Hdf5FileTest, RefusesAFileThatIsCutOff) {
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) / 2);
  EXPECT_THROW(ReadHdf5(path_, "train", 0), std::runtime_error);
}

INSTANTIATE_TEST_SUITE_P(TextOfTheAttribute, Hdf5FileTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "variable" : "fixed"; });

TEST(Hdf5File, MayHaveNoDistance) {
  const std::string path = temporary("scann_bench_plain.hdf5");
  H5Fclose(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
  EXPECT_EQ(ReadHdf5Distance(path), "");
  std::remove(path.c_str());
}

#else

TEST(Hdf5File, NeedsTheLibrary) {
  try {
    ReadHdf5("a.hdf5", "train", 0);
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("libhdf5-dev"), std::string::npos) << error.what();
  }
}

#endif

}  // namespace
}  // namespace bench
