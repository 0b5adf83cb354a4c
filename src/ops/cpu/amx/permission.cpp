#include "ops/cpu/amx/kernels.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace strake::cpu::amx {

bool permitted() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr unsigned kTileAndBf16 = 1u << 24 | 1u << 22;  // in EDX of leaf 7
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTileAndBf16) != kTileAndBf16)
    return false;
  // For all threads of the process, those to come too (Linux 5.16, Documentation/x86/xstate).
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool takes(const BlockLayout& layout, const SumSchedule& schedule) {
  return layout.scaling != Scaling::kNone || schedule.unit % kTileInputs == 0;
}

}  // namespace strake::cpu::amx
