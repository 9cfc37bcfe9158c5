// The grid's one pass over a query measures what running the search rule for each pair by itself would.
#include "core/effort.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <set>
#include <vector>

namespace scann {
namespace {

constexpr SearchCost kCost = {.leaf = 10, .candidate = 20};

struct Leaf {
  float bound;
  std::vector<float> scores;
  std::vector<TrueNeighbor> truths;
};

struct Query {
  std::vector<Leaf> leaves;  // by descending bound
  std::size_t truths;
};

// How a search decides: in spreads that are equal, or differ from leaf to leaf, so that stop values may fall.
struct Rule {
  bool spreads_differ;
  float stop_value(std::size_t leaf, float bound, float threshold) const {
    const float spread = spreads_differ && leaf % 3 == 1 ? 2 : 0.5F;
    return (threshold - bound) / spread + 0.3F * std::log1p(static_cast<float>(leaf));
  }
};

struct Pairs {
  std::vector<std::uint32_t> limits;
  std::vector<std::uint32_t> candidates;
  std::vector<float> margins;
};

constexpr float kRecalls[] = {0.0F, 0.3F, 0.5F, 0.7F, 0.8F, 0.9F, 0.95F, 0.99F, 1.0F};

EffortGrid make_grid(const Pairs& pairs) {
  return EffortGrid(pairs.limits, kRecalls, pairs.candidates, pairs.margins, kCost);
}

float kth_best(std::vector<float> scores, std::size_t k) {
  if (scores.size() < k) return -std::numeric_limits<float>::infinity();
  std::sort(scores.begin(), scores.end(), std::greater<>());
  return scores[k - 1];
}

// One search as it would really run.
struct Outcome {
  std::size_t codes = 0;
  std::size_t leaves = 0;
  float threshold = 0;
  std::vector<std::pair<std::uint32_t, float>> met;  // rank and score of the true neighbours seen
};

Outcome search(const Query& query, const Rule& rule, std::size_t k, float margin) {
  Outcome outcome;
  std::vector<float> seen;
  for (std::size_t p = 0; p < query.leaves.size(); ++p) {
    const Leaf& leaf = query.leaves[p];
    if (rule.stop_value(p, leaf.bound, kth_best(seen, k)) > margin) break;
    ++outcome.leaves;
    seen.insert(seen.end(), leaf.scores.begin(), leaf.scores.end());
    for (const TrueNeighbor& t : leaf.truths) outcome.met.emplace_back(t.rank, leaf.scores[t.entry]);
  }
  outcome.codes = seen.size();
  outcome.threshold = kth_best(seen, k);
  return outcome;
}

double recall(const Outcome& outcome, std::size_t limit, std::size_t truths) {
  const std::size_t wanted = std::min(limit, truths);
  if (wanted == 0) return 1;
  std::set<std::uint32_t> hits;
  for (const auto& [rank, score] : outcome.met) {
    if (rank < wanted && score >= outcome.threshold) hits.insert(rank);
  }
  return static_cast<double>(hits.size()) / static_cast<double>(wanted);
}

Effort expected_effort(const std::vector<Query>& queries, const Rule& rule, std::uint32_t limit,
                       std::uint32_t k, float margin) {
  std::vector<double> recalls;
  double codes = 0;
  double leaves = 0;
  for (const Query& query : queries) {
    const Outcome outcome = search(query, rule, k, margin);
    recalls.push_back(recall(outcome, limit, query.truths));
    codes += static_cast<double>(outcome.codes);
    leaves += static_cast<double>(outcome.leaves);
  }
  const auto n = static_cast<double>(std::max<std::size_t>(queries.size(), 1));
  double mean = 0;
  for (const double r : recalls) mean += r / n;
  double variance = 0;
  for (const double r : recalls) variance += (r - mean) * (r - mean) / n;
  return {k, margin, mean, std::sqrt(variance / n), codes / n, leaves / n};
}

void replay(EffortGrid& grid, const Query& query, const Rule& rule) {
  grid.begin_query(query.truths);
  std::vector<float> stop_values(grid.candidate_choices());
  for (std::size_t p = 0; p < query.leaves.size(); ++p) {
    for (std::size_t k = 0; k < stop_values.size(); ++k) {
      stop_values[k] = rule.stop_value(p, query.leaves[p].bound, grid.threshold(k));
    }
    if (!grid.offer_leaf(stop_values)) break;
    grid.score_leaf(query.leaves[p].scores, query.leaves[p].truths);
  }
  grid.end_query();
}

double surely(const Effort& e) {
  return e.recall - std::max(0.5 * e.standard_error, 3 * e.standard_error - 0.01);
}

// The effort on the line between two that reaches a recall.
Effort crossing(const Effort& below, const Effort& above, double recall) {
  const double rise = surely(above) - surely(below);
  const double margin = rise > 0
                            ? below.margin + (recall - surely(below)) / rise * (above.margin - below.margin)
                            : above.margin;
  const double share = (margin - below.margin) / (above.margin - below.margin);
  const auto at = [share](double a, double b) { return (1 - share) * a + share * b; };
  return {above.candidates,
          static_cast<float>(margin),
          at(below.recall, above.recall),
          at(below.standard_error, above.standard_error),
          at(below.codes, above.codes),
          at(below.leaves, above.leaves)};
}

// The least effort for a recall among all pairs, margins ascending for each number of candidates.
Effort least(const std::vector<Effort>& all, double recall) {
  std::vector<Effort> reaching;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool first = i == 0 || all[i - 1].candidates != all[i].candidates;
    if (surely(all[i]) < recall) continue;
    if (first) {
      reaching.push_back(all[i]);
    } else if (surely(all[i - 1]) < recall) {
      reaching.push_back(crossing(all[i - 1], all[i], recall));
    }
  }
  if (reaching.empty()) {
    return *std::max_element(all.begin(), all.end(),
                             [](const Effort& a, const Effort& b) { return a.recall < b.recall; });
  }
  return *std::min_element(reaching.begin(), reaching.end(),
                           [](const Effort& a, const Effort& b) { return kCost.of(a) < kCost.of(b); });
}

// Every pair, and the choice for some targets.
void expect_as_searched(const std::vector<Query>& queries, const Rule& rule, const Pairs& pairs) {
  EffortGrid grid = make_grid(pairs);
  for (const Query& query : queries) replay(grid, query, rule);
  for (std::size_t l = 0; l < pairs.limits.size(); ++l) {
    std::vector<Effort> all;
    for (std::size_t k = 0; k < pairs.candidates.size(); ++k) {
      for (std::size_t m = 0; m < pairs.margins.size(); ++m) {
        const Effort want =
            expected_effort(queries, rule, pairs.limits[l], pairs.candidates[k], pairs.margins[m]);
        ASSERT_TRUE(grid.in_use(k, m));
        const Effort got = grid.effort(l, k, m);
        SCOPED_TRACE(testing::Message() << "limit " << pairs.limits[l] << ", K " << want.candidates
                                        << ", margin " << want.margin);
        ASSERT_EQ(got.candidates, want.candidates);
        ASSERT_EQ(got.margin, want.margin);
        ASSERT_NEAR(got.recall, want.recall, 1e-12);
        ASSERT_NEAR(got.standard_error, want.standard_error, 1e-6);
        ASSERT_EQ(got.codes, want.codes);
        ASSERT_EQ(got.leaves, want.leaves);
        all.push_back(got);
      }
    }
    for (std::size_t target = 0; target < std::size(kRecalls); ++target) {
      SCOPED_TRACE(kRecalls[target]);
      const Effort got = grid.cheapest(l, target);
      const Effort want = least(all, kRecalls[target]);
      ASSERT_NEAR(kCost.of(got), kCost.of(want), 1e-6);
      ASSERT_NEAR(got.recall, want.recall, 1e-9);
    }
  }
}

// Leaves whose scores lie below their bound, mostly; the true neighbours are the best by a score of which the
// codes' is a disturbed one. `levels` > 0 rounds scores, so that many are equal.
Query random_query(std::mt19937& random, std::size_t leaves, std::size_t largest_leaf, std::size_t truths,
                   float levels) {
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<std::size_t> size(0, largest_leaf);
  Query query;
  std::vector<float> bounds(leaves);
  for (float& bound : bounds) bound = normal(random);
  std::sort(bounds.begin(), bounds.end(), std::greater<>());
  struct Row {
    float exact;
    std::size_t leaf;
    std::uint32_t entry;
  };
  std::vector<Row> rows;
  for (const float bound : bounds) {
    Leaf leaf{.bound = bound, .scores = std::vector<float>(size(random)), .truths = {}};
    for (std::uint32_t i = 0; i < leaf.scores.size(); ++i) {
      const float exact = bound - 1 + 0.7F * normal(random);
      rows.push_back({exact, query.leaves.size(), i});
      const float score = exact + 0.2F * normal(random);
      leaf.scores[i] = levels > 0 ? std::round(score * levels) / levels : score;
    }
    query.leaves.push_back(leaf);
  }
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.exact > b.exact; });
  query.truths = std::min(truths, rows.size());
  for (std::uint32_t r = 0; r < query.truths; ++r) {
    query.leaves[rows[r].leaf].truths.push_back({r, rows[r].entry});
  }
  return query;
}

