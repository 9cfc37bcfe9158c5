// The on-disk format: what each kind of page holds and how it is checked before it is believed.
//
//   block 0       meta page: dimensions, metric, heads of the lists, calibration
//   model pages   a byte stream: mean, codewords, rotation (model.hpp)
//   posting lists (leaf, inner and null lists alike): a chain of segments, each a code page and the vector
//   pages
//                 that it names
//
//   code page                                          vector pages of the same segment
//   +--------------------------------------------+     +---------------------------------------+
//   | PageHeaderData                             |     | PageHeaderData                        |
//   | CodePageHeader: entries, voids, ...        |     | slot 0: TID | error | scale | int8... |
//   | BlockNumber vectors[vector_pages]  --------+---> | slot 1: ...                           |
//   | uint32 live[groups]: a bit an entry        |     |                                       |
//   | group 0: codes of entries 0..31            |     | ...                                   |
//   | group 1: codes of entries 32..63 ...       |     |                                       |
//   | PageOpaque: next -> next segment           |     | PageOpaque: owner -> code page        |
//   +--------------------------------------------+     +---------------------------------------+
//
// Entry i of a segment has its codes in group i / 32, lane i % 32, and its vector in slot i of the vector
// pages taken together; nothing is stored to connect them. How many entries a segment holds is the
// ListGeometry's decision: the number that packs pages fullest.
//
// All numbers are little-endian; pd_lower always ends after the last used byte, since WAL drops what lies
// between pd_lower and pd_upper.
#pragma once

#include <bit>

#include "am/backend.hpp"
#include "core/params.hpp"
#include "core/scalar_quantizer.hpp"

namespace scann::am {

static_assert(std::endian::native == std::endian::little, "the page format is little-endian");

enum class PageKind : uint16 {
  kMeta = 1,
  kModel = 2,
  kCodes = 3,
  kVectors = 4,
  kVectorTail = 5,  // the rest of a slot too wide for one page
};

// What a list's entries are. Stored in the pages of the list, so that any page can be understood on its own.
enum class ListKind : uint16 {
  kNone = 0,   // meta and model pages
  kLeaf = 1,   // rows
  kInner = 2,  // partitions: the vector is a centroid, the TID's block the head of the partition's list
  kNulls = 3,  // rows without a direction to order by: TID only
};

inline constexpr uint16 kFormatVersion = 2;
inline constexpr uint16 kPageId = 0x5CA4;

struct PageOpaque {
  BlockNumber next;   // codes and model: the chain; otherwise InvalidBlockNumber
  BlockNumber owner;  // codes: head of the list; vectors: their code page; otherwise InvalidBlockNumber
  PageKind kind;
  ListKind list;
  uint16 version;
  uint16 page_id;  // kPageId, for tools that look at raw pages
};
static_assert(sizeof(PageOpaque) == 16);

inline constexpr std::size_t kPageHeaderBytes = MAXALIGN(SizeOfPageHeaderData);
inline constexpr std::size_t kPageCapacity = BLCKSZ - kPageHeaderBytes - MAXALIGN(sizeof(PageOpaque));

// One vector slot; int8 components follow. A void slot has an invalid TID: the slot's TID is the only truth
// about whether an entry lives.
struct SlotHeader {
  ItemPointerData tid;  // heap row; in an inner list the child's head block with offset 1
  ErrorBound error;     // >= ||x - scale * v||; in a null list a NullReason
  float scale;
};
static_assert(sizeof(SlotHeader) == 12);

// Why a row is in the null list; NaN distances come before NULLs.
enum class NullReason : ErrorBound { kNull = 0, kZeroVector = 1 };

// Follows the SlotHeader in inner lists.
struct InnerFields {
  float sigma;   // standard deviation of the partition's residuals in each dimension
  uint32 count;  // rows below it when last counted
  uint32 group;  // of centroids that lie together; ascending in the list, without gaps
};
static_assert(sizeof(InnerFields) == 12);

struct CodePageHeader {
  uint32 entries;           // slots used, void ones included
  uint32 voids;             // of these, void (a hint kept by VACUUM and insert)
  BlockNumber insert_hint;  // list head only: the first segment that may have room
  uint32 void_hint;         // no void entry lies before this position
  uint32 preceding;         // entries of the list's earlier segments
  uint32 reserved;
  double residual_sum;  // sum of ||x - c||^2 over live entries, for the leaf's sigma
};
static_assert(sizeof(CodePageHeader) == 32);

// How a list's entries are cut into segments, derived from what an entry is.
class ListGeometry {
 public:
  ListGeometry() = default;
  // `blocks`: code blocks a vector (0: no codes). `terms`: groups carry Euclidean terms.
  ListGeometry(ListKind list, std::size_t dims, std::size_t blocks, bool terms);

  // The largest number of code blocks a page can take.
  static std::size_t max_blocks(bool terms);

  ListKind list() const { return list_; }
  std::size_t dims() const { return dims_; }
  std::size_t blocks() const { return blocks_; }
  bool terms() const { return terms_; }
  bool has_codes() const { return blocks_ > 0; }

  std::size_t slot_bytes() const { return slot_bytes_; }
  std::size_t vector_offset() const { return vector_offset_; }  // of the int8 components within a slot
  std::size_t slots_per_page() const { return slots_per_page_; }
  std::size_t pages_per_slot() const { return pages_per_slot_; }  // 2 where a slot is wider than a page
  std::size_t segment_entries() const { return segment_entries_; }
  std::size_t segment_vector_pages() const { return segment_vector_pages_; }
  std::size_t group_bytes() const { return group_bytes_; }

