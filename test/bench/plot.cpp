// Line plots as SVG, readable on light and dark pages.
#include "plot.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <limits>
#include <sstream>
#include <stdexcept>

namespace bench {
namespace {

// Pixels.
constexpr double kWidth = 760;
constexpr double kHeight = 480;
constexpr double kLeft = 72;
constexpr double kRight = kWidth - 24;
constexpr double kTop = 92;
constexpr double kBottom = kHeight - 58;

// Recall from here on is drawn here: the scale has no place for 1.
constexpr double kHighestRecall = 0.9995;

// Colours that people of all kinds of colour vision can tell apart (Okabe and Ito), and shapes to tell them
// without.
constexpr std::size_t kStyles = 6;
constexpr const char* kStyleSheet = R"(
  svg { font: 13px system-ui, sans-serif; }
  .page { fill: #ffffff; } .text { fill: #1f2328; } .faint { fill: #59636e; }
  .grid { stroke: #d1d9e0; } .frame { stroke: #818b98; fill: none; }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
  .s0 { stroke: #0072b2; } .s1 { stroke: #d55e00; } .s2 { stroke: #009e73; }
  .s3 { stroke: #aa4499; } .s4 { stroke: #b07d00; } .s5 { stroke: #3c9bd6; }
  .mark { stroke-width: 1.5; fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117; } .text { fill: #f0f6fc; } .faint { fill: #9198a1; }
    .grid { stroke: #2a313c; } .frame { stroke: #656c76; }
    .s0 { stroke: #4aa8e8; } .s1 { stroke: #f08a4b; } .s2 { stroke: #3dd6a8; }
    .s3 { stroke: #dd8fc4; } .s4 { stroke: #e6b445; } .s5 { stroke: #8cc8ee; }
    .mark { fill: #0d1117; }
  }
)";

std::string Escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

// 12000 as 12,000 and 0.95 as it is.
std::string Label(double value) {
  std::ostringstream out;
  out << std::setprecision(12) << value;
  std::string text = out.str();
  const std::size_t end = std::min(text.find('.'), text.size());
  for (std::size_t i = end; i > 3; i -= 3) text.insert(i - 3, 1, ',');
  return text;
}

// Where a value lies on a scale, before it is stretched to pixels.
double Place(Scale scale, double value) {
  const bool is_on_scale = scale == Scale::kLog ? value > 0 : value >= 0 && value <= 1;
  if (!is_on_scale || !std::isfinite(value)) throw std::runtime_error("a point is not on the plot's scale");
  return scale == Scale::kLog ? std::log10(value) : -std::log10(1 - std::min(value, kHighestRecall));
}

std::vector<double> Ticks(Scale scale, double low, double high) {
  std::vector<double> candidates;
  if (scale == Scale::kRecall) {
    candidates = {0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999};
  } else {
    for (double decade = std::floor(low); decade <= high; ++decade) {
      for (const double digit : {1, 2, 5}) candidates.push_back(digit * std::pow(10, decade));
    }
  }
  std::erase_if(candidates, [&](double tick) {
    const double place = Place(scale, tick);
    return place < low || place > high;
  });
  return candidates;
}

// From values to pixels along one axis.
class Mapping {
 public:
  Mapping(const Plot& plot, const Axis& axis, double PlotPoint::*coordinate, double first, double last)
      : scale_(axis.scale), first_(first), last_(last) {
    for (const Series& series : plot.series) {
      for (const PlotPoint& point : series.points) {
        const double place = Place(scale_, point.*coordinate);
        low_ = std::min(low_, place);
        high_ = std::max(high_, place);
      }
    }
    if (low_ > high_) throw std::runtime_error("there is nothing to plot");
    const double margin = std::max(0.04 * (high_ - low_), 0.02);
    low_ -= margin;
    high_ += margin;
  }

  double operator()(double value) const {
    return first_ + (Place(scale_, value) - low_) / (high_ - low_) * (last_ - first_);
  }
  std::vector<double> ticks() const { return Ticks(scale_, low_, high_); }

 private:
  Scale scale_;
  double first_;
  double last_;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
};

void DrawText(std::ostream& out, double x, double y, const std::string& attributes, const std::string& text) {
  out << "<text x=\"" << x << "\" y=\"" << y << "\" " << attributes << ">" << Escape(text) << "</text>\n";
}

void DrawLine(std::ostream& out, const char* classes, double x1, double y1, double x2, double y2) {
  out << "<line class=\"" << classes << "\" x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2 << "\" y2=\""
      << y2 << "\"/>\n";
}

void DrawAxes(std::ostream& out, const Plot& plot, const Mapping& x, const Mapping& y) {
  for (const double tick : x.ticks()) {
    DrawLine(out, "grid", x(tick), kTop, x(tick), kBottom);
    DrawText(out, x(tick), kBottom + 18, "class=\"faint\" text-anchor=\"middle\"", Label(tick));
  }
  for (const double tick : y.ticks()) {
    DrawLine(out, "grid", kLeft, y(tick), kRight, y(tick));
    DrawText(out, kLeft - 8, y(tick) + 4, "class=\"faint\" text-anchor=\"end\"", Label(tick));
  }
  out << "<rect class=\"frame\" x=\"" << kLeft << "\" y=\"" << kTop << "\" width=\"" << kRight - kLeft
      << "\" height=\"" << kBottom - kTop << "\"/>\n";
  DrawText(out, (kLeft + kRight) / 2, kHeight - 16, "class=\"text\" text-anchor=\"middle\"", plot.x.label);
  out << "<g transform=\"translate(18 " << (kTop + kBottom) / 2 << ") rotate(-90)\">\n";
  DrawText(out, 0, 0, "class=\"text\" text-anchor=\"middle\"", plot.y.label);
  out << "</g>\n";
}

void DrawMark(std::ostream& out, std::size_t style, double x, double y, const std::string& note) {
  static constexpr std::array<const char*, kStyles> kShapes = {"M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
                                                               "M-3.5 -3.5h7v7h-7z",
                                                               "M0 -4.5l4.5 8h-9z",
                                                               "M0 -5l5 5l-5 5l-5 -5z",
                                                               "M0 4.5l4.5 -8h-9z",
                                                               "M-4 -2.5h8v5h-8z"};
  out << "<path class=\"mark s" << style << "\" transform=\"translate(" << x << ' ' << y << ")\" d=\""
      << kShapes[style] << "\">";
  if (!note.empty()) out << "<title>" << Escape(note) << "</title>";
  out << "</path>\n";
}

void DrawSeries(std::ostream& out, const Series& series, std::size_t style, const Mapping& x,
                const Mapping& y) {
  out << "<polyline class=\"line s" << style << "\" points=\"";
  for (const PlotPoint& point : series.points) out << x(point.x) << ',' << y(point.y) << ' ';
  out << "\"/>\n";
  for (const PlotPoint& point : series.points) DrawMark(out, style, x(point.x), y(point.y), point.note);
}

void DrawLegend(std::ostream& out, const Plot& plot) {
  constexpr double kLetter = 7.5;  // about the width of one
  double x = kLeft;
  for (std::size_t i = 0; i < plot.series.size(); ++i) {
    const std::size_t style = i % kStyles;
    DrawLine(out, ("line s" + std::to_string(style)).c_str(), x, kTop - 18, x + 24, kTop - 18);
    DrawMark(out, style, x + 12, kTop - 18, "");
    DrawText(out, x + 32, kTop - 14, "class=\"text\"", plot.series[i].name);
    x += 32 + kLetter * static_cast<double>(plot.series[i].name.size()) + 24;
  }
}

}  // namespace

std::string DrawSvg(const Plot& plot) {
  const Mapping x(plot, plot.x, &PlotPoint::x, kLeft, kRight);
  const Mapping y(plot, plot.y, &PlotPoint::y, kBottom, kTop);
  std::ostringstream out;
  out << std::fixed << std::setprecision(1);
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << kWidth << ' ' << kHeight
      << "\" width=\"" << kWidth << "\" height=\"" << kHeight << "\" role=\"img\">\n<title>"
      << Escape(plot.title) << "</title>\n<style>" << kStyleSheet
      << "</style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n";
  DrawText(out, kLeft, 28, "class=\"text\" font-size=\"17\" font-weight=\"600\"", plot.title);
  DrawText(out, kLeft, 48, "class=\"faint\"", plot.subtitle);
  DrawAxes(out, plot, x, y);
  for (std::size_t i = 0; i < plot.series.size(); ++i) DrawSeries(out, plot.series[i], i % kStyles, x, y);
  DrawLegend(out, plot);
  out << "</svg>\n";
  return out.str();
}

}  // namespace bench
