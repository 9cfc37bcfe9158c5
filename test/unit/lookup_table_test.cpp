// Tables reproduce inner products to half a step a block and never overflow 16 bits: 1 to 16,000 dimensions,
// 1 to 167 dimensions a block with padding, hostile codewords and queries, on every instruction set.
#include "core/lookup_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "every_target.hpp"

namespace scann {
namespace {

struct Table {
  Table(CodebookShape shape, std::vector<float> codewords, std::vector<float> query)
      : entries(shape.blocks() * kCodewords, 0xEE) {
    std::vector<float> scratch(lookup_table_scratch_floats(shape));
    table = build_lookup_table(shape, codewords, query, scratch, entries);
  }

  std::vector<std::uint8_t> entries;
  LookupTable table;
};

std::vector<float> normals(std::size_t n, float scale, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& value : values) value = normal(random) * scale;
  return values;
}

// Codewords with the padding of the last block set to zero, as training leaves it.
std::vector<float> random_codewords(CodebookShape shape, float scale, unsigned seed) {
  std::vector<float> codewords = normals(shape.codewords(), scale, seed);
  const std::size_t width = shape.dims_per_block;
  for (std::size_t i = 0; i < codewords.size(); ++i) {
    if (i / (width * kCodewords) * width + i % width >= shape.dims) codewords[i] = 0;
  }
  return codewords;
}

void check_table(CodebookShape shape, const std::vector<float>& codewords, const std::vector<float>& query) {
  const Table built(shape, codewords, query);
  const LookupTable& table = built.table;
  ASSERT_EQ(table.entries, built.entries.data());
  ASSERT_EQ(table.blocks, shape.blocks());
  ASSERT_GT(table.scale, 0);
  ASSERT_LE(table.max_sum, 65535U);
  std::uint32_t max_sum = 0;
  double offset = 0;
  for (std::size_t b = 0; b < table.blocks; ++b) {
    double products[kCodewords];
    double magnitude = 0;
    for (std::size_t c = 0; c < kCodewords; ++c) {
      products[c] = 0;
      for (std::size_t i = 0; i < shape.dims_per_block && b * shape.dims_per_block + i < shape.dims; ++i) {
        const double product = double{query[b * shape.dims_per_block + i]} *
                               codewords[(b * kCodewords + c) * shape.dims_per_block + i];
        products[c] += product;
        magnitude += std::fabs(product);
      }
    }
    const double least = *std::min_element(products, products + kCodewords);
    offset += least;
    std::uint8_t largest = 0;
    for (std::size_t c = 0; c < kCodewords; ++c) {
      const std::uint8_t entry = built.entries[b * kCodewords + c];
      ASSERT_NEAR(entry * double{table.scale}, products[c] - least, table.scale * 0.5001 + 1e-5 * magnitude);
      largest = std::max(largest, entry);
    }
    max_sum += largest;
  }
  EXPECT_EQ(table.max_sum, max_sum);
  EXPECT_NEAR(table.offset, offset,
              1e-5 * (std::fabs(offset) + static_cast<double>(table.blocks) * table.scale));
}

TEST(LookupTable, ReproducesInnerProducts) {
  on_every_target([] {
    for (const std::uint32_t dims : {1, 2, 3, 16, 17, 99, 100, 384, 1536}) {
      for (const std::uint32_t width : {1, 2, 3, 4, 5, 8, 16, 33}) {
        const CodebookShape shape{dims, width};
        for (const float scale : {1.0F, 1e-15F, 1e15F}) {
          check_table(shape, random_codewords(shape, scale, dims), normals(dims, scale, width));
        }
      }
    }
  });
}

TEST(LookupTable, MostDimensions) {
  for (const std::uint32_t width : {1, 2, 16, 167}) {
    const CodebookShape shape{16000, width};
    check_table(shape, random_codewords(shape, 1, width), normals(16000, 1, 1));
  }
}

TEST(LookupTable, UsesTheWholeRange) {
  const CodebookShape shape{100, 2};
  const Table built(shape, random_codewords(shape, 1, 1), normals(100, 1, 2));
  EXPECT_EQ(*std::max_element(built.entries.begin(), built.entries.end()), 255);
}

TEST(LookupTable, EqualCodewordsAndZeroQueries) {
  const CodebookShape shape{10, 3};
  for (const Table& built : {Table(shape, std::vector<float>(shape.codewords(), 2.0F), normals(10, 1, 1)),
                             Table(shape, random_codewords(shape, 1, 1), std::vector<float>(10))}) {
    EXPECT_GT(built.table.scale, 0);
    EXPECT_EQ(built.table.max_sum, 0U);
  }
}

TEST(LookupTable, HostileQueriesGiveValidTables) {
  on_every_target([] {
    const CodebookShape shape{1000, 2};
    for (const float scale : {1e-44F, 1e-38F, 1e20F, 1e37F}) {
      for (const float query_scale : {1e-44F, 1e-38F, 1.0F, 1e20F, 1e37F}) {
        const Table built(shape, random_codewords(shape, scale, 1), normals(1000, query_scale, 2));
        EXPECT_GT(built.table.scale, 0);
        EXPECT_TRUE(std::isfinite(built.table.scale));
        EXPECT_TRUE(std::isfinite(built.table.offset));
        std::uint32_t max_sum = 0;
        for (std::size_t b = 0; b < built.table.blocks; ++b) {
          const auto block = built.entries.begin() + static_cast<std::ptrdiff_t>(b * kCodewords);
          max_sum += *std::max_element(block, block + kCodewords);
        }
        EXPECT_EQ(built.table.max_sum, max_sum);
        EXPECT_LE(max_sum, 65535U);
      }
    }
  });
}

}  // namespace
}  // namespace scann
