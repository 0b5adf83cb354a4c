#include "engine/topology.h"

#include <hwloc.h>
#include <sched.h>

#include <algorithm>
#include <memory>
#include <type_traits>

#include "base/fail.h"

namespace strake {
namespace {

struct Free {
  void operator()(hwloc_topology_t topology) const { hwloc_topology_destroy(topology); }
  void operator()(hwloc_bitmap_t set) const { hwloc_bitmap_free(set); }
  void operator()(cpu_set_t* set) const { CPU_FREE(set); }
};
using Topology = std::unique_ptr<std::remove_pointer_t<hwloc_topology_t>, Free>;
using Bitmap = std::unique_ptr<std::remove_pointer_t<hwloc_bitmap_t>, Free>;

Topology make_topology() {
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) != 0) fail_errno("hwloc_topology_init");
  return Topology(topology);
}

Bitmap make_bitmap() {
  Bitmap bitmap(hwloc_bitmap_alloc());
  if (bitmap == nullptr) fail_errno("hwloc_bitmap_alloc");
  return bitmap;
}

}  // namespace

std::vector<Cpu> usable_cpus() {
  const Topology topology = make_topology();
  // It would otherwise visit every processor in turn, in the other ranks' way.
  hwloc_topology_set_flags(topology.get(), HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING);
  if (hwloc_topology_load(topology.get()) != 0) fail_errno("cannot list the processors");
  const Bitmap usable = make_bitmap();
  if (hwloc_get_cpubind(topology.get(), usable.get(), HWLOC_CPUBIND_THREAD) != 0)
    hwloc_bitmap_fill(usable.get());
  std::vector<Cpu> cpus;
  for (hwloc_obj_t unit = nullptr;
       (unit = hwloc_get_next_obj_by_type(topology.get(), HWLOC_OBJ_PU, unit)) != nullptr;) {
    if (hwloc_bitmap_isset(usable.get(), unit->os_index) == 0) continue;
    const hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(topology.get(), HWLOC_OBJ_CORE, unit);
    cpus.push_back({static_cast<int>(unit->os_index), hwloc_bitmap_first(unit->nodeset),
                    static_cast<int>((core != nullptr ? core : unit)->logical_index)});
  }
  if (cpus.empty()) fail(ErrorKind::kSystem, "cannot list the processors: none found");
  return cpus;
}

bool bind_this_thread(std::span<const int> cpus) {
  const int limit = std::ranges::max(cpus) + 1;
  const std::unique_ptr<cpu_set_t, Free> set(CPU_ALLOC(limit));
  if (set == nullptr) fail_errno("CPU_ALLOC");
  const size_t bytes = CPU_ALLOC_SIZE(limit);
  CPU_ZERO_S(bytes, set.get());
  for (const int cpu : cpus) CPU_SET_S(cpu, bytes, set.get());
  return ::sched_setaffinity(0, bytes, set.get()) == 0;
}

}  // namespace strake
