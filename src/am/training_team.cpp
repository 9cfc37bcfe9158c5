// k-means by parallel workers.
//
// The leader publishes a round: what is to be assigned, then a ticket with the number of chunks. Every
// process takes chunks off the ticket until there are none; the leader waits until all taken ones are done.
// So a worker that comes late, or never, delays nobody, and while a chunk is being worked on its round
// stands.
#include "am/training_team.hpp"

extern "C" {
#include <port/atomics.h>
#include <storage/condition_variable.h>
#include <utils/wait_event.h>
}

namespace scann::am {
namespace {

enum TrainingKey : uint64 { kRoundKey = 1, kCentroidsKey, kGroupsKey, kNearestKey };

// What is left of a round, in one word that changes at once.
struct Ticket {
  static constexpr int kChunkBits = 28;
  static constexpr uint64 kChunkMask = (uint64{1} << kChunkBits) - 1;
  static constexpr uint64 kOver = UINT64_MAX;  // no round will follow

  uint64 word;

  // Chunks [0, count) of a round; numbered, so that no two tickets are the same.
  static Ticket of_round(uint64 round, uint64 count) {
    return {round << 2 * kChunkBits | count << kChunkBits};
  }
  bool over() const { return word == kOver; }
  uint64 round() const { return word >> 2 * kChunkBits; }
  uint64 next() const { return word & kChunkMask; }
  uint64 count() const { return word >> kChunkBits & kChunkMask; }
  bool empty() const { return next() == count(); }
};

// In shared memory, with the arrays of a step behind keys of their own.
struct SharedRound {
  dsm_handle sample;
  std::size_t dims;
  std::size_t leaves;
  pg_atomic_uint64 ticket;
  pg_atomic_uint64 done;        // chunks of the round at hand
  ConditionVariable published;  // a new ticket
  ConditionVariable all_done;
  // Of the round at hand:
  std::size_t stride;
  std::size_t count;   // rows
  std::size_t groups;  // of centroids
};

// The arrays of a step, where they are mapped in this process.
struct RoundArrays {
  const float* sample;
  float* centroids;
  std::uint32_t* group_first;
  std::uint32_t* nearest;
};

// A process's assigner of one step at a time, in a memory context that is emptied between steps.
class StepWorker {
 public:
  StepWorker()
      : context_(AllocSetContextCreate(CurrentMemoryContext, "scann training step", ALLOCSET_DEFAULT_SIZES)) {
  }

  void begin(const AssignStep& step) {
    MemoryContextReset(context_);
    const MemoryContext old = MemoryContextSwitchTo(context_);
    assigner_ = make_in_context<ChunkAssigner>(step);
    MemoryContextSwitchTo(old);
  }
  void assign(uint64 chunk) { assigner_->assign(chunk); }

 private:
  MemoryContext context_;
  ChunkAssigner* assigner_ = nullptr;
};

// Every process's view of the rounds.
class Rounds {
 public:
  Rounds(SharedRound& shared, const RoundArrays& arrays) : shared_(shared), arrays_(arrays) {}

  // Claims a chunk and assigns its rows. False when there is none to claim.
  bool work() {
    Ticket ticket{pg_atomic_read_u64(&shared_.ticket)};
    do {
      if (ticket.over() || ticket.empty()) return false;
    } while (!pg_atomic_compare_exchange_u64(&shared_.ticket, &ticket.word, ticket.word + 1));
    if (ticket.round() != begun_) worker_.begin(step());
    begun_ = ticket.round();
    worker_.assign(ticket.next());
    if (pg_atomic_add_fetch_u64(&shared_.done, 1) == ticket.count()) {
      ConditionVariableSignal(&shared_.all_done);
    }
    return true;
  }
  bool over() const { return Ticket{pg_atomic_read_u64(&shared_.ticket)}.over(); }

