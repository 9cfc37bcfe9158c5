// The indexes to compare, as the file `contenders` describes them.
#include "contenders.hpp"

#include <algorithm>
#include <cmath>
#include <istream>
#include <sstream>
#include <stdexcept>

#include "options.hpp"

namespace bench {
namespace {

std::string Trim(const std::string& text) {
  constexpr const char* kSpace = " \t\r";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// setting: value value ...
void ReadSweep(const std::string& text, Contender& contender) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) throw std::runtime_error("a sweep is given as setting: value value ...");
  contender.setting = Trim(text.substr(0, colon));
  std::istringstream values(text.substr(colon + 1));
  for (std::string value; values >> value;) contender.values.push_back(value);
}

void ReadEntry(const std::string& line, Contender& contender) {
  const std::size_t equals = line.find('=');
  if (equals == std::string::npos) throw std::runtime_error("neither [name] nor key = value");
  const std::string key = Trim(line.substr(0, equals));
  const std::string value = Trim(line.substr(equals + 1));
  if (key == "extension") {
    contender.extension = value;
  } else if (key == "column") {
    contender.column = value;
  } else if (key == "index") {
    contender.index = value;
  } else if (key == "sweep") {
    ReadSweep(value, contender);
  } else {
    throw std::runtime_error("unknown key: " + key);
  }
}

void ReadLine(const std::string& line, std::vector<Contender>& contenders) {
  if (line.empty() || line[0] == '#') return;
  if (line.front() == '[' && line.back() == ']') {
    contenders.push_back({});
    contenders.back().name = line.substr(1, line.size() - 2);
  } else if (contenders.empty()) {
    throw std::runtime_error("comes before the first [name]");
  } else {
    ReadEntry(line, contenders.back());
  }
}

void CheckComplete(const Contender& contender) {
  if (contender.extension.empty() || contender.column.empty() || contender.index.empty() ||
      contender.values.empty()) {
    throw std::runtime_error("contender " + contender.name +
                             ": extension, column, index and sweep are needed");
  }
}

std::size_t RecommendedLists(std::size_t rows) {
  constexpr std::size_t kMillion = 1000000;
  const std::size_t lists =
      rows <= kMillion ? rows / 1000 : static_cast<std::size_t>(std::sqrt(static_cast<double>(rows)));
  return std::max<std::size_t>(lists, 1);
}

}  // namespace

std::vector<Contender> ReadContenders(std::istream& in) {
  std::vector<Contender> contenders;
  std::size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    try {
      ReadLine(Trim(line), contenders);
    } catch (const std::runtime_error& error) {
      throw std::runtime_error("contenders, line " + std::to_string(number) + ": " + error.what());
    }
  }
  for (const Contender& contender : contenders) CheckComplete(contender);
  return contenders;
}

Contender Adapt(Contender contender, std::size_t rows, std::size_t dims, const std::string& metric) {
  for (std::string* text : {&contender.column, &contender.index}) {
    *text = Substitute(*text, "dims", std::to_string(dims));
    *text = Substitute(*text, "metric", metric);
    *text = Substitute(*text, "lists", std::to_string(RecommendedLists(rows)));
  }
  return contender;
}

}  // namespace bench
