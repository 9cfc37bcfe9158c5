// The program's commands. Each adds what it measured to the report, and throws std::runtime_error.
#pragma once

#include "options.hpp"
#include "report.hpp"

namespace bench {

void Load(const Options& options, Report& report);
void BuildIndex(const Options& options, Report& report);
void Query(const Options& options, Report& report);
void Targets(const Options& options, Report& report);
void Compare(const Options& options, Report& report);
void Growth(const Options& options, Report& report);
void Generate(const Options& options, Report& report);
void ConvertWink(const Options& options, Report& report);

}  // namespace bench
