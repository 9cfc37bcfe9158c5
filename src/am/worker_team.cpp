// Starting, feeding and ending parallel workers.
#include "am/worker_team.hpp"

extern "C" {
#include <executor/instrument.h>
#include <tcop/tcopprot.h>
#include <utils/backend_status.h>
}

namespace scann::am {
namespace {

// Keys of what every team shares; jobs count theirs from 1.
constexpr uint64 kTeamKey = UINT64CONST(0x5CA2000000000001);
constexpr uint64 kUsageKey = UINT64CONST(0x5CA2000000000002);
constexpr uint64 kQueryKey = UINT64CONST(0x5CA2000000000003);

struct TeamHeader {
  Oid heap;
  Oid index;
  bool concurrent;
};

// What a worker did, for EXPLAIN and the statistics of statements.
struct WorkerUsage {
  BufferUsage buffers;
  WalUsage wal;
};

// Builds of a table hold this lock on it, and their workers with them.
LOCKMODE heap_lock(bool concurrent) { return concurrent ? ShareUpdateExclusiveLock : ShareLock; }
LOCKMODE index_lock(bool concurrent) { return concurrent ? RowExclusiveLock : AccessExclusiveLock; }

}  // namespace

WorkerTeam::WorkerTeam(const char* function, int workers, const BuildTarget& target) : target_(target) {
  EnterParallelMode();
  context_ = CreateParallelContext("$libdir/scann_am", function, workers);
  reserve(sizeof(TeamHeader));
  reserve(sizeof(WorkerUsage) * workers);
  if (debug_query_string != nullptr) reserve(std::strlen(debug_query_string) + 1);
}

void WorkerTeam::reserve(std::size_t bytes) {
  shm_toc_estimate_chunk(&context_->estimator, bytes);
  shm_toc_estimate_keys(&context_->estimator, 1);
}

std::span<std::byte> WorkerTeam::share(uint64 key, std::size_t bytes) {
  auto* memory = static_cast<std::byte*>(shm_toc_allocate(context_->toc, bytes));
  shm_toc_insert(context_->toc, key, memory);
  return {memory, bytes};
}

bool WorkerTeam::create() {
  InitializeParallelDSM(context_);
  if (context_->seg == nullptr) return false;
  *reinterpret_cast<TeamHeader*>(share(kTeamKey, sizeof(TeamHeader)).data()) = {
      .heap = RelationGetRelid(target_.heap),
      .index = RelationGetRelid(target_.index),
      .concurrent = target_.info->ii_Concurrent};
  usage_ = share(kUsageKey, sizeof(WorkerUsage) * context_->nworkers);
  if (debug_query_string != nullptr) {
    const std::size_t bytes = std::strlen(debug_query_string) + 1;
    std::memcpy(share(kQueryKey, bytes).data(), debug_query_string, bytes);
  }
  return true;
}

int WorkerTeam::launch() {
  LaunchParallelWorkers(context_);
  launched_ = context_->nworkers_launched;
  return launched_;
}

void WorkerTeam::wait() {
  WaitForParallelWorkersToFinish(context_);
  auto* usage = reinterpret_cast<WorkerUsage*>(usage_.data());
  for (int i = 0; i < launched_; ++i) InstrAccumParallelQuery(&usage[i].buffers, &usage[i].wal);
}

void WorkerTeam::end() {
  DestroyParallelContext(context_);
  ExitParallelMode();
}

TeamMember::TeamMember(dsm_segment* segment, shm_toc* contents) : segment_(segment), contents_(contents) {
  const auto* query = static_cast<const char*>(shm_toc_lookup(contents, kQueryKey, true));
  debug_query_string = query;
  pgstat_report_activity(STATE_RUNNING, query);
  const auto& header = *shared<TeamHeader>(kTeamKey);
  heap_lock_ = heap_lock(header.concurrent);
  index_lock_ = index_lock(header.concurrent);
  target_.heap = table_open(header.heap, heap_lock_);
  target_.index = index_open(header.index, index_lock_);
  target_.info = BuildIndexInfo(target_.index);
  target_.info->ii_Concurrent = header.concurrent;
  InstrStartParallelQuery();
}

void TeamMember::finish() {
  WorkerUsage& usage = shared<WorkerUsage>(kUsageKey)[ParallelWorkerNumber];
  InstrEndParallelQuery(&usage.buffers, &usage.wal);
  index_close(target_.index, index_lock_);
  table_close(target_.heap, heap_lock_);
}

}  // namespace scann::am
