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

// Keeps at least the K best of everything pushed. Memory belongs to the caller: 2K + 32 candidates.
class CandidateBuffer {
 public:
  static constexpr std::size_t capacity_for(std::size_t k) { return 2 * k + 32; }

  // `memory` has capacity_for(k) entries; k >= 1.
  CandidateBuffer(std::span<Candidate> memory, std::size_t k);

  // A score at or below this cannot be among the K best. -infinity until K were seen.
  float threshold() const { return threshold_; }

  void push(Candidate candidate) {
    memory_[size_++] = candidate;
    if (size_ == memory_.size()) trim();
  }

  // Trims to the best min(K, seen) and returns them, best first. Ties are broken by (run, index), so that the
  // result does not depend on the instruction set.
  std::span<Candidate> finish();

 private:
  void trim();

  std::span<Candidate> memory_;
  std::size_t k_;
  std::size_t size_ = 0;
  float threshold_;
};

}  // namespace scann
