// The arithmetic of the fused operations, without TensorFlow: `fused.cc` makes operations of it.
//
// With the statistics m and v of a channel over batch, height and width, and k = scale / sqrt(v + epsilon):
//
//   norm          y = f(k * (x - m) + offset)                f is max(., 0), or nothing
//   norm_add      y = max(k * (x - m) + offset + shortcut, 0)
//
// TensorFlow computes the normalisation, the sum and the maximum as three operations. Each reads and writes the whole tensor,
// and these tensors are far larger than the caches, so a training step waits for memory most of the time. Here the forward pass
// reads x twice and writes y once. The gradient (Ioffe and Szegedy, "Batch Normalization", 2015, section 3) reads x and dy
// twice and writes dx once. It computes the mask of the maximum again instead of reading a stored one.
//
// Sums are taken over a fixed number of blocks of pixels, one after another, whatever the number of threads: the same input
// gives the same bits on any number of threads. Statistics and sums are float32 within a block and float64 over the blocks.
//
// A `Share` divides blocks among threads: share(blocks, cost of one, work) calls work(first, one after the last) until all
// blocks are done, and then returns.

#ifndef RESNET_NATIVE_KERNELS_H_
#define RESNET_NATIVE_KERNELS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "numbers.h"

namespace resnet {

constexpr int64_t kMostBlocks = 64;          // at least the threads that share one operation
constexpr int64_t kLeastNumbers = 16 * 1024;  // of a block; a smaller one costs more to hand out than to compute

// max(number, 0), and whether its gradient passes. Written so that a NaN passes both.
inline float positive(float number) { return number < 0 ? 0.f : number; }
inline float where_positive(float output, float gradient) { return output <= 0 ? 0.f : gradient; }

// ---- blocks of pixels --------------------------------------------------------------------------------------------------

// Images as a matrix: one row for each pixel, one column for each channel.
struct Pixels {
  int64_t rows, channels, blocks;

  Pixels(int64_t rows, int64_t channels)
      : rows(rows),
        channels(channels),
        blocks(std::max<int64_t>(1, std::min({kMostBlocks, rows, rows * channels / kLeastNumbers}))) {}

  // Calls work(block, first row, row after the last) for each block.
  template <typename Share, typename Work> void for_blocks(const Share& share, Work work) const {
    share(blocks, rows / blocks * channels * 4, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) work(block, rows * block / blocks, rows * (block + 1) / blocks);
    });
  }
};

// Two sums for each channel, one pair for each block.
class Sums {
 public:
  explicit Sums(const Pixels& pixels) : channels_(pixels.channels), blocks_(pixels.blocks), sums_(2 * blocks_ * channels_) {}
  float* first(int64_t block) { return &sums_[2 * block * channels_]; }
  float* second(int64_t block) { return first(block) + channels_; }
  double total_first(int64_t channel) const { return total(channel); }
  double total_second(int64_t channel) const { return total(channel + channels_); }

 private:
  double total(int64_t column) const {
    double sum = 0;
    for (int64_t block = 0; block < blocks_; ++block) sum += sums_[2 * block * channels_ + column];
    return sum;
  }
  int64_t channels_, blocks_;
  std::vector<float> sums_;
};

// ---- forward -----------------------------------------------------------------------------------------------------------

// y = x * factor + shift, for each channel.
struct Line {
  std::vector<float> factor, shift;
  Line() = default;
  Line(int64_t channels, const float* scale, const float* offset, const float* mean, const float* inverse)
      : factor(channels), shift(channels) {
    for (int64_t c = 0; c < channels; ++c) {
      factor[c] = scale[c] * inverse[c];
      shift[c] = offset[c] - mean[c] * factor[c];
    }
  }
};

