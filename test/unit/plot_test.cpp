// The SVG that plots are written as: well-formed whatever the texts are, marks where the values belong,
// refusal of what the scales do not have.
#include "../bench/plot.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {
namespace {

Plot plot_of(std::vector<Series> series) {
  return {"title", "subtitle", {"recall", Scale::kRecall}, {"speed", Scale::kLog}, std::move(series)};
}

// The elements that are open at the end; fails the test where one ends that was not open.
std::vector<std::string> open_elements(const std::string& svg) {
  std::vector<std::string> open;
  const std::regex tag(R"re(<(/?)([a-z]+)(?:\s+[\w:-]+="[^"<]*")*\s*(/?)>)re");
  for (std::sregex_iterator it(svg.begin(), svg.end(), tag), end; it != end; ++it) {
    if ((*it)[3].length() > 0) continue;
    if ((*it)[1].length() == 0) {
      open.push_back((*it)[2]);
    } else if (open.empty() || open.back() != (*it)[2]) {
      ADD_FAILURE() << "unexpected " << it->str();
    } else {
      open.pop_back();
    }
  }
  return open;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

struct Place {
  double x;
  double y;
};

// Where the marks of the first series are, without the one in the legend, which is the last.
std::vector<Place> marks(const std::string& svg) {
  std::vector<Place> places;
  const std::regex mark(R"re(class="mark s0" transform="translate\(([\d.]+) ([\d.]+)\))re");
  for (std::sregex_iterator it(svg.begin(), svg.end(), mark), end; it != end; ++it) {
    places.push_back({std::stod((*it)[1]), std::stod((*it)[2])});
  }
  if (!places.empty()) places.pop_back();
  return places;
}

TEST(Plot, IsWellFormedWhateverTheTextsAre) {
  Plot plot = plot_of({{"a < b & \"c\"", {{0.9, 100, "<&>\""}, {0.99, 10, ""}}}, {"two", {{0.5, 1, ""}}}});
  plot.title = plot.subtitle = plot.x.label = "</svg> & <#>";
  const std::string svg = DrawSvg(plot);
  EXPECT_TRUE(open_elements(svg).empty());
  EXPECT_EQ(count(svg, "<svg"), 1U);
  EXPECT_EQ(count(svg, "</svg>"), 1U);
  EXPECT_EQ(count(svg, "&lt;/svg&gt; &amp; &lt;#&gt;"), 4U);  // the title is in two places
  EXPECT_EQ(count(svg, "<polyline"), 2U);
}

TEST(Plot, EqualRatiosAreEquallyFarApart) {
  const auto places = marks(DrawSvg(plot_of({{"one", {{0.9, 10, ""}, {0.99, 100, ""}, {0.999, 1000, ""}}}})));
  ASSERT_EQ(places.size(), 3U);
  EXPECT_GT(places[1].x, places[0].x);
  EXPECT_LT(places[1].y, places[0].y);  // upwards
  EXPECT_NEAR(places[1].x - places[0].x, places[2].x - places[1].x, 0.2);
  EXPECT_NEAR(places[1].y - places[0].y, places[2].y - places[1].y, 0.2);
}

TEST(Plot, APerfectRecallHasAPlace) {
  const auto places = marks(DrawSvg(plot_of({{"one", {{0.99, 10, ""}, {0.999, 5, ""}, {1, 1, ""}}}})));
  ASSERT_EQ(places.size(), 3U);
  EXPECT_GT(places[2].x, places[1].x);
  EXPECT_LT(places[2].x, 760);
}

TEST(Plot, OnePointIsEnough) { EXPECT_EQ(marks(DrawSvg(plot_of({{"one", {{0.9, 10, ""}}}}))).size(), 1U); }

TEST(Plot, RefusesWhatIsNotOnTheScale) {
  EXPECT_THROW(DrawSvg(plot_of({})), std::runtime_error);
  EXPECT_THROW(DrawSvg(plot_of({{"empty", {}}})), std::runtime_error);
  EXPECT_THROW(DrawSvg(plot_of({{"one", {{0.9, 0, ""}}}})), std::runtime_error);
  EXPECT_THROW(DrawSvg(plot_of({{"one", {{1.1, 1, ""}}}})), std::runtime_error);
  EXPECT_THROW(DrawSvg(plot_of({{"one", {{0.9, std::nan(""), ""}}}})), std::runtime_error);
  EXPECT_THROW(DrawSvg(plot_of({{"one", {{0.9, std::numeric_limits<double>::infinity(), ""}}}})),
               std::runtime_error);
}

}  // namespace
}  // namespace bench
