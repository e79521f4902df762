// How numbers are stored: as a float, or as a uint16_t with the bits of a bfloat16. All arithmetic is in float.

#ifndef RESNET_NATIVE_NUMBERS_H_
#define RESNET_NATIVE_NUMBERS_H_

#include <cstdint>
#include <cstring>

namespace resnet {

inline float load(float number) { return number; }
inline float load(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float number;
  std::memcpy(&number, &wide, sizeof number);
  return number;
}

// The nearest bfloat16, ties to even; a NaN stays a NaN.
inline uint16_t rounded(float number) {
  uint32_t bits;
  std::memcpy(&bits, &number, sizeof bits);
  const uint32_t nearest = bits + 0x7fff + ((bits >> 16) & 1);
  const uint32_t kept = (bits & 0x7fffffff) > 0x7f800000 ? bits | 0x400000 : nearest;
  return static_cast<uint16_t>(kept >> 16);
}

inline void store(float number, float* to) { *to = number; }
inline void store(float number, uint16_t* to) { *to = rounded(number); }

}  // namespace resnet

#endif  // RESNET_NATIVE_NUMBERS_H_