// Mean, variance (without Bessel's correction) and 1 / sqrt(variance + epsilon) of each channel.
//
// The sums are those of the differences from the first pixel. Without that, the variance is lost to rounding where the mean is
// large beside it: Chan, Golub and LeVeque, "Algorithms for Computing the Sample Variance" (1983), equation 1.8.
template <typename S, typename Share>
void statistics(const Share& share, const Pixels& pixels, const S* x, float epsilon, float* mean, float* variance,
                float* inverse) {
  const int64_t channels = pixels.channels;
  std::vector<float> origin(channels, 0.f);
  for (int64_t c = 0; c < channels && pixels.rows; ++c) origin[c] = load(x[c]);
  Sums sums(pixels);
  pixels.for_blocks(share, [&](int64_t block, int64_t row, int64_t end) {
    const float* __restrict from = origin.data();
    float* __restrict sum = sums.first(block);
    float* __restrict squares = sums.second(block);
    for (; row + 4 <= end; row += 4) {  // four rows at a time: the sums are read and written a quarter as often
      const S* __restrict a = x + row * channels;
      const S* __restrict b = a + channels;
      const S* __restrict d = b + channels;
      const S* __restrict e = d + channels;
      for (int64_t c = 0; c < channels; ++c) {
        const float p = load(a[c]) - from[c], q = load(b[c]) - from[c], r = load(d[c]) - from[c], s = load(e[c]) - from[c];
        sum[c] += (p + q) + (r + s);
        squares[c] += (p * p + q * q) + (r * r + s * s);
      }
    }
    for (; row < end; ++row) {
      const S* __restrict a = x + row * channels;
      for (int64_t c = 0; c < channels; ++c) {
        const float p = load(a[c]) - from[c];
        sum[c] += p;
        squares[c] += p * p;
      }
    }
  });
  for (int64_t c = 0; c < channels; ++c) {
    const double shifted = sums.total_first(c) / pixels.rows;
    const double spread = sums.total_second(c) / pixels.rows - shifted * shifted;
    const double kept = spread < 0 ? 0 : spread;  // a NaN stays
    mean[c] = static_cast<float>(origin[c] + shifted);
    variance[c] = static_cast<float>(kept);
    inverse[c] = static_cast<float>(1 / std::sqrt(kept + epsilon));
  }
}

template <typename S, typename Share>
void norm(const Share& share, const Pixels& pixels, const S* x, const Line& line, bool relu, S* y) {
  pixels.for_blocks(share, [&](int64_t, int64_t row, int64_t end) {
    const float* __restrict factor = line.factor.data();
    const float* __restrict shift = line.shift.data();
    for (; row < end; ++row) {
      const S* __restrict from = x + row * pixels.channels;
      S* __restrict to = y + row * pixels.channels;
      if (relu) {
        for (int64_t c = 0; c < pixels.channels; ++c) store(positive(load(from[c]) * factor[c] + shift[c]), to + c);
      } else {
        for (int64_t c = 0; c < pixels.channels; ++c) store(load(from[c]) * factor[c] + shift[c], to + c);
      }
    }
  });
}

template <typename S, typename Share>
void norm_add(const Share& share, const Pixels& pixels, const S* x, const S* shortcut, const Line& line, S* y) {
  pixels.for_blocks(share, [&](int64_t, int64_t row, int64_t end) {
    const float* __restrict factor = line.factor.data();
    const float* __restrict shift = line.shift.data();
    for (; row < end; ++row) {
      const S* __restrict from = x + row * pixels.channels;
      const S* __restrict beside = shortcut + row * pixels.channels;
      S* __restrict to = y + row * pixels.channels;
      for (int64_t c = 0; c < pixels.channels; ++c) {
        store(positive(load(from[c]) * factor[c] + shift[c] + load(beside[c])), to + c);
      }
    }
  });
}

// ---- gradients ---------------------------------------------------------------------------------------------------------

// With e, the gradient of the normalised and scaled x, and its sums over n pixels:
//
//   d offset = sum(e)      d scale = sum(e * (x - m)) / sqrt(v + epsilon)
//   dx = k * (e - d offset / n - (x - m) / sqrt(v + epsilon) * d scale / n) = k * e + constant + slope * x
struct Gradient {
  std::vector<float> constant, slope;

  Gradient(const Pixels& pixels, const Sums& sums, const float* factor, const float* mean, const float* inverse, float* dscale,
           float* doffset)
      : constant(pixels.channels), slope(pixels.channels) {
    for (int64_t c = 0; c < pixels.channels; ++c) {
      const double e = sums.total_first(c), of_scale = sums.total_second(c) * inverse[c];
      const double by_x = -static_cast<double>(factor[c]) * inverse[c] * of_scale / pixels.rows;
      doffset[c] = static_cast<float>(e);
      dscale[c] = static_cast<float>(of_scale);
      slope[c] = static_cast<float>(by_x);
      constant[c] = static_cast<float>(-factor[c] * e / pixels.rows - by_x * mean[c]);
    }
  }
};

