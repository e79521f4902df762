// Compiled with -ffp-contract=off: a product and a sum in one instruction would be rounded once, and TensorFlow rounds twice.

#include "update.h"

#include <cmath>

#include "numbers.h"

namespace resnet {
namespace {

inline float moved(const Adam& rule, float weight, float gradient, float* first, float* second) {
  const float m = *first + (gradient - *first) * rule.rest_of_first;
  const float v = *second + (gradient * gradient - *second) * rule.rest_of_second;
  *first = m;
  *second = v;
  return weight - (m * rule.alpha) / (std::sqrt(v) + rule.epsilon);
}

struct PlainSgd {
  float rate;
};
inline float moved(const PlainSgd& rule, float weight, float gradient, float*, float*) { return weight - gradient * rule.rate; }

inline float moved(const Sgd& rule, float weight, float gradient, float* first, float*) {
  const float step = gradient * rule.rate;
  const float m = *first * rule.momentum - step;
  *first = m;
  return weight + (m * rule.momentum - step);
}

enum class Decay { kNone, kL2, kDecoupled };

// The loop of one kind of variable: no condition in it depends on a number, so that it is compiled to vectors.
template <Decay kDecay, bool kCopied, typename Rule, typename S>
bool loop(const Rule& given, const Part& part, const S* __restrict gradients) {
  const Rule rule = given;
  const float l2 = part.l2, decay = part.decay * rule.rate;  // the scalars first, as TensorFlow's graph optimizer orders it
  float* __restrict weights = part.weight;
  float* __restrict first = part.first;
  float* __restrict second = part.second;
  const uint16_t* before = part.before;
  uint16_t* copy = part.copy;
  uint16_t stale = 0;
#pragma GCC ivdep  // `before` is `copy` or other memory, never a part of it that is shifted
  for (int64_t i = 0; i < part.count; ++i) {
    float weight = weights[i], gradient = load(gradients[i]);
    if (kCopied) stale |= before[i] ^ rounded(weight);
    if (kDecay == Decay::kL2) gradient = gradient + l2 * weight;
    if (kDecay == Decay::kDecoupled) weight = weight - weight * decay;
    weight = moved(rule, weight, gradient, first + i, second + i);
    weights[i] = weight;
    if (kCopied) copy[i] = rounded(weight);
  }
  return stale == 0;
}

template <Decay kDecay, bool kCopied, typename Rule> bool by_gradient(const Rule& rule, const Part& part) {
  if (part.gradient) return loop<kDecay, kCopied>(rule, part, part.gradient);
  return loop<kDecay, kCopied>(rule, part, part.gradient_bits);
}

template <Decay kDecay, typename Rule> bool by_copy(const Rule& rule, const Part& part) {
  return part.copy ? by_gradient<kDecay, true>(rule, part) : by_gradient<kDecay, false>(rule, part);
}

template <typename Rule> bool by_decay(const Rule& rule, const Part& part) {
  if (part.l2 != 0) return by_copy<Decay::kL2>(rule, part);
  if (part.decay != 0) return by_copy<Decay::kDecoupled>(rule, part);
  return by_copy<Decay::kNone>(rule, part);
}

}  // namespace

void set(Adam* rule, float beta1, float beta2, float power1, float power2) {
  rule->alpha = rule->rate * std::sqrt(1.f - power2) / (1.f - power1);
  rule->rest_of_first = 1.f - beta1;
  rule->rest_of_second = 1.f - beta2;
}

bool update(const Adam& rule, const Part& part) { return by_decay(rule, part); }
bool update(const Sgd& rule, const Part& part) {
  return rule.momentum == 0 ? by_decay(PlainSgd{rule.rate}, part) : by_decay(rule, part);
}

}  // namespace resnet
