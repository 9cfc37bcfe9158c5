// The scan equals a plain loop over codes bit for bit on every instruction set: 1 to 520 blocks, 0 to 200
// vectors (all tails of a group), with and without terms, thresholds from -infinity to above every score, K
// of 1, 10 and 100, tables of extreme scales and offsets, and the largest sums 16 bits hold.
#include "core/adc.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "core/code_block.hpp"
#include "every_target.hpp"

namespace scann {
namespace {

// A random table and a run of random codes. The groups end where their memory ends, for address checkers to
// see.
struct Workload {
  Workload(std::size_t blocks, std::size_t count, bool has_terms, unsigned seed) : random(seed) {
    entries.resize(blocks * kCodewords);
    const unsigned limit = std::min<unsigned>(255, 65535 / blocks);
    std::uint32_t max_sum = 0;
    for (std::size_t b = 0; b < blocks; ++b) {
      std::uint8_t* block = &entries[b * kCodewords];
      for (std::size_t c = 0; c < kCodewords; ++c)
        block[c] = static_cast<std::uint8_t>(random() % (limit + 1));
      if (b % 3 == 0) block[random() % kCodewords] = static_cast<std::uint8_t>(limit);
      max_sum += *std::max_element(block, block + kCodewords);
    }
    table = {entries.data(), blocks, 0.013F, -0.7F, max_sum};

    const std::size_t groups = (count + kGroupSize - 1) / kGroupSize;
    bytes = groups * group_bytes(blocks, has_terms);
    memory = std::make_unique<std::uint8_t[]>(bytes);
    for (std::size_t i = 0; i < bytes; ++i) memory[i] = static_cast<std::uint8_t>(random());
    run = {memory.get(), count, 0.25F, has_terms ? 0.0007F : 0.0F, 42};
    if (blocks % 2 == 1) {  // what follows changes nothing; here, the second half of the same memory
      run.next = run.groups + bytes / 2;
      run.next_bytes = bytes - bytes / 2;
    }
  }

  std::vector<float> expected_scores() const {
    std::vector<float> scores(run.count);
    const bool has_terms = run.term_scale > 0;
    std::vector<std::uint8_t> codes(table.blocks);
    for (std::size_t i = 0; i < run.count; ++i) {
      const std::uint8_t* group = run.groups + i / kGroupSize * group_bytes(table.blocks, has_terms);
      load_codes(group, i % kGroupSize, codes);
      unsigned sum = 0;
      for (std::size_t b = 0; b < codes.size(); ++b) sum += entries[b * kCodewords + codes[b]];
      double score = run.base + double{table.scale} * sum;
      if (has_terms) score -= double{run.term_scale} * load_term(table.blocks, i % kGroupSize, group);
      scores[i] = static_cast<float>(score);
    }
    return scores;
  }

  std::mt19937 random;
  std::vector<std::uint8_t> entries;
  LookupTable table;
  std::size_t bytes;
  std::unique_ptr<std::uint8_t[]> memory;
  CodeRun run;
};

void expect_same_bits(const std::vector<float>& got, const std::vector<float>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(want[i])) << i;
  }
}

// Scores of all vectors, and a scan whose buffer never trims: it must push exactly those above the threshold.
void check_run(const Workload& work) {
  const std::vector<float> expected = work.expected_scores();
  std::vector<float> scores(work.run.count);
  adc_scores(work.table, work.run, scores.data());
  expect_same_bits(scores, expected);

  std::vector<float> thresholds = {-std::numeric_limits<float>::infinity(), -1e30F, 1e30F};
  if (!expected.empty()) thresholds.push_back(*std::max_element(expected.begin(), expected.end()));
  for (std::size_t i = 0; i < expected.size(); i += 37) thresholds.push_back(expected[i]);
  for (const float threshold : thresholds) {
    constexpr std::size_t kK = 300;
    std::vector<Candidate> memory(CandidateBuffer::capacity_for(kK));
    CandidateBuffer buffer(memory, kK);
    const bool has_threshold = threshold > -std::numeric_limits<float>::infinity();
    for (std::uint32_t i = 0; has_threshold && i < kK; ++i) buffer.push({threshold, 7, i});
    buffer.finish();  // makes it the threshold
    ASSERT_EQ(buffer.threshold(), threshold);
    adc_scan(work.table, work.run, buffer);
    std::vector<Candidate> found;
    for (const Candidate& candidate : buffer.finish()) {
      if (candidate.run == work.run.run) found.push_back(candidate);
    }
    std::sort(found.begin(), found.end(), [](auto& a, auto& b) { return a.index < b.index; });
    auto next = found.begin();
    for (std::uint32_t i = 0; i < expected.size(); ++i) {
      if (!(expected[i] > threshold)) continue;
      ASSERT_NE(next, found.end());
      ASSERT_EQ(next->index, i);
      ASSERT_EQ(std::bit_cast<std::uint32_t>(next->score), std::bit_cast<std::uint32_t>(expected[i]));
      ++next;
    }
    ASSERT_EQ(next, found.end());
  }
}

TEST(Adc, EqualsPlainLoop) {
  on_every_target([] {
    for (std::size_t blocks = 1; blocks <= 520; blocks += blocks < 20 ? 1 : 25) {
      for (const std::size_t count : {0, 1, 15, 16, 17, 31, 32, 33, 64, 100, 200}) {
        check_run(Workload(blocks, count, false, blocks));
        check_run(Workload(blocks, count, true, blocks));
      }
    }
  });
}

TEST(Adc, LargestSums) {
  on_every_target([] {
    for (const std::size_t blocks : {1, 2, 5, 100, 256, 257}) {
      Workload work(blocks, 64, false, 3);
      std::fill(work.entries.begin(), work.entries.end(), 255);
      work.table.max_sum = static_cast<std::uint32_t>(255 * blocks);  // 65535 at 257 blocks
      check_run(work);
    }
  });
}

TEST(Adc, ExtremeScales) {
  on_every_target([] {
    for (const float scale : {1e-38F, 1e-10F, 1.0F, 1e10F, 1e34F, 3e38F}) {
      for (const float base : {0.0F, -1.0F, 1e9F, -1e30F, 3e38F}) {
        for (const bool has_terms : {false, true}) {
          Workload work(50, 96, has_terms, 5);
          work.table.scale = scale;
          work.run.base = base;
          if (has_terms) work.run.term_scale = scale / 3;
          check_run(work);
          if (has_terms) work.run.term_scale = 1e30F;
          check_run(work);
        }
      }
    }
  });
}

TEST(Adc, BestOfManyRuns) {
  on_every_target([] {
    for (const bool has_terms : {false, true}) {
      for (const std::size_t k : {1, 10, 100}) {
        Workload work(50, 3001, has_terms, 9);
        std::vector<float> all;
        std::vector<Candidate> memory(CandidateBuffer::capacity_for(k));
        CandidateBuffer buffer(memory, k);
        for (std::uint32_t r = 0; r < 20; ++r) {
          work.run.base = static_cast<float>(r * 7 % 20) * 0.5F;
          work.run.run = r;
          adc_scan(work.table, work.run, buffer);
          const std::vector<float> scores = work.expected_scores();
          all.insert(all.end(), scores.begin(), scores.end());
        }
        std::sort(all.begin(), all.end(), std::greater<>());
        all.resize(k);
        std::vector<float> best;
        for (const Candidate& candidate : buffer.finish()) best.push_back(candidate.score);
        expect_same_bits(best, all);
      }
    }
  });
}

}  // namespace
}  // namespace scann
