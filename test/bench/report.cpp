// Measured values in the order they were added, shown as text or as one JSON object.
#include "report.hpp"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <ostream>
#include <sstream>

namespace bench {
namespace {

std::string JsonString(const std::string& text) {
  std::ostringstream out;
  out << '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out << '\\' << c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out << "\\u" << std::hex << std::setw(4) << std::setfill('0') << static_cast<int>(c) << std::dec;
    } else {
      out << c;
    }
  }
  out << '"';
  return out.str();
}

std::string JsonNumber(double value) {
  if (!std::isfinite(value)) return "null";
  std::ostringstream out;
  out << std::setprecision(12) << value;
  return out.str();
}

}  // namespace

void Report::Number(const std::string& key, const std::string& label, double value, int decimals,
                    const std::string& unit) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(decimals) << value;
  if (!unit.empty()) text << ' ' << unit;
  entries_.push_back({key, label, text.str(), JsonNumber(value)});
}

void Report::Numbers(const std::string& key, const std::string& label, std::span<const double> values,
                     int decimals) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(decimals);
  std::string json;
  for (const double value : values) {
    text << std::setw(9) << value;
    json += (json.empty() ? "" : ", ") + JsonNumber(value);
  }
  entries_.push_back({key, label, text.str(), "[" + json + "]"});
}

void Report::Text(const std::string& key, const std::string& label, const std::string& value) {
  entries_.push_back({key, label, value, JsonString(value)});
}

void Report::PrintText(std::ostream& out) const {
  std::size_t width = 0;
  for (const Entry& entry : entries_) width = std::max(width, entry.label.size());
  for (const Entry& entry : entries_) {
    out << std::left << std::setw(static_cast<int>(width) + 2) << entry.label << entry.text << '\n';
  }
}

void Report::PrintJson(std::ostream& out) const {
  out << "{";
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    out << (i == 0 ? "" : ", ") << JsonString(entries_[i].key) << ": " << entries_[i].json;
  }
  out << "}\n";
}

}  // namespace bench
