// What is written beside the figures: versions, settings, machine.
#include "circumstances.hpp"

#include <fstream>
#include <set>
#include <thread>

namespace bench {
namespace {

std::string Processor() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

std::string Extensions(Connection& connection) {
  return connection.Value(
      "SELECT string_agg(extname || ' ' || extversion, ', ' ORDER BY extname) FROM pg_extension "
      "WHERE extname <> 'plpgsql'");
}

// Settings of the server and of every session.
std::string ServerSettings(const Options& options, Connection& connection) {
  std::set<std::string> names = {
      "shared_buffers",     "maintenance_work_mem", "max_parallel_maintenance_workers",
      "synchronous_commit", "autovacuum",           "jit",
      "enable_seqscan"};
  for (const std::string& setting : options.settings) names.insert(setting.substr(0, setting.find('=')));
  std::string out;
  for (const std::string& name : names) {
    out += (out.empty() ? "" : ", ") + name + " = " + connection.Value("SHOW " + name);
  }
  return out;
}

}  // namespace

std::string LoadAverage() {
  std::string minute = "unknown";
  std::ifstream("/proc/loadavg") >> minute;
  return minute;
}

std::vector<std::pair<std::string, std::string>> Circumstances(const Options& options, Connection& connection,
                                                               const std::string& load_before) {
  return {
      {"server", "PostgreSQL " + connection.Value("SHOW server_version") + "; " + Extensions(connection)},
      {"settings", ServerSettings(options, connection)},
      {"machine", Processor() + ", " + std::to_string(std::thread::hardware_concurrency()) +
                      " processors; load average " + load_before + " before, " + LoadAverage() + " after"}};
}

}  // namespace bench
