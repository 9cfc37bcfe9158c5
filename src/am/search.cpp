// Query preparation, leaf order, bounds and search effort.
#include "am/search.hpp"

#include "am/row_encoder.hpp"
#include "core/kernels.hpp"

namespace scann::am {
namespace {

// The best leaf of a group is expected to score better than its mean by so many deviations. On word vectors
// in 1,284 leaves 2.5 compares 45% of the centroids, and takes 5% more codes than comparing all; 2 takes 25%
// more, 3 none less but compares 60%. Of 664 leaves of sentence embeddings 2.5 compares 80%.
constexpr float kGroupDeviations = 2.5F;

// How much the position of a leaf counts against it: by so many spreads for each factor of e. On sentence
// embeddings a recall of 0.95 takes 4,600 codes with 0, 4,000 with 0.5 and 3,950 with 1, on word vectors
// 14,900, 14,600 and 15,100; a recall of 0.98 8,900, 7,900 and 7,600, and 26,100, 24,400 and 26,100.
constexpr float kPositionWeight = 0.5F;
// For Euclidean distance: sentences 4,800 with 0.3, 4,400 with 1; word vectors 18,100 and 18,300; such of all
// lengths 30,300 and 21,700.
constexpr float kPositionWeightByDistance = 1;

// Whether every query ranks all leaves, rather than groups of them first.
bool is_flat(const Model& model) { return model.groups.size() <= 1; }

bool lower_bound_first(const RankedLeaf& a, const RankedLeaf& b) {
  return a.bound != b.bound ? a.bound < b.bound : a.partition > b.partition;
}

}  // namespace

Query::Query(const Model& model)
    : vector_(palloc_span<float>(model.meta.dims)),
      rotated_(palloc_span<float>(model.shape.dims)),
      levels_(palloc_span<std::int8_t>(model.meta.dims)),
      scratch_(palloc_span<float>(model.has_codes() ? lookup_table_scratch_floats(model.shape) : 0)),
      entries_(palloc_span<std::uint8_t>(model.leaf.blocks() * kCodewords)),
      leaf_scores_(palloc_span<float>(model.partitions.size())),
      leaf_bounds_(palloc_span<float>(model.partitions.size())),
      group_products_(palloc_span<float>(model.groups.size())),
      order_memory_(
          palloc_span<std::uint64_t>(is_flat(model) ? BestFirst::words_for(model.partitions.size()) : 0)),
      heap_(palloc_span<RankedLeaf>(is_flat(model) ? 0 : model.partitions.size() + model.groups.size())) {}

void Query::prepare(const Model& model, std::span<const float> vector) {
  std::copy(vector.begin(), vector.end(), vector_.begin());
  norm_ = norm_of(vector_);
  if (model.meta.metric == Metric::kInnerProduct && norm_ > 0) {
    // The order of inner products does not depend on the query's norm; a unit query cannot overflow.
    for (float& x : vector_) x = static_cast<float>(x / norm_);
  }
  if (!model.has_codes()) return;
  if (model.meta.metric != Metric::kEuclidean)
    level_ = quantize_query(vector_.data(), vector_.size(), levels_.data());
  rotate_query(model.meta.rotation, model.rotation, vector_, rotated_);
  table_ = build_lookup_table(model.shape, model.codewords, rotated_, scratch_, entries_);
}

// What the scores of a group's leaves would be if centroids spread around their centre alike in all
// directions.
Query::GroupScores Query::scores_of_group(const Model& model, std::size_t number) const {
  const PartitionGroup& group = model.groups[number];
  const float product = group_products_[number];
  if (!by_distance_) return {.mean = product, .deviation = group.spread};
  const auto norm = static_cast<float>(norm_);
  const float squared = std::max(0.0F, norm * norm - 2 * product + 2 * group.half_norm);
  const float variance = group.spread * group.spread * static_cast<float>(vector_.size());
  return {.mean = -0.5F * (squared + variance), .deviation = group.spread * std::sqrt(squared)};
}

// How good the best leaf of a group may well look: its score better than most of the group's, its sigma that
// of a typical one.
RankedLeaf Query::rank_group(const Model& model, std::size_t number) const {
  const GroupScores scores = scores_of_group(model, number);
  const float reach = by_distance_ ? 0 : model.groups[number].sigma;
  const float bound =
      scores.mean + kGroupDeviations * group_stretch_ * scores.deviation + kLeafSigmas * reach;
  return {.bound = by_distance_ ? std::min(0.0F, bound) : bound,
          .partition = static_cast<std::uint32_t>(model.partitions.size() + number)};
}

void Query::bound_leaves(const Model& model, std::uint32_t first, std::uint32_t end) {
  if (by_distance_) {
    for (std::uint32_t p = first; p < end; ++p) {
      leaf_bounds_[p] = leaf_scores_[p] =
          -0.5F * squared_distance_i8(vector_.data(), model.centroid(p), model.scales[p], vector_.size());
    }
    return;
  }
  dot_i8_rows(levels_.data(), level_, model.centroid(first), end - first, vector_.size(),
              leaf_scores_.data() + first);
  // Pointers of its own: what the loop writes cannot change them, so it is compiled to vectors.
  float* scores = leaf_scores_.data();
  float* bounds = leaf_bounds_.data();
  const float* scales = model.scales;
  const float* sigmas = model.sigmas;
  for (std::uint32_t p = first; p < end; ++p) {
    scores[p] *= scales[p];
    bounds[p] = scores[p] + kLeafSigmas * sigmas[p];
  }
}

void Query::rank_leaves(const Model& model) {
  by_distance_ = model.meta.metric == Metric::kEuclidean;
  sigma_ = std::max(model.meta.mean_sigma, std::numeric_limits<float>::min());
  live_share_ = static_cast<float>(std::clamp(model.counted_share(), 0.0, 1.0));
  heap_size_ = taken_ = 0;
  last_bound_ = std::numeric_limits<float>::infinity();
  if (is_flat(model)) {
    bound_leaves(model, 0, static_cast<std::uint32_t>(model.partitions.size()));
    order_ = BestFirst(leaf_bounds_, order_memory_);
    return;
  }
  dot_matrix(vector_.data(), 1, model.group_centers, model.groups.size(), vector_.size(),
             group_products_.data());
  group_stretch_ = 1;
  for (std::size_t g = 0; g < model.groups.size(); ++g) heap_[heap_size_++] = rank_group(model, g);
  make_heap();
  open_groups(model);
  group_stretch_ = measure_stretch(model);
  for (std::size_t i = 0; i < heap_size_; ++i) {
    if (is_group(model, heap_[i])) heap_[i] = rank_group(model, heap_[i].partition - model.partitions.size());
  }
  make_heap();
  open_groups(model);
}

// By how much the scores of leaves differ more than they would if centroids spread alike in all directions,
// as the groups tell that are open by now. Queries lie where the data spreads most.
float Query::measure_stretch(const Model& model) const {
  double sum = 0;
  std::size_t leaves = 0;
  for (std::size_t i = 0; i < heap_size_; ++i) {
    if (is_group(model, heap_[i])) continue;
    const std::uint32_t leaf = heap_[i].partition;
    const GroupScores scores = scores_of_group(model, model.partitions[leaf].group);
    const double deviation =
        (leaf_scores_[leaf] - scores.mean) / std::max(scores.deviation, std::numeric_limits<float>::min());
    sum += deviation * deviation;
    ++leaves;
  }
  return std::max(1.0F,
                  static_cast<float>(std::sqrt(sum / static_cast<double>(std::max<std::size_t>(leaves, 1)))));
}

void Query::make_heap() {
  std::make_heap(heap_.begin(), heap_.begin() + static_cast<std::ptrdiff_t>(heap_size_), lower_bound_first);
}

RankedLeaf Query::pop() {
  std::pop_heap(heap_.begin(), heap_.begin() + static_cast<std::ptrdiff_t>(heap_size_), lower_bound_first);
  return heap_[--heap_size_];
}

// Replaces groups at the top of the heap by their leaves.
void Query::open_groups(const Model& model) {
  while (heap_size_ > 0 && is_group(model, heap_.front())) {
    const PartitionGroup& group = model.groups[pop().partition - model.partitions.size()];
    bound_leaves(model, group.first, group.end);
    for (std::uint32_t p = group.first; p < group.end; ++p) {
      heap_[heap_size_++] = {.bound = leaf_bounds_[p], .partition = p};
      std::push_heap(heap_.begin(), heap_.begin() + static_cast<std::ptrdiff_t>(heap_size_),
                     lower_bound_first);
    }
  }
}

// Of Euclidean distance the bound is the centroid's score, -||q - c||^2 / 2. To that a residual adds
// <q - c, r> - ||r||^2 / 2, with the mean -d sigma^2 / 2 and, were residuals Gaussian, the variance
// sigma^2 (||q - c||^2 + d sigma^2 / 2).
NextLeaf Query::judge(std::uint32_t partition, float bound, std::size_t position) const {
  const float half_square =
      by_distance_ ? 0.5F * static_cast<float>(vector_.size()) * sigma_ * sigma_ : 0;  // of a residual
  const float spread = by_distance_ ? sigma_ * std::sqrt(half_square - 2 * bound) : sigma_;
  return {.partition = partition,
          .position = static_cast<std::uint32_t>(position),
          .promise = bound - half_square,
          .inverse_spread = 1 / std::max(spread, std::numeric_limits<float>::min()),
          .position_penalty = (by_distance_ ? kPositionWeightByDistance : kPositionWeight) *
                              std::log(1 + live_share_ * static_cast<float>(position))};
}

NextLeaf Query::next_leaf(const Model& model) {
  RankedLeaf leaf{};
  if (is_flat(model)) {
    leaf.partition = order_.next();
    leaf.bound = leaf_bounds_[leaf.partition];
  } else {
    leaf = pop();
    open_groups(model);
  }
  // A group opened late may hold a leaf that should have come before.
  last_bound_ = std::min(leaf.bound, last_bound_);
  return judge(leaf.partition, last_bound_, taken_++);
}

float Query::base(const Model& model, std::size_t partition) const {
  const float terms = model.leaf.terms() ? model.meta.term_offset : 0;
  return leaf_scores_[partition] + table_.offset - terms;
}

CodeRun code_run(const Model& model, const CodePage& page, float base, std::uint32_t run) {
  return {.groups = page.groups(),
          .count = page.header().entries,
          .base = base,
          .term_scale = model.leaf.terms() ? model.meta.term_step : 0,
          .run = run,
          .live = model.leaf.has_codes() ? page.live() : nullptr};
}

double lower_bound(const Model& model, const Query& query, const SlotHeader& slot,
                   const std::int8_t* vector) {
  const std::span<const float> q = query.vector();
  const std::size_t dims = q.size();
  if (model.meta.metric == Metric::kEuclidean) {
    const float squared = squared_distance_i8(q.data(), vector, slot.scale, dims);
    return std::max(0.0, distance_lower_bound(squared, slot.error, dims) - kInputRounding * query.norm());
  }
  const double code_norm = 127 * std::sqrt(static_cast<double>(dims));
  const double bound = inner_product_lower_bound(dot_i8(q.data(), vector, dims), 1 + kInputRounding,
                                                 slot.scale, code_norm, slot.error, dims);
  if (model.meta.metric == Metric::kCosine) return 1 + bound - kInputRounding;
  return query.norm() * (bound < 0 ? bound * (1 + kInputRounding) : bound * (1 - kInputRounding));
}

namespace {

// Between a and b, which are positive, by their ratio.
double blend(double a, double b, double share) { return a * std::pow(b / a, share); }

SearchEffort blend(const SearchEffort& a, const SearchEffort& b, double share) {
  return {.recall = static_cast<float>(a.recall + share * (b.recall - a.recall)),
          .margin = static_cast<float>(a.margin + share * (b.margin - a.margin)),
          .candidates = static_cast<uint32>(
              std::min<double>(kMostCandidates, std::ceil(blend(a.candidates, b.candidates, share)))),
          .codes = static_cast<float>(blend(std::max(1.0F, a.codes), std::max(1.0F, b.codes), share))};
}

// How far from a to b a recall lies, by the logarithm of what may be missed.
double share_of(double a, double b, double recall) {
  return std::log((1 - a) / (1 - recall)) / std::log((1 - a) / (1 - b));
}

// The effort for a recall beyond the last calibrated one: on the line through that and the one with ten times
// its misses (a nearer one would leave more to chance), and not less than for the last.
SearchEffort effort_beyond(std::span<const SearchEffort, kCalibratedRecalls.size()> efforts, double recall) {
  constexpr std::size_t kLast = kCalibratedRecalls.size() - 1;
  constexpr std::size_t kFrom = kLast - 3;
  SearchEffort beyond = blend(efforts[kFrom], efforts[kLast],
                              share_of(kCalibratedRecalls[kFrom], kCalibratedRecalls[kLast], recall));
  beyond.margin = std::max(beyond.margin, efforts[kLast].margin);
  beyond.candidates = std::max(beyond.candidates, efforts[kLast].candidates);
  beyond.recall = efforts[kLast].recall;
  return beyond;
}

// The effort for a recall between two calibrated ones.
SearchEffort effort_for(std::span<const SearchEffort, kCalibratedRecalls.size()> efforts, double recall) {
  const auto above = static_cast<std::size_t>(
      std::lower_bound(kCalibratedRecalls.begin(), kCalibratedRecalls.end(), static_cast<float>(recall)) -
      kCalibratedRecalls.begin());
  if (above == kCalibratedRecalls.size()) return effort_beyond(efforts, recall);
  // Between a recall and itself rounding would add a candidate.
  if (above == 0 || kCalibratedRecalls[above] == static_cast<float>(recall)) return efforts[above];
  return blend(efforts[above - 1], efforts[above],
               share_of(kCalibratedRecalls[above - 1], kCalibratedRecalls[above], recall));
}

}  // namespace

SearchPlan plan_search(const Model& model, double recall, double limit) {
  if (!model.meta.calibrated || recall >= 1) {
    SearchPlan plan;
    plan.exhaustive = true;
    return plan;
  }
  std::size_t row = 0;
  while (row + 1 < kCalibratedLimits.size() && kCalibratedLimits[row] < limit) ++row;
  const std::size_t row_below = row > 0 && limit < kCalibratedLimits[row] ? row - 1 : row;
  const double low = kCalibratedLimits[row_below];
  const double high = kCalibratedLimits[row];
  const SearchEffort effort =
      blend(effort_for(model.meta.efforts[row_below], recall), effort_for(model.meta.efforts[row], recall),
            high > low ? std::log(limit / low) / std::log(high / low) : 1);
  // Beyond the largest limit in proportion, which is more than enough: the effort for each row falls.
  const double growth = std::max(1.0, limit / high);
  return {.exhaustive = effort.recall < recall - kRecallTolerance,
          .margin = effort.margin,
          .candidates = static_cast<std::uint32_t>(
              std::min<double>(kMostCandidates, std::ceil(growth * effort.candidates))),
          .codes = growth * effort.codes,
          .recall = effort.recall};
}

double growth_since_calibration(Relation index, const Model& model) {
  constexpr std::size_t kSampledLeaves = 16;
  const BlockNumber blocks = RelationGetNumberOfBlocks(index);
  if (blocks <= model.meta.blocks || model.partitions.empty()) return 1;
  if (blocks == model.growth_blocks) return model.growth;
  const std::size_t sampled = std::min(kSampledLeaves, model.partitions.size());
  double counted = 0;
  double now = 0;
  for (std::size_t i = 0; i < sampled; ++i) {
    const Partition& partition = model.partitions[i * model.partitions.size() / sampled];
    const ListCounts counts = count_list(index, model.leaf, partition.head);
    counted += partition.count;
    now += static_cast<double>(counts.live());
  }
  model.growth_blocks = blocks;
  return model.growth = now / std::max(1.0, counted) * model.counted_share();
}

}  // namespace scann::am
