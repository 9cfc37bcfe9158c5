// Measures the queries of every index with every setting, in turns.
#include <algorithm>
#include <stdexcept>

#include "contest.hpp"

namespace bench {
namespace {

// A setting is given up once its queries take longer than this, in microseconds: so does every later one.
constexpr double kTooSlow = 50000;

// Where this recall is reached in the first round, more thorough settings have nothing left to show.
constexpr double kPerfect = 0.9985;

// Other queries before each round's part, unmeasured: the other indexes' pages are in the processor's caches.
constexpr std::size_t kWarmup = 10;

constexpr std::size_t kExplained = 20;

// Asks the queries from `first` to before `last` with one value of the setting.
void AskPart(Contest& contest, Entrant& entrant, Trial& trial, std::size_t first, std::size_t last) {
  const Matrix& queries = contest.data.queries;
  contest.client->Set(entrant.Setting(trial.value));
  Timings warmup;
  const std::size_t warmup_end = first >= kWarmup ? first : queries.rows();
  Ask(*contest.client, *entrant.statement, queries, warmup_end - std::min(kWarmup, warmup_end), warmup_end,
      warmup);
  Timings part;
  Ask(*contest.client, *entrant.statement, queries, first, last, part);
  trial.round_means.push_back(Mean(part.microseconds));
  for (std::size_t i = first; i < last; ++i) {
    Judge(MetricOfOperator(contest.options.op), contest.table, queries.row(i), contest.exact[i],
          part.answers[i - first], trial.quality);
  }
  trial.timings.Append(part);
}

// In the first round, after the setting number `last`: forgets those beyond what is worth measuring.
void EndSweep(Entrant& entrant, std::size_t last) {
  const Trial& trial = entrant.trials[last];
  const bool is_too_slow = trial.round_means.front() > kTooSlow;
  if (is_too_slow) {
    entrant.result.sweep_end = "up to where a query takes 50 ms";
  } else if (trial.quality.recall() >= kPerfect) {
    entrant.result.sweep_end = "up to where nothing is missing";
  } else if (last + 1 == entrant.trials.size()) {
    entrant.result.sweep_end = "up to " + trial.value;
  } else {
    return;
  }
  entrant.trials.resize(is_too_slow && last > 0 ? last : last + 1);
}

// The mean of some queries' buffers. Throws where another plan than the index was measured.
double MeanBuffers(Contest& contest, const Entrant& entrant, const Trial& trial) {
  contest.client->Set(entrant.Setting(trial.value));
  std::vector<double> buffers;
  for (std::size_t i = 0; i < std::min(kExplained, contest.data.queries.rows()); ++i) {
    const Plan plan = entrant.statement->Explain(contest.data.queries.row(i), i);
    if (!plan.nodes.ends_with("Index Scan using " + entrant.result.built.name)) {
      throw std::runtime_error(entrant.result.contender.name + " was not used: " + plan.nodes);
    }
    buffers.push_back(plan.buffers);
  }
  return Mean(buffers);
}

Point Summary(Contest& contest, const Entrant& entrant, const Trial& trial) {
  Point point;
  point.value = trial.value;
  point.recall = trial.quality.recall();
  point.latency = Summarise(trial.timings.microseconds);
  point.fastest_round = std::ranges::min(trial.round_means);
  point.slowest_round = std::ranges::max(trial.round_means);
  point.select_1 = Summarise(trial.timings.select_1_microseconds).p50;
  if (!trial.timings.cpu_microseconds.empty()) point.cpu = Mean(trial.timings.cpu_microseconds);
  point.buffers = MeanBuffers(contest, entrant, trial);
  return point;
}

}  // namespace

// Each round asks its part of the queries of every index with every setting, so that all meet the same
// machine.
void MeasureQueries(Contest& contest, std::vector<Entrant>& entrants) {
  const std::size_t queries = contest.data.queries.rows();
  const std::size_t rounds = contest.options.rounds;
  PrepareSelect1(*contest.client);
  for (std::size_t round = 0; round < rounds; ++round) {
    Announce("queries, round " + std::to_string(round + 1) + " of " + std::to_string(rounds));
    for (std::size_t i = 0, left = 1; left > 0; ++i) {
      left = 0;
      for (Entrant& entrant : entrants) {
        if (i >= entrant.trials.size()) continue;
        AskPart(contest, entrant, entrant.trials[i], queries * round / rounds,
                queries * (round + 1) / rounds);
        if (round == 0) EndSweep(entrant, i);
        ++left;
      }
    }
  }
  for (Entrant& entrant : entrants) {
    for (const Trial& trial : entrant.trials) {
      entrant.result.points.push_back(Summary(contest, entrant, trial));
    }
  }
}

}  // namespace bench
