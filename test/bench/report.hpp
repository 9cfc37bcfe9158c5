// Measured values in the order they were added, shown as text or as one JSON object.
#pragma once

#include <iosfwd>
#include <span>
#include <string>
#include <vector>

namespace bench {

class Report {
 public:
  // `key` names the value in JSON, `label` in text. JSON has every digit; text has `decimals`.
  void Number(const std::string& key, const std::string& label, double value, int decimals = 1,
              const std::string& unit = "");
  // A line of several.
  void Numbers(const std::string& key, const std::string& label, std::span<const double> values,
               int decimals);
  void Text(const std::string& key, const std::string& label, const std::string& value);

  void PrintText(std::ostream& out) const;
  void PrintJson(std::ostream& out) const;

 private:
  struct Entry {
    std::string key;
    std::string label;
    std::string text;
    std::string json;
  };
  std::vector<Entry> entries_;
};

}  // namespace bench