const Pairs kPairs = {.limits = {1, 10, 40},
                      .candidates = {1, 5, 10, 20, 60, 200, 1000},
                      .margins = {-3, -2, -1, -0.5, 0, 0.5, 1, 2, 4, 8}};

class EffortGridTest : public testing::TestWithParam<bool> {
 protected:
  Rule rule() const { return {.spreads_differ = GetParam()}; }
};

TEST_P(EffortGridTest, AsSearched) {
  std::mt19937 random(1);
  std::vector<Query> queries;
  for (int i = 0; i < 30; ++i) queries.push_back(random_query(random, 25, 60, 40, 0));
  expect_as_searched(queries, rule(), kPairs);
}

TEST_P(EffortGridTest, EqualScores) {
  std::mt19937 random(2);
  std::vector<Query> queries;
  for (int i = 0; i < 30; ++i) queries.push_back(random_query(random, 25, 60, 40, 3));
  for (int i = 0; i < 5; ++i) queries.push_back(random_query(random, 25, 60, 40, 0.01F));
  expect_as_searched(queries, rule(), kPairs);
}

// Fewer entries than K, and fewer true neighbours than the limit; even none of either.
TEST_P(EffortGridTest, FewEntries) {
  std::mt19937 random(3);
  std::vector<Query> queries;
  for (std::size_t i = 0; i < 30; ++i) queries.push_back(random_query(random, i % 6, 4, 40, 0));
  expect_as_searched(queries, rule(), kPairs);
}

