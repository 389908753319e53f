#include "scheduler/action.h"

#include "scheduler/part_set.h"

namespace sluice::scheduler {
namespace {

std::string milliseconds(Duration span) {
  if (span == Duration::max()) return "never";
  const std::int64_t microseconds = span.count() / 1000;
  const std::int64_t rest = microseconds % 1000;
  std::string digits = std::to_string(rest < 0 ? -rest : rest);
  digits.insert(0, 3 - digits.size(), '0');
  const std::string sign = microseconds < 0 ? "-" : "";
  const std::int64_t whole = microseconds / 1000;
  return sign + std::to_string(whole < 0 ? -whole : whole) + "." + digits + " ms";
}

std::string because(Reason reason, const Inputs& inputs) {
  std::string line = " because ";
  line += reason_explanation(reason);
  line += " (";
  line += reason_name(reason);
  line += "); slack " + milliseconds(inputs.slack);
  line += ", rate " + std::to_string(inputs.rate.count()) + " bit/s";
  line += ", to move " + std::to_string(inputs.bytes.count()) + " bytes";
  line += ", in flight " + std::to_string(inputs.in_flight.count()) + " bytes";
  line += ", predicted " + milliseconds(inputs.predicted);
  line += ", recompute " + milliseconds(inputs.recompute);
  return line;
}

struct Explainer {
  std::string operator()(const Grant& grant) const {
    std::string line = "request " + std::to_string(grant.unit.request.value());
    line += ": grant ";
    line += part_word(grant.part);
    line += " of chunk " + std::to_string(grant.unit.chunk.value());
    line += " group " + std::to_string(grant.unit.group.value());
    line += ", " + std::to_string(grant.bytes.count()) + " bytes,";
    return line + because(grant.reason, grant.inputs);
  }
  std::string operator()(const ComputeChunk& compute) const {
    return "request " + std::to_string(compute.request.value()) + ": compute chunk " +
           std::to_string(compute.chunk.value()) + because(compute.reason, compute.inputs);
  }
  std::string operator()(const Promise& promise) const {
    return "request " + std::to_string(promise.request.value()) +
           (promise.is_made ? ": deadline promised" : ": deadline not promised") +
           because(Reason::kNone, promise.inputs);
  }
  std::string operator()(const Recompute& recompute) const {
    return "request " + std::to_string(recompute.request.value()) + ": recompute" +
           because(recompute.reason, recompute.inputs);
  }
  std::string operator()(const Complete& complete) const {
    return "request " + std::to_string(complete.request.value()) + ": complete at quality " +
           std::to_string(complete.quality.count()) + " ppm" + because(complete.reason, complete.inputs);
  }
};

}  // namespace

std::string explain(const Action& action) { return std::visit(Explainer{}, action); }

}  // namespace sluice::scheduler
