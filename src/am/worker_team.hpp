// The parallel workers of a build: PostgreSQL's own, which share the leader's transaction.
#pragma once

#include "am/backend.hpp"

namespace scann::am {

// What is built.
struct BuildTarget {
  Relation heap;
  Relation index;
  IndexInfo* info;
};

// The leader's side. Use: construct, reserve() for each share(), create(), share(), launch(), wait(), end().
// A transaction abort cleans up at any point.
class WorkerTeam {
 public:
  // `function`: the exported function of this library that workers run. Enters parallel mode.
  WorkerTeam(const char* function, int workers, const BuildTarget& target);

  // Room for so many bytes in shared memory.
  void reserve(std::size_t bytes);
  // Creates the shared memory. False where there is none to have: then only end() may be called.
  bool create();
  // A part of the shared memory, for the workers to find under the key (from 1 on).
  std::span<std::byte> share(uint64 key, std::size_t bytes);
  // Returns how many workers were started, which may be none.
  int launch();
  // Until all workers have ended; raises their errors.
  void wait();
  // Frees the shared memory and leaves parallel mode.
  void end();

  // As many as may be launched.
  int workers() const { return context_->nworkers; }
  dsm_segment* segment() const { return context_->seg; }

 private:
  const BuildTarget& target_;
  ParallelContext* context_;
  int launched_ = 0;
  std::span<std::byte> usage_;
};

// The worker's side: opens the relations. Use: construct, work, finish().
class TeamMember {
 public:
  TeamMember(dsm_segment* segment, shm_toc* contents);

  const BuildTarget& target() const { return target_; }
  dsm_segment* segment() const { return segment_; }
  // What the leader shared under the key.
  template <class T>
  T* shared(uint64 key) const {
    return static_cast<T*>(shm_toc_lookup(contents_, key, false));
  }
  // Counts what this worker read and logged, and closes the relations.
  void finish();

 private:
  dsm_segment* segment_;
  shm_toc* contents_;
  BuildTarget target_{};
  LOCKMODE heap_lock_;
  LOCKMODE index_lock_;
};

}  // namespace scann::am
