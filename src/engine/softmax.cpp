#include "engine/softmax.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace strake {

// MLX's own bits matter: in running sums over a large vocabulary another's last bits change one
// token in some thousands. x log2(e) is split into a whole number, which becomes the exponent, and
// a rest, which goes through Cephes' polynomial. Its steps are fused multiply-adds: for every
// float32 from -88 to 0, those in double round to the same result.
float exponential(float x) {
  if (x < -88.0f) return 0.0f;
  const float power = x * 1.442695f;
  const float above = power + 0.5f;
  auto whole = static_cast<int32_t>(above);
  if (static_cast<float>(whole) > above) --whole;
  const double rest = power - static_cast<float>(whole);
  float result = 1.535336188319500e-4f;
  for (const float coefficient :
       {1.339887440266574e-3f, 9.618437357674640e-3f, 5.550332471162809e-2f, 2.402264791363012e-1f,
        6.931472028550421e-1f, 1.0f})
    result = static_cast<float>(result * rest + coefficient);
  return std::bit_cast<float>((whole + 127) << 23) * result;
}

float largest_of(std::span<const float> row) { return *std::max_element(row.begin(), row.end()); }

float exponentiate(Row row) {
  const float largest = largest_of(row);
  float sum = 0;
  for (float& x : row) {
    x = exponential(x - largest);
    sum += x;
  }
  return sum;
}

void to_log_probabilities(Row row) {
  const float largest = largest_of(row);
  float sum = 0;
  for (const float x : row) sum += exponential(x - largest);
  const float log_sum = std::log(sum) + largest;
  for (float& x : row) x -= log_sum;
}

}  // namespace strake
