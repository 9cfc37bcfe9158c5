// From a value of the indexed column to an index entry, and to a query: the one place where vectors enter the
// space of the index.
#pragma once

#include "am/model.hpp"
#include "am/posting_list.hpp"
#include "am/vector_type.hpp"

namespace scann::am {

// Bounds the relative rounding error of bringing a vector into index space (normalising, subtracting the
// mean).
inline constexpr double kInputRounding = 0x1p-22;

// Reads values as float vectors, scaled to unit norm under cosine. Allocates its scratch in the current
// context.
class VectorReader {
 public:
  explicit VectorReader(Relation index);

  // Raises an error for a value that is no vector or, when `expected` > 0, one of other dimensions. Valid
  // until the next call. Empty for a zero vector under cosine: it has no direction.
  std::span<const float> read(Datum value, uint32 expected);
  // Of the value last read.
  uint32 dimensions() const { return dimensions_; }
  const VectorType& type() const { return type_; }

 private:
  std::span<float> scratch(std::size_t dims);

  Relation index_;
  const VectorType& type_;
  MemoryContext context_;
  std::span<float> scratch_;
  uint32 dimensions_ = 0;
};

// ||vector||, summed in double.
double norm_of(std::span<const float> vector);

// Subtracts the mean of a Euclidean index; `vector` and `out` may be the same memory.
void center(const Model& model, std::span<const float> vector, std::span<float> out);

// The partition of least squared distance to its decoded int8 centroid, looked for as
// CentroidGroups::assign() does; `vector` is centred.
std::size_t nearest_partition(const Model& model, std::span<const float> vector);

// The other partition that a vector has an entry in where the index spills, as
// CentroidGroups::assign_second() finds it; `nearest` is as nearest_partition() gave it.
std::size_t second_partition(const Model& model, std::span<const float> vector, std::size_t nearest);

// The decoded centroid of a partition: dims floats.
void decode_centroid(const Model& model, std::size_t partition, std::span<float> out);

// Encodes centred vectors. Allocates its scratch once, in the current context.
class RowEncoder {
 public:
  // `many`: spends memory on encoding many vectors fast, instead of on the first one.
  RowEncoder(const Model& model, bool many);

  // Everything of an entry but its TID. Its pointers are valid until the next call. At height 0 `partition`
  // is not looked at.
  Entry encode(std::span<const float> vector, std::size_t partition);

 private:
  void encode_residual(std::span<const float> vector, double norm, std::size_t partition, Entry& entry);

  const Model& model_;
  Encoder encoder_;
  ScoreAwareLoss loss_;
  std::span<float> residual_;
  std::span<float> rotated_vector_;
  std::span<float> rotated_residual_;
  std::span<float> scratch_;
  std::span<std::uint8_t> codes_;
  std::span<std::int8_t> vector_;
};

// The Euclidean term (||x~||^2 - ||c||^2) / 2 of the reconstruction x~ = c + r~, all in the rotated basis.
double reconstruction_term(std::span<const float> vector, std::span<const float> residual,
                           std::span<const float> decoded_residual);

// The score-aware loss that a meta page describes.
ScoreAwareLoss loss_of(const MetaPage& meta);

}  // namespace scann::am
