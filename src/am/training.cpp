// Training of a model from a sample.
#include <vector>

#include "core/anisotropic.hpp"
#include "core/kernels.hpp"
#include "core/partitioner.hpp"

#include "am/build.hpp"
#include "am/training.hpp"
#include "am/training_team.hpp"

namespace scann::am {
namespace {

// Norms beyond this are left to exhaustive comparison: squares and sums of floats would overflow.
constexpr double kLargestNorm = 1e15;
// Norms count as equal when their standard deviation is below this share of their mean.
constexpr double kConstantNorms = 0.05;
constexpr double kThresholdConstantNorms = 0.2;
constexpr double kThresholdVaryingNorms = 0.4;
// Partitions are not trained with fewer sampled rows than this each.
constexpr std::size_t kFewestRowsPerLeaf = 8;

bool interrupted() { return InterruptPending != 0; }

// Runs a training step which polls for interrupts.
template <class Step>
void run_step(Step&& step) {
  bool finished = false;
  while (!finished) {
    call_core([&] { finished = step(); });
    CHECK_FOR_INTERRUPTS();
  }
}

struct Norms {
  double mean = 0;
  double deviation = 0;
  double largest = 0;
};

Norms measure_norms(const Sample& sample) {
  Norms norms;
  double squares = 0;
  for (std::size_t i = 0; i < sample.count; ++i) {
    const float* row = &sample.rows[i * sample.dims];
    const double square = inner_product(row, row, sample.dims);
    squares += square;
    norms.mean += std::sqrt(square);
    norms.largest = std::max(norms.largest, std::sqrt(square));
  }
  const auto n = static_cast<double>(sample.count);
  norms.mean /= n;
  norms.deviation = std::sqrt(std::max(0.0, squares / n - norms.mean * norms.mean));
  return norms;
}

std::size_t choose_leaves(const IndexOptions& options, const Sample& sample) {
  if (options.num_leaves == 0 && sample.table_rows < kMinTrainedRows) return 0;
  const std::size_t wanted = wanted_leaves(options, sample.dims, sample.table_rows);
  // A leaf wants rows to be trained with; a table that has no more is another matter.
  const std::size_t largest =
      sample.complete ? sample.count : std::max<std::size_t>(1, sample.count / kFewestRowsPerLeaf);
  if (wanted <= largest) return wanted;
  ereport(NOTICE, (errmsg("number of partitions reduced from %zu to %zu", wanted, largest),
                   sample.complete ? errdetail("There cannot be more partitions than rows with a vector.")
                                   : errdetail("The training sample holds only %zu rows.", sample.count),
                   sample.complete
                       ? 0
                       : errhint("Increase maintenance_work_mem, or training_sample_size if it is set.")));
  return largest;
}

uint32 choose_dims_per_block(Relation index, const IndexOptions& options, std::size_t dims, bool terms) {
  const std::size_t largest_blocks = ListGeometry::max_blocks(terms);
  const CodebookShape shape{static_cast<uint32>(dims), wanted_dims_per_block(options, dims)};
  if (shape.blocks() > largest_blocks) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("dimensions_per_block %d is too small for vectors of %zu dimensions",
                           options.dimensions_per_block, dims),
                    errdetail("Index \"%s\" can store at most %zu blocks for a vector.",
                              RelationGetRelationName(index), largest_blocks),
                    errhint("Use dimensions_per_block = %zu or more.",
                            (dims + largest_blocks - 1) / largest_blocks)));
  }
  return shape.dims_per_block;
}

// Takes the next `count` floats from a larger allocation.
template <class T>
std::span<T> carve(std::span<T>& from, std::size_t count) {
  const std::span<T> part = from.first(count);
  from = from.subspan(count);
  return part;
}

class Trainer {
 public:
  Trainer(const BuildTarget& target, int workers, const IndexOptions& options, Sample& sample,
          std::size_t memory, TrainedModel& out)
      : target_(target),
        workers_(workers),
        options_(options),
        sample_(sample),
        memory_(memory),
        out_(out),
        meta_(out.model.meta) {}

