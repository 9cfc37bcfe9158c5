// scann_bench: loads vectors, indexes them, and measures recall and latency of an index of any kind.
#include <cstring>
#include <exception>
#include <iostream>
#include <map>
#include <string>

#include "commands.hpp"
#include "dataset.hpp"

namespace bench {
namespace {

void RunAll(const Options& options, Report& report) {
  Load(options, report);
  BuildIndex(options, report);
  Query(options, report);
}

int Main(int argc, char** argv) {
  const std::string command = argc < 2 ? "--help" : argv[1];
  if (command == "--help" || (argc > 2 && std::strcmp(argv[2], "--help") == 0)) {
    std::cout << Help();
    return argc < 2 ? 2 : 0;
  }
  const std::map<std::string, void (*)(const Options&, Report&)> commands = {
      {"load", Load},     {"index", BuildIndex},  {"query", Query},
      {"run", RunAll},    {"targets", Targets},   {"compare", Compare},
      {"growth", Growth}, {"generate", Generate}, {"convert-wink", ConvertWink},
  };
  const auto found = commands.find(command);
  if (found == commands.end()) {
    std::cerr << "scann_bench: unknown command: " << command << " (see scann_bench --help)\n";
    return 2;
  }
  Options options = ParseOptions(argc - 2, argv + 2);
  if (options.op.empty()) options.op = UsualOperator(options.data);
  Report report;
  found->second(options, report);
  options.json ? report.PrintJson(std::cout) : report.PrintText(std::cout);
  return 0;
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  try {
    return bench::Main(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "scann_bench: " << error.what() << '\n';
    return 1;
  }
}
