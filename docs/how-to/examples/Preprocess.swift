// NEVER COMPILED, NEVER RUN: no Swift compiler was at hand. Preprocess.kt is the same, and is tested bit for bit.
// Check yours with the golden cases of the bundle before you ship.

/// An upright image in full size: rows of pixels, three values from 0 to 255 each.
struct Rgb { var width: Int, height: Int, values: [Int32] }

/// For each output pixel, the first input pixel and the weight of each, with 22 bits of fraction. In double precision,
/// and in this order: the sums depend on it.
func coefficients(_ nIn: Int, _ nOut: Int) -> [(first: Int, weights: [Int32])] {
    let scale = Double(nIn) / Double(nOut)
    let support = max(scale, 1)
    return (0..<nOut).map { at in
        let centre = (Double(at) + 0.5) * scale
        let first = max(Int(centre - support + 0.5), 0)
        let last = min(Int(centre + support + 0.5), nIn)
        let weights = (first..<last).map { max(0, 1 - abs((Double($0) - centre + 0.5) * (1 / support))) }
        let total = weights.reduce(0, +)
        return (first, weights.map { Int32(0.5 + $0 / total * Double(1 << 22)) })
    }
}

/// Resize the columns, rounded to 8 bits.
func across(_ image: Rgb, _ columns: Int) -> Rgb {
    var out = Rgb(width: columns, height: image.height, values: [Int32](repeating: 0, count: 3 * columns * image.height))
    for (column, taps) in coefficients(image.width, columns).enumerated() {
        for row in 0..<image.height {
            for c in 0..<3 {
                var sum: Int32 = 1 << 21
                for (k, weight) in taps.weights.enumerated() {
                    sum += image.values[3 * (row * image.width + taps.first + k) + c] * weight
                }
                out.values[3 * (row * columns + column) + c] = min(max(sum >> 22, 0), 255)
            }
        }
    }
    return out
}

func transposed(_ image: Rgb) -> Rgb {
    var out = Rgb(width: image.height, height: image.width, values: image.values)
    for y in 0..<image.height {
        for x in 0..<image.width {
            for c in 0..<3 { out.values[3 * (x * image.height + y) + c] = image.values[3 * (y * image.width + x) + c] }
        }
    }
    return out
}

/// The input of the network, contiguous: 3 x size x size, RGB in [0, 1]. shortSide and size are those of spec.json.
func preprocess(_ image: Rgb, shortSide: Int, size: Int) -> [Float] {
    let (short, long) = (min(image.width, image.height), max(image.width, image.height))
    let other = (2 * long * shortSide + short) / (2 * short)
    let (columns, rows) = image.width <= image.height ? (shortSide, other) : (other, shortSide)
    let small = transposed(across(transposed(across(image, columns)), rows))
    let (top, left) = ((rows - size) / 2, (columns - size) / 2)
    var values = [Float]()
    values.reserveCapacity(3 * size * size)
    for c in 0..<3 {
        for row in top..<top + size {
            for column in left..<left + size { values.append(Float(small.values[3 * (row * columns + column) + c]) / 255) }
        }
    }
    return values
}