  void train(std::size_t leaves, const Norms& norms) {
    meta_.height = 1;
    meta_.dims_per_block =
        choose_dims_per_block(target_.index, options_, sample_.dims, meta_.metric == Metric::kEuclidean);
    allocate(leaves);
    if (meta_.metric == Metric::kEuclidean) subtract_mean();
    train_centroids(leaves);
    const std::size_t rows =
        std::min({sample_.count, kCodebookTrainingRows, memory_ / 5 / (sample_.dims * sizeof(float))});
    residuals_ = palloc_span<float>(rows * sample_.dims);
    compute_residuals(rows);
    choose_loss(norms, rows);
    train_codes(rows);
    if (out_.model.leaf.terms()) choose_terms();
    pfree(residuals_.data());
    // Training looks at nearest partitions only.
    meta_.spilled = options_.soar && meta_.leaves > 1 ? 1 : 0;
  }

 private:
  std::span<float> row(std::size_t i) { return sample_.rows.subspan(i * sample_.dims, sample_.dims); }

  bool may_rotate() const { return rotation_scratch_bytes(sample_.dims) <= memory_ / 2; }

  void allocate(std::size_t leaves) {
    Model& model = out_.model;
    meta_.coded_dims = meta_.dims;
    model.shape = code_shape(meta_);
    model.leaf = leaf_geometry(meta_);
    model.inner = inner_geometry(meta_);
    const std::size_t mean = meta_.metric == Metric::kEuclidean ? meta_.dims : 0;
    // Codewords of fewer dimensions, and the basis itself, come when it has been chosen.
    out_.floats = palloc_span<float>(mean + model.shape.codewords() + largest_basis());
    mean_ = out_.floats.first(mean);
    model.mean = mean_;
    out_.centroids = palloc_span<float>(leaves * meta_.dims);
  }

  std::size_t largest_basis() const {
    const std::size_t components = std::min(sample_.dims, kMaxComponents);
    return may_rotate() ? rotation_floats(RotationKind::kRotation, sample_.dims, components) : 0;
  }

  void subtract_mean() {
    std::vector<double>* sums = make_in_context<std::vector<double>>(sample_.dims, 0.0);
    for (std::size_t i = 0; i < sample_.count; ++i) {
      for (std::size_t j = 0; j < sample_.dims; ++j) (*sums)[j] += row(i)[j];
    }
    for (std::size_t j = 0; j < sample_.dims; ++j) {
      mean_[j] = static_cast<float>((*sums)[j] / static_cast<double>(sample_.count));
    }
    for (std::size_t i = 0; i < sample_.count; ++i) center(out_.model, row(i), row(i));
  }

  // k-means; then each centroid is replaced by its int8 code, against which residuals are taken.
  void train_centroids(std::size_t leaves) {
    report_phase(BuildPhase::kTrainPartitions);
    PartitionerOptions options;
    options.scratch_bytes = memory_ / 10;
    const std::span<const float> rows = sample_.rows.first(sample_.count * sample_.dims);
    auto* training = make_in_context<PartitionTraining>(rows, sample_.dims, leaves, options, out_.centroids);
    assign_rounds(target_, workers_, sample_, *training);
    const std::size_t trained = training->trained();
    meta_.leaves = static_cast<uint32>(trained);
    out_.partitions = palloc_span<Partition>(trained);
    group_centroids(out_.centroids.first(trained * sample_.dims));
    auto codes = palloc_span<std::int8_t>(trained * sample_.dims);
    for (std::size_t p = 0; p < trained; ++p) {
      const std::span<float> centroid = out_.centroids.subspan(p * sample_.dims, sample_.dims);
      const ScalarQuantized quantized =
          scalar_quantize(centroid, codes.subspan(p * sample_.dims, sample_.dims));
      out_.partitions[p].head = InvalidBlockNumber;
      out_.partitions[p].scale = quantized.scale;
    }
    out_.model.partitions = out_.partitions;
    out_.model.centroids = codes.data();
    out_.centroids = out_.centroids.first(trained * sample_.dims);
    for (std::size_t p = 0; p < trained; ++p) {
      const std::span<float> centroid = out_.centroids.subspan(p * sample_.dims, sample_.dims);
      decode_centroid(out_.model, p, centroid);
      out_.partitions[p].half_norm =
          static_cast<float>(0.5 * inner_product(centroid.data(), centroid.data(), sample_.dims));
    }
  }

