// Storage parameters and settings.
#include "am/options.hpp"

#include "core/params.hpp"

namespace scann::am {

Settings settings = {.target_recall = 0.95,
                     .num_leaves_to_search = 0,
                     .pre_reordering_num_neighbors = 0,
                     .max_scan_tuples = -1};

namespace {

constexpr IndexOptions kDefaults = {.vl_len_ = 0,
                                    .num_leaves = 0,
                                    .dimensions_per_block = 0,
                                    .training_sample_size = 0,
                                    .anisotropic_quantization_threshold = -1,
                                    .soar = false};
constexpr int kMaxLeaves = 1'000'000;
constexpr int kMaxDimensionsPerBlock = 1024;

relopt_kind option_kind;

}  // namespace

IndexOptions index_options(Relation index) {
  return index->rd_options == nullptr ? kDefaults : *reinterpret_cast<IndexOptions*>(index->rd_options);
}

void define_options() {
  option_kind = add_reloption_kind();
  add_int_reloption(option_kind, "num_leaves", "Number of partitions (0 = chosen from the data).", 0, 0,
                    kMaxLeaves, AccessExclusiveLock);
  add_int_reloption(option_kind, "dimensions_per_block",
                    "Dimensions that share one 4-bit code (0 = chosen from the data).", 0, 0,
                    kMaxDimensionsPerBlock, AccessExclusiveLock);
  add_int_reloption(option_kind, "training_sample_size",
                    "Rows sampled for training (0 = chosen from the data).", 0, 0, INT_MAX,
                    AccessExclusiveLock);
  add_real_reloption(
      option_kind, "anisotropic_quantization_threshold",
      "Threshold T of the score-aware loss, as a fraction of the mean norm (-1 = chosen from the data).", -1,
      -1, 1, AccessExclusiveLock);
  add_bool_reloption(option_kind, "soar",
                     "Whether every vector has a second entry, in another partition: faster queries of high "
                     "recall, for twice the size.",
                     false, AccessExclusiveLock);

  DefineCustomRealVariable("scann.target_recall", "Share of the true nearest rows that a query should find.",
                           "1 compares every row of the index and gives exact results.",
                           &settings.target_recall, 0.95, 0.01, 1, PGC_USERSET, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("scann.num_leaves_to_search",
                          "Largest number of partitions that a query's first round scans.",
                          "0 derives it from scann.target_recall.", &settings.num_leaves_to_search, 0, 0,
                          kMaxLeaves, PGC_USERSET, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable(
      "scann.pre_reordering_num_neighbors", "Number of candidates that a query's first round re-orders.",
      "0 derives it from scann.target_recall and LIMIT.", &settings.pre_reordering_num_neighbors, 0, 0,
      1'000'000, PGC_USERSET, 0, nullptr, nullptr, nullptr);
  DefineCustomIntVariable("scann.max_scan_tuples", "Largest number of rows that one index scan returns.",
                          "-1 sets no limit: a filtered query continues until it has its rows.",
                          &settings.max_scan_tuples, -1, -1, INT_MAX, PGC_USERSET, 0, nullptr, nullptr,
                          nullptr);
  MarkGUCPrefixReserved("scann");
}

bytea* scann_options(Datum reloptions, bool validate) {
  const auto element = [](const char* name, relopt_type type, std::size_t offset) {
    relopt_parse_elt parsed{};
    parsed.optname = name;
    parsed.opttype = type;
    parsed.offset = static_cast<int>(offset);
    return parsed;
  };
  const relopt_parse_elt table[] = {
      element("num_leaves", RELOPT_TYPE_INT, offsetof(IndexOptions, num_leaves)),
      element("dimensions_per_block", RELOPT_TYPE_INT, offsetof(IndexOptions, dimensions_per_block)),
      element("training_sample_size", RELOPT_TYPE_INT, offsetof(IndexOptions, training_sample_size)),
      element("anisotropic_quantization_threshold", RELOPT_TYPE_REAL,
              offsetof(IndexOptions, anisotropic_quantization_threshold)),
      element("soar", RELOPT_TYPE_BOOL, offsetof(IndexOptions, soar)),
  };
  return static_cast<bytea*>(
      build_reloptions(reloptions, validate, option_kind, sizeof(IndexOptions), table, lengthof(table)));
}

}  // namespace scann::am
