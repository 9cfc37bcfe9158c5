// Selection of the best candidates.
#include "core/top_k.hpp"

#include <algorithm>
#include <limits>
#include <tuple>

namespace scann {
namespace {

// The order of results: a total one, so that selection has only one outcome.
bool better(const Candidate& a, const Candidate& b) {
  if (a.score != b.score) return a.score > b.score;
  return std::tie(a.run, a.index) < std::tie(b.run, b.index);
}

}  // namespace

CandidateBuffer::CandidateBuffer(std::span<Candidate> memory, std::size_t k)
    : memory_(memory.first(capacity_for(k))), k_(k), threshold_(-std::numeric_limits<float>::infinity()) {}

void CandidateBuffer::trim() {
  if (size_ < k_) return;
  std::nth_element(memory_.begin(), memory_.begin() + (k_ - 1), memory_.begin() + size_, better);
  size_ = k_;
  threshold_ = memory_[k_ - 1].score;
}

std::span<Candidate> CandidateBuffer::finish() {
  trim();
  const std::span<Candidate> best = memory_.first(size_);
  std::sort(best.begin(), best.end(), better);
  return best;
}

}  // namespace scann