  // Brings centroids into the order of their groups.
  void group_centroids(std::span<float> centroids) {
    run_step([&] {
      const CentroidGroups groups(centroids, sample_.dims, interrupted);
      if (!groups.ready()) return false;
      meta_.groups = static_cast<uint32>(groups.groups());
      for (uint32 g = 0; g < meta_.groups; ++g) {
        for (std::size_t p = groups.first()[g]; p < groups.first()[g + 1]; ++p) {
          out_.partitions[p] = Partition{};
          out_.partitions[p].group = g;
        }
      }
      return true;
    });
  }

  void compute_residuals(std::size_t rows) {
    PartitionAssigner assigner(out_);
    for (std::size_t begin = 0; begin < rows; begin += kAssignBatch) {
      CHECK_FOR_INTERRUPTS();
      const std::size_t n = std::min(kAssignBatch, rows - begin);
      const auto nearest =
          assigner.assign(sample_.rows.subspan(begin * sample_.dims, n * sample_.dims)).nearest;
      for (std::size_t i = 0; i < n; ++i) {
        const auto centroid = out_.centroids.subspan(nearest[i] * sample_.dims, sample_.dims);
        const auto from = row(begin + i);
        std::transform(from.begin(), from.end(), centroid.begin(), &residuals_[(begin + i) * sample_.dims],
                       std::minus<>());
      }
    }
  }

  void choose_loss(const Norms& norms, std::size_t rows) {
    meta_.mean_norm = static_cast<float>(norms.mean);
    call_core([&] {
      meta_.effective_dims =
          static_cast<float>(effective_dimension(sample_.rows.first(rows * sample_.dims), sample_.dims));
    });
    if (meta_.metric == Metric::kEuclidean) return;
    double share = options_.anisotropic_quantization_threshold;
    if (share < 0) {
      share =
          norms.deviation <= kConstantNorms * norms.mean ? kThresholdConstantNorms : kThresholdVaryingNorms;
    }
    meta_.threshold = static_cast<float>(share * norms.mean);
  }

  void train_codes(std::size_t rows) {
    report_phase(BuildPhase::kTrainCodebook);
    const auto points = sample_.rows.first(rows * sample_.dims);
    choose_basis(residuals_);
    const ScoreAwareLoss loss = loss_of(meta_);
    const auto weights = palloc_span<PointWeight>(rows);
    for (std::size_t i = 0; i < rows; ++i) {
      weights[i] = loss.weights(norm_of(row(i)));
    }
    coded_points_ = to_basis(points);
    coded_residuals_ = to_basis(residuals_);
    const CodebookTrainingOptions options;
    run_step([&] {
      return train_codebook(out_.model.shape, coded_points_, coded_residuals_, weights, options, interrupted,
                            codewords_);
    });
  }