  // The leader's: makes a step the round at hand.
  void publish(const AssignStep& step) {
    std::copy(step.centroids.begin(), step.centroids.end(), arrays_.centroids);
    std::copy(step.group_first.begin(), step.group_first.end(), arrays_.group_first);
    shared_.stride = step.rows.stride;
    shared_.count = step.rows.count;
    shared_.groups = step.group_first.size() - 1;
    pg_atomic_write_u64(&shared_.done, 0);
    put_ticket(Ticket::of_round(++published_, step.chunks()));
  }
  // The leader's: when it finds no more chunks, waits for those of the others.
  void collect(const AssignStep& step) const {
    while (pg_atomic_read_u64(&shared_.done) < step.chunks()) {
      ConditionVariableSleep(&shared_.all_done, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
    }
    ConditionVariableCancelSleep();
    pg_read_barrier();
    std::copy_n(arrays_.nearest, step.nearest.size(), step.nearest.begin());
  }
  // The leader's: no round will follow.
  void finish() { put_ticket({Ticket::kOver}); }

 private:
  AssignStep step() const {
    return {.rows = {arrays_.sample, shared_.dims, shared_.stride, shared_.count},
            .centroids = {arrays_.centroids, shared_.leaves * shared_.dims},
            .group_first = {arrays_.group_first, shared_.groups + 1},
            .nearest = {arrays_.nearest, shared_.count}};
  }

  void put_ticket(Ticket ticket) {
    pg_write_barrier();
    pg_atomic_write_u64(&shared_.ticket, ticket.word);
    ConditionVariableBroadcast(&shared_.published);
  }

  SharedRound& shared_;
  RoundArrays arrays_;
  StepWorker worker_;
  uint64 begun_ = 0;
  uint64 published_ = 0;
};

const AssignStep* next_step(PartitionTraining& training) {
  const AssignStep* step = nullptr;
  call_core([&] { step = training.next(); });
  return step;
}

void assign_alone(PartitionTraining& training, const AssignStep* step) {
  StepWorker worker;
  for (; step != nullptr; step = next_step(training)) {
    worker.begin(*step);
    for (std::size_t chunk = 0; chunk < step->chunks(); ++chunk) {
      CHECK_FOR_INTERRUPTS();
      worker.assign(chunk);
    }
  }
}

std::size_t leaves_of(const AssignStep& step) { return step.centroids.size() / step.rows.dims; }
// However many groups a round has.
std::size_t group_bytes(const AssignStep& step) { return (leaves_of(step) + 1) * sizeof(std::uint32_t); }
std::size_t nearest_bytes(const PartitionTraining& training) {
  return training.most_rows() * sizeof(std::uint32_t);
}

void reserve_rounds(WorkerTeam& team, const PartitionTraining& training, const AssignStep& step) {
  team.reserve(sizeof(SharedRound));
  team.reserve(step.centroids.size_bytes());
  team.reserve(group_bytes(step));
  team.reserve(nearest_bytes(training));
}

Rounds share_rounds(WorkerTeam& team, const Sample& sample, const PartitionTraining& training,
                    const AssignStep& step) {
  auto& round = *reinterpret_cast<SharedRound*>(team.share(kRoundKey, sizeof(SharedRound)).data());
  round.sample = dsm_segment_handle(sample.segment);
  round.dims = sample.dims;
  round.leaves = leaves_of(step);
  pg_atomic_init_u64(&round.ticket, 0);
  pg_atomic_init_u64(&round.done, 0);
  ConditionVariableInit(&round.published);
  ConditionVariableInit(&round.all_done);
  const auto array = [&team](uint64 key, std::size_t bytes) -> void* {
    return team.share(key, bytes).data();
  };
  return {round,
          {.sample = sample.rows.data(),
           .centroids = static_cast<float*>(array(kCentroidsKey, step.centroids.size_bytes())),
           .group_first = static_cast<std::uint32_t*>(array(kGroupsKey, group_bytes(step))),
           .nearest = static_cast<std::uint32_t*>(array(kNearestKey, nearest_bytes(training)))}};
}

// With the workers that have begun meanwhile.
void assign_together(WorkerTeam& team, Rounds rounds, PartitionTraining& training, const AssignStep* step) {
  team.launch();
  for (; step != nullptr; step = next_step(training)) {
    rounds.publish(*step);
    while (rounds.work()) CHECK_FOR_INTERRUPTS();
    rounds.collect(*step);
  }
  rounds.finish();
  team.wait();
}

// A worker's part.
void assign_as_worker(const TeamMember& member) {
  auto& round = *member.shared<SharedRound>(kRoundKey);
  dsm_segment* segment = dsm_attach(round.sample);
  if (segment == nullptr) return;  // the leader is already done, or has failed
  Rounds rounds(round, {.sample = static_cast<const float*>(dsm_segment_address(segment)),
                        .centroids = member.shared<float>(kCentroidsKey),
                        .group_first = member.shared<std::uint32_t>(kGroupsKey),
                        .nearest = member.shared<std::uint32_t>(kNearestKey)});
  while (!rounds.over()) {
    CHECK_FOR_INTERRUPTS();
    if (!rounds.work()) ConditionVariableSleep(&round.published, WAIT_EVENT_PARALLEL_CREATE_INDEX_SCAN);
  }
  ConditionVariableCancelSleep();
  dsm_detach(segment);
}

}  // namespace

void assign_rounds(const BuildTarget& target, int workers, const Sample& sample,
                   PartitionTraining& training) {
  const AssignStep* first = next_step(training);
  if (first == nullptr) return;
  if (sample.segment == nullptr) return assign_alone(training, first);
  WorkerTeam team("scann_training_worker", workers, target);
  reserve_rounds(team, training, *first);
  if (team.create()) {
    assign_together(team, share_rounds(team, sample, training, *first), training, first);
  } else {
    assign_alone(training, first);
  }
  team.end();
}

}  // namespace scann::am

extern "C" {

// Where parallel workers that help training begin.
PGDLLEXPORT void scann_training_worker(dsm_segment* segment, shm_toc* contents);
void scann_training_worker(dsm_segment* segment, shm_toc* contents) {
  scann::am::TeamMember member(segment, contents);
  scann::am::assign_as_worker(member);
  member.finish();
}

}  // extern "C"
