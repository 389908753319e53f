#include "codec/part_name.h"

namespace sluice::codec {

std::string_view part_name(Part part) {
  switch (part) {
    case Part::kBase:
      return "base";
    case Part::kRefinement1:
      return "refinement1";
    case Part::kRefinement2:
      return "refinement2";
    case Part::kRefinement3:
      return "refinement3";
    case Part::kRaw:
      return "raw";
    case Part::kLossless:
      return "lossless";
    case Part::kInt8:
      return "int8";
  }
  return "other";
}

}  // namespace sluice::codec