// dx may be dy: a number of dx depends on that number of dy alone.
template <typename S, typename Share>
void norm_gradient(const Share& share, const Pixels& pixels, const S* x, const S* dy, const float* scale, const float* offset,
                   const float* mean, const float* inverse, bool relu, S* dx, float* dscale, float* doffset) {
  const int64_t channels = pixels.channels;
  const Line line(channels, scale, offset, mean, inverse);
  const float least = relu ? 0.f : -INFINITY;
  const auto masked = [least](float output, float gradient) { return output <= least ? 0.f : gradient; };
  Sums sums(pixels);
  pixels.for_blocks(share, [&](int64_t block, int64_t row, int64_t end) {
    const float* __restrict factor = line.factor.data();
    const float* __restrict shift = line.shift.data();
    const float* __restrict centre = mean;
    float* __restrict sum = sums.first(block);
    float* __restrict products = sums.second(block);
    for (; row + 2 <= end; row += 2) {
      const S* __restrict x0 = x + row * channels;
      const S* __restrict x1 = x0 + channels;
      const S* __restrict d0 = dy + row * channels;
      const S* __restrict d1 = d0 + channels;
      for (int64_t c = 0; c < channels; ++c) {
        const float p = load(x0[c]), q = load(x1[c]);
        const float e = masked(p * factor[c] + shift[c], load(d0[c])), f = masked(q * factor[c] + shift[c], load(d1[c]));
        sum[c] += e + f;
        products[c] += e * (p - centre[c]) + f * (q - centre[c]);
      }
    }
    for (; row < end; ++row) {
      const S* __restrict x0 = x + row * channels;
      const S* __restrict d0 = dy + row * channels;
      for (int64_t c = 0; c < channels; ++c) {
        const float p = load(x0[c]), e = masked(p * factor[c] + shift[c], load(d0[c]));
        sum[c] += e;
        products[c] += e * (p - centre[c]);
      }
    }
  });
  const Gradient gradient(pixels, sums, line.factor.data(), mean, inverse, dscale, doffset);
  pixels.for_blocks(share, [&](int64_t, int64_t row, int64_t end) {
    const float* __restrict factor = line.factor.data();
    const float* __restrict shift = line.shift.data();
    const float* __restrict constant = gradient.constant.data();
    const float* __restrict slope = gradient.slope.data();
    for (; row < end; ++row) {
      const S* __restrict from = x + row * channels;
      const S* above = dy + row * channels;
      S* to = dx + row * channels;
#pragma GCC ivdep  // `to` is `above` or other memory, never a part of it that is shifted
      for (int64_t c = 0; c < channels; ++c) {
        const float p = load(from[c]), e = masked(p * factor[c] + shift[c], load(above[c]));
        store(factor[c] * e + (constant[c] + slope[c] * p), to + c);
      }
    }
  });
}

// `more` is the gradient of the second branch, or null. dshortcut, the sum of both where y is positive, may be dy.
template <typename S, typename Share>
void norm_add_gradient(const Share& share, const Pixels& pixels, const S* x, const S* y, const float* scale, const float* mean,
                       const float* inverse, const S* dy, const S* more, S* dx, S* dshortcut, float* dscale, float* doffset) {
  const int64_t channels = pixels.channels;
  Sums sums(pixels);
  pixels.for_blocks(share, [&](int64_t block, int64_t row, int64_t end) {
    const float* __restrict centre = mean;
    float* __restrict sum = sums.first(block);
    float* __restrict products = sums.second(block);
    for (; row < end; ++row) {
      const int64_t at = row * channels;
      const S* __restrict from = x + at;
      const S* __restrict output = y + at;
      const S* above = dy + at;
      S* to = dshortcut + at;
      if (more) {
        const S* __restrict beside = more + at;
#pragma GCC ivdep  // `to` is `above` or other memory, as above
        for (int64_t c = 0; c < channels; ++c) {
          store(where_positive(load(output[c]), load(above[c]) + load(beside[c])), to + c);
          const float e = load(to[c]);  // as the second pass will read it
          sum[c] += e;
          products[c] += e * (load(from[c]) - centre[c]);
        }
      } else {
#pragma GCC ivdep
        for (int64_t c = 0; c < channels; ++c) {
          store(where_positive(load(output[c]), load(above[c])), to + c);
          const float e = load(to[c]);
          sum[c] += e;
          products[c] += e * (load(from[c]) - centre[c]);
        }
      }
    }
  });
  std::vector<float> factor(channels);
  for (int64_t c = 0; c < channels; ++c) factor[c] = scale[c] * inverse[c];
  const Gradient gradient(pixels, sums, factor.data(), mean, inverse, dscale, doffset);
  pixels.for_blocks(share, [&](int64_t, int64_t row, int64_t end) {
    const float* __restrict k = factor.data();
    const float* __restrict constant = gradient.constant.data();
    const float* __restrict slope = gradient.slope.data();
    for (; row < end; ++row) {
      const S* __restrict from = x + row * channels;
      const S* __restrict above = dshortcut + row * channels;
      S* __restrict to = dx + row * channels;
      for (int64_t c = 0; c < channels; ++c) store(k[c] * load(above[c]) + (constant[c] + slope[c] * load(from[c])), to + c);
    }
  });
}

}  // namespace resnet

#endif  // RESNET_NATIVE_KERNELS_H_
