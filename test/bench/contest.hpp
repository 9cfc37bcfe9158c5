// The indexes that take part in a comparison, and what is measured of them.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "answers.hpp"
#include "comparison.hpp"
#include "dataset.hpp"
#include "options.hpp"
#include "postgres.hpp"
#include "statement.hpp"

namespace bench {

// One value of an entrant's setting while it is measured.
struct Trial {
  std::string value;
  Timings timings;
  std::vector<double> round_means;
  Quality quality;
};

// An index in the comparison.
struct Entrant {
  Options options;  // with its table and column type
  IndexResult result;
  std::unique_ptr<Statement> statement;
  std::vector<Trial> trials;

  std::string Setting(const std::string& value) const { return result.contender.setting + "=" + value; }
};

// What all entrants share.
struct Contest {
  const Options& options;
  Dataset data;
  Table table;  // the rows that are loaded
  ExactDistances exact;
  std::unique_ptr<Connection> client;
  std::unique_ptr<Connection> observer;
  bool shares_processor;  // of `client` with its server process, while queries and inserts are measured
};

// A connection with the settings that are the same for all.
std::unique_ptr<Connection> Connect(const Options& options);

// A new connection that is ready to run the entrant's query with its usual setting.
struct Client {
  explicit Client(const Entrant& entrant);
  // Asks query number `i`. Returns the microseconds that it took.
  double Ask(const Matrix& queries, std::size_t i) const;

  std::unique_ptr<Connection> connection;
  Statement statement;
};

// Shows on standard error what is being done.
void Announce(const std::string& text);

// Recall, latency, processor time and buffers of every setting: fills `points` and `sweep_end` of the
// results.
void MeasureQueries(Contest& contest, std::vector<Entrant>& entrants);

// The first query of new connections, and queries per second of one and of several.
void MeasureConnections(const Contest& contest, std::vector<Entrant>& entrants);

// Throws where --cold is asked for and cannot be measured.
void CheckCold(const Contest& contest);

// Queries of which each finds nothing in memory, neither the server's nor the operating system's.
void MeasureCold(const Contest& contest, std::vector<Entrant>& entrants);

// Rows held out of the load, one a transaction; then queries while another connection inserts such rows. The
// tables are changed.
void MeasureInserts(const Contest& contest, std::vector<Entrant>& entrants);

}  // namespace bench