  // Where entry i's slot starts: index into the segment's vector pages, and offset from the page's first
  // byte.
  std::size_t vector_page_of(std::size_t entry) const {
    return pages_per_slot_ > 1 ? entry * pages_per_slot_ : entry / slots_per_page_;
  }
  std::size_t slot_offset(std::size_t entry) const {
    return kPageHeaderBytes + (pages_per_slot_ > 1 ? 0 : (entry % slots_per_page_) * slot_bytes_);
  }
  // Offsets from the code page's first byte: of the live bits, a word a group, and of the code groups.
  std::size_t live_offset() const { return live_offset_; }
  std::size_t groups_offset() const { return groups_offset_; }
  // The code page's pd_lower when `entries` are used.
  std::size_t code_page_lower(std::size_t entries) const;

 private:
  void choose_segment();

  ListKind list_ = ListKind::kNone;
  std::size_t dims_ = 0;
  std::size_t blocks_ = 0;
  bool terms_ = false;
  std::size_t slot_bytes_ = 0;
  std::size_t vector_offset_ = 0;
  std::size_t slots_per_page_ = 0;
  std::size_t pages_per_slot_ = 1;
  std::size_t segment_entries_ = 0;
  std::size_t segment_vector_pages_ = 0;
  std::size_t group_bytes_ = 0;
  std::size_t live_offset_ = 0;
  std::size_t groups_offset_ = 0;
};

inline PageOpaque* page_opaque(Page page) {
  return reinterpret_cast<PageOpaque*>(PageGetSpecialPointer(page));
}

// The first byte after the page header.
inline char* page_contents(Page page) { return static_cast<char*>(page) + kPageHeaderBytes; }

inline void set_page_lower(Page page, std::size_t lower) {
  reinterpret_cast<PageHeader>(page)->pd_lower = static_cast<LocationIndex>(lower);
}
inline std::size_t page_lower(Page page) { return reinterpret_cast<PageHeader>(page)->pd_lower; }

void init_page(Page page, PageKind kind, ListKind list, BlockNumber owner);

// Raises ERRCODE_INDEX_CORRUPTED unless the page carries this format, kind and list.
void check_page(Relation index, Buffer buffer, PageKind kind, ListKind list);

// Raises ERRCODE_INDEX_CORRUPTED unless the page carries this format; returns its special area.
const PageOpaque& check_format(Relation index, Buffer buffer);

// Raises ERRCODE_INDEX_CORRUPTED with the block's number and what is wrong with it.
[[noreturn]] void report_corruption(Relation index, BlockNumber block, const char* what);

// Notices when a chain of pages, followed one step() after another, runs in a circle.
class ChainGuard {
 public:
  explicit ChainGuard(Relation index) : index_(index) {}
  // Raises ERRCODE_INDEX_CORRUPTED after more steps than the index has blocks; `block` is for the message.
  void step(BlockNumber block);

 private:
  Relation index_;
  std::size_t steps_ = 0;
};

// A checked view of a code page; valid while its buffer is locked.
class CodePage {
 public:
  // Validates kind, counts and bounds.
  CodePage(Relation index, Buffer buffer, const ListGeometry& geometry);
  // For pages under construction or registered with WAL: no checks.
  CodePage(Page page, const ListGeometry& geometry) : page_(page), geometry_(&geometry) {}

  void init(BlockNumber head, std::size_t preceding);

  CodePageHeader& header() const { return *reinterpret_cast<CodePageHeader*>(page_contents(page_)); }
  BlockNumber* vectors() const {
    return reinterpret_cast<BlockNumber*>(page_contents(page_) + sizeof(CodePageHeader));
  }
  std::uint8_t* groups() const { return reinterpret_cast<std::uint8_t*>(page_) + geometry_->groups_offset(); }
  std::uint8_t* group_of(std::size_t entry) const {
    return groups() + entry / kGroupSize * geometry_->group_bytes();
  }
  // Bit j of word g: entry 32g + j is not void, as far as VACUUM has told. Only where there are codes.
  std::uint32_t* live() const {
    return reinterpret_cast<std::uint32_t*>(static_cast<char*>(page_) + geometry_->live_offset());
  }
  bool is_live(std::size_t entry) const {
    return (live()[entry / kGroupSize] >> entry % kGroupSize & 1) != 0;
  }
  void set_live(std::size_t entry, bool live) const {
    const std::uint32_t bit = 1U << entry % kGroupSize;
    std::uint32_t& word = this->live()[entry / kGroupSize];
    word = live ? word | bit : word & ~bit;
  }
  BlockNumber next() const { return page_opaque(page_)->next; }
  BlockNumber head() const { return page_opaque(page_)->owner; }
  std::size_t vector_pages_in_use() const;
  // Sets the number of entries and pd_lower with it.
  void set_entries(std::size_t entries);

 private:
  Page page_;
  const ListGeometry* geometry_;
};

// The slots of a vector page; valid while its buffer is locked.
inline SlotHeader* slot_at(Page page, const ListGeometry& geometry, std::size_t entry) {
  return reinterpret_cast<SlotHeader*>(static_cast<char*>(page) + geometry.slot_offset(entry));
}
inline InnerFields* inner_fields(SlotHeader* slot) { return reinterpret_cast<InnerFields*>(slot + 1); }
inline std::int8_t* slot_vector(SlotHeader* slot, const ListGeometry& geometry) {
  return reinterpret_cast<std::int8_t*>(slot) + geometry.vector_offset();
}

// Slots used on a vector page, from its pd_lower.
std::size_t slots_on_page(Page page, const ListGeometry& geometry);

}  // namespace scann::am
