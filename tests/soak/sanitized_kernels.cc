// Runs the arithmetic of `resnet/native` over random shapes, for sanitizers: program SEED SHAPES.
//
// Each result must be close to the formula in float64, and have the same bits on 1, 2, 3 and 7 threads. One number of some
// inputs is NaN or infinity; the result must then be finite exactly where the formula is. The exit code is 1 if one is not so.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "../../resnet/native/kernels.h"
#include "../../resnet/native/update.h"
#include "../../resnet/native/weight_gradient.h"

namespace {

constexpr double kEpsilon = 1e-5;
const int kThreads[] = {1, 2, 3, 7};

struct Share {
  int threads;
  void operator()(int64_t blocks, int64_t, const std::function<void(int64_t, int64_t)>& work) const {
    std::vector<std::thread> all;
    for (int i = 0; i < threads; ++i) all.emplace_back([&, i] { work(blocks * i / threads, blocks * (i + 1) / threads); });
    for (std::thread& one : all) one.join();
  }
};

std::mt19937 generator;
int failures = 0;

double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(generator); }
int64_t one_of(const std::vector<int64_t>& numbers) { return numbers[generator() % numbers.size()]; }

template <typename S> std::vector<S> random_numbers(int64_t count, double middle, double spread) {
  std::vector<S> numbers(count);
  for (S& one : numbers) resnet::store(static_cast<float>(middle + spread * uniform(-1, 1)), &one);
  return numbers;
}

template <typename S> void spoil(std::vector<S>* numbers) {
  const float bad[] = {NAN, INFINITY, -INFINITY};
  resnet::store(bad[generator() % 3], &(*numbers)[generator() % numbers->size()]);
}

void expect(bool holds, const char* what, int64_t rows, int64_t channels, int64_t at, double got, double wanted) {
  if (holds) return;
  if (++failures < 20) {
    std::fprintf(stderr, "%s of %lld x %lld differs at %lld: %.9g, not %.9g\n", what, static_cast<long long>(rows),
                 static_cast<long long>(channels), static_cast<long long>(at), got, wanted);
  }
}

bool close(double got, double wanted, double tolerance) {
  if (!std::isfinite(wanted)) return !std::isfinite(got);
  return std::abs(got - wanted) <= tolerance;
}

// Everything that the operations compute for one input.
template <typename S> struct Results {
  std::vector<float> mean, variance, inverse, dscale, doffset, add_dscale, add_doffset;
  std::vector<S> y, y_add, dx, dx_add, dshortcut;

  bool operator==(const Results& other) const {
    const auto same = [](const auto& one, const auto& two) {
      return std::memcmp(one.data(), two.data(), one.size() * sizeof one[0]) == 0;
    };
    return same(mean, other.mean) && same(variance, other.variance) && same(inverse, other.inverse) && same(y, other.y) &&
           same(y_add, other.y_add) && same(dx, other.dx) && same(dscale, other.dscale) && same(doffset, other.doffset) &&
           same(dx_add, other.dx_add) && same(dshortcut, other.dshortcut) && same(add_dscale, other.add_dscale) &&
           same(add_doffset, other.add_doffset);
  }
};

