// Selection of what is best: the candidates of a scan, the K highest scores seen so far in a buffer of 2K;
// and the leaves of a query, from the best on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace scann {

// So many 32-bit keys are whole vectors, whatever the instruction set.
constexpr std::size_t padded_keys(std::size_t n) { return (n + 15) / 16 * 16; }

struct Candidate {
  float score;
  std::uint32_t run;    // which run of codes (the caller numbers them), and
  std::uint32_t index;  // which vector within the run
};

// Keeps at least the K best of everything pushed. Memory belongs to the caller: capacity_for(k) candidates.
class CandidateBuffer {
 public:
  // 2K + 32 candidates, and room for as many 4-byte keys to select by.
  static constexpr std::size_t capacity_for(std::size_t k) {
    return limit_for(k) +
           (padded_keys(limit_for(k)) * sizeof(std::int32_t) + sizeof(Candidate) - 1) / sizeof(Candidate);
  }

  // `memory` has capacity_for(k) entries; k >= 1.
  CandidateBuffer(std::span<Candidate> memory, std::size_t k);

  // A score at or below this cannot be among the K best. -infinity until K were seen.
  float threshold() const { return threshold_; }

  // The score is not NaN.
  void push(Candidate candidate) {
    memory_[size_++] = candidate;
    if (size_ == limit_) trim();
  }

  // Brings threshold() up to date when enough was pushed since the last trim to make that worth while.
  void tighten() {
    if (size_ >= k_ + k_ / kTightenShare) trim();
  }

  // Trims to the best min(K, seen) and returns them in the order in which they were pushed. Of equal scores
  // at the threshold those pushed first stay.
  std::span<Candidate> select();

  // The same, best first; ties by (run, index).
  std::span<Candidate> finish();

 private:
  static constexpr std::size_t kTightenShare = 8;

  static constexpr std::size_t limit_for(std::size_t k) { return 2 * k + 32; }

  void trim();

  std::span<Candidate> memory_;
  std::size_t k_;
  std::size_t limit_;
  std::size_t size_ = 0;
  float threshold_;
};

// Hands out the indices of values from the greatest on. Sorts no more of them than are asked for: a batch at
// a time, each twice the size of the one before. Memory belongs to the caller.
class BestFirst {
 public:
  // Of n values, in 8-byte words.
  static constexpr std::size_t words_for(std::size_t n) { return n + padded_keys(n) / 2; }

  BestFirst() = default;
  // `memory` has words_for(values.size()) words. The values are read here only.
  BestFirst(std::span<const float> values, std::span<std::uint64_t> memory);

  // The index of the greatest value not handed out yet, of equals the lowest. Call at most once for each
  // value.
  std::uint32_t next() {
    if (batch_size_ == 0) refill();
    return ~static_cast<std::uint32_t>(batch_[--batch_size_]);
  }

 private:
  static constexpr std::size_t kFirstBatch = 64;

  void refill();

  std::uint64_t* batch_ = nullptr;  // ascending: a value's key above the complement of its index
  std::int32_t* keys_ = nullptr;    // of all values, ordered as they are; padded
  std::size_t size_ = 0;
  std::size_t batch_size_ = 0;
  std::size_t chosen_ = 0;  // values that were in a batch so far: those of keys above floor_ or equal
  std::size_t next_batch_ = kFirstBatch;
  std::int32_t floor_ = 0;
  std::int32_t least_ = 0;  // of all keys
};

}  // namespace scann