  // Sets the basis of the codes, their shape, and where codewords and basis lie in the model.
  void choose_basis(std::span<const float> residuals) {
    const auto basis = palloc_span<float>(largest_basis());
    if (may_rotate()) {
      CodeBasis chosen;
      run_step([&] {
        return scann::choose_basis(residuals, sample_.dims, meta_.dims_per_block, interrupted, basis,
                                   &chosen);
      });
      meta_.rotation = chosen.kind;
      meta_.coded_dims = chosen.dims;
    }
    Model& model = out_.model;
    model.shape = code_shape(meta_);
    const std::size_t floats = rotation_floats(meta_.rotation, meta_.dims, meta_.coded_dims);
    std::span<float> rest = out_.floats.subspan(mean_.size());
    codewords_ = carve(rest, model.shape.codewords());
    std::copy_n(basis.begin(), floats, rest.begin());
    model.codewords = codewords_;
    model.rotation = rest.first(floats);
    out_.floats = out_.floats.first(mean_.size() + codewords_.size() + floats);
    meta_.model_floats = out_.floats.size();
    pfree(basis.data());
  }

  // Rotates rows in place: those in the basis follow one another more closely.
  std::span<float> to_basis(std::span<float> rows) {
    const std::size_t coded = meta_.coded_dims;
    const std::size_t count = rows.size() / sample_.dims;
    if (meta_.rotation == RotationKind::kNone) return rows;
    const auto copy = palloc_span<float>(sample_.dims);
    for (std::size_t i = 0; i < count; ++i) {
      std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(i * sample_.dims), sample_.dims, copy.begin());
      rotate(meta_.rotation, out_.model.rotation, copy, rows.subspan(i * coded, coded));
    }
    pfree(copy.data());
    return rows.first(count * coded);
  }

  // The range of the Euclidean terms over the sample, widened a little: rows to come are clamped to it.
  void choose_terms() {
    const std::size_t coded = meta_.coded_dims;
    const Encoder encoder(out_.model.shape, codewords_, palloc_span<float>(codewords_.size()));
    const auto scratch = palloc_span<float>(encoder.scratch_floats());
    const auto codes = palloc_span<std::uint8_t>(out_.model.leaf.blocks());
    const auto decoded = palloc_span<float>(coded);
    double low = std::numeric_limits<double>::infinity();
    double high = -low;
    for (std::size_t from = 0; from < coded_points_.size(); from += coded) {
      const auto point = coded_points_.subspan(from, coded);
      const auto residual = coded_residuals_.subspan(from, coded);
      encoder.encode(point, residual, 1, scratch, codes);
      encoder.decode(codes, decoded);
      const double term = reconstruction_term(point, residual, decoded);
      low = std::min(low, term);
      high = std::max(high, term);
    }
    const double slack = 0.05 * (high - low);
    meta_.term_offset = static_cast<float>(low - slack);
    meta_.term_step = std::max(static_cast<float>((high - low + 2 * slack) / UINT16_MAX),
                               std::numeric_limits<float>::min());
  }

  const BuildTarget& target_;
  int workers_;
  const IndexOptions& options_;
  Sample& sample_;
  std::size_t memory_;
  TrainedModel& out_;
  MetaPage& meta_;
  std::span<float> mean_;
  std::span<float> codewords_;
  std::span<float> residuals_;
  std::span<float> coded_points_;  // in the basis of the codes, over the first rows of the sample
  std::span<float> coded_residuals_;
};

}  // namespace

std::size_t sample_memory(std::size_t memory) { return memory / 100 * 65; }

namespace {

// The parts of a model behind one another, each maximally aligned: sizes them when `bytes` is null.
class FlatModel {
 public:
  explicit FlatModel(std::byte* bytes) : bytes_(bytes) {}

