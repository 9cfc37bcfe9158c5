// The candidates of a scan: the K highest scores seen so far, in a buffer of 2K trimmed by selection.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace scann {

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
           (padded(limit_for(k)) * sizeof(std::int32_t) + sizeof(Candidate) - 1) / sizeof(Candidate);
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

  // Trims to the best min(K, seen) and returns them in no order. Of equal scores at the threshold those seen
  // first stay, within a trim those of lesser (run, index), so that the result does not depend on the
  // instruction set.
  std::span<Candidate> select();

  // The same, best first; ties by (run, index).
  std::span<Candidate> finish();

 private:
  static constexpr std::size_t kTightenShare = 8;

  static constexpr std::size_t limit_for(std::size_t k) { return 2 * k + 32; }

  // Whole vectors of keys, whatever the instruction set.
  static constexpr std::size_t padded(std::size_t keys) { return (keys + 15) / 16 * 16; }

  void trim();

  std::span<Candidate> memory_;
  std::size_t k_;
  std::size_t limit_;
  std::size_t size_ = 0;
  float threshold_;
};

}  // namespace scann
