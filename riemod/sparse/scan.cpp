// A whole sequence through one recurrent layer whose hidden matrix is sparse, in one call, for one thread.
//
// States are (n, lanes), features first, with 1, 8 or 16 sequences. `riemod/sparse/_at_once.py` compiles this file.

#include <cstdint>
#include <cstring>
#include <vector>

namespace {

using Index = std::int64_t;
typedef float Eight __attribute__((vector_size(32)));
typedef std::int32_t EightIntegers __attribute__((vector_size(32)));
typedef std::uint32_t EightPlaces __attribute__((vector_size(32)));

inline Eight load(const float *from, Index count = 8) {
    Eight result = {};
    std::memcpy(&result, from, sizeof(float) * count);
    return result;
}

inline void store(float *to, Eight values, Index count = 8) { std::memcpy(to, &values, sizeof(float) * count); }

// exp(x) = 2^k exp(r) with |r| <= log(2) / 2; polynomial of Cephes' expf (S. Moshier), within 2 units in the last place.
inline Eight exponential(Eight x) {
    const float round = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to an integer
    x = x > 88.0f ? Eight{} + 88.0f : x;
    x = x < -87.0f ? Eight{} - 87.0f : x;
    const Eight k = (x * 1.44269504088896341f + round) - round;
    const Eight r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
    Eight p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const EightIntegers exponent = (__builtin_convertvector(k, EightIntegers) + 127) << 23;
    Eight power;
    std::memcpy(&power, &exponent, sizeof(power));
    return p * power;
}

inline Eight sigmoid(Eight x) { return 1.0f / (1.0f + exponential(-x)); }

// Polynomial of Cephes' tanhf near 0, where 1 - 2 / (exp(2 x) + 1) would lose digits.
inline Eight hyperbolic_tangent(Eight x) {
    const Eight square = x * x, far = 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f);
    Eight p = square * -5.70498872745e-3f + 2.06390887954e-2f;
    p = p * square - 5.37397155531e-2f;
    p = p * square + 1.33314422036e-1f;
    p = p * square - 3.33332819422e-1f;
    return square < 0.390625f ? p * square * x + x : far;
}

// Calls the function with each place of 8 numbers and how many of them there are.
template <typename Function> inline void in_eights(Index count, Function function) {
    Index i = 0;
    for (; i + 8 <= count; i += 8)
        function(i, 8);
    if (i < count)
        function(i, count - i);
}

// The hidden matrix: rows of single entries where size is 0, else transposed blocks of size x size; how many of either.
struct Matrix {
    Index rows, columns, size, count;
    const std::int32_t *where, *column;
    const float *values;
};

// Whether `count` indices lie in [0, limit): what a state dict has brought is not looked at elsewhere.
bool inside(const std::int32_t *index, Index count, Index limit) {
    EightIntegers outside = {};
    Index i = 0;
    for (; i + 8 <= count; i += 8) {
        EightPlaces places;
        std::memcpy(&places, index + i, sizeof(places));
        outside |= places >= static_cast<std::uint32_t>(limit);
    }
    for (; i < count; ++i)
        outside[0] |= static_cast<std::uint32_t>(index[i]) >= static_cast<std::uint32_t>(limit);
    std::int32_t any = 0;
    for (int lane = 0; lane < 8; ++lane)
        any |= outside[lane];
    return any == 0;
}

// Whether all that a product reads and writes lies in the matrix and in the states.
bool fits(const Matrix &w) {
    if (w.size)
        return inside(w.where, w.count, (w.rows + w.size - 1) / w.size) &&
               inside(w.column, w.count, (w.columns + w.size - 1) / w.size);
    for (Index row = 0; row < w.rows; ++row)
        if (w.where[row] > w.where[row + 1])
            return false;
    return w.where[0] >= 0 && w.where[w.rows] <= w.count && inside(w.column, w.count, w.columns);
}

