// One query against one model: its look-up table, the order in which leaves are worth visiting, and the rule
// that stops the search. Scans and calibration share it.
#pragma once

#include "am/model.hpp"
#include "am/posting_list.hpp"
#include "core/adc.hpp"
#include "core/lookup_table.hpp"
#include "core/top_k.hpp"

namespace scann::am {

// Leaves are ordered by <q,c> + kLeafSigmas * sigma * ||q||, how good their best row may well be; for
// Euclidean distance by that of their centroid.
inline constexpr float kLeafSigmas = 5;

// A leaf, or a group of leaves, waiting for its turn.
struct RankedLeaf {
  float bound;
  std::uint32_t partition;
};

// A leaf whose turn it is.
struct NextLeaf {
  std::uint32_t partition;
  std::uint32_t position;  // in the order: how many were taken before it
  // How little a visit promises, given the K-th best score so far: what that exceeds the leaf's promise by,
  // in typical spreads of its scores, and a penalty for its position.
  float stop_value(float threshold) const {
    return (threshold - promise) * inverse_spread + position_penalty;
  }
  float promise;
  float inverse_spread;
  float position_penalty;
};

// The query in the space of the index. Memory belongs to the context current at construction; reusable.
class Query {
 public:
  explicit Query(const Model& model);

  // `vector`: as VectorReader gives it, then centred. Sets everything below. The model must be of the shape
  // given at construction.
  void prepare(const Model& model, std::span<const float> vector);

  std::span<const float> vector() const {
    return vector_;
  }                                      // centred; scaled to unit norm for inner products
  double norm() const { return norm_; }  // of the centred query before any scaling
  const LookupTable& table() const { return table_; }

  // Makes all leaves available again, in the order in which they are worth visiting.
  void rank_leaves(const Model& model);
  // The leaf of highest bound not yet taken, of those in groups whose own bound is not below it. Call only
  // while leaves_left() > 0.
  NextLeaf next_leaf(const Model& model);
  std::size_t leaves_left() const { return leaf_scores_.size() - taken_; }
  // What the scores of a leaf's codes have in common.
  float base(const Model& model, std::size_t partition) const;

 private:
  struct GroupScores {
    float mean;
    float deviation;
  };
  GroupScores scores_of_group(const Model& model, std::size_t group) const;
  RankedLeaf rank_group(const Model& model, std::size_t group) const;
  NextLeaf judge(std::uint32_t partition, float bound, std::size_t position) const;
  float measure_stretch(const Model& model) const;
  void bound_leaves(const Model& model, std::uint32_t first, std::uint32_t end);
  void open_groups(const Model& model);
  void make_heap();
  RankedLeaf pop();
  static bool is_group(const Model& model, const RankedLeaf& ranked) {
    return ranked.partition >= model.partitions.size();
  }

  std::span<float> vector_;
  std::span<float> rotated_;       // in the basis of the codes
  std::span<std::int8_t> levels_;  // the query as multiples of level_, for inner products with centroids
  float level_ = 0;
  std::span<float> scratch_;
  std::span<std::uint8_t> entries_;
  std::span<float> leaf_scores_;  // <q,c>, for Euclidean distance -||q - c||^2 / 2
  std::span<float> leaf_bounds_;
  std::span<float> group_products_;  // <q, group's centre>
  // Where there is one group, all leaves in order.
  std::span<std::uint64_t> order_memory_;
  BestFirst order_;
  // Else a heap of leaves, and of groups not looked into yet, whose numbers begin behind those of the leaves.
  // A leaf is on top, as long as any are left.
  std::span<RankedLeaf> heap_;
  std::size_t heap_size_ = 0;
  float group_stretch_ = 1;
  std::size_t taken_ = 0;  // leaves
  float last_bound_ = 0;   // of the leaf taken last
  LookupTable table_{};
  double norm_ = 0;
  float sigma_ = 0;       // typical of a leaf's residuals
  float live_share_ = 1;  // of the rows that calibration saw: fewer lie in as many leaves
  bool by_distance_ = false;
};

// The run of codes on a locked and checked code page.
CodeRun code_run(const Model& model, const CodePage& page, float base, std::uint32_t run);

// A lower bound of the distance (as the operators define it) between the query and a slot's vector.
double lower_bound(const Model& model, const Query& query, const SlotHeader& slot, const std::int8_t* vector);

// How hard a query for `limit` rows must search to reach `recall`: from calibration, interpolated between
// limits. `exhaustive` is set where no calibrated effort is known to come within kRecallTolerance of it.
inline constexpr double kRecallTolerance = 0.005;
struct SearchPlan {
  bool exhaustive = false;
  float margin = 0;
  std::uint32_t candidates = 0;
  double codes = 0;
  double recall = 0;  // as calibrated
};
SearchPlan plan_search(const Model& model, double recall, double limit);

// How many times as many rows there are as calibration saw, by the entries of some leaves; 1 where there are
// not more blocks. Measured again when the number of blocks has changed.
double growth_since_calibration(Relation index, const Model& model);

}  // namespace scann::am