  template <class T>
  std::span<T> take(std::size_t count) {
    T* part = reinterpret_cast<T*>(bytes_ == nullptr ? nullptr : bytes_ + used_);
    used_ += MAXALIGN(count * sizeof(T));
    return {part, bytes_ == nullptr ? 0 : count};
  }
  template <class T>
  void put(std::span<const T> from) {
    const std::span<T> to = take<T>(from.size());
    if (!to.empty()) std::copy(from.begin(), from.end(), to.begin());
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* bytes_;
  std::size_t used_ = 0;
};

std::size_t put_parts(const TrainedModel& trained, std::byte* bytes) {
  FlatModel flat(bytes);
  const Model& model = trained.model;
  flat.put(std::span(&model.meta, 1));
  flat.put(std::span<const float>(trained.floats));
  flat.put(std::span<const Partition>(trained.partitions));
  flat.put(std::span(model.centroids, trained.centroids.size()));
  flat.put(std::span<const float>(trained.centroids));
  return flat.used();
}

}  // namespace

std::size_t flat_bytes(const TrainedModel& trained) { return put_parts(trained, nullptr); }

void flatten(const TrainedModel& trained, std::span<std::byte> bytes) { put_parts(trained, bytes.data()); }

TrainedModel unflatten(std::byte* bytes) {
  TrainedModel trained;
  FlatModel flat(bytes);
  Model& model = trained.model;
  const MetaPage& meta = model.meta = flat.take<MetaPage>(1).front();
  model.shape = code_shape(meta);
  model.leaf = leaf_geometry(meta);
  model.inner = inner_geometry(meta);
  model.nulls = null_geometry();
  trained.floats = flat.take<float>(meta.model_floats);
  std::span<float> rest = trained.floats;
  model.mean = carve(rest, meta.metric == Metric::kEuclidean ? meta.dims : 0);
  model.codewords = carve(rest, model.shape.codewords());
  model.rotation = rest;
  trained.partitions = flat.take<Partition>(meta.leaves);
  model.partitions = trained.partitions;
  const std::size_t components = std::size_t{meta.leaves} * meta.dims;
  model.centroids = flat.take<std::int8_t>(components).data();
  trained.centroids = flat.take<float>(components);
  return trained;
}

PartitionAssigner::PartitionAssigner(const TrainedModel& trained)
    : dims_(trained.model.meta.dims), nearest_(palloc_span<std::uint32_t>(kAssignBatch)) {
  const auto first = palloc_span<std::uint32_t>(trained.model.meta.groups + 1);
  for (std::size_t p = trained.partitions.size(); p-- > 0;)
    first[trained.partitions[p].group] = static_cast<std::uint32_t>(p);
  first.back() = static_cast<std::uint32_t>(trained.partitions.size());
  const std::span<const std::uint32_t> groups = first;
  const bool spilled = trained.model.meta.spilled != 0;
  if (spilled) second_ = palloc_span<std::uint32_t>(kAssignBatch);
  groups_ =
      make_in_context<CentroidGroups>(std::span<const float>(trained.centroids), dims_, groups, spilled);
}

Assignment PartitionAssigner::assign(std::span<const float> rows) {
  const std::size_t n = rows.size() / dims_;
  groups_->assign(rows.data(), n, nearest_.data());
  if (second_.empty()) return {.nearest = nearest_.first(n), .second = {}};
  groups_->assign_second(rows.data(), n, nearest_.data(), second_.data());
  return {.nearest = nearest_.first(n), .second = second_.first(n)};
}

void train_model(const BuildTarget& target, int workers, const IndexOptions& options, Metric metric,
                 Sample& sample, std::size_t memory, TrainedModel& trained) {
  Model& model = trained.model;
  model.meta = empty_meta(metric);
  model.meta.dims = static_cast<uint32>(sample.dims);
  model.leaf = leaf_geometry(model.meta);
  model.nulls = null_geometry();
  if (sample.count == 0) return;
  const Norms norms = measure_norms(sample);
  sample.count -= sample.held_out;
  const std::size_t leaves = choose_leaves(options, sample);
  if (leaves > 0 && norms.largest > kLargestNorm) {
    ereport(NOTICE,
            (errmsg("index \"%s\" is not partitioned because vectors are too long",
                    RelationGetRelationName(target.index)),
             errdetail("The largest norm in the sample is %g.", norms.largest),
             errhint("Queries are exact, but compare every row. Scale the vectors down to make them fast.")));
    return;
  }
  if (leaves > 0) Trainer(target, workers, options, sample, memory, trained).train(leaves, norms);
}

}  // namespace scann::am