// `where` holds the start of each row.
template <int lanes> void multiply_rows(const Matrix &w, const float *h, float *out) {
    if constexpr (lanes == 1) {
        for (Index row = 0; row < w.rows; ++row) {
            float sums[8] = {};
            Index k = w.where[row];
            const Index end = w.where[row + 1];
            for (; k + 8 <= end; k += 8)
                for (int i = 0; i < 8; ++i)
                    sums[i] += w.values[k + i] * h[w.column[k + i]];
            for (; k < end; ++k)
                sums[0] += w.values[k] * h[w.column[k]];
            out[row] = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
        }
    } else {
        constexpr int parts = lanes / 8, apart = 4 / parts;
        for (Index row = 0; row < w.rows; ++row) {
            Eight sums[apart][parts] = {};
            Index k = w.where[row];
            const Index end = w.where[row + 1];
            for (; k + apart <= end; k += apart)
                for (int i = 0; i < apart; ++i)
                    for (int part = 0; part < parts; ++part)
                        sums[i][part] += w.values[k + i] * load(h + Index(w.column[k + i]) * lanes + 8 * part);
            for (; k < end; ++k)
                for (int part = 0; part < parts; ++part)
                    sums[0][part] += w.values[k] * load(h + Index(w.column[k]) * lanes + 8 * part);
            for (int part = 0; part < parts; ++part) {
                for (int i = 1; i < apart; ++i)
                    sums[0][part] += sums[i][part];
                store(out + row * lanes + 8 * part, sums[0][part]);
            }
        }
    }
}

// `where` holds the block row of each block; blocks of one row follow each other. Rows without blocks stay as they are.
template <int size, int lanes> void multiply_blocks(const Matrix &w, const float *h, float *out) {
    for (Index first = 0, last = 0; first < w.count; first = last) {
        while (last < w.count && w.where[last] == w.where[first])
            ++last;
        float *row = out + Index(w.where[first]) * size * lanes;
        if constexpr (lanes == 1) {
            constexpr int parts = size / 8, apart = 8 / parts;
            Eight sums[apart][parts] = {};
            for (Index block = first; block < last; ++block) {
                const Index from = Index(w.column[block]) * size;
                const int width = w.columns - from < size ? int(w.columns - from) : size;
                const float *values = w.values + block * size * size;
                int k = 0;
                for (; k + apart <= width; k += apart)
                    for (int i = 0; i < apart; ++i)
                        for (int part = 0; part < parts; ++part)
                            sums[i][part] += h[from + k + i] * load(values + (k + i) * size + 8 * part);
                for (; k < width; ++k)
                    for (int part = 0; part < parts; ++part)
                        sums[0][part] += h[from + k] * load(values + k * size + 8 * part);
            }
            for (int part = 0; part < parts; ++part) {
                for (int i = 1; i < apart; ++i)
                    sums[0][part] += sums[i][part];
                store(row + 8 * part, sums[0][part]);
            }
        } else {
            constexpr int parts = lanes / 8, height = 8 / parts;
            for (int panel = 0; panel < size; panel += height) {
                Eight sums[height][parts] = {};
                for (Index block = first; block < last; ++block) {
                    const Index from = Index(w.column[block]) * size;
                    const int width = w.columns - from < size ? int(w.columns - from) : size;
                    const float *values = w.values + block * size * size + panel;
                    for (int k = 0; k < width; ++k)
                        for (int part = 0; part < parts; ++part) {
                            const Eight given = load(h + (from + k) * lanes + 8 * part);
                            for (int j = 0; j < height; ++j)
                                sums[j][part] += values[k * size + j] * given;
                        }
                }
                for (int j = 0; j < height; ++j)
                    for (int part = 0; part < parts; ++part)
                        store(row + (panel + j) * lanes + 8 * part, sums[j][part]);
            }
        }
    }
}

template <int lanes> void multiply(const Matrix &w, const float *h, float *out) {
    switch (w.size) {
    case 0: return multiply_rows<lanes>(w, h, out);
    case 16: return multiply_blocks<16, lanes>(w, h, out);
    case 32: return multiply_blocks<32, lanes>(w, h, out);
    case 64: return multiply_blocks<64, lanes>(w, h, out);
    }
}

