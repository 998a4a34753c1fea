#include "tensor/ops/exponentials.inl"

// A row of a student and of the teacher, both over the temperature.
struct StudentRow {
  StudentRow(const float* student, const float* teacher, int64_t width, float s)
      : x(student), t(teacher), n(width), scale(s) {
    x_total = exponentials(x, n, scale, x_most);
    t_total = exponentials(t, n, scale, t_most);
  }

  // 16 numbers from column i: e^t of the teacher, e^x of the student, and the teacher's exponent less the student's.
  // Lanes past the last of a row, of which there are 16 - left, have e^t = 0.
  void load(int64_t i, int left, F32& of_teacher, F32& of_student, F32& apart) const {
    const F32 s = set_f32(scale);
    const F32 a = mul(s, sub(load_partial(t + i, left), set_f32(t_most)));
    const F32 b = mul(s, sub(load_partial(x + i, left), set_f32(x_most)));
    alignas(64) float shares[16] = {};
    store_partial(shares, exp(a), left);
    of_teacher = load_f32(shares);
    of_student = exp(b);
    apart = sub(a, b);
  }

  float divergence() const {
    F32 total = zero();
    for (int64_t i = 0; i < n; i += 16) {
      F32 of_teacher, of_student, apart;
      load(i, static_cast<int>(n - i < 16 ? n - i : 16), of_teacher, of_student, apart);
      total = fma(of_teacher, apart, total);
    }
    return sum(total) / t_total + std::log(x_total / t_total);
  }

  const float *x, *t;
  int64_t n;
  float scale, x_most, t_most, x_total, t_total;
};

void kl_divergence_kernel(Ctx& ctx, OpCall& c) {
  const int64_t n = c.in[0].last();
  const auto scale = static_cast<float>(1 / c.attrs.as<Settings>().temperature);
  ctx.pool.parallel_for(c.in[0].rows(), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      data<float>(c.out[0])[r] =
          StudentRow(data<float>(c.in[0]) + r * n, data<float>(c.in[1]) + r * n, n, scale).divergence();
    }
  });
}

void kl_divergence_backward(Ctx& ctx, const GradCall& g) {
  const int64_t n = g.call.in[0].last();
  const auto scale = static_cast<float>(1 / g.call.attrs.as<Settings>().temperature);
  float* grad_x = g.grad_in[0].buffer ? data<float>(g.grad_in[0]) : nullptr;
  float* grad_t = g.grad_in[1].buffer ? data<float>(g.grad_in[1]) : nullptr;
  ctx.pool.parallel_for(g.call.in[0].rows(), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const StudentRow row(data<float>(g.call.in[0]) + r * n, data<float>(g.call.in[1]) + r * n, n, scale);
      const float up = data<float>(g.grad_out[0])[r] * scale;
      const F32 p = set_f32(up / row.t_total), q = set_f32(up / row.x_total);
      const F32 whole = set_f32(std::log(row.x_total / row.t_total) - row.divergence());
      for (int64_t i = 0; i < n; i += 16) {
        const int left = static_cast<int>(n - i < 16 ? n - i : 16);
        F32 of_teacher, of_student, apart;
        row.load(i, left, of_teacher, of_student, apart);
        of_teacher = mul(of_teacher, p);
        auto add_to = [&](float* to, F32 slope) { store_partial(to, add(load_partial(to, left), slope), left); };
        if (grad_x) add_to(grad_x + r * n + i, sub(mul(of_student, q), of_teacher));
        if (grad_t) add_to(grad_t + r * n + i, mul(of_teacher, add(apart, whole)));
      }
    }
  });
}
