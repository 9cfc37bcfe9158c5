// Measures queries that find nothing in memory: all that they read comes from the disk.
#include <unistd.h>

#include <fstream>
#include <stdexcept>

#include "contest.hpp"

namespace bench {
namespace {

// Queries of a connection before it is measured: its process has its catalogs, plan and model of the index.
constexpr std::size_t kWarmup = 5;

// Makes the operating system forget what files hold. False where that is not permitted.
bool DropFileCache() {
  sync();  // only what has been written can be forgotten
  std::ofstream out("/proc/sys/vm/drop_caches");
  out << 3;
  out.close();
  return !out.fail();
}

// The pages in shared buffers, of every fork, of a table, its TOAST table and the indexes of both.
std::string BuffersOf(const Connection& connection, const std::string& table) {
  const std::string oid = connection.Quote(table) + "::regclass";
  return "pg_buffercache WHERE reldatabase = (SELECT oid FROM pg_database WHERE datname = "
         "current_database()) "
         "AND relfilenode IN (WITH tables AS (SELECT unnest(ARRAY[oid, reltoastrelid]) AS oid FROM pg_class "
         "WHERE oid = " +
         oid +
         ") SELECT pg_relation_filenode(oid) FROM tables UNION ALL "
         "SELECT pg_relation_filenode(indexrelid) FROM pg_index JOIN tables ON indrelid = oid)";
}

// Makes the server and the operating system forget an entrant's table and index.
void Forget(const Contest& contest, const Entrant& entrant) {
  const std::string buffers = BuffersOf(*contest.observer, entrant.options.table);
  contest.observer->Run("SELECT pg_buffercache_evict(bufferid) FROM " + buffers);
  if (contest.observer->Value("SELECT count(*) FROM " + buffers) != "0" || !DropFileCache()) {
    throw std::runtime_error(entrant.result.contender.name + ": pages stay in memory");
  }
}

// Microseconds.
double AskCold(const Contest& contest, const Entrant& entrant, const Client& client, std::size_t i) {
  Forget(contest, entrant);
  client.connection->Run("SELECT 1");  // brings back what every query takes
  return client.Ask(contest.data.queries, i);
}

}  // namespace

void CheckCold(const Contest& contest) {
  if (contest.options.cold == 0) return;
  if (!contest.observer->CreateExtension("pg_buffercache") ||
      contest.observer->Value("SELECT to_regproc('pg_buffercache_evict') IS NULL") == "t") {
    throw std::runtime_error("--cold needs pg_buffercache of PostgreSQL 17 or later");
  }
  if (!contest.observer->IsLocal() || !DropFileCache()) {
    throw std::runtime_error("--cold needs to be root on the server's machine");
  }
}

void MeasureCold(const Contest& contest, std::vector<Entrant>& entrants) {
  const std::size_t count = contest.options.cold;
  if (count == 0) return;
  Announce(std::to_string(count) + " cold queries");
  const Matrix& queries = contest.data.queries;
  std::vector<std::unique_ptr<Client>> clients;
  for (const Entrant& entrant : entrants) {
    const Client& client = *clients.emplace_back(std::make_unique<Client>(entrant));
    ShareProcessor(*client.connection, 0);
    for (std::size_t i = 0; i < kWarmup; ++i) client.Ask(queries, i % queries.rows());
  }
  contest.client->Run("CHECKPOINT");
  std::vector<std::vector<double>> times(entrants.size());
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t e = 0; e < entrants.size(); ++e) {
      times[e].push_back(AskCold(contest, entrants[e], *clients[e], (kWarmup + i) % queries.rows()));
    }
  }
  for (std::size_t e = 0; e < entrants.size(); ++e) entrants[e].result.cold = Summarise(times[e]);
}

}  // namespace bench
