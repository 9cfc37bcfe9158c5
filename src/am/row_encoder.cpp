// Reading, centring, assigning and encoding vectors.
#include "am/row_encoder.hpp"

#include "core/centroid_groups.hpp"
#include "core/kernels.hpp"

namespace scann::am {

VectorReader::VectorReader(Relation index)
    : index_(index), type_(vector_type(index)), context_(CurrentMemoryContext) {}

std::span<float> VectorReader::scratch(std::size_t dims) {
  if (scratch_.size() < dims) {
    scratch_ = {static_cast<float*>(MemoryContextAlloc(context_, dims * sizeof(float))), dims};
  }
  return scratch_.first(dims);
}

std::span<const float> VectorReader::read(Datum value, uint32 expected) {
  const Datum detoasted = PointerGetDatum(PG_DETOAST_DATUM(value));
  const uint32 dims = dimensions_ = type_.dimensions(detoasted);
  if (expected > 0) check_dimensions(index_, expected, dims);
  const std::span<float> copy = scratch(dims);
  const float* components = type_.components(detoasted, copy.data());
  if (type_.metric != Metric::kCosine) {
    if (components != copy.data()) std::copy_n(components, dims, copy.begin());
  } else {
    const double norm = norm_of({components, dims});
    if (norm == 0) return {};
    std::transform(components, components + dims, copy.begin(),
                   [norm](float x) { return static_cast<float>(x / norm); });
  }
  if (detoasted != value) pfree(DatumGetPointer(detoasted));
  return copy;
}

double norm_of(std::span<const float> vector) {
  return std::sqrt(inner_product(vector.data(), vector.data(), vector.size()));
}

void center(const Model& model, std::span<const float> vector, std::span<float> out) {
  if (model.mean.empty()) {
    if (out.data() != vector.data()) std::copy(vector.begin(), vector.end(), out.begin());
    return;
  }
  std::transform(vector.begin(), vector.end(), model.mean.begin(), out.begin(), std::minus<>());
}

namespace {

// The partitions that a vector is compared with: calls visit(p, <vector, c_p>) for those of the nearest
// groups.
template <class Visit>
void visit_near_partitions(const Model& model, std::span<const float> vector, Visit&& visit) {
  const auto ranked = palloc_span<std::pair<float, std::uint32_t>>(model.groups.size());
  const auto products = palloc_span<float>(model.groups.size());
  dot_matrix(vector.data(), 1, model.group_centers, ranked.size(), vector.size(), products.data());
  for (std::uint32_t g = 0; g < ranked.size(); ++g) ranked[g] = {model.groups[g].half_norm - products[g], g};
  const std::size_t probed = std::min(kProbedGroups, ranked.size());
  std::partial_sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(probed), ranked.end());
  for (const auto& [distance, group] : ranked.first(probed)) {
    for (std::size_t p = model.groups[group].first; p < model.groups[group].end; ++p) {
      visit(p, model.partitions[p].scale * dot_i8(vector.data(), model.centroid(p), vector.size()));
    }
  }
  pfree(products.data());
  pfree(ranked.data());
}

// (x - c) / ||x - c||; zeros where x = c.
std::span<float> residual_direction(const Model& model, std::span<const float> vector,
                                    std::size_t partition) {
  const auto direction = palloc_span<float>(vector.size());
  decode_centroid(model, partition, direction);
  std::transform(vector.begin(), vector.end(), direction.begin(), direction.begin(), std::minus<>());
  const double norm = norm_of(direction);
  const auto scale = static_cast<float>(norm > 0 ? 1 / norm : 0);
  for (float& x : direction) x *= scale;
  return direction;
}

}  // namespace

std::size_t nearest_partition(const Model& model, std::span<const float> vector) {
  std::size_t nearest = 0;
  float best = -std::numeric_limits<float>::infinity();
  visit_near_partitions(model, vector, [&](std::size_t p, float product) {
    const float score = product - model.partitions[p].half_norm;
    if (!(score > best)) return;
    best = score;
    nearest = p;
  });
  return nearest;
}

