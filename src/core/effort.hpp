// Calibration: what recall a search reaches, and what it costs, for every pair of (candidates kept, stop
// margin), measured in one pass over sample queries by replaying the search rule on the scores of each leaf.
//
// The rule replayed: leaves are visited in their order; the search stops before the first one whose stop
// value exceeds the margin. The stop value depends on the leaf and on theta_K, the K-th best score so far, so
// one pass meets the stopping point of every pair.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace scann {

// An entry of a vector known to be among a query's true nearest neighbours, met in the leaf just scored. A
// vector with several is found as soon as one of them is.
struct TrueNeighbor {
  std::uint32_t rank;   // 0 = nearest
  std::uint32_t entry;  // position in the leaf's scores
};

struct Effort {
  std::uint32_t candidates;  // K
  float margin;
  double recall;  // mean over queries
  double standard_error;
  double codes;   // mean number of codes scored,
  double leaves;  // and of leaves visited for them
};

// What a search costs besides scoring codes, in the time that scoring a code takes.
struct SearchCost {
  double leaf;       // visiting a leaf
  double candidate;  // re-ordering a candidate

  double of(const Effort& effort) const {
    return effort.codes + leaf * effort.leaves + candidate * effort.candidates;
  }
};

class EffortGrid {
 public:
  // `limits`: the k of recall@k, ascending. `recalls`: those that cheapest() will be asked for. `candidates`:
  // values of K and `margins` of the margin, ascending.
  EffortGrid(std::span<const std::uint32_t> limits, std::span<const float> recalls,
             std::span<const std::uint32_t> candidates, std::span<const float> margins,
             const SearchCost& cost);

  // Starts a query which has `truths` known neighbours (fewer than k in a small table).
  void begin_query(std::size_t truths);
  // The K-th best score so far: -infinity before K were seen.
  float threshold(std::size_t candidate_index) const;
  std::size_t candidate_choices() const { return candidates_.size(); }
  // Announces the next leaf with one stop value for each K. Returns false when no pair would visit it.
  bool offer_leaf(std::span<const float> stop_values);
  // The scores of the leaf just offered, and which of them are true neighbours; those of a rank beyond the
  // largest limit do not count.
  void score_leaf(std::span<const float> scores, std::span<const TrueNeighbor> neighbors);
  // No leaves are left, or offer_leaf() returned false.
  void end_query();

  // Decides the efforts that are known well enough by now, and gives up the pairs which those still open will
  // not need: further queries are not searched that far. Call between queries, when some tens have shown
  // what searches cost.
  void narrow();

  // What a pair (indexes into `candidates` and `margins`) reached for limits[limit]. Not to be asked for a
  // pair that was given up.
  Effort effort(std::size_t limit, std::size_t candidate_index, std::size_t margin_index) const;
  bool in_use(std::size_t candidate_index, std::size_t margin_index) const {
    return margin_index < margins_used_[candidate_index];
  }
  // The cheapest effort that reaches recalls[target], at least half a standard error included; between two
  // margins of the grid, interpolated. When none reaches it, the pair of highest recall.
  Effort cheapest(std::size_t limit, std::size_t target) const;

 private:
  struct Cell {
    double hits = 0;  // sum over queries of recall
    double hits_squared = 0;
  };
  // What a pair's searches took, summed over queries.
  struct Work {
    double codes = 0;
    double leaves = 0;
  };
  void stop(std::size_t candidate_index, std::size_t margin_index);
  std::size_t pair(std::size_t k, std::size_t m) const { return k * margins_.size() + m; }
  Effort choose(std::size_t limit, double recall) const;
  Effort reach(std::size_t limit, std::size_t candidate_index, double recall) const;
  void keep_rivals(std::size_t limit, const Effort& best, double recall,
                   std::vector<std::size_t>& needed) const;
  Effort between(const Effort& below, const Effort& above, double recall) const;

  std::vector<std::uint32_t> limits_;
  std::vector<float> recalls_;
  std::vector<std::uint32_t> candidates_;
  std::vector<float> margins_;
  SearchCost cost_;
  std::vector<std::size_t> margins_used_;  // per K: so many of the margins
  std::size_t keep_;                       // the largest K in use
  std::vector<Cell> cells_;                // [limit][candidates][margin]
  std::vector<Work> work_;                 // [candidates][margin]
  std::vector<Effort> decided_;            // [limit][recall]; no candidates: still open
  std::size_t queries_ = 0;

  // The query at hand.
  std::size_t truths_ = 0;
  std::size_t scored_ = 0;
  std::size_t visited_ = 0;
  std::vector<float> best_;  // descending, at most the largest K in use
  std::vector<float> incoming_;
  std::vector<float> found_;              // the best score of each true neighbour seen; NaN: not seen
  std::vector<std::size_t> next_margin_;  // per K: margins below were already stopped
};

}  // namespace scann