template <typename S> struct Case {
  int64_t rows, channels;
  bool relu, in_place, two;
  std::vector<S> x, shortcut, above, beside;
  std::vector<float> scale, offset;

  Case(int64_t rows, int64_t channels)
      : rows(rows),
        channels(channels),
        relu(generator() % 2),
        in_place(generator() % 2),
        two(generator() % 2),
        x(random_numbers<S>(rows * channels, uniform(-3, 3), 2)),
        shortcut(random_numbers<S>(rows * channels, 0, 1)),
        above(random_numbers<S>(rows * channels, 0, 1)),
        beside(random_numbers<S>(rows * channels, 0, 1)),
        scale(random_numbers<float>(channels, 0, 1.5)),
        offset(random_numbers<float>(channels, 0, 1)) {
    if (generator() % 4 == 0) spoil(generator() % 2 ? &x : &above);
  }

  Results<S> run(int threads) const {
    const Share share{threads};
    const resnet::Pixels pixels(rows, channels);
    Results<S> r;
    for (auto* one : {&r.mean, &r.variance, &r.inverse, &r.dscale, &r.doffset, &r.add_dscale, &r.add_doffset}) {
      one->resize(channels);
    }
    for (auto* one : {&r.y, &r.y_add, &r.dx, &r.dx_add, &r.dshortcut}) one->resize(rows * channels);
    resnet::statistics(share, pixels, x.data(), kEpsilon, r.mean.data(), r.variance.data(), r.inverse.data());
    const resnet::Line line(channels, scale.data(), offset.data(), r.mean.data(), r.inverse.data());
    resnet::norm(share, pixels, x.data(), line, relu, r.y.data());
    resnet::norm_add(share, pixels, x.data(), shortcut.data(), line, r.y_add.data());
    if (in_place) r.dx = r.dshortcut = above;
    resnet::norm_gradient(share, pixels, x.data(), in_place ? r.dx.data() : above.data(), scale.data(), offset.data(),
                          r.mean.data(), r.inverse.data(), relu, r.dx.data(), r.dscale.data(), r.doffset.data());
    resnet::norm_add_gradient(share, pixels, x.data(), r.y_add.data(), scale.data(), r.mean.data(), r.inverse.data(),
                              in_place ? r.dshortcut.data() : above.data(), two ? beside.data() : nullptr, r.dx_add.data(),
                              r.dshortcut.data(), r.add_dscale.data(), r.add_doffset.data());
    return r;
  }

  // The channel c by the formulas in float64. The mask of a ReLU is that of the computed y, which may be rounded to 0.
  void check(const Results<S>& r, int64_t c) const {
    const double unit = sizeof(S) == 2 ? 1.0 / 256 : 1e-4;
    double mean = 0, variance = 0;
    for (int64_t i = c; i < rows * channels; i += channels) mean += resnet::load(x[i]) / static_cast<double>(rows);
    for (int64_t i = c; i < rows * channels; i += channels) variance += std::pow(resnet::load(x[i]) - mean, 2) / rows;
    const double inverse = 1 / std::sqrt(variance + kEpsilon), factor = scale[c] * inverse;
    expect(close(r.mean[c], mean, 1e-4), "mean", rows, channels, c, r.mean[c], mean);
    expect(close(r.variance[c], variance, 1e-4), "variance", rows, channels, c, r.variance[c], variance);
    std::vector<double> e(rows), e_add(rows);
    for (int64_t row = 0, i = c; row < rows; ++row, i += channels) {
      const double number = resnet::load(x[i]), line = factor * (number - mean) + offset[c];
      const double y = relu && line < 0 ? 0 : line, sum = line + resnet::load(shortcut[i]), y_add = sum < 0 ? 0 : sum;
      const double near = unit * (1 + std::abs(y)) + 1e-6 * std::abs(factor) * (std::abs(number) + std::abs(mean));
      expect(close(resnet::load(r.y[i]), y, near), "norm", rows, channels, i, resnet::load(r.y[i]), y);
      expect(close(resnet::load(r.y_add[i]), y_add, near + unit * std::abs(y_add)), "norm_add", rows, channels, i,
             resnet::load(r.y_add[i]), y_add);
      e[row] = relu && resnet::load(r.y[i]) <= 0 ? 0 : resnet::load(above[i]);
      const double both = resnet::load(above[i]) + (two ? resnet::load(beside[i]) : 0.f);
      const double passed = resnet::load(r.y_add[i]) <= 0 ? 0 : both;
      expect(close(resnet::load(r.dshortcut[i]), passed, 3 * unit), "dshortcut", rows, channels, i,
             resnet::load(r.dshortcut[i]), passed);
      e_add[row] = resnet::load(r.dshortcut[i]);
    }
    check_gradient("norm_gradient", c, mean, inverse, e, r.dx, r.dscale[c], r.doffset[c]);
    check_gradient("norm_add_gradient", c, mean, inverse, e_add, r.dx_add, r.add_dscale[c], r.add_doffset[c]);
  }

  void check_gradient(const char* what, int64_t c, double mean, double inverse, const std::vector<double>& e,
                      const std::vector<S>& dx, double dscale, double doffset) const {
    const double unit = sizeof(S) == 2 ? 1.0 / 256 : 1e-4;
    double sum = 0, sum_sizes = 0, products = 0, product_sizes = 0;
    for (int64_t row = 0; row < rows; ++row) {
      const double unit_x = (resnet::load(x[row * channels + c]) - mean) * inverse;
      sum += e[row];
      products += e[row] * unit_x;
      sum_sizes += std::abs(e[row]);
      product_sizes += std::abs(e[row]) * (1 + std::abs(unit_x) + inverse * 1e-3 * std::abs(mean));
    }
    expect(close(doffset, sum, 1e-4 * sum_sizes), what, rows, channels, c, doffset, sum);
    expect(close(dscale, products, 1e-4 * product_sizes), what, rows, channels, c, dscale, products);
    for (int64_t row = 0, i = c; row < rows; ++row, i += channels) {
      const double number = resnet::load(x[i]), unit_x = (number - mean) * inverse;
      const double wanted = scale[c] * inverse * (e[row] - sum / rows - unit_x * products / rows);
      const double size = std::abs(scale[c]) * inverse * 2 * (1 + std::abs(unit_x));
      const double near = size * (unit + 1e-6 * inverse * (std::abs(number) + std::abs(mean)));
      expect(close(resnet::load(dx[i]), wanted, near), what, rows, channels, i, resnet::load(dx[i]), wanted);
    }
  }
};

