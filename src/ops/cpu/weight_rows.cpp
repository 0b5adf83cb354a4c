#include "ops/cpu/weight_rows.h"

namespace strake::cpu {

void widen(const Tensor& tensor, float* out) {
  visit_floating(tensor.dtype(),
                 [&]<class T>(T) { widen_row(tensor.data<T>().data(), tensor.elements(), out); });
}

}  // namespace strake::cpu
