// Codes and terms survive packing, in every lane, whatever was packed before: 1 to 37 blocks, with and
// without terms.
#include "core/code_block.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace scann {
namespace {

TEST(CodeBlock, DrawnLayout) {
  std::vector<std::uint8_t> group(group_bytes(2, false));
  store_codes(std::vector<std::uint8_t>{3, 4}, 1, group.data());
  store_codes(std::vector<std::uint8_t>{5, 6}, 17, group.data());
  EXPECT_EQ(group[1], 3 | 5 << 4);
  EXPECT_EQ(group[17], 4 | 6 << 4);
}

TEST(CodeBlock, Sizes) {
  EXPECT_EQ(group_bytes(50, false), 800U);
  EXPECT_EQ(group_bytes(50, true), 864U);
}

TEST(CodeBlock, RoundTripInAnyOrder) {
  std::mt19937 random(1);
  for (const std::size_t blocks : {1, 2, 3, 4, 7, 25, 37}) {
    std::vector<std::uint8_t> group(group_bytes(blocks, true), 0xA5);
    std::vector<std::vector<std::uint8_t>> stored(kGroupSize);
    std::vector<std::uint16_t> terms(kGroupSize);
    for (int step = 0; step < 200; ++step) {
      const std::size_t lane = random() % kGroupSize;
      stored[lane].resize(blocks);
      for (std::uint8_t& code : stored[lane]) code = random() % kCodewords;
      terms[lane] = static_cast<std::uint16_t>(random());
      store_codes(stored[lane], lane, group.data());
      store_term(terms[lane], blocks, lane, group.data());
    }
    for (std::size_t lane = 0; lane < kGroupSize; ++lane) {
      std::vector<std::uint8_t> codes(stored[lane].size());
      load_codes(group.data(), lane, codes);
      EXPECT_EQ(codes, stored[lane]);
      if (codes.empty()) continue;
      EXPECT_EQ(load_term(blocks, lane, group.data()), terms[lane]);
    }
  }
}

TEST(CodeBlock, TermsAreLittleEndianBehindTheBlocks) {
  std::vector<std::uint8_t> group(group_bytes(3, true));
  store_term(0x1234, 3, 2, group.data());
  EXPECT_EQ(group[3 * 16 + 4], 0x34);
  EXPECT_EQ(group[3 * 16 + 5], 0x12);
}

}  // namespace
}  // namespace scann