std::size_t second_partition(const Model& model, std::span<const float> vector, std::size_t nearest) {
  const std::span<float> direction = residual_direction(model, vector, nearest);
  const auto reach = static_cast<float>(inner_product(vector.data(), direction.data(), vector.size()));
  std::size_t second = nearest == 0 ? 1 : 0;
  float least = std::numeric_limits<float>::infinity();
  visit_near_partitions(model, vector, [&](std::size_t p, float product) {
    const Partition& partition = model.partitions[p];
    const float along = reach - partition.scale * dot_i8(direction.data(), model.centroid(p), vector.size());
    const float loss = second_loss(2 * (partition.half_norm - product), along);
    if (!(loss < least) || p == nearest) return;
    least = loss;
    second = p;
  });
  pfree(direction.data());
  return second;
}

void decode_centroid(const Model& model, std::size_t partition, std::span<float> out) {
  const std::int8_t* centroid = model.centroid(partition);
  const float scale = model.partitions[partition].scale;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = scale * static_cast<float>(centroid[i]);
}

ScoreAwareLoss loss_of(const MetaPage& meta) {
  if (meta.threshold <= 0) return {};
  return ScoreAwareLoss(meta.threshold, meta.effective_dims, meta.mean_norm);
}

RowEncoder::RowEncoder(const Model& model, bool many)
    : model_(model),
      encoder_(model.shape, model.codewords, palloc_span<float>(many ? model.codewords.size() : 0)),
      loss_(loss_of(model.meta)),
      residual_(palloc_span<float>(model.meta.dims)),
      rotated_vector_(palloc_span<float>(model.shape.dims)),
      rotated_residual_(palloc_span<float>(model.shape.dims)),
      scratch_(palloc_span<float>(model.has_codes() ? encoder_.scratch_floats() : 0)),
      codes_(palloc_span<std::uint8_t>(model.leaf.blocks())),
      vector_(palloc_span<std::int8_t>(model.meta.dims)) {}

Entry RowEncoder::encode(std::span<const float> vector, std::size_t partition) {
  const ScalarQuantized quantized = scalar_quantize(vector, vector_);
  const double norm = norm_of(vector);
  Entry entry;
  entry.scale = quantized.scale;
  entry.error = encode_error_bound(decode_error_bound(quantized.error) + kInputRounding * norm);
  entry.vector = vector_.data();
  if (model_.has_codes()) encode_residual(vector, norm, partition, entry);
  return entry;
}

void RowEncoder::encode_residual(std::span<const float> vector, double norm, std::size_t partition,
                                 Entry& entry) {
  decode_centroid(model_, partition, residual_);
  std::transform(vector.begin(), vector.end(), residual_.begin(), residual_.begin(), std::minus<>());
  rotate(model_.meta.rotation, model_.rotation, vector, rotated_vector_);
  rotate(model_.meta.rotation, model_.rotation, residual_, rotated_residual_);
  encoder_.encode(rotated_vector_, rotated_residual_, loss_.weights(norm).eta, scratch_, codes_);
  entry.codes = codes_.data();
  entry.residual_squared =
      static_cast<float>(inner_product(residual_.data(), residual_.data(), residual_.size()));
  if (model_.leaf.terms()) {
    const std::span<float> decoded = residual_.first(model_.shape.dims);
    encoder_.decode(codes_, decoded);
    const double term = reconstruction_term(rotated_vector_, rotated_residual_, decoded);
    const double steps = (term - model_.meta.term_offset) / model_.meta.term_step;
    entry.term = static_cast<std::uint16_t>(std::lround(std::clamp(steps, 0.0, 65535.0)));
  }
}

double reconstruction_term(std::span<const float> vector, std::span<const float> residual,
                           std::span<const float> decoded_residual) {
  // ||c + r~||^2 - ||c||^2 = (2c + r~) r~, and c = x - r.
  double sum = 0;
  for (std::size_t i = 0; i < vector.size(); ++i) {
    const double centroid = double{vector[i]} - residual[i];
    sum += (centroid + 0.5 * decoded_residual[i]) * decoded_residual[i];
  }
  return sum;
}

}  // namespace scann::am