enum Cell { relu, hyperbolic, gated, memorizing };

// One step's states from what the input gives, what the last states give, and the last states.
void next(Cell cell, Index count, const float *given, const float *recalled, const float *bias, const float *last,
          float *memory, float *out) {
    switch (cell) {
    case relu:
        return in_eights(count, [=](Index i, Index width) {
            const Eight sum = load(given + i, width) + load(recalled + i, width);
            store(out + i, sum < 0.0f ? Eight{} : sum, width);
        });
    case hyperbolic:
        return in_eights(count, [=](Index i, Index width) {
            store(out + i, hyperbolic_tangent(load(given + i, width) + load(recalled + i, width)), width);
        });
    case gated:
        return in_eights(count, [=](Index i, Index width) {
            const auto gate = [=](Index g) {
                return sigmoid(load(given + g * count + i, width) + load(recalled + g * count + i, width));
            };
            const Eight state = load(recalled + 2 * count + i, width) + load(bias + i, width), update = gate(1);
            const Eight fresh = hyperbolic_tangent(load(given + 2 * count + i, width) + gate(0) * state);
            store(out + i, fresh + update * (load(last + i, width) - fresh), width);
        });
    case memorizing:
        return in_eights(count, [=](Index i, Index width) {
            const auto sum = [=](Index g) {
                return load(given + g * count + i, width) + load(recalled + g * count + i, width);
            };
            const Eight kept = sigmoid(sum(1)) * load(memory + i, width);
            const Eight now = kept + sigmoid(sum(0)) * hyperbolic_tangent(sum(2));
            store(memory + i, now, width);
            store(out + i, sigmoid(sum(3)) * hyperbolic_tangent(now), width);
        });
    }
}

template <int lanes> void scan(Cell cell, Index steps, bool backward, const Matrix &w, const float *given,
                               const float *bias, const float *first, float *memory, float *out) {
    const Index height = w.rows * lanes, count = w.columns * lanes;
    const Index padded = w.size ? (w.rows + w.size - 1) / w.size * w.size * lanes : height;
    std::vector<float> recalled(padded);
    const float *last = first;
    for (Index step = 0; step < steps; ++step) {
        const Index place = backward ? steps - 1 - step : step;
        multiply<lanes>(w, last, recalled.data());
        next(cell, count, given + place * height, recalled.data(), bias, last, memory, out + place * count);
        last = out + place * count;
    }
}

}  // namespace

// given: (steps, rows, lanes), what the inputs and the biases add to the gates; bias: (n, lanes), of a GRU's new gate;
// first: (n, lanes); memory: (n, lanes), of an LSTM, replaced by its last; out: (steps, n, lanes). Returns 0; 1 if an
// index does not lie in the matrix, 2 if memory ran out, 3 if there is no such cell, number of lanes or size of blocks.
extern "C" int riemod_scan(int cell, int lanes, int backward, std::int64_t steps, std::int64_t rows,
                           std::int64_t columns, std::int64_t size, std::int64_t count, const std::int32_t *where,
                           const std::int32_t *column, const float *values, const float *given, const float *bias,
                           const float *first, float *memory, float *out) noexcept {
    if (cell < relu || cell > memorizing || (size != 0 && size != 16 && size != 32 && size != 64))
        return 3;
    const Matrix w{rows, columns, size, count, where, column, values};
    if (!fits(w))
        return 1;
    const Cell kind = static_cast<Cell>(cell);
    try {
        switch (lanes) {
        case 1: scan<1>(kind, steps, backward, w, given, bias, first, memory, out); return 0;
        case 8: scan<8>(kind, steps, backward, w, given, bias, first, memory, out); return 0;
        case 16: scan<16>(kind, steps, backward, w, given, bias, first, memory, out); return 0;
        }
    } catch (...) {
        return 2;
    }
    return 3;
}
