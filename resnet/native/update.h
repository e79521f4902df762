// The update of weights by their gradients, in one pass over a variable: Adam, AdamW and SGD.
//
// TensorFlow's operations read and write a variable several times: to cast the gradient to float32, to add the L2 term, to
// update, and to cast the new weights to bfloat16 for the next step. Here a number and its moments are read and written once.
// The formulas, and the order of their operations, are those of TensorFlow's and Keras's kernels, so the bits are the same.

#ifndef RESNET_NATIVE_UPDATE_H_
#define RESNET_NATIVE_UPDATE_H_

#include <cstdint>

namespace resnet {

// Adam of Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2014), with the bias correction in `alpha`.
struct Adam {
  float rate, alpha;    // the learning rate, without and with the bias correction
  float rest_of_first;  // 1 - beta1
  float rest_of_second;
  float epsilon;
};

// Sets the fields that follow from beta1, beta2 and their powers of the number of steps.
void set(Adam* rule, float beta1, float beta2, float power1, float power2);

// SGD with the momentum of Nesterov in the form of Sutskever et al., "On the Importance of Initialization and Momentum in Deep
// Learning" (2013), section 2. Without momentum, Part::first is not used.
struct Sgd {
  float rate, momentum;
};

// A variable, or a part of it. Arrays have `count` numbers and do not overlap, but `before` may be `copy`.
struct Part {
  int64_t count;
  const float* gradient;         // or null, if it is
  const uint16_t* gradient_bits;  // in bfloat16
  float* weight;
  float* first;            // the momentum
  float* second;           // Adam's mean of squares
  const uint16_t* before;  // the weights in bfloat16 before the update; null if there is no copy
  uint16_t* copy;          // and after it
  float l2;                // coefficient c of a term c / 2 * weight^2 in the loss
  float decay;             // decoupled: decay * rate * weight is subtracted first

  // The numbers from `start` on.
  Part part(int64_t start, int64_t numbers) const {
    const auto from = [start](auto* array) { return array ? array + start : nullptr; };
    return {numbers,      from(gradient), from(gradient_bits), from(weight), from(first), from(second),
            from(before), from(copy),     l2,                  decay};
  }
};

// Updates a part; returns false if `before` is not the weights before the update, and the forward pass has used wrong ones.
// At most one of `l2` and `decay` is not zero.
bool update(const Adam& rule, const Part& part);
bool update(const Sgd& rule, const Part& part);

}  // namespace resnet

#endif  // RESNET_NATIVE_UPDATE_H_
