// Places data/recording.slk and data/recording.json into the program, so that the recorded engine works wherever the
// program does. SLUICE_RECORDING is the files' path without extension; the build file names them as dependencies.
#include "integration/engines/recorded/recording.h"

asm(".section .rodata\n"
    ".balign 64\n"
    "sluice_recording_rows: .incbin \"" SLUICE_RECORDING
    ".slk\"\n"
    "sluice_recording_rows_end:\n"
    "sluice_recording_facts: .incbin \"" SLUICE_RECORDING
    ".json\"\n"
    "sluice_recording_facts_end:\n"
    ".previous\n"
    ".globl sluice_recording_rows, sluice_recording_rows_end, sluice_recording_facts, sluice_recording_facts_end\n"
    ".hidden sluice_recording_rows, sluice_recording_rows_end, sluice_recording_facts, sluice_recording_facts_end\n");

extern "C" {
extern const std::byte sluice_recording_rows[];
extern const std::byte sluice_recording_rows_end[];
extern const char sluice_recording_facts[];
extern const char sluice_recording_facts_end[];
}

namespace sluice::integration::recorded {

std::span<const std::byte> built_in_container() { return {sluice_recording_rows, sluice_recording_rows_end}; }

std::string_view built_in_facts() {
  return {sluice_recording_facts, static_cast<std::size_t>(sluice_recording_facts_end - sluice_recording_facts)};
}

}  // namespace sluice::integration::recorded
