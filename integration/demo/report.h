// Three views of one run: a table for the terminal, JSON for programs (docs/claims.toml reads it), and a self-contained
// HTML page with plots. Pure functions from results to text.
#pragma once

#include <string>
#include <vector>

#include "integration/demo/results.h"
#include "integration/demo/verdict.h"

namespace sluice::integration::demo {

/// The table, the verdicts and a few metrics, for a terminal.  Threads: pure.
std::string table_report(const DemoResults& results);
/// Schema "sluice-demo-1"; keys keep their meaning.  Threads: pure.
std::string json_report(const DemoResults& results);
/// One page without any outside reference: inline SVG, light and dark.  Threads: pure.
std::string html_report(const DemoResults& results);

}  // namespace sluice::integration::demo