template <typename S> void try_shape(int64_t rows, int64_t channels) {
  const Case<S> given(rows, channels);
  const Results<S> alone = given.run(1);
  for (int threads : kThreads) {
    expect(given.run(threads) == alone, "threads", rows, channels, threads, 0, 0);
  }
  for (int64_t c = 0; c < channels; ++c) given.check(alone, c);
}

// The update of `count` numbers in parts, by each thread some.
struct Variable {
  std::vector<float> weight, first, second;
  std::vector<uint16_t> copy;
};

template <typename Rule>
Variable updated(const Rule& rule, Variable of, const std::vector<float>& wide, const std::vector<uint16_t>& narrow,
                 bool copied, float l2, float decay, int threads) {
  const int64_t count = of.weight.size();
  resnet::Part whole{};
  whole.count = count;
  if (narrow.empty()) whole.gradient = wide.data();
  if (!narrow.empty()) whole.gradient_bits = narrow.data();
  whole.weight = of.weight.data(), whole.first = of.first.data(), whole.second = of.second.data();
  if (copied) whole.before = whole.copy = of.copy.data();
  whole.l2 = l2, whole.decay = decay;
  std::vector<char> fresh(threads, 1);
  Share{threads}(threads, 0, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t from = count * i / threads;
      fresh[i] = resnet::update(rule, whole.part(from, count * (i + 1) / threads - from));
    }
  });
  for (char one : fresh) expect(one, "copy", count, 1, 0, one, 1);
  return of;
}

template <typename Rule, typename Reference>
void try_update(const char* what, const Rule& rule, int64_t count, const Reference& reference) {
  Variable before{random_numbers<float>(count, 0, 0.1), random_numbers<float>(count, 0, 0.01),
                  random_numbers<float>(count, 1e-4, 1e-4), std::vector<uint16_t>(count)};
  std::vector<float> gradient = random_numbers<float>(count, 0, 1);
  if (generator() % 4 == 0) spoil(generator() % 2 ? &before.weight : &gradient);
  std::vector<uint16_t> narrow(generator() % 2 ? count : 0);
  for (size_t i = 0; i < narrow.size(); ++i) {
    narrow[i] = resnet::rounded(gradient[i]);
    gradient[i] = resnet::load(narrow[i]);
  }
  for (int64_t i = 0; i < count; ++i) before.copy[i] = resnet::rounded(before.weight[i]);
  const bool copied = generator() % 2;
  const int kind = generator() % 3;
  const float l2 = kind == 1 ? 0.01f : 0, decay = kind == 2 ? 0.05f : 0;
  const Variable alone = updated(rule, before, gradient, narrow, copied, l2, decay, 1);
  for (int threads : kThreads) {
    const Variable other = updated(rule, before, gradient, narrow, copied, l2, decay, threads);
    const bool same = std::memcmp(other.weight.data(), alone.weight.data(), 4 * count) == 0 &&
                      std::memcmp(other.first.data(), alone.first.data(), 4 * count) == 0 &&
                      std::memcmp(other.second.data(), alone.second.data(), 4 * count) == 0 && other.copy == alone.copy;
    expect(same, "threads of the update", count, 1, threads, 0, 0);
  }
  for (int64_t i = 0; i < count; ++i) {
    double w = before.weight[i], m = before.first[i], v = before.second[i], g = gradient[i];
    if (l2 != 0) g += l2 * w;  // 0 times NaN is NaN
    if (decay != 0) w -= decay * w * rule.rate;
    reference(&w, &m, &v, g);
    expect(close(alone.weight[i], w, 1e-5), what, count, 1, i, alone.weight[i], w);
    expect(close(alone.first[i], m, 1e-5), what, count, 1, i, alone.first[i], m);
    expect(close(alone.second[i], v, 1e-5), what, count, 1, i, alone.second[i], v);
    const uint16_t rounded = resnet::rounded(copied ? alone.weight[i] : before.weight[i]);
    expect(alone.copy[i] == rounded, "copy", count, 1, i, alone.copy[i], rounded);
  }
}

