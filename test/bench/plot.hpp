// Line plots as SVG, readable on light and dark pages.
#pragma once

#include <string>
#include <vector>

namespace bench {

enum class Scale {
  kLog,     // positive numbers
  kRecall,  // 0 to 1, by the logarithm of what is missing to 1: 0.9 to 0.99 takes as much space as 0.99 to
            // 0.999
};

struct Axis {
  std::string label;
  Scale scale = Scale::kLog;
};

struct PlotPoint {
  double x = 0;
  double y = 0;
  std::string note;  // shown when the pointer rests on the point
};

struct Series {
  std::string name;
  std::vector<PlotPoint> points;  // joined by a line in this order
};

struct Plot {
  std::string title;
  std::string subtitle;
  Axis x;
  Axis y;
  std::vector<Series> series;
};

// A whole SVG document. Throws std::runtime_error where there is no point to draw, or one its scale does not
// have.
std::string DrawSvg(const Plot& plot);

}  // namespace bench
