// What an experiment says, apart from how it is shown: a table for people, figures for claims, series for a picture.
// Place in the flow: experiments -> here -> `sluice sim run`, which prints, writes JSON and draws.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace sluice::scheduler::sim {

/// A number with a name that a claim can ask for.
struct Figure {
  std::string name;
  double value = 0;
};

/// One line of a picture.
struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;
};

/// Lines over one axis each way.
struct Picture {
  std::string title;
  std::string x_name;
  std::string y_name;
  bool is_x_logarithmic = false;
  std::vector<Series> series;
};

/// Threads: a value.
struct Report {
  std::string title;
  /// What was run, in sentences.
  std::string setting;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  std::vector<Figure> figures;
  std::vector<Picture> pictures;
};

}  // namespace sluice::scheduler::sim
