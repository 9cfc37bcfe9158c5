// What a backend knows of an index: the meta page, the trained parameters and the partitions, cached in the
// relation cache as one chunk of memory.
#pragma once

#include <array>

#include "am/buffer.hpp"
#include "am/page.hpp"
#include "core/codebook.hpp"
#include "core/rotation.hpp"

namespace scann::am {

inline constexpr BlockNumber kMetaBlock = 0;
inline constexpr uint32 kMetaMagic = 0x5CA22A4D;

// How much a search must do to reach a recall, found by calibration (calibrate.hpp).
struct SearchEffort {
  float recall;       // mean recall measured at this effort
  float margin;       // stop where NextLeaf::stop_value() exceeds this
  uint32 candidates;  // K: candidates re-ordered by their int8 vectors
  float codes;        // mean number of codes scored
};
static_assert(sizeof(SearchEffort) == 16);

// The most candidates a round keeps.
inline constexpr uint32 kMostCandidates = 1'000'000;

inline constexpr std::array<uint32, 5> kCalibratedLimits = {1, 10, 100, 300, 1000};
inline constexpr std::array<float, 8> kCalibratedRecalls = {0.80F, 0.85F, 0.90F,  0.95F,
                                                            0.98F, 0.99F, 0.995F, 0.998F};
using EffortTable = std::array<std::array<SearchEffort, kCalibratedRecalls.size()>, kCalibratedLimits.size()>;

// The contents of the meta page.
struct MetaPage {
  uint32 magic;
  uint32 generation;  // changes whenever anything below it changes, except while dims is still 0
  uint32 dims;        // 0 until the first vector arrives
  Metric metric;
  uint8 height;  // levels of inner lists above the leaves: 0 = the root list is the only leaf
  RotationKind rotation;
  uint8 calibrated;       // 1: `efforts` is filled in
  uint32 dims_per_block;  // of the leaf lists' codes; 0 = leaves have no codes
  uint32 leaves;          // number of partitions; 1 at height 0
  uint32 groups;          // of partitions; 1: every query ranks all of them
  uint32 rows;            // rows with a vector at build, saturated
  float threshold;        // T of the score-aware loss, absolute; 0 = isotropic
  float effective_dims;
  float mean_norm;
  float mean_sigma;   // mean over partitions, weighted by rows: what the unit of SearchEffort::margin follows
                      // from
  float term_offset;  // Euclidean terms: value = term_offset + term_step * stored
  float term_step;
  BlockNumber root;        // head of the root list; invalid while dims is 0
  BlockNumber nulls;       // head of the null list
  BlockNumber model_head;  // first model page; invalid when model_floats is 0
  uint32 blocks;           // of the whole index when it was calibrated
  uint32 coded_dims;       // of the basis in which residuals are coded; 0 where there are no codes
  uint32 spilled;          // 1: rows with a vector have two entries, in different leaves (SOAR)
  uint64 model_floats;     // mean (dims), codewords, rotation
  EffortTable efforts;
};
static_assert(sizeof(MetaPage) <= kPageCapacity);

inline MetaPage* meta_contents(Page page) { return reinterpret_cast<MetaPage*>(page_contents(page)); }

// A leaf as the scan and the insert need it.
struct Partition {
  BlockNumber head;
  float sigma;
  uint32 count;
  float scale;      // of its int8 centroid
  float half_norm;  // ||c||^2 / 2 of the decoded centroid
  uint32 group;
};

// Partitions whose centroids lie together: the level of the tree above them.
struct PartitionGroup {
  uint32 first;  // its partitions: [first, end)
  uint32 end;
  float sigma;      // their mean sigma (root mean square)
  float spread;     // standard deviation of their centroids from the group's centre, in each dimension
  float half_norm;  // ||centre||^2 / 2
};

// Points into its own chunk of memory. Read-only; do not keep across anything that may process invalidations.
struct Model {
  MetaPage meta;
  ListGeometry leaf;
  ListGeometry inner;
  ListGeometry nulls;
  CodebookShape shape;          // of coded_dims dimensions
  std::span<const float> mean;  // dims floats, Euclidean only: subtracted from rows and queries
  std::span<const float> codewords;
  std::span<const float> rotation;
  std::span<const Partition> partitions;
  double counted_rows;           // of the index, as last counted
  const std::int8_t* centroids;  // partitions x dims
  std::span<const PartitionGroup> groups;
  const float* group_centers;  // groups x dims: means of decoded centroids
  // All partitions' scales and sigmas once more, which a query reads in one go.
  const float* scales;
  const float* sigmas;
  RecentBuffers buffers;  // of the blocks that existed when the model was read
  // growth_since_calibration(), and with how many blocks it was measured.
  mutable double growth = 1;
  mutable BlockNumber growth_blocks = 0;

  bool has_codes() const { return meta.dims_per_block > 0; }
  // The rows that were counted last, for each row of the build.
  double counted_share() const { return counted_rows / std::max(1U, meta.rows); }
  const std::int8_t* centroid(std::size_t partition) const { return centroids + partition * meta.dims; }
};

// Reads and checks the meta page.
MetaPage read_meta(Relation index);

// The model of an index, from the relation cache when the meta page's generation still matches.
const Model& open_model(Relation index);

// How codes are cut into blocks; only where there are codes.
CodebookShape code_shape(const MetaPage& meta);

// Entries in leaves of each row with a vector.
inline uint32 entries_per_row(const MetaPage& meta) { return meta.spilled + 1; }

// The geometries that a meta page implies.
ListGeometry leaf_geometry(const MetaPage& meta);
ListGeometry inner_geometry(const MetaPage& meta);
ListGeometry null_geometry();

// A meta page for an index without vectors; the caller fills in `nulls`.
MetaPage empty_meta(Metric metric);

// Fills in what queries rank partitions by, which follows from the partitions and centroids of `model`.
// `groups`: meta.groups; `centers`: groups x dims; `columns`: 2 x partitions. Partitions whose group numbers
// are not as they should be give false.
[[nodiscard]] bool prepare_ranking(Model& model, std::span<PartitionGroup> groups, std::span<float> centers,
                                   std::span<float> columns);

// Reserves block 0 of a fresh index, and fills it in. Not WAL-logged.
void reserve_meta(Relation index, ForkNumber fork);
void write_meta(Relation index, ForkNumber fork, const MetaPage& meta);

// Writes a whole empty index: meta page and null list. Not WAL-logged.
void write_empty_index(Relation index, ForkNumber fork, Metric metric);

// Writes floats to a chain of model pages and returns its first block. Not WAL-logged.
BlockNumber write_model_floats(Relation index, std::span<const float> floats);

// Gives an index that has no vectors yet its number of dimensions and an empty root list. WAL-logged;
// harmless when another backend was faster.
void set_dimensions(Relation index, uint32 dims);

// Replaces what calibration found. WAL-logged.
void store_efforts(Relation index, const EffortTable& efforts);

}  // namespace scann::am
