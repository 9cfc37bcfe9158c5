// The buffer returns what sorting everything would: K from 1 to 1000, streams of 0 to 20,000 scores, with
// ties, infinities and every order of arrival. BestFirst gives the order that sorting would.
#include "core/top_k.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <random>
#include <tuple>
#include <vector>

#include "every_target.hpp"

namespace scann {
namespace {

bool better(const Candidate& a, const Candidate& b) {
  return std::make_tuple(-a.score, a.run, a.index) < std::make_tuple(-b.score, b.run, b.index);
}

// What finish() returns for a stream, pushing only what beats the threshold when `filtered`, as scans do.
std::vector<Candidate> select(const std::vector<Candidate>& stream, std::size_t k, bool filtered) {
  std::vector<Candidate> memory(CandidateBuffer::capacity_for(k));
  CandidateBuffer buffer(memory, k);
  for (const Candidate& candidate : stream) {
    if (!filtered || candidate.score > buffer.threshold()) buffer.push(candidate);
  }
  const std::span<Candidate> best = buffer.finish();
  return {best.begin(), best.end()};
}

void expect_equal(const std::vector<Candidate>& got, const std::vector<Candidate>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got[i].score, want[i].score) << i;
    ASSERT_EQ(got[i].run, want[i].run) << i;
    ASSERT_EQ(got[i].index, want[i].index) << i;
  }
}

class CandidateBufferTest : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(K, CandidateBufferTest, testing::Values(1, 2, 3, 10, 31, 32, 33, 100, 1000));

TEST_P(CandidateBufferTest, EqualsSorting) {
  const std::size_t k = GetParam();
  std::mt19937 random(7);
  for (const std::size_t count : {0, 1, 5, 31, 32, 33, 100, 2047, 20000}) {
    for (const unsigned distinct : {1U, 3U, 100U, 1U << 24}) {
      std::vector<Candidate> stream(count);
      for (std::uint32_t i = 0; i < count; ++i) {
        stream[i] = {static_cast<float>(random() % distinct) - 50, i / 1000, i % 1000};
      }
      std::vector<Candidate> sorted = stream;
      std::sort(sorted.begin(), sorted.end(), better);
      sorted.resize(std::min(k, count));
      expect_equal(select(stream, k, false), sorted);
      expect_equal(select(stream, k, true), sorted);  // arrival in (run, index) order: later equals never win
      // Worst first: every push is a survivor. Of equals those pushed first stay, so these get the lower
      // numbers.
      std::stable_sort(stream.begin(), stream.end(), [](auto& a, auto& b) { return a.score < b.score; });
      for (std::uint32_t i = 0; i < count; ++i) stream[i] = {stream[i].score, i / 1000, i % 1000};
      sorted = stream;
      std::sort(sorted.begin(), sorted.end(), better);
      sorted.resize(std::min(k, count));
      expect_equal(select(stream, k, false), sorted);
    }
  }
}

TEST_P(CandidateBufferTest, ThresholdIsTheLeastOfTheKBest) {
  const std::size_t k = GetParam();
  std::vector<Candidate> memory(CandidateBuffer::capacity_for(k));
  CandidateBuffer buffer(memory, k);
  EXPECT_EQ(buffer.threshold(), -std::numeric_limits<float>::infinity());
  for (std::uint32_t i = 0; i + 1 < k; ++i) buffer.push({static_cast<float>(i), 0, i});
  EXPECT_EQ(buffer.finish().size(), k - 1);
  EXPECT_EQ(buffer.threshold(), -std::numeric_limits<float>::infinity());
  for (std::uint32_t i = 0; i < 10 * k + 100; ++i) {
    buffer.push({1000.0F + static_cast<float>(i), 1, i});
    EXPECT_LE(buffer.threshold(), 1000.0F + static_cast<float>(i));
  }
  const float least = buffer.finish().back().score;
  EXPECT_EQ(buffer.threshold(), least);
}

TEST(CandidateBuffer, SelectionKeepsTheOrderOfArrival) {
  on_every_target([] {
    std::mt19937 random(3);
    std::vector<Candidate> memory(CandidateBuffer::capacity_for(50)), stream(1000);
    for (std::uint32_t i = 0; i < stream.size(); ++i) stream[i] = {static_cast<float>(random() % 300), 0, i};
    CandidateBuffer buffer(memory, 50);
    for (const Candidate& candidate : stream) buffer.push(candidate);
    std::vector<Candidate> selected(buffer.select().begin(), buffer.select().end());
    std::sort(stream.begin(), stream.end(), better);
    stream.resize(50);
    std::sort(stream.begin(), stream.end(), [](auto& a, auto& b) { return a.index < b.index; });
    expect_equal(selected, stream);
  });
}

TEST(CandidateBuffer, ZerosOfBothSignsAreEqual) {
  const std::vector<Candidate> stream = {{-0.0F, 0, 0}, {0.0F, 0, 1}, {-0.0F, 0, 2}, {0.0F, 0, 3}};
  expect_equal(select(stream, 3, false), {{-0.0F, 0, 0}, {0.0F, 0, 1}, {-0.0F, 0, 2}});
}

TEST(CandidateBuffer, InfiniteScores) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<Candidate> stream = {{-kInfinity, 0, 0}, {kInfinity, 0, 1}, {1, 0, 2}, {kInfinity, 0, 3}};
  expect_equal(select(stream, 3, false), {{kInfinity, 0, 1}, {kInfinity, 0, 3}, {1, 0, 2}});
}

// The order in which BestFirst hands out values of one array.
std::vector<std::uint32_t> order_of(const std::vector<float>& values) {
  std::vector<std::uint64_t> memory(BestFirst::words_for(values.size()));
  BestFirst best(values, memory);
  std::vector<std::uint32_t> order;
  for (std::size_t i = 0; i < values.size(); ++i) order.push_back(best.next());
  return order;
}

// Stable: of equals the lowest index comes first.
std::vector<std::uint32_t> sorted_order(const std::vector<float>& values) {
  std::vector<std::uint32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return values[a] > values[b]; });
  return order;
}

TEST(BestFirst, EqualsSorting) {
  on_every_target([] {
    std::mt19937 random(11);
    for (const std::size_t count :
         {0, 1, 2, 15, 16, 47, 48, 49, 63, 64, 65, 95, 96, 97, 191, 192, 193, 500, 5000}) {
      for (const unsigned distinct : {1U, 2U, 50U, 1U << 24}) {
        std::vector<float> values(count);
        for (float& value : values) value = static_cast<float>(random() % distinct) - 20;
        ASSERT_EQ(order_of(values), sorted_order(values)) << count << " of " << distinct;
      }
    }
  });
}

TEST(BestFirst, HandsOutWhateverIsNoNumberToo) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  on_every_target([] {
    std::vector<float> values(200, -kInfinity);
    for (std::size_t i = 0; i < values.size(); i += 3) values[i] = kInfinity;
    values[7] = 1;
    ASSERT_EQ(order_of(values), sorted_order(values));
    for (std::size_t i = 1; i < values.size(); i += 3)
      values[i] = std::bit_cast<float>(i % 2 == 0 ? 0x7FFFFFFFU : 0xFFFFFFFFU);  // NaN of either sign
    std::vector<std::uint32_t> order = order_of(values);
    std::sort(order.begin(), order.end());
    for (std::uint32_t i = 0; i < order.size(); ++i) ASSERT_EQ(order[i], i);
  });
}

}  // namespace
}  // namespace scann