TEST_P(EffortGridTest, NoTruths) {
  std::mt19937 random(4);
  std::vector<Query> queries;
  for (int i = 0; i < 5; ++i) queries.push_back(random_query(random, 10, 30, 0, 0));
  expect_as_searched(queries, rule(), kPairs);
}

TEST_P(EffortGridTest, NoQueries) { expect_as_searched({}, rule(), kPairs); }

// Every true neighbour has an entry in a second leaf, of another score: it counts once, when either is found.
TEST_P(EffortGridTest, TwoEntriesOfTruths) {
  std::mt19937 random(8);
  std::normal_distribution<float> normal;
  std::vector<Query> queries;
  for (int i = 0; i < 30; ++i) {
    Query query = random_query(random, 25, 60, 40, 0);
    const Query first = query;
    for (std::size_t p = 0; p < first.leaves.size(); ++p) {
      for (const TrueNeighbor& truth : first.leaves[p].truths) {
        Leaf& leaf = query.leaves[(p + 1 + random() % (query.leaves.size() - 1)) % query.leaves.size()];
        leaf.truths.push_back({truth.rank, static_cast<std::uint32_t>(leaf.scores.size())});
        leaf.scores.push_back(first.leaves[p].scores[truth.entry] + 0.5F * normal(random));
      }
    }
    queries.push_back(query);
  }
  expect_as_searched(queries, rule(), kPairs);
}

// More true neighbours are known than the largest limit asks for: the others do not count.
TEST_P(EffortGridTest, TruthsBeyondTheLargestLimit) {
  std::mt19937 random(5);
  std::vector<Query> queries;
  for (int i = 0; i < 20; ++i) queries.push_back(random_query(random, 25, 60, 300, 0));
  expect_as_searched(queries, rule(), kPairs);
}

TEST_P(EffortGridTest, OneLimit) {
  std::mt19937 random(6);
  std::vector<Query> queries;
  for (int i = 0; i < 20; ++i) queries.push_back(random_query(random, 25, 60, 200, 0));
  expect_as_searched(queries, rule(),
                     {.limits = {200}, .candidates = {200, 300, 500, 4000}, .margins = kPairs.margins});
}

// Narrowed as queries come in, the grid makes them search less and chooses as well. (But a recall of 1
// hangs on so few queries that those which come later may call for another K.)
TEST_P(EffortGridTest, Narrowed) {
  std::mt19937 random(7);
  EffortGrid whole = make_grid(kPairs);
  EffortGrid narrowed = make_grid(kPairs);
  constexpr std::size_t kQueries = 1000;
  for (std::size_t i = 1; i <= kQueries; ++i) {
    const Query query = random_query(random, 25, 60, 40, 0);
    replay(whole, query, rule());
    replay(narrowed, query, rule());
    if (i == 16 || i == 64 || i == 256) narrowed.narrow();
  }
  std::size_t given_up = 0;
  for (std::size_t k = 0; k < kPairs.candidates.size(); ++k) {
    for (std::size_t m = 0; m < kPairs.margins.size(); ++m) {
      if (!narrowed.in_use(k, m)) {
        ++given_up;
        continue;
      }
      for (std::size_t l = 0; l < kPairs.limits.size(); ++l) {
        ASSERT_EQ(narrowed.effort(l, k, m).recall, whole.effort(l, k, m).recall);
        ASSERT_EQ(narrowed.effort(l, k, m).codes, whole.effort(l, k, m).codes);
      }
    }
  }
  EXPECT_GE(given_up, kPairs.candidates.size() * kPairs.margins.size() / 8);
  for (std::size_t l = 0; l < kPairs.limits.size(); ++l) {
    for (std::size_t target = 0; target < std::size(kRecalls); ++target) {
      if (kRecalls[target] > 0.99F) continue;
      SCOPED_TRACE(testing::Message() << "limit " << kPairs.limits[l] << ", recall " << kRecalls[target]);
      const Effort all = whole.cheapest(l, target);
      const Effort got = narrowed.cheapest(l, target);
      EXPECT_NEAR(got.recall, all.recall, 0.005);
      EXPECT_LE(kCost.of(got), 1.1 * kCost.of(all));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, EffortGridTest, testing::Bool(), [](const auto& param_info) {
  return param_info.param ? "SpreadsDiffer" : "EqualSpreads";
});

}  // namespace
}  // namespace scann