void try_updates(int64_t count) {
  resnet::Adam adam{0.01f, 0, 0, 0, 1e-7f};
  resnet::set(&adam, 0.9f, 0.999f, 0.729f, 0.997003f);
  try_update("adam", adam, count, [](double* w, double* m, double* v, double g) {
    *m = 0.9 * *m + 0.1 * g;
    *v = 0.999 * *v + 0.001 * g * g;
    *w -= 0.01 * (*m / (1 - 0.729)) / (std::sqrt(*v / (1 - 0.997003)) + 1e-7 / std::sqrt(1 - 0.997003));
  });
  try_update("sgd", resnet::Sgd{0.1f, 0.9f}, count, [](double* w, double* m, double*, double g) {
    *m = 0.9 * *m - 0.1 * g;
    *w += 0.9 * *m - 0.1 * g;
  });
  try_update("sgd without momentum", resnet::Sgd{0.1f, 0}, count, [](double* w, double*, double*, double g) { *w -= 0.1 * g; });
}

#if defined(RESNET_NATIVE_MULTIPLIES_BFLOAT16)
std::vector<float> weight_gradient(const resnet::Convolution& c, const uint16_t* images, const uint16_t* above, int threads) {
  std::vector<float> gradient(c.positions() * c.in * c.out);
  resnet::WeightGradient work(c);
  const Share share{threads};
  share(work.blocks(), 0, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) work.compute(block, images, above);
  });
  share(work.ranges(), 0, [&](int64_t begin, int64_t end) {
    for (int64_t range = begin; range < end; ++range) work.finish(range, gradient.data());
  });
  return gradient;
}

void try_weight_gradient() {
  resnet::Convolution c{};
  c.batch = one_of({1, 2, 5}), c.height = one_of({1, 2, 7, 12}), c.width = one_of({1, 3, 8, 13});
  c.in = one_of({16, 48, 80}), c.out = one_of({32, 96, 288}), c.stride = one_of({1, 2});
  c.kernel_height = one_of({1, 3}), c.kernel_width = one_of({1, 3, 5});
  c.out_height = (c.height + c.stride - 1) / c.stride, c.out_width = (c.width + c.stride - 1) / c.stride;
  c.top = std::max<int64_t>((c.out_height - 1) * c.stride + c.kernel_height - c.height, 0) / 2;
  c.left = std::max<int64_t>((c.out_width - 1) * c.stride + c.kernel_width - c.width, 0) / 2;
  const auto images = random_numbers<uint16_t>(c.batch * c.height * c.width * c.in, 0, 1);
  auto above = random_numbers<uint16_t>(c.batch * c.out_height * c.out_width * c.out, 0, 1);
  if (generator() % 4 == 0) spoil(&above);
  const std::vector<float> alone = weight_gradient(c, images.data(), above.data(), 1);
  for (int threads : kThreads) {
    const std::vector<float> other = weight_gradient(c, images.data(), above.data(), threads);
    const bool same = std::memcmp(other.data(), alone.data(), 4 * alone.size()) == 0;
    expect(same, "threads of the weight gradient", c.in, c.out, threads, 0, 0);
  }
  for (int tries = 0; tries < 200; ++tries) {
    const int64_t row = generator() % c.kernel_height, column = generator() % c.kernel_width;
    const int64_t i = generator() % c.in, o = generator() % c.out;
    double wanted = 0;
    for (int64_t n = 0; n < c.batch; ++n) {
      for (int64_t out_y = 0; out_y < c.out_height; ++out_y) {
        for (int64_t out_x = 0; out_x < c.out_width; ++out_x) {
          const int64_t y = out_y * c.stride + row - c.top, x = out_x * c.stride + column - c.left;
          const double factor = resnet::load(above[((n * c.out_height + out_y) * c.out_width + out_x) * c.out + o]);
          if (y >= 0 && y < c.height) {  // what is left and right of an image counts as 0, which makes NaN of infinity
            const bool inside = x >= 0 && x < c.width;
            wanted += (inside ? resnet::load(images[((n * c.height + y) * c.width + x) * c.in + i]) : 0.) * factor;
          }
        }
      }
    }
    const int64_t at = ((row * c.kernel_width + column) * c.in + i) * c.out + o;
    expect(close(alone[at], wanted, 1e-3), "weight gradient", c.in, c.out, at, alone[at], wanted);
  }
}
#else
void try_weight_gradient() {}
#endif

}  // namespace

int main(int, char** arguments) {
  generator.seed(std::atoi(arguments[1]));
  for (int left = std::atoi(arguments[2]); left > 0; --left) {
    const int64_t channels = one_of({1, 2, 3, 7, 15, 16, 17, 33, 64, 130});
    const int64_t rows = one_of({1, 2, 3, 4, 5, 7, 49, 200, 1 + 70'000 / channels});  // the last one makes several blocks
    if (left % 2) {
      try_shape<float>(rows, channels);
    } else {
      try_shape<uint16_t>(rows, channels);
    }
    try_updates(one_of({1, 2, 3, 15, 16, 17, 31, 33, 1000, 40'003}));
    try_weight_gradient();
  }
  return failures != 0;
}
