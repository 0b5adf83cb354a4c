#include "text/jinja/frame.h"

namespace strake::jinja {

void Frame::load(const std::string& name) {
  if (!find(name)) define(name, Load{Load::Kind::kResolve, 0, {}, name});
}

void Frame::store(const std::string& name) {
  names_.stores.insert(name);
  if (!names_.slots.contains(name)) define(name, load_from_outside(name, Load::Kind::kUnset));
}

int Frame::declare(const std::string& name) {
  names_.stores.insert(name);
  return define(name, std::nullopt);
}

Place Frame::place(const std::string& name) const { return place(*find(name)); }

Scope Frame::scope() const {
  Scope scope;
  for (const auto& [slot, load] : names_.loads) {
    if (!load) continue;
    scope.loads.push_back(*load);
    scope.loads.back().slot = slot;
  }
  return scope;
}

std::optional<Frame::Reference> Frame::find(const std::string& name) const {
  const auto found = names_.slots.find(name);
  if (found != names_.slots.end()) return Reference{function_.depth, found->second};
  return find_outside(name);
}

std::optional<Frame::Reference> Frame::find_outside(const std::string& name) const {
  return parent_ ? parent_->find(name) : std::nullopt;
}

int Frame::define(const std::string& name, std::optional<Load> load) {
  const auto [entry, added] = slots_.try_emplace(name, function_.slots);
  if (added) ++function_.slots;
  names_.slots[name] = entry->second;
  names_.loads[entry->second] = std::move(load);
  return entry->second;
}

Place Frame::place(const Reference& reference) const {
  return {function_.depth - reference.depth, reference.slot};
}

Load Frame::load_from_outside(const std::string& name, Load::Kind otherwise) const {
  if (const auto outside = find_outside(name))
    return {Load::Kind::kAlias, 0, place(*outside), name};
  return {otherwise, 0, {}, name};
}

void Frame::merge(const std::vector<Names>& branches) {
  std::set<std::string> stores;
  for (const Names& branch : branches) stores.insert(branch.stores.begin(), branch.stores.end());
  for (const std::string& name : names_.stores) stores.erase(name);
  for (const Names& branch : branches) {
    for (const auto& [name, slot] : branch.slots) names_.slots[name] = slot;
    for (const auto& [slot, load] : branch.loads) names_.loads[slot] = load;
    names_.stores.insert(branch.stores.begin(), branch.stores.end());
  }
  for (const std::string& name : stores)
    names_.loads[names_.slots.at(name)] = load_from_outside(name, Load::Kind::kResolve);
}

}  // namespace strake::jinja
